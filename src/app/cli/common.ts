/**
 * What the commands share: where the configuration comes from, asking every server at once, and who does what.
 */
import { Option } from 'commander';
import type { VolumeStatus } from '../../core/status.ts';
import { Fault } from '../../base/fault.ts';
import { AdminClient } from '../admin/client.ts';
import type { StatusAnswer } from '../admin/messages.ts';
import { loadConfig } from '../config/load.ts';
import type { Config, Mistake, ServerConfig, VolumeConfig } from '../config/load.ts';
import { ExitCode, Failure } from '../exit.ts';
import { readClusterKey } from '../key.ts';

/** How long a server may take to answer a command. */
const ANSWER_MS = 2_000;

/** `--config`, the same for every command. */
export function configOption(): Option {
  return new Option('-c, --config <file>', 'the configuration of the cluster')
    .env('HOLDFAST_CONFIG')
    .default('/etc/holdfast/cluster.toml');
}

/** One mistake as compilers write it, so that editors can follow it. */
export function mistakeLine(file: string, mistake: Mistake): string {
  return `${file}:${mistake.line}: ${mistake.text}`;
}

/** The checked configuration; every mistake in it is in the failure. */
export function requireConfig(file: string): Config {
  const loaded = faultsAre(ExitCode.usage, () => loadConfig(file));
  if (loaded.mistakes === null) return loaded.config;
  const lines = loaded.mistakes.map((mistake) => mistakeLine(file, mistake));
  throw new Failure(ExitCode.usage, `the configuration has ${count(lines.length, 'mistake')}:\n${lines.join('\n')}`);
}

/** Runs `run`; its faults end the command with `code`. */
export function faultsAre<T>(code: ExitCode, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof Fault) throw new Failure(code, error.message, error);
    throw error;
  }
}

/** `1 mistake`, `2 mistakes`. */
export const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? '' : 's'}`;

/** The volume of that name. */
export function requireVolume(config: Config, name: string): VolumeConfig {
  const volume = config.volumes.find((one) => one.name === name);
  if (volume !== undefined) return volume;
  const known = config.volumes.map((one) => `"${one.name}"`).join(', ');
  throw new Failure(ExitCode.usage, `there is no volume "${name}" in ${config.file}: there is ${known}`);
}

/** The server of that name. */
export function requireServer(config: Config, name: string): ServerConfig {
  const server = config.servers.find((one) => one.name === name);
  if (server !== undefined) return server;
  const known = config.servers.map((one) => `"${one.name}"`).join(', ');
  throw new Failure(ExitCode.usage, `there is no server "${name}" in ${config.file}: there is ${known}`);
}

/** The servers as a command sees them. */
export interface Cluster {
  readonly config: Config;
  client(server: string): AdminClient;
}

export function openCluster(config: Config): Cluster {
  const key = faultsAre(ExitCode.usage, () => readClusterKey(config.keyFile));
  const clients = new Map(config.servers.map((server) => [server.name, new AdminClient(server.admin, key, ANSWER_MS)]));
  return {
    config,
    client(server) {
      const client = clients.get(server);
      if (client === undefined) throw new Error(`broken invariant: server ${server} is in the configuration`);
      return client;
    },
  };
}

/** What one server said, or why it said nothing. */
export type ServerView =
  | { readonly server: ServerConfig; readonly answer: StatusAnswer; readonly silence: null }
  | { readonly server: ServerConfig; readonly answer: null; readonly silence: string };

/** Asks every server at once; those that are down do not hold up the others. */
export function askAll(cluster: Cluster): Promise<readonly ServerView[]> {
  return Promise.all(
    cluster.config.servers.map(async (server): Promise<ServerView> => {
      try {
        return { server, answer: await cluster.client(server.name).status(), silence: null };
      } catch (error) {
        return { server, answer: null, silence: (error as Error).message };
      }
    }),
  );
}

/** One volume as the whole cluster sees it. */
export interface VolumeView {
  readonly config: VolumeConfig;
  /** The most telling server's word: the owner that serves it, else whoever is at it, else the newest record's reader. */
  readonly best: VolumeStatus | null;
  readonly byServer: ReadonlyMap<string, VolumeStatus>;
}

/** Every volume of the configuration, in its order. */
export function volumeViews(config: Config, servers: readonly ServerView[]): readonly VolumeView[] {
  return config.volumes.map((volume) => {
    const byServer = new Map<string, VolumeStatus>();
    for (const view of servers) {
      const status = view.answer?.status.volumes.find((one) => one.volume === volume.name);
      if (status !== undefined) byServer.set(view.server.name, status);
    }
    const ranked = [...byServer.values()].sort((a, b) => rank(b) - rank(a) || b.version - a.version);
    return { config: volume, best: ranked[0] ?? null, byServer };
  });
}

function rank(status: VolumeStatus): number {
  if (status.serving) return 4;
  // One server may name a loss a moment before the others do.
  if (status.loss !== null) return 3;
  if (status.role === 'owner' || status.role === 'claimant') return 2;
  return status.role === 'none' ? 0 : 1;
}

/** Turns what a request to a server threw into the command's end. */
export function toFailure(error: unknown): unknown {
  if (!(error instanceof Error) || error.name !== 'Unreachable') return error;
  return new Failure(ExitCode.unreachable, error.message, error);
}

/**
 * A pair of real servers for the benchmark: two `holdfast serve` processes from dist/, a directory medium, a volume.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { AdminClient } from '../src/app/admin/client.ts';
import { findRoot } from '../src/app/root.ts';
import { SERVER_ENVIRONMENT, SERVER_NODE_OPTIONS } from '../src/app/supervisor/process-options.ts';
import type { VolumeStatus } from '../src/core/status.ts';
import { freePorts, HOST, output, removeScratch, Running, scratchDirectory, waitFor } from './machine.ts';

const PROGRAM = path.join(findRoot(), 'bin', 'holdfast.cjs');
const DEADLINE_MS = 60_000;

export interface PairOptions {
  readonly store: 'journal' | 'memory';
  readonly capacityMib: number;
  readonly sizeMib: number;
  /** Entries of [timings] in place of the defaults. */
  readonly timings?: Readonly<Record<string, string>>;
  /** What authorises a read; `leased` unless given. */
  readonly reads?: 'leased' | 'confirmed';
  /** Serve at another port in each server: a frozen process goes on listening, and one machine has one address. */
  readonly ownAddresses?: boolean;
  /** Options of Node for a server, such as a profiler's. */
  readonly nodeOptions?: (server: 'a' | 'b') => readonly string[];
  /** An image file or device in place of the directory medium. */
  readonly image?: string;
  /** A files volume in place of a block volume. */
  readonly files?: boolean;
}

export class Pair {
  readonly directory: string;
  readonly exportName = 'disk';
  /** Where a serves, and b: the same, unless asked for otherwise. */
  readonly ports: Readonly<Record<'a' | 'b', number>>;
  readonly servers = new Map<'a' | 'b', Running>();
  readonly #options: PairOptions;
  readonly #configs: Readonly<Record<'a' | 'b', string>>;
  readonly #admins: Readonly<Record<'a' | 'b', AdminClient>>;

  private constructor(directory: string, options: PairOptions, ports: readonly number[]) {
    const [portA = 0, portB = 0, adminA = 0, adminB = 0, ...links] = ports;
    const key = randomBytes(32).toString('hex');
    this.directory = directory;
    this.#options = options;
    this.ports = { a: portA, b: options.ownAddresses === true ? portB : portA };
    writeFileSync(path.join(directory, 'cluster.key'), key, { mode: 0o600 });
    this.#configs = { a: path.join(directory, 'a.toml'), b: path.join(directory, 'b.toml') };
    for (const server of ['a', 'b'] as const) {
      const text = configText(options, this.ports[server], [adminA, adminB], links);
      writeFileSync(this.#configs[server], text);
    }
    const admin = (port: number): AdminClient => new AdminClient({ host: HOST, port }, Buffer.from(key), 5_000);
    this.#admins = { a: admin(adminA), b: admin(adminB) };
  }

  /** Makes the volume, starts both servers and waits until they mirror, a being the owner. */
  static async start(options: PairOptions): Promise<Pair> {
    const directory = scratchDirectory();
    mkdirSync(path.join(directory, 'medium'));
    const pair = new Pair(directory, options, await freePorts(8));
    await output(process.execPath, [
      PROGRAM,
      'volume',
      'create',
      'disk',
      '--create-medium',
      ...(options.image === undefined ? [] : ['--create-coordinator']),
      '--config',
      pair.#configs.a,
    ]);
    pair.launch('a');
    await pair.untilServing('a');
    pair.launch('b');
    await pair.untilInSync('a');
    return pair;
  }

  launch(server: 'a' | 'b'): void {
    const args = [...SERVER_NODE_OPTIONS, ...(this.#options.nodeOptions?.(server) ?? []), PROGRAM];
    this.servers.set(
      server,
      // Without its supervisor, so that signals reach the server itself; with the threads and heap that one would give it.
      new Running(
        process.execPath,
        [...args, 'serve', '--no-supervisor', '--config', this.#configs[server], '--server', server],
        SERVER_ENVIRONMENT,
      ),
    );
  }

  server(name: 'a' | 'b'): Running {
    const server = this.servers.get(name);
    if (server === undefined) throw new Error(`${name} was never started`);
    return server;
  }

  /** What a server says of the volume; null when it does not answer. */
  async view(server: 'a' | 'b'): Promise<VolumeStatus | null> {
    if (!this.server(server).isRunning) return null;
    try {
      return (await this.#admins[server].status()).status.volumes[0] ?? null;
    } catch {
      return null;
    }
  }

  async #until(what: string, server: 'a' | 'b', look: (view: VolumeStatus) => boolean): Promise<void> {
    await waitFor(
      `${server}: ${what}`,
      async () => {
        const view = await this.view(server);
        if (!this.server(server).isRunning) throw new Error(`server ${server} ended: ${this.server(server).said}`);
        return view !== null && look(view);
      },
      DEADLINE_MS,
    );
  }

  async untilServing(server: 'a' | 'b'): Promise<void> {
    await this.#until('serves', server, (view) => view.serving);
  }
  async untilInSync(owner: 'a' | 'b'): Promise<void> {
    await this.#until('in sync', owner, (view) => view.serving && view.mirror === 'in-sync');
  }
  async untilDrained(owner: 'a' | 'b'): Promise<void> {
    await this.#until('drained', owner, (view) => view.serving && view.undestagedBytes === 0);
  }

  /** A planned change of owner; resolves with the pause that the new owner tells, in ms. */
  async takeover(to: 'a' | 'b'): Promise<number> {
    const report = await this.#admins[to].takeover('disk', () => {});
    return report.pauseMs;
  }

  /** Ends both servers; `gently` lets them write what they still have to (a profile, for one). */
  async end(gently = false): Promise<void> {
    await Promise.all([...this.servers.values()].map((server) => (gently ? server.stop() : server.kill())));
    removeScratch(this.directory);
  }

  /** The image on the directory medium. */
  get imageFile(): string {
    return path.join(this.directory, 'medium', 'volumes', 'disk', 'disk.img');
  }

  /** The whole configuration of one server, for a report. */
  configOf(server: 'a' | 'b'): string {
    return readFileSync(this.#configs[server], 'utf8');
  }
}

function configText(options: PairOptions, port: number, admins: readonly number[], links: readonly number[]): string {
  const lines = ['[cluster]', 'id = "bench"', 'key-file = "cluster.key"'];
  if (options.image !== undefined) lines.push('[coordinator]', 'path = "records"');
  for (const [index, name] of ['a', 'b'].entries()) {
    const [one = 0, two = 0] = links.slice(2 * index);
    lines.push('[[server]]', `name = "${name}"`, 'machine = "here"', `state = "state-${name}"`);
    lines.push(`admin = "${HOST}:${admins[index] ?? 0}"`, `link = ["${HOST}:${one}", "${HOST}:${two}"]`);
  }
  lines.push('[[medium]]', 'name = "shared"');
  if (options.image === undefined) lines.push('driver = "directory"', 'path = "medium"');
  else lines.push('driver = "image"', `path = "${options.image}"`);
  lines.push('[[volume]]', 'name = "disk"', 'medium = "shared"');
  lines.push(options.files === true ? 'type = "files"' : `size = "${options.sizeMib}MiB"`);
  lines.push(`address = "${HOST}:${port}"`, 'servers = ["a", "b"]', `store = "${options.store}"`);
  lines.push(`store-capacity = "${options.capacityMib}MiB"`);
  // As on machines of iron; left out, a virtual machine reads `confirmed`, a round trip more for each batch.
  lines.push(`reads = "${options.reads ?? 'leased'}"`);
  if (options.files === true) lines.push('[volume.export]', 'squash = "none"');
  const timings = Object.entries(options.timings ?? {});
  if (timings.length > 0) lines.push('[timings]', ...timings.map(([key, value]) => `${key} = "${value}"`));
  return `${lines.join('\n')}\n`;
}

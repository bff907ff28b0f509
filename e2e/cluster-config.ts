/**
 * The configuration of a test's cluster: free ports, one file for each server, and the wires between them if the test
 * wants to cut some. The files differ only where a wire lies between two servers.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { Wire } from './wire.ts';

export const HOST = '127.0.0.1';
const PATHS = 2;

export interface VolumeOptions {
  readonly name: string;
  readonly servers: readonly string[];
  readonly store?: 'journal' | 'memory';
  readonly degraded?: 'write-through' | 'journal' | 'stop';
  readonly sizeMib?: number;
  /** A files volume, exported with these lines of [volume.export]. */
  readonly files?: readonly string[];
  readonly capacityMib?: number;
}

export interface MediumOptions {
  /** Defaults to `directory`. */
  readonly driver?: 'directory' | 'image';
  /** Each server's own way to it; defaults to `medium` in the cluster's directory. */
  readonly path?: (server: string) => string;
  /** Where the records are kept, if not on the medium. */
  readonly coordinator?: string;
  /** More lines for its table. */
  readonly lines?: readonly string[];
}

export interface ClusterOptions {
  /** Defaults to a and b. */
  readonly servers?: readonly string[];
  /** Defaults to one volume `disk` of all servers. */
  readonly volumes?: readonly VolumeOptions[];
  /** Lead the link through wires that a test can cut. */
  readonly wires?: boolean;
  /**
   * Serve each volume at another port in each server. On one machine an address cannot move away from a process that is
   * frozen and goes on listening; between machines it does.
   */
  readonly ownAddresses?: boolean;
  /** Run each server under its supervisor, which starts it again. */
  readonly supervised?: boolean;
  /** Each server says that it is on a machine of its own: no proof of death by locks, late I/O is a risk. */
  readonly machines?: boolean;
  /** More lines for each server's table, such as a fence command. */
  readonly serverLines?: (name: string) => readonly string[];
  /** The medium in place of a new directory in the cluster's. */
  readonly medium?: MediumOptions;
  /** Where each server keeps its lock and journals; in the cluster's directory if left out. */
  readonly statePath?: (name: string) => string;
  /** The user that servers and commands run as, in place of the test's own. Needs root. */
  readonly user?: number;
  /** Entries of the configuration's [timings] in place of the defaults. */
  readonly timings?: Readonly<Record<string, string>>;
}

/** A volume as clients and the medium know it. */
export interface Volume {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** The port alone, or each server's where `ownAddresses` was asked for. */
  readonly ports: readonly number[];
  readonly uri: string;
  /** Its raw image on the medium, of a block volume. */
  readonly image: string;
  /** The directory on the medium that is the root of a files volume. */
  readonly tree: string;
}

export interface Plan {
  readonly volumes: ReadonlyMap<string, Volume>;
  readonly adminPorts: ReadonlyMap<string, number>;
  /** Each server's configuration file. They differ only where wires lie between the servers. */
  readonly configs: ReadonlyMap<string, string>;
}

/** Writes everything that the servers and the commands read into `directory`. */
export async function planOf(
  directory: string,
  options: ClusterOptions,
): Promise<{ plan: Plan; wires: readonly Wire[] }> {
  writeFileSync(path.join(directory, 'cluster.key'), randomBytes(32).toString('hex'), { mode: 0o600 });
  if (options.medium?.path === undefined) mkdirSync(path.join(directory, 'medium'));
  const servers = options.servers ?? ['a', 'b'];
  const volumes = options.volumes ?? [{ name: 'disk', servers }];
  const own = options.ownAddresses === true;
  const addresses = own ? servers.length : 1;
  const ports = await freePorts(servers.length * (1 + PATHS) + volumes.length * addresses);
  const take = (): number => must(ports.pop(), 'a port');
  const takeSome = (count: number): readonly number[] => Array.from({ length: count }, take);
  const adminPorts = new Map(servers.map((name) => [name, take()]));
  const linkPorts = new Map(servers.map((name) => [name, takeSome(PATHS)]));
  const volumePorts = new Map(volumes.map(({ name }) => [name, takeSome(addresses)]));
  const wires: Wire[] = [];
  const configs = new Map<string, string>();
  for (const [index, self] of servers.entries()) {
    const seen = options.wires === true ? await layWires(self, linkPorts, wires) : linkPorts;
    const mine = new Map([...volumePorts].map(([name, all]) => [name, must(all[own ? index : 0], 'a port')]));
    const differ = options.wires === true || own || options.medium?.path !== undefined;
    const file = path.join(directory, differ ? `cluster-${self}.toml` : 'cluster.toml');
    const seenPorts = { adminPorts, linkPorts: seen, volumePorts: mine };
    writeFileSync(file, configText(self, servers, volumes, seenPorts, options));
    configs.set(self, file);
  }
  const known = new Map([...volumePorts].map(([name, all]) => [name, volumeOf(directory, name, all)]));
  return { plan: { adminPorts, configs, volumes: known }, wires };
}

/** The link's addresses as `self` has to see them: those of the others are wires. */
async function layWires(
  self: string,
  linkPorts: ReadonlyMap<string, readonly number[]>,
  wires: Wire[],
): Promise<ReadonlyMap<string, readonly number[]>> {
  const seen = new Map<string, readonly number[]>();
  for (const [name, real] of linkPorts) {
    const laid = name === self ? [] : await Promise.all(real.map((port, path) => Wire.lay(self, name, path, port)));
    wires.push(...laid);
    seen.set(name, name === self ? real : laid.map((wire) => wire.port));
  }
  return seen;
}

function volumeOf(directory: string, name: string, ports: readonly number[]): Volume {
  const port = must(ports[0], 'a port');
  const home = path.join(directory, 'medium', 'volumes', name);
  const [image, tree] = [path.join(home, 'disk.img'), path.join(home, 'tree')];
  return { name, host: HOST, port, ports, uri: `nbd://${HOST}:${port}/${name}`, image, tree };
}

interface Ports {
  readonly adminPorts: ReadonlyMap<string, number>;
  readonly linkPorts: ReadonlyMap<string, readonly number[]>;
  readonly volumePorts: ReadonlyMap<string, number>;
}

function configText(
  self: string,
  servers: readonly string[],
  volumes: readonly VolumeOptions[],
  ports: Ports,
  options: ClusterOptions,
): string {
  const { medium = {}, timings = {} } = options;
  const at = (port: number | undefined): string => `"${HOST}:${port}"`;
  const list = (words: readonly string[]): string => `[${words.map((word) => `"${word}"`).join(', ')}]`;
  const lines = ['[cluster]', 'id = "e2e"', 'key-file = "cluster.key"'];
  for (const name of servers) {
    const link = (ports.linkPorts.get(name) ?? []).map(at).join(', ');
    const machine = options.machines === true ? `machine = "of-${name}"` : 'machine = "here"';
    const state = options.statePath?.(name) ?? `state-${name}`;
    lines.push('[[server]]', `name = "${name}"`, machine, `state = "${state}"`);
    lines.push(`admin = ${at(ports.adminPorts.get(name))}`, `link = [${link}]`);
    lines.push(...(options.serverLines?.(name) ?? []));
  }
  if (medium.coordinator !== undefined) lines.push('[coordinator]', `path = "${medium.coordinator}"`);
  lines.push('[[medium]]', 'name = "shared"', `driver = "${medium.driver ?? 'directory'}"`);
  lines.push(`path = "${medium.path?.(self) ?? 'medium'}"`, ...(medium.lines ?? []));
  for (const volume of volumes) {
    lines.push('[[volume]]', `name = "${volume.name}"`, 'medium = "shared"');
    lines.push(volume.files === undefined ? `size = "${volume.sizeMib ?? 16}MiB"` : 'type = "files"');
    lines.push(`address = ${at(ports.volumePorts.get(volume.name))}`, `servers = ${list(volume.servers)}`);
    lines.push(`store = "${volume.store ?? 'journal'}"`, `degraded = "${volume.degraded ?? 'write-through'}"`);
    lines.push(`store-capacity = "${volume.capacityMib ?? 16}MiB"`);
    if (volume.files !== undefined) lines.push('[volume.export]', ...volume.files);
  }
  if (Object.keys(timings).length > 0) lines.push('[timings]');
  for (const [key, value] of Object.entries(timings)) lines.push(`${key} = "${value}"`);
  return `${lines.join('\n')}\n`;
}

/** Ports on which nothing listens now, below the range from which the system picks its own. */
export async function freePorts(number: number): Promise<number[]> {
  const found = new Set<number>();
  for (let attempt = 0; found.size < number; attempt += 1) {
    if (attempt > 1_000) throw new Error(`no ${number} free ports were found`);
    const port = randomInt(10_000, 30_000);
    const isFree = await new Promise<boolean>((resolve) => {
      const server = net.createServer().once('error', () => resolve(false));
      server.listen(port, HOST, () => server.close(() => resolve(true)));
    });
    if (isFree) found.add(port);
  }
  return [...found];
}

/** The value, which the test's own code made sure is there. */
export function must<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`this cluster has no ${what}`);
  return value;
}

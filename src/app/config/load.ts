/**
 * Reads the configuration file: text to checked settings, or every mistake in it with its line.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse, TomlError } from 'smol-toml';
import type { Timings } from '../../core/settings.ts';
import { Fault } from '../../base/fault.ts';
import { crossCheck, machineOf } from './check.ts';
import type { Finding } from './raw.ts';
import { explain, place } from './explain.ts';
import { exportSchema, fileSchema, toTimings } from './schema.ts';
import type { ExportTable, FileContent, MediumTable, ServerTable, VolumeTable } from './schema.ts';
import { locateKeys } from './toml-lines.ts';
import type { Address, Network } from './units.ts';

/** Largest configuration file that is read; a longer one is some other file. */
const MOST_FILE_BYTES = 1 << 20;

/** One mistake in the file. `line` counts from 1. */
export interface Mistake {
  readonly line: number;
  readonly text: string;
}

/** At least one is not null: a network device for `ip addr`, or a pair of commands. */
export interface AddressHooks {
  readonly device: string | null;
  readonly up: string | null;
  readonly down: string | null;
}
export interface ServerConfig {
  readonly name: string;
  /** Servers with the same machine share a kernel. */
  readonly machine: string;
  readonly stateDirectory: string;
  readonly admin: Address;
  readonly link: readonly Address[];
  /** The newest version of the link's protocol that it speaks; null for the newest there is. */
  readonly linkVersion: number | null;
  /** How long it looks out for its partner's answer before it sleeps; 0: not at all. */
  readonly busyPollMs: number;
  readonly fence: { readonly command: string; readonly deadlineMs: number } | null;
  /** How service addresses come to this server and go; null when the machine has them anyway. */
  readonly addresses: AddressHooks | null;
}
/** Who else reaches a shared thing: processes of one machine only, or other machines too. */
export type Sharing = 'host' | 'machines';
export interface MediumConfig {
  readonly name: string;
  readonly driver: 'directory' | 'image';
  readonly path: string;
  /** As the file says; null when it is left to the machines of each volume's servers. */
  readonly sharing: Sharing | null;
  /** That I/O of a frozen server may land late is accepted by name. */
  readonly acceptsLateIo: boolean;
}
interface AnyVolumeConfig {
  readonly name: string;
  readonly medium: MediumConfig;
  readonly sharing: Sharing;
  readonly address: Address;
  readonly servers: readonly string[];
  readonly store: 'journal' | 'memory';
  readonly capacityBytes: number;
  readonly degraded: 'write-through' | 'journal' | 'stop';
  /** Null: as each server's machine wants it (../machine/virtual.ts). */
  readonly reads: 'leased' | 'confirmed' | null;
  readonly giveback: 'manual' | 'auto';
}
/** One disk image, served over NBD. */
export interface BlockVolumeConfig extends AnyVolumeConfig {
  readonly type: 'block';
  readonly sizeBytes: number;
}
/** A directory tree, served over NFSv3. */
export interface FilesVolumeConfig extends AnyVolumeConfig {
  readonly type: 'files';
  readonly export: ExportConfig;
}
export type VolumeConfig = BlockVolumeConfig | FilesVolumeConfig;

/** How NFS clients see a files volume. */
export interface ExportConfig {
  readonly readOnly: boolean;
  readonly squash: 'root' | 'all' | 'none';
  readonly anonUid: number;
  readonly anonGid: number;
  /** Null: every address. */
  readonly clients: readonly Network[] | null;
  readonly portmapper: boolean;
  /** Of the root directory, at its creation; a null owner or group is the creator's own. */
  readonly root: { readonly mode: number; readonly uid: number | null; readonly gid: number | null };
}

/** The whole cluster, checked. Every path is absolute. */
export interface Config {
  readonly file: string;
  readonly cluster: string;
  readonly keyFile: string;
  readonly coordinatorDirectory: string;
  readonly servers: readonly ServerConfig[];
  readonly media: readonly MediumConfig[];
  readonly volumes: readonly VolumeConfig[];
  readonly timings: Timings;
}

/** Either a configuration without a mistake, or its mistakes in the order of their lines. */
export type Loaded =
  | { readonly config: Config; readonly mistakes: null }
  | { readonly config: null; readonly mistakes: readonly Mistake[] };

/** Reads and checks `file`. Fault `missing` when it cannot be read, `refused` when it is no text of a sane size. */
export function loadConfig(file: string): Loaded {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw new Fault('missing', `the configuration ${file} cannot be read: ${(error as Error).message}`, error);
  }
  if (bytes.length > MOST_FILE_BYTES)
    throw new Fault('refused', `${file} is larger than 1 MiB: this is no configuration`);
  const source = bytes.toString('utf8');
  if (source.includes('\u0000')) throw new Fault('refused', `${file} is not a text`);
  return parseConfig(source, file);
}

/** Checks `source`; relative paths in it are taken from the directory of `file`. */
export function parseConfig(source: string, file: string): Loaded {
  let document: Record<string, unknown>;
  try {
    document = parse(source);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const sentence = error.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '') ?? 'a syntax error';
    return { config: null, mistakes: [{ line: error.line, text: `not TOML: ${sentence}` }] };
  }
  const checked = fileSchema.safeParse(document);
  const findings: Finding[] = crossCheck(document);
  for (const issue of checked.error?.issues ?? []) findings.push(...explain(issue, document));
  if (checked.success && findings.length === 0) return { config: toConfig(checked.data, file), mistakes: null };
  const lines = locateKeys(source);
  const mistakes = findings.map(({ path, text }) => ({
    line: lines.lineOf(path),
    text: `${place(path, document)}${text}`,
  }));
  mistakes.sort((a, b) => a.line - b.line);
  return { config: null, mistakes };
}

/** The checked content with paths made absolute and references followed. */
function toConfig(content: FileContent, file: string): Config {
  const directory = dirname(resolve(file));
  const absolute = (path: string): string => resolve(directory, path);
  const media = content.medium.map((table) => toMedium(table, absolute));
  const mediumOf = (wanted: string): MediumConfig => {
    const found = media.find((medium) => medium.name === wanted);
    if (found === undefined) throw new Error(`broken invariant: medium ${wanted} was checked`);
    return found;
  };
  return {
    file: resolve(file),
    cluster: content.cluster.id,
    keyFile: absolute(content.cluster['key-file']),
    coordinatorDirectory: coordinatorDirectory(content, media, mediumOf, absolute),
    servers: content.server.map((table) => toServer(table, absolute)),
    media,
    volumes: content.volume.map((table) => toVolume(table, mediumOf(table.medium), content.server)),
    timings: toTimings(content.timings),
  };
}

function coordinatorDirectory(
  content: FileContent,
  media: readonly MediumConfig[],
  mediumOf: (name: string) => MediumConfig,
  absolute: (path: string) => string,
): string {
  const { path, medium } = content.coordinator;
  if (path !== undefined) return absolute(path);
  const holder = medium === undefined ? media.find((one) => one.driver === 'directory') : mediumOf(medium);
  if (holder === undefined) throw new Error('broken invariant: the place of the records was checked');
  return holder.path;
}

function toServer(table: ServerTable, absolute: (path: string) => string): ServerConfig {
  const fence = table.fence === undefined ? null : { command: table.fence, deadlineMs: table['fence-deadline'] };
  return {
    name: table.name,
    machine: machineOf(table),
    linkVersion: table['link-version'] ?? null,
    busyPollMs: table['busy-poll-us'] / 1_000,
    stateDirectory: absolute(table.state),
    admin: table.admin,
    link: table.link,
    fence,
    addresses: toHooks(table),
  };
}

function toHooks({ interface: device, up, down }: ServerTable): AddressHooks | null {
  if (device === undefined && up === undefined && down === undefined) return null;
  return { device: device ?? null, up: up ?? null, down: down ?? null };
}

function toMedium(table: MediumTable, absolute: (path: string) => string): MediumConfig {
  return {
    name: table.name,
    driver: table.driver,
    path: absolute(table.path),
    sharing: table.sharing ?? null,
    acceptsLateIo: table['accept-risk'] === 'late-io',
  };
}

function toVolume(table: VolumeTable, medium: MediumConfig, servers: readonly ServerTable[]): VolumeConfig {
  const machines = new Set(servers.filter(({ name }) => table.servers.includes(name)).map(machineOf));
  const any = {
    name: table.name,
    medium,
    sharing: medium.sharing ?? (machines.size > 1 ? 'machines' : 'host'),
    address: table.address,
    servers: table.servers,
    store: table.store,
    capacityBytes: table['store-capacity'],
    degraded: table.degraded,
    reads: table.reads ?? null,
    giveback: table.giveback,
  } as const;
  if (table.type === 'files')
    return { type: 'files', ...any, export: toExport(table.export ?? exportSchema.parse({})) };
  if (table.size === undefined) throw new Error(`broken invariant: the size of ${table.name} was checked`);
  return { type: 'block', ...any, sizeBytes: table.size };
}

function toExport(table: ExportTable): ExportConfig {
  return {
    readOnly: table['read-only'],
    squash: table.squash,
    anonUid: table['anon-uid'],
    anonGid: table['anon-gid'],
    clients: table.clients ?? null,
    portmapper: table.portmapper,
    root: { mode: table['root-mode'], uid: table['root-uid'] ?? null, gid: table['root-gid'] ?? null },
  };
}

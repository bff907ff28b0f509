/**
 * Who is measured: Holdfast with either kind of store, the floor with and without a journal, peers that serve one copy
 * of the same image, and two that keep two copies. All but these serve NBD on this machine to the same client.
 */
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import { findRoot } from '../src/app/root.ts';
import { findProgram, freePorts, HOST, listens, removeScratch, Running, scratchDirectory } from './machine.ts';
import { Pair, type PairOptions } from './pair.ts';
import { startCeph } from './peers/ceph.ts';
import type { FioDoor } from './peers/fio.ts';
import { startGluster } from './peers/gluster.ts';

export type ContestantName =
  | 'holdfast journal'
  | 'holdfast memory'
  /** The same with `reads = "confirmed"`, the default on a virtual machine. */
  | 'holdfast confirmed'
  | 'floor journal'
  | 'floor memory'
  | 'nbdkit file'
  | 'nbdkit memory'
  | 'qemu-nbd'
  /** RBD, size 2. */
  | 'ceph'
  /** Replica 2, O_SYNC. */
  | 'gluster';

/** Served over NBD on this machine, to the load client. */
export interface NbdDoor {
  readonly kind: 'nbd';
  readonly port: number;
  readonly exportName: string;
}

export interface Contestant {
  readonly name: ContestantName;
  /** How its load reaches it. */
  readonly door: NbdDoor | FioDoor;
  /** Its processes, by what they do. */
  readonly processes: readonly { readonly role: string; readonly pid: number }[];
  /** What a turn left behind is done, so that it does not weigh on the next one's measurement. */
  settle(): Promise<void>;
  /** Others' turn: it must not use the processor meanwhile. */
  pause(): void;
  resume(): void;
  end(): Promise<void>;
}

export const VOLUME_MIB = 1_024;
/** As large as the floor's journal. */
const CAPACITY_MIB = 256;

/** Starts a contestant; null when what it needs is not installed. */
export async function startContestant(
  name: ContestantName,
  nodeOptions?: (server: 'a' | 'b') => readonly string[],
): Promise<Contestant | null> {
  switch (name) {
    case 'holdfast journal':
      return startPair(name, 'journal', nodeOptions);
    case 'holdfast memory':
      return startPair(name, 'memory', nodeOptions);
    case 'holdfast confirmed':
      return startPair(name, 'memory', nodeOptions, { reads: 'confirmed' });
    case 'floor journal':
      return startFloor(name, true, nodeOptions);
    case 'floor memory':
      return startFloor(name, false, nodeOptions);
    case 'nbdkit file':
    case 'nbdkit memory':
    case 'qemu-nbd':
      return startPeer(name);
    case 'ceph':
      return startCeph(VOLUME_MIB);
    case 'gluster':
      return startGluster(VOLUME_MIB);
  }
}

/** Options of Node that write a profile of each server of a pair; undefined where none is wanted. */
export function profiler(directory: string | null, name: string): ((server: 'a' | 'b') => string[]) | undefined {
  if (directory === null) return undefined;
  return (server) => [
    '--cpu-prof',
    `--cpu-prof-dir=${directory}`,
    `--cpu-prof-name=${name.replace(' ', '-')}-${server}.cpuprofile`,
  ];
}

/** A pair with an image full of data; `other` options in place of the usual ones. */
export async function startPair(
  name: ContestantName,
  store: 'journal' | 'memory',
  nodeOptions?: (server: 'a' | 'b') => readonly string[],
  other: Partial<PairOptions> = {},
): Promise<Contestant> {
  const pair = await Pair.start({
    store,
    capacityMib: CAPACITY_MIB,
    sizeMib: VOLUME_MIB,
    ...(nodeOptions === undefined ? {} : { nodeOptions }),
    ...other,
  });
  // The image is a file with data, as the peers' is: its pages are on disk and in the kernel's cache.
  fill(pair.imageFile);
  return contestantOf(pair, name, nodeOptions !== undefined);
}

/** A pair that runs already; `gently`: it is given time to end in order. */
export function contestantOf(pair: Pair, name: ContestantName, gently = false): Contestant {
  return {
    name,
    door: { kind: 'nbd', port: pair.ports.a, exportName: pair.exportName },
    processes: [
      { role: 'owner', pid: pair.server('a').pid },
      { role: 'partner', pid: pair.server('b').pid },
    ],
    settle: () => pair.untilDrained('a'),
    // A server that is stopped for a turn would be taken for dead by its partner: both stay, and idle.
    pause: () => {},
    resume: () => {},
    end: () => pair.end(gently),
  };
}

async function startFloor(
  name: ContestantName,
  journal: boolean,
  nodeOptions: (server: 'a' | 'b') => readonly string[] = () => [],
): Promise<Contestant> {
  const directory = scratchDirectory();
  const [frontPort = 0, rearPort = 0] = await freePorts(2);
  const program = path.join(findRoot(), 'dist', 'bench', 'floor.js');
  const file = (role: string): string[] => (journal ? [path.join(directory, role)] : []);
  const rear = new Running(process.execPath, [...nodeOptions('b'), program, 'rear', String(rearPort), ...file('rear')]);
  await rear.until('ready');
  const front = new Running(process.execPath, [
    ...nodeOptions('a'),
    program,
    'front',
    String(frontPort),
    String(rearPort),
    ...file('front'),
  ]);
  await front.until('ready');
  return contestant(name, frontPort, 'disk', [front, rear], directory);
}

async function startPeer(name: 'nbdkit file' | 'nbdkit memory' | 'qemu-nbd'): Promise<Contestant | null> {
  const program = await findProgram(name === 'qemu-nbd' ? 'qemu-nbd' : 'nbdkit');
  if (program === null) return null;
  const directory = scratchDirectory();
  const image = path.join(directory, 'image');
  if (name !== 'nbdkit memory') makeImage(image);
  const [port = 0] = await freePorts(1);
  const args =
    name === 'qemu-nbd'
      ? ['-t', '-b', HOST, '-p', String(port), '-f', 'raw', '-e', '8', '--cache=writeback', image]
      : ['-f', '-i', HOST, '-p', String(port), ...(name === 'nbdkit file' ? ['file', image] : ['memory', '1G'])];
  const peer = new Running(program, args);
  await listens(port);
  return contestant(name, port, '', [peer], directory);
}

function contestant(
  name: ContestantName,
  port: number,
  exportName: string,
  processes: readonly Running[],
  directory: string,
): Contestant {
  return {
    name,
    door: { kind: 'nbd', port, exportName },
    processes: processes.map(({ pid }, i) => ({ role: i === 0 ? 'front' : 'rear', pid })),
    settle: async () => {},
    pause: () => processes.forEach((one) => one.signal('SIGSTOP')),
    resume: () => processes.forEach((one) => one.signal('SIGCONT')),
    end: async () => {
      await Promise.all(processes.map((one) => one.kill()));
      removeScratch(directory);
    },
  };
}

function makeImage(file: string): void {
  closeSync(openSync(file, 'wx'));
  fill(file);
}

/**
 * Data all over the image, on disk, and in the kernel's cache as clients leave it there, in pieces of a moderate size.
 * What one call writes the cache keeps in one folio; random writes into folios of 1 MiB cost three times as much.
 */
function fill(file: string): void {
  const piece = Buffer.alloc(64 << 10, 0xa5);
  const fd = openSync(file, 'r+');
  for (let at = 0; at < VOLUME_MIB << 20; at += piece.length) writeSync(fd, piece, 0, piece.length, at);
  fsyncSync(fd);
  closeSync(fd);
}

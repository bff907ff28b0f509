/**
 * The client of the peers that do not speak NBD: fio, with the engine of the peer's own library. What it prints is read
 * into the same figures as the NBD load client's.
 */
import type { Case, Told } from '../load.ts';
import { findProgram, output } from '../machine.ts';

/** What fio needs to reach a peer. */
export interface FioDoor {
  readonly kind: 'fio';
  /** Words that name engine and target. */
  readonly target: readonly string[];
  /** Words by which a write is on disk in both copies when it is answered, and those that sync a run of writes. */
  readonly stable: readonly string[];
  readonly synced: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** What is put before `fio`, such as a program that gives it a place of its own for files. */
  readonly before: readonly string[];
}

/** The part of its JSON that is read. */
interface Direction {
  readonly iops: number;
  readonly bw_bytes: number;
  readonly total_ios: number;
  readonly clat_ns: { readonly percentile?: Readonly<Record<string, number>> };
}
interface Job {
  readonly error: number;
  readonly read: Direction;
  readonly write: Direction;
}

/** Whether fio is installed and has the engine. */
export async function hasEngine(engine: string): Promise<boolean> {
  if ((await findProgram('fio')) === null) return false;
  return (await output('fio', ['--enghelp'])).split(/\s+/).includes(engine);
}

/** Runs one case for so many seconds; throws where an operation failed. */
export async function runFio(door: FioDoor, one: Case, seconds: number): Promise<Told> {
  const text = await fio(door, [
    '--output-format=json',
    '--percentile_list=50:99:99.9',
    '--time_based',
    `--runtime=${seconds}`,
    '--group_reporting',
    // Other places each time, and a block may come twice: as the NBD client does.
    '--randrepeat=0',
    '--norandommap=1',
    `--bs=${one.bytes}`,
    `--iodepth=${one.depth}`,
    ...wordsOf(door, one.mode),
  ]);
  return toldBy(text, one.mode === 'read' ? 'read' : 'write');
}

/** What fio's JSON says of one direction; throws where it says that nothing was done, or not without errors. */
export function toldBy(text: string, direction: 'read' | 'write'): Told {
  // Warnings of its libraries may stand before it.
  const { jobs } = JSON.parse(text.slice(text.indexOf('{'))) as { readonly jobs: readonly Job[] };
  const job = jobs[0];
  const told = job?.[direction];
  if (job === undefined || told === undefined || job.error !== 0 || told.total_ios === 0) {
    throw new Error(`fio measured nothing: ${text.slice(0, 2_000)}`);
  }
  const percentileUs = (key: string): number => Math.round((told.clat_ns.percentile?.[key] ?? 0) / 100) / 10;
  return {
    opsPerSecond: Math.round(told.iops),
    mbPerSecond: Math.round(told.bw_bytes / 10_000) / 100,
    p50Us: percentileUs('50.000000'),
    p99Us: percentileUs('99.000000'),
    p999Us: percentileUs('99.900000'),
  };
}

/** Writes all of the image, in order. */
export async function fillByFio(door: FioDoor): Promise<void> {
  await fio(door, ['--rw=write', '--bs=1M', '--iodepth=4', '--end_fsync=1']);
}

function fio(door: FioDoor, words: readonly string[]): Promise<string> {
  // env runs what it is given, whether or not something stands before fio. A job that is a process of its own would
  // outlive fio when that is killed, waiting for servers that are gone.
  return output('env', [...door.before, 'fio', '--name=load', '--thread', ...door.target, ...words], door.env);
}

function wordsOf(door: FioDoor, mode: Case['mode']): readonly string[] {
  switch (mode) {
    case 'fua':
      return ['--rw=randwrite', ...door.stable];
    case 'write':
      return ['--rw=randwrite'];
    case 'seq':
      return ['--rw=write', ...door.synced];
    case 'read':
      return ['--rw=randread'];
  }
}

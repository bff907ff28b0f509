/**
 * How often a server was started: the number that makes of two of its incarnations the greater one the later one. It
 * is kept in the state directory, written durably under a lock of its own before anything else happens; should the
 * directory have been lost, the coordinator's memory of earlier starts keeps the number growing all the same. A start
 * that is refused afterwards leaves a gap, which does no harm.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';
import { tryLockExclusive } from '../drivers/linux/flock.ts';

const STARTS_FILE = 'starts';
/** Twelve hexadecimal digits of an incarnation count the starts. */
const MOST_STARTS = 16 ** 12 - 1;

/** The number of this start, from 1 on and above `known`, the highest that others remember. Durable when it returns. */
export function countStart(stateDirectory: string, known: number): number {
  const lock = tryLockExclusive(join(stateDirectory, `${STARTS_FILE}.lock`));
  if (lock === null)
    throw new Fault('refused', `another process starts the same server, in ${stateDirectory}, at this moment`);
  try {
    return countLocked(stateDirectory, known);
  } finally {
    lock.release();
  }
}

function countLocked(stateDirectory: string, known: number): number {
  const file = join(stateDirectory, STARTS_FILE);
  const start = Math.max(readStarts(file), known) + 1;
  if (start > MOST_STARTS) throw new Fault('refused', `${file} counts more starts than there can be`);
  try {
    writeDurably(`${file}.new`, `${start}\n`);
    renameSync(`${file}.new`, file);
    syncDirectory(stateDirectory);
  } catch (error) {
    throw new Fault('io', `the number of starts cannot be written to ${file}: ${(error as Error).message}`, error);
  }
  return start;
}

/** The start that an incarnation tells of. */
export function startOf(incarnation: string): number {
  const start = Number.parseInt(incarnation.slice(0, 12), 16);
  return Number.isNaN(start) ? 0 : start;
}

function readStarts(file: string): number {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw new Fault('io', `${file} cannot be read: ${(error as Error).message}`, error);
  }
  if (!/^\d{1,15}\n$/.test(text)) {
    throw new Fault(
      'corrupt',
      `${file} does not hold the number of starts; remove it, and the number goes on from what the coordinator knows`,
    );
  }
  return Number(text);
}

function writeDurably(path: string, text: string): void {
  const file = openSync(path, 'w', 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function syncDirectory(path: string): void {
  const directory = openSync(path, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

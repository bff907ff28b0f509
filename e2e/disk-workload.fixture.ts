/**
 * A program that keeps files on a file system that may be taken away under it: writes, syncs, renames, and says what it
 * did, so that filesystem.test.ts knows what has to be there afterwards. It ends with 0 when its input ends, with 1 when
 * the file system fails it.
 *
 *     try NAME SHA    about to give NAME this content
 *     done NAME SHA   NAME has this content, and everything needed for that was synced
 */
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';
import path from 'node:path';

const folder = process.argv[2] ?? '.';
const MOST_FILES = 400;
const LARGEST_BYTES = 96 << 10;

let stopped = false;
process.stdin.resume().on('end', () => (stopped = true));

const say = (text: string): void => void writeSync(1, `${text}\n`);

/** Gives a file new content as careful programs do: under another name, synced, renamed, and the folder synced. */
function keep(name: string, data: Buffer): void {
  const written = path.join(folder, `${name}.new`);
  const file = openSync(written, 'w');
  try {
    writeSync(file, data);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(written, path.join(folder, name));
  const directory = openSync(folder, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

function next(count: number): void {
  if (stopped) return;
  // Every fourth file replaces one that is there.
  const replaces = count > 8 && count % 4 === 0;
  const name = `file-${(replaces ? count / 2 : count) % MOST_FILES}`;
  const data = randomBytes(1 + Math.floor(Math.random() * LARGEST_BYTES));
  const sha = createHash('sha256').update(data).digest('hex');
  say(`try ${name} ${sha}`);
  try {
    keep(name, data);
  } catch (error) {
    say(`failed ${String(error)}`);
    process.exit(1);
  }
  say(`done ${name} ${sha}`);
  setImmediate(next, count + 1);
}

next(0);

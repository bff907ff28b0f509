import assert from 'node:assert/strict';
import { closeSync, constants, fsyncSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { AsyncWrite } from './async-write.ts';
import { PAGE_BYTES, PageMemory } from './memory.ts';
import { dropCachedRange } from './ranges.ts';

const SIZE = 64 * PAGE_BYTES;
const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-async-'));
const file = path.join(directory, 'file');
after(() => rmSync(directory, { recursive: true }));

/** The file, written before, open for direct writing; or why there is no such thing here. */
function open(): number | string {
  const plain = openSync(file, 'w');
  writeSync(plain, Buffer.alloc(SIZE, 1));
  fsyncSync(plain);
  closeSync(plain);
  try {
    return openSync(file, constants.O_WRONLY | constants.O_DSYNC | constants.O_DIRECT);
  } catch {
    return 'the file system of the temporary directory has no direct I/O';
  }
}

const fd = open();
const probe = AsyncWrite.make();
probe?.close();
const skip = typeof fd === 'string' ? fd : probe === null ? 'this kernel or this Node has no io_submit' : false;

/** As a journal uses it: what is not taken, or has to wait after all, is written otherwise. */
async function write(writer: AsyncWrite, on: number, bytes: Buffer, length: number, at: number): Promise<string> {
  return new Promise((resolve) => {
    const taken = writer.write(on, bytes, length, at, (written, errno) => resolve(`${written} ${errno}`));
    if (!taken) resolve('not taken');
  });
}

test('what is told to be written is in the file, at its place, and nothing else', { skip }, async () => {
  const writer = AsyncWrite.make();
  assert.ok(writer !== null && typeof fd === 'number');
  const memory = new PageMemory(8 * PAGE_BYTES);
  const expected = Buffer.alloc(SIZE, 1);
  // What the cache holds would have to be waited for.
  await new Promise<void>((resolve) => dropCachedRange(fd, 0, 0, () => resolve()));
  let taken = 0;
  for (let round = 0; round < 50; round += 1) {
    const length = memory.gather([Buffer.alloc(((round % 8) + 1) * PAGE_BYTES, round + 2)]);
    const at = ((round * 7) % 56) * PAGE_BYTES;
    const told = await write(writer, fd, memory.bytes, length, at);
    // The first time the file system may have to look up where the file's blocks are, and is not waited for.
    if (told === 'not taken' || told === '-1 11') continue;
    assert.equal(told, `${length} 0`);
    taken += 1;
    expected.fill(round + 2, at, at + length);
  }
  writer.close();
  assert.ok(readFileSync(file).equals(expected));
  assert.ok(taken > 0, 'some were taken');
});

test('what cannot be written is not taken, and the next one is', { skip }, async () => {
  const writer = AsyncWrite.make();
  assert.ok(writer !== null && typeof fd === 'number');
  const memory = new PageMemory(PAGE_BYTES);
  const readOnly = openSync(file, constants.O_RDONLY);
  assert.equal(await write(writer, readOnly, memory.bytes, PAGE_BYTES, 0), 'not taken');
  closeSync(readOnly);
  assert.match(await write(writer, fd, memory.bytes, PAGE_BYTES, 0), /^(4096 0|-1 11)$/);
  writer.close();
});

test('a file that always has to wait is not asked every time', { skip }, async () => {
  const writer = AsyncWrite.make();
  assert.ok(writer !== null && typeof fd === 'number');
  const memory = new PageMemory(PAGE_BYTES);
  // Less than a block needs the file for itself, which is waited for.
  const told: string[] = [];
  for (let i = 0; i < 200; i += 1) told.push(await write(writer, fd, memory.bytes, 100, 0));
  assert.ok(
    told.every((one) => one === '-1 11' || one === 'not taken'),
    told[0],
  );
  assert.equal(told.lastIndexOf('-1 11') < 100, true);
  writer.close();
});

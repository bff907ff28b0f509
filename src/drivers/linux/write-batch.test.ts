import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readCached } from './cached-read.ts';
import { BATCH_PIECES_MAX, BATCH_WRITES_MAX, WriteBatch } from './write-batch.ts';

const directory = mkdtempSync(join(tmpdir(), 'holdfast-batch-'));
const file = join(directory, 'file');
const fd = openSync(file, 'w+');
after(() => {
  closeSync(fd);
  rmSync(directory, { recursive: true });
});

interface PlacedWrite {
  readonly pieces: readonly Buffer[];
  readonly length: number;
  readonly offset: number;
}

/** Which of them were written. */
const run = (batch: WriteBatch, on: number, writes: readonly PlacedWrite[], partBytes = Infinity): Promise<boolean[]> =>
  new Promise((resolve) => {
    for (const { offset, pieces } of writes) assert.ok(batch.add(on, offset, pieces, partBytes));
    assert.equal(batch.added, writes.length);
    batch.run(() => resolve(writes.map((_, i) => batch.wrote(i))));
  });

const placed = (pieces: readonly Buffer[], offset: number): PlacedWrite => ({
  pieces,
  length: pieces.reduce((sum, piece) => sum + piece.length, 0),
  offset,
});

/** What a platform without the calls says. */
const skip = WriteBatch.make() === null ? 'this kernel has no io_submit' : false;

test('a batch writes each of its pieces at its place, also beyond 4 GiB', { skip }, async () => {
  const batch = WriteBatch.make();
  assert.ok(batch !== null);
  ftruncateSync(fd, 5 * 2 ** 30);
  const places = Array.from({ length: BATCH_WRITES_MAX }, (_, i) =>
    // Every third one in two pieces.
    placed(i % 3 === 0 ? [Buffer.alloc(50, i), Buffer.alloc(50 + i, i)] : [Buffer.alloc(100 + i, i)], i * 7_001),
  );
  const far = placed([Buffer.from('far')], 2 ** 32 + 5);
  for (const writes of [places, [far]]) {
    const written = await run(batch, fd, writes);
    assert.deepEqual(
      written,
      writes.map(() => true),
    );
    assert.equal(batch.busy, false);
    for (const { pieces, offset } of writes) {
      const bytes = Buffer.concat(pieces);
      const found = Buffer.alloc(bytes.length);
      const outcome = readCached(fd, found, offset);
      if (outcome === 'read') assert.deepEqual(found, bytes);
      else assert.ok(outcome === 'wait' || outcome === 'unsupported');
    }
  }
  ftruncateSync(fd, BATCH_WRITES_MAX * 7_001 + 300);
  const all = readFileSync(file);
  for (const { pieces, length, offset } of places)
    assert.deepEqual(all.subarray(offset, offset + length), Buffer.concat(pieces));
});

test('a write that fails is told, and the others are not lost with it', { skip }, async () => {
  const batch = WriteBatch.make();
  assert.ok(batch !== null);
  const closed = openSync(file, 'r');
  const refused = await run(batch, closed, [placed([Buffer.from('x')], 0)]);
  closeSync(closed);
  assert.deepEqual(refused, [false], 'the file is open for reading only');
  assert.deepEqual(await run(batch, fd, [placed([Buffer.from('y')], 0)]), [true]);
});

test('writes are cut into parts, whatever pieces they are in', { skip }, async () => {
  const batch = WriteBatch.make();
  assert.ok(batch !== null);
  const bytes = Buffer.from(Array.from({ length: 10_000 }, (_, i) => (i * 7) & 0xff));
  const cuts = [0, 1, 1, 999, 3_000, 3_001, 7_777, 10_000, 10_000];
  const pieces = cuts.slice(1).map((to, i) => bytes.subarray(cuts[i], to));
  for (const [at, partBytes] of [
    [0, 1_000],
    [20_000, 333],
    [40_000, 10_000],
    [60_000, 20_000],
  ] as const) {
    const writes = [placed(pieces, at), placed([bytes.subarray(0, 5)], at + 10_000)];
    assert.deepEqual(await run(batch, fd, writes, partBytes), [true, true]);
    const found = readFileSync(file).subarray(at, at + 10_005);
    assert.ok(found.equals(Buffer.concat([bytes, bytes.subarray(0, 5)])), `in parts of ${partBytes}`);
  }
});

test('what does not fit is not added, and does not spoil what was', { skip }, async () => {
  const batch = WriteBatch.make();
  assert.ok(batch !== null);
  const byte = Buffer.from('z');
  const few = placed([Buffer.from('ab'), Buffer.from('cd')], 0);
  assert.ok(batch.add(fd, few.offset, few.pieces, 4));
  assert.equal(batch.add(fd, 100, [Buffer.alloc(BATCH_WRITES_MAX, 'x')], 1), false, 'too many parts');
  assert.equal(batch.add(fd, 100, Array<Buffer>(BATCH_PIECES_MAX).fill(byte), Infinity), false, 'too many pieces');
  assert.ok(batch.add(fd, 4, [byte], 4));
  assert.equal(batch.added, 2);
  await new Promise<void>((resolve) => batch.run(resolve));
  assert.deepEqual([batch.wrote(0), batch.wrote(1)], [true, true]);
  assert.equal(batch.added, 0);
  assert.equal(readFileSync(file).subarray(0, 5).toString(), 'abcdz');
  assert.equal(batch.add(fd, 0, [Buffer.alloc(BATCH_WRITES_MAX + 1)], 1), false);
  for (let i = 0; i < BATCH_WRITES_MAX; i += 1) assert.ok(batch.add(fd, i, [byte], 4));
  assert.equal(batch.add(fd, 0, [byte], 4), false);
  batch.clear();
  assert.equal(batch.added, 0);
});

test('one that is written in part is told, and no other', { skip }, async () => {
  const batch = WriteBatch.make();
  assert.ok(batch !== null);
  const closed = openSync(file, 'r');
  const x = Buffer.from('x');
  assert.ok(batch.add(fd, 0, [x, x], 1));
  assert.ok(batch.add(closed, 2, [x, x], 1));
  assert.ok(batch.add(fd, 4, [x], 1));
  await new Promise<void>((resolve) => batch.run(resolve));
  closeSync(closed);
  assert.deepEqual([batch.wrote(0), batch.wrote(1), batch.wrote(2)], [true, false, false]);
});

test('a read beyond the end of the file does not pass for one', () => {
  assert.notEqual(readCached(fd, Buffer.alloc(10), 2 ** 40), 'read');
});

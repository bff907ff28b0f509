import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readCached } from './cached-read.ts';
import { BATCH_WRITES_MAX, type PlacedWrite, WriteBatch } from './write-batch.ts';

const directory = mkdtempSync(join(tmpdir(), 'holdfast-batch-'));
const file = join(directory, 'file');
const fd = openSync(file, 'w+');
after(() => {
  closeSync(fd);
  rmSync(directory, { recursive: true });
});

const run = (batch: WriteBatch, on: number, writes: readonly PlacedWrite[]): Promise<readonly boolean[]> =>
  new Promise((resolve) => batch.run(on, writes, resolve));

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

test('a read beyond the end of the file does not pass for one', () => {
  assert.notEqual(readCached(fd, Buffer.alloc(10), 2 ** 40), 'read');
});

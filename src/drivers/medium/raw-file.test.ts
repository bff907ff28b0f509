import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Done, Fault } from '../../base/fault.ts';
import type { MediumVolume } from '../../ports/medium.ts';
import { CALLS_IN_FLIGHT, openRawFile, type Sharing } from './raw-file.ts';

const SIZE_BYTES = 8 << 20;

/** Buffers of these lengths, no two bytes of a kilobyte alike. */
function pieces(lengths: readonly number[]): Buffer[] {
  let at = 0;
  return lengths.map((length) => Buffer.from(Array.from({ length }, () => (at += 7) & 0xff)));
}

const succeeds = (call: (done: Done) => void): Promise<void> =>
  new Promise((resolve, reject) => call((fault) => (fault === null ? resolve() : reject(fault))));

/** Opens an empty image for `run`, and closes and removes it afterwards. */
async function onImage(sharing: Sharing, run: (image: MediumVolume, path: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-raw-'));
  try {
    const path = join(directory, 'image');
    writeFileSync(path, '');
    truncateSync(path, SIZE_BYTES);
    const image = await new Promise<MediumVolume>((resolve, reject) =>
      openRawFile(path, sharing, SIZE_BYTES, (fault, opened) => (opened === null ? reject(fault) : resolve(opened))),
    );
    await run(image, path);
    await new Promise<void>((resolve) => image.close(() => resolve()));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

for (const sharing of ['host', 'machines'] as const satisfies readonly Sharing[]) {
  test(`writes of one turn, of any size and in any number of pieces, arrive whole: ${sharing}`, () =>
    onImage(sharing, async (image, path) => {
      const expected = Buffer.alloc(SIZE_BYTES);
      const writes: [offset: number, data: Buffer[]][] = [
        // Too many pieces for any batch: it goes alone, and what follows it does not wait for ever.
        [7 << 20, pieces(Array.from({ length: 4_200 }, () => 3))],
        [4096, pieces([4096])],
        [1 << 20, pieces([100, 200_000, 131_072, 1, 700_000, 77])],
        [100, pieces([512, 512])],
        [3 << 20, pieces([131_072, 131_072])],
        [(4 << 20) + 3, pieces(Array.from({ length: 512 }, () => 301))],
        [5 << 20, pieces([2 << 20])],
      ];
      await Promise.all(
        writes.map(([offset, data]) => {
          Buffer.concat(data).copy(expected, offset);
          return succeeds((done) => image.write('', offset, data, done));
        }),
      );
      assert.ok(readFileSync(path).equals(expected));
    }));
}

for (const sharing of ['host', 'machines'] as const satisfies readonly Sharing[]) {
  test(`what waits when its issuer may no longer write is not begun: ${sharing}`, () =>
    onImage(sharing, async (image, path) => {
      let may = true;
      image.onlyWhile?.(() => may);
      const data = Buffer.alloc(4096, 1);
      const write = (block: number): Promise<Fault | null> =>
        new Promise((resolve) => image.write('', block * 8192, [data], resolve));
      const zero = new Promise<Fault | null>((resolve) => image.zero('', SIZE_BYTES - 4096, 4096, false, resolve));
      const outcomes = Promise.all(Array.from({ length: 200 }, (_, block) => write(block)));
      may = false;
      const faults = await outcomes;
      assert.equal(await zero, null, 'what had begun ends as it would');
      const refused = faults.flatMap((fault, block) => (fault === null ? [] : [block]));
      assert.ok(refused.length >= 200 - CALLS_IN_FLIGHT, `${refused.length} were refused`);
      const content = readFileSync(path);
      for (const block of refused) {
        assert.equal(faults[block]?.kind, 'refused');
        assert.ok(content.subarray(block * 8192, block * 8192 + 4096).every((byte) => byte === 0));
      }
      may = true;
      assert.deepEqual(
        await Promise.all(refused.map(write)),
        refused.map(() => null),
      );
      const whole = readFileSync(path);
      for (let block = 0; block < 200; block += 1)
        assert.ok(whole.subarray(block * 8192, block * 8192 + 4096).equals(data));
    }));
}

test('a sustained load in any order arrives whole, across syncs', () =>
  onImage('host', async (image, path) => {
    const blocks = Array.from({ length: 500 }, (_, block) => block * 8192);
    const expected = Buffer.alloc(SIZE_BYTES);
    const scattered = blocks.map((_, at) => blocks[(at * 37) % blocks.length]!);
    for (const [round, order] of [blocks, blocks.toReversed(), scattered, blocks].entries()) {
      const data = Buffer.alloc(4096, round + 1);
      for (const offset of order) data.copy(expected, offset);
      await Promise.all(order.map((offset) => succeeds((done) => image.write('', offset, [data], done))));
      // The last round begins with what the one before left on its way.
      if (round !== 2) await succeeds((done) => image.sync(done));
    }
    assert.ok(readFileSync(path).equals(expected));
  }));

/**
 * The journal on a file that loses power: random histories of appends, releases, begins and marks, cut off at any
 * point with the write on its way persisted wholly, in part or torn at any sector. What is found afterwards is compared
 * with a plain record of what was asked for and what was reported. Then bits are flipped in what was synced.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Fault } from '../../../base/fault.ts';
import { costBytes } from '../../../base/operation.ts';
import {
  formatted,
  KEY,
  lastOf,
  MAX_DATA,
  PowerFile,
  recovered,
  recoveredWithFlip,
  type TearKind,
  tearOf,
  TEARS,
  World,
} from '../../../../suites/journal-power.ts';
import { assertSameOperations, headOf, sequence, writeOf } from '../../../../suites/store-world.ts';
import { decodeGroupHeader, encodeGroupHeader, SUPERBLOCK_BYTES } from '../../../wire/journal.ts';
import { recoverRing } from './recovery.ts';
import { ringSizes } from './space.ts';

type Step =
  | { readonly do: 'append'; readonly count: number; readonly bytes: number }
  | { readonly do: 'turn' | 'write' | 'rest' | 'begin' }
  | { readonly do: 'mark'; readonly complete: boolean }
  | { readonly do: 'release'; readonly part: number }
  | { readonly do: 'crash'; readonly tear: TearKind; readonly at: number };

const unit = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      count: fc.integer({ min: 1, max: 12 }),
      bytes: fc.constantFrom(0, 1, 512, 3000, 4096, 10_000),
    }),
  },
  { weight: 8, arbitrary: fc.constant({ do: 'write' as const }) },
  { weight: 4, arbitrary: fc.constant({ do: 'turn' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'rest' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'begin' as const }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('mark' as const), complete: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('release' as const), part: fc.double({ min: 0, max: 1, noNaN: true }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), tear: fc.constantFrom(...TEARS), at: unit }) },
);

async function take(world: World, one: Step): Promise<void> {
  switch (one.do) {
    case 'append':
      world.append(one.count, one.bytes);
      return;
    case 'turn':
      world.turn();
      return;
    case 'write':
      world.turn();
      world.file.complete();
      return;
    case 'rest':
      world.rest();
      return;
    case 'begin':
      world.begin(world.current % 3);
      return;
    case 'mark':
      world.mark(one.complete);
      return;
    case 'release':
      world.release(one.part);
      return;
    case 'crash':
      await world.crash(tearOf(one.tear, one.at));
      return;
  }
}

async function history(steps: readonly Step[]): Promise<World> {
  const world = new World();
  await world.open();
  world.begin(0);
  for (const one of steps) await take(world, one);
  return world;
}

test('whatever is cut off when, everything reported stored is found, and nothing that was not asked for', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 20, maxLength: 250 }),
      fc.constantFrom(...TEARS),
      unit,
      async (steps, tear, at) => {
        const world = await history(steps);
        await world.crash(tearOf(tear, at));
        world.settle();
        await world.crash(tearOf('nothing', 0));
      },
    ),
    { numRuns: 150 },
  );
});

test('lonely trims up to the capacity fit, through many laps and with old operations in their midst', async () => {
  const capacity = 160 << 10;
  const world = new World(capacity, await formatted(ringSizes(capacity, MAX_DATA)));
  await world.open();
  world.begin(0);
  for (let round = 0; round < 6000; round += 1) {
    world.append(1, round % 500 === 0 ? 4096 : 0);
    world.settle();
    const asked = world.logs.get(1)!;
    const held = asked.operations.slice(asked.released - asked.base).reduce((sum, one) => sum + costBytes(one), 0);
    // Nearly full all the time: only the oldest few are ever let go of.
    if (held > capacity - 5000) world.release(0.02);
    if (round % 1000 === 999) await world.crash(tearOf('nothing', 0));
  }
  const { newest } = await recoverRing(new PowerFile(world.disk), world.superblock);
  assert.ok(newest.position > 5 * world.sizes.ringBytes, 'the ring went round');
});

test('a flipped bit in what was synced is refused, or changes nothing that was found', async () => {
  let refused = 0;
  let harmless = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 20, maxLength: 120 }),
      fc.array(fc.tuple(unit, fc.integer({ min: 0, max: 7 })), { minLength: 20, maxLength: 20 }),
      async (steps, flips) => {
        const world = await history(steps);
        world.settle();
        // The empty group that follows after a rest shows that all before it had been synced.
        world.rest();
        world.settle();
        const sound = await recoverRing(new PowerFile(world.disk), world.superblock);
        const first = sound.groups[0]!.position;
        const newest = sound.newest.position;
        const span = newest + sound.newest.bytes - first;
        for (const [where, bit] of flips) {
          const position = first + Math.floor(where * span);
          const found = await recoveredWithFlip(world, position, bit);
          if (found instanceof Fault) {
            assert.equal(found.kind, 'corrupt');
            refused += 1;
            continue;
          }
          assert.ok(position >= newest, `the flip of bit ${bit} at ${position} was not noticed`);
          harmless += 1;
          assert.deepEqual(found.log?.head.epoch, sound.log?.head.epoch);
          assert.ok(lastOf(found) >= lastOf(sound));
        }
      },
    ),
    { numRuns: 60 },
  );
  assert.ok(refused > 2 * harmless, `${refused} refused, ${harmless} harmless`);
});

test('without that empty group, damage to the last group is refused, or the group cut off: it is never served', async () => {
  const world = await history([
    { do: 'append', count: 3, bytes: 512 },
    { do: 'write' },
    { do: 'append', count: 4, bytes: 3000 },
    { do: 'write' },
  ]);
  const sound = await recoverRing(new PowerFile(world.disk), world.superblock);
  assert.equal(lastOf(sound), 7);
  for (let at = 0; at < sound.newest.bytes; at += at < 700 ? 1 : 97) {
    const found = await recoveredWithFlip(world, sound.newest.position + at, at % 8);
    // A header lies in one sector: what is left of one is damage for certain.
    if (at < 256) assert.ok(found instanceof Fault && found.kind === 'corrupt', `a flip at ${at} of the header`);
    else if (!(found instanceof Fault)) {
      assert.equal(lastOf(found), 3);
      assert.equal(found.log?.tornBytes, sound.newest.bytes);
      assertSameOperations(found.log?.operations ?? [], world.logs.get(1)!.operations.slice(0, 3));
    }
  }
});

test('a torn tail is refused where it was acknowledged, and the log a complete copy', async () => {
  for (const [complete, acknowledged, refused] of [
    [true, 3, false],
    [true, 4, true],
    [false, 9, false],
  ] as const) {
    const world = new World();
    await world.open();
    world.store.begin(headOf(1, 0, complete), () => {});
    const operations = [1, 2, 3, 4].map((number) => writeOf(1, number));
    world.logs.set(1, { operations, base: 0, heads: [], headsDone: 0, released: 0, reported: 0 });
    world.current = 1;
    world.store.append(operations.slice(0, 3), sequence(0));
    world.settle();
    world.store.append(operations.slice(3), sequence(acknowledged));
    world.turn();
    world.file.fail(tearOf('head', 0.5));
    const found = await recovered(world, world.disk);
    if (refused) assert.ok(found instanceof Fault && /known to have been acknowledged/.test(found.message), 'refused');
    else {
      assert.ok(!(found instanceof Fault), 'taken for torn');
      assert.equal(lastOf(found), 3);
      assert.equal(found.log?.acknowledged, acknowledged);
    }
  }
});

test('a group that is whole but not the one its successor followed is damage', async () => {
  const world = await history([
    { do: 'append', count: 3, bytes: 512 },
    { do: 'write' },
    { do: 'append', count: 4, bytes: 0 },
    { do: 'write' },
  ]);
  const sound = await recoverRing(new PowerFile(world.disk), world.superblock);
  const before = sound.groups.at(-2)!;
  const at = SUPERBLOCK_BYTES + before.position;
  const header = decodeGroupHeader(world.disk, at, KEY)!;
  encodeGroupHeader({ ...header, acknowledged: sequence(1) }, KEY, world.disk.subarray(at));
  const found = await recovered(world, world.disk);
  assert.ok(found instanceof Fault && found.kind === 'corrupt', 'the broken link is noticed');
});

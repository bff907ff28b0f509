/** The store port's suite, for kinds that remember: what is there after a close and after a crash. */
import assert from 'node:assert/strict';
import {
  type InWorld,
  type StoreWorld,
  type Told,
  assertRecovered,
  assertSameOperations,
  generations,
  headOf,
  trimOf,
  writeOf,
  writesOf,
} from './store-world.ts';

export function remembers(inWorld: InWorld): void {
  for (const way of ['close', 'crash'] as const) {
    const leave = async (world: StoreWorld, told: Told): Promise<void> =>
      way === 'close' ? told.close() : world.crash(told.store);

    inWorld(`after a ${way}, the id, the head and what was stored are there`, async (world, open) => {
      const first = await open();
      first.begin(headOf(7, 30, false, generations(4)));
      const all = [...writesOf(7, 31, 40), trimOf(7, 41), writeOf(7, 42, 1)];
      first.append(all, 35);
      await first.untilStored(42);
      first.mark(generations(4, 5), true);
      await first.untilTold('marked');
      await leave(world, first);
      const second = await open();
      assert.equal(second.store.id, first.store.id);
      assertRecovered(second.store, headOf(7, 30, true, generations(4, 5)), 30, all);
      assert.equal(second.store.recovered?.acknowledged, 35);
      assert.equal(second.store.recovered?.tornBytes, 0);
      await second.close();
    });

    inWorld(`after a ${way}, a log goes on where it was`, async (world, open) => {
      const all = writesOf(2, 1, 9, 700);
      const first = await open();
      first.begin(headOf(2));
      first.append(all.slice(0, 4));
      await first.untilStored(4);
      await leave(world, first);
      const second = await open();
      second.stored = 4;
      second.append(all.slice(4));
      await second.untilStored(9);
      second.release(6);
      second.append([writeOf(2, 10)]);
      await second.untilStored(10);
      await leave(world, second);
      const third = await open();
      const { released = 0 } = third.store.recovered ?? {};
      assert.ok(released <= 6);
      assertSameOperations(third.store.recovered?.operations ?? [], [...all, writeOf(2, 10)].slice(released));
      await third.close();
    });

    inWorld(`after a ${way}, a begin has voided the log before`, async (world, open) => {
      const first = await open();
      first.begin(headOf(2));
      first.append(writesOf(2, 1, 9));
      await first.untilStored(9);
      first.begin(headOf(3, 9));
      await first.untilTold('begun 3');
      await leave(world, first);
      const second = await open();
      assertRecovered(second.store, headOf(3, 9), 9, []);
      await second.close();
    });

    inWorld(`after a ${way}, a log put aside is still listed, and the store empty`, async (world, open) => {
      const first = await open();
      first.begin(headOf(2));
      first.append(writesOf(2, 1, 9));
      await first.untilStored(9);
      first.setAside();
      await first.untilTold('set aside');
      await leave(world, first);
      const second = await open();
      assert.equal(second.store.id, first.store.id);
      assert.equal(second.store.recovered, null);
      assert.deepEqual(second.store.aside, first.store.aside);
      await second.close();
    });
  }

  inWorld('a release is durable after a close', async (_world, open) => {
    const first = await open();
    first.begin(headOf(2));
    first.append(writesOf(2, 1, 9), 3);
    await first.untilStored(9);
    first.release(5, 8);
    await first.close();
    const second = await open();
    assertRecovered(second.store, headOf(2), 5, writesOf(2, 6, 9));
    assert.equal(second.store.recovered?.acknowledged, 8);
    await second.close();
  });

  inWorld('a crash in the middle leaves everything stored, and nothing but what was appended', async (world, open) => {
    for (let steps = 0; steps < 12; steps += 1) {
      const told = await open();
      const of = steps + 1;
      told.begin(headOf(of));
      const all = writesOf(of, 1, 50, 1000);
      for (let i = 0; i < 10; i += 1) told.append(all.slice(5 * i, 5 * i + 5));
      await told.untilTold(`begun ${of}`);
      for (let i = 0; i < steps; i += 1) await world.step();
      const { stored } = told;
      await world.crash(told.store);
      const again = await open();
      const found = again.store.recovered?.operations ?? [];
      assert.ok(found.length >= stored, `${found.length} found, ${stored} stored`);
      assertSameOperations(found, all.slice(0, found.length));
      await again.close();
    }
  });

  inWorld('a mark is never found without what was appended before it', async (world, open) => {
    for (let steps = 0; steps < 12; steps += 1) {
      const told = await open();
      const of = steps + 1;
      told.begin(headOf(of, 0, false));
      told.append(Array.from({ length: 3000 }, (_, i) => trimOf(of, i + 1)));
      told.mark(generations(1), true);
      for (let i = 0; i < steps * 2; i += 1) await world.step();
      await world.crash(told.store);
      const again = await open();
      const found = again.store.recovered;
      if (found?.head.epoch === of && found.head.complete) assert.equal(found.operations.length, 3000);
      await again.close();
    }
  });
}

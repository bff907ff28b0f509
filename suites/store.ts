/**
 * The store port's conformance suite: what every kind of store promises, run by every driver's short test. A journal's
 * promises across a restart are tested where the kind makes them.
 *
 * Nothing here waits for a time: `world.step` lets the world go on a little (a turn of the event loop, or the next
 * event of a simulated one), and the suite takes steps until what it waits for has happened.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { costBytes, type Operation } from '../src/base/operation.ts';
import { remembers } from './store-recovery.ts';
import {
  CAPACITY,
  type InWorld,
  type StoreTraits,
  type StoreWorld,
  Told,
  generations,
  headOf,
  sequence,
  trimOf,
  writeOf,
  writesOf,
} from './store-world.ts';

/** Runs the suite; `make` gives each test a world of its own. */
export function storeSuite(name: string, traits: StoreTraits, make: () => Promise<StoreWorld>): void {
  const inWorld = (
    what: string,
    run: (world: StoreWorld, open: (capacity?: number) => Promise<Told>) => Promise<void>,
  ): void => {
    test(`${name}: ${what}`, async () => {
      const world = await make();
      try {
        await run(world, async (capacity = CAPACITY) => new Told(world, await world.open(capacity)));
      } finally {
        await world.end();
      }
    });
  };
  describesItself(traits, inWorld);
  tellsWhatIsStored(inWorld);
  keepsItsBounds(traits, inWorld);
  putsAside(inWorld);
  if (traits.kind === 'memory') forgets(inWorld);
  else remembers(inWorld);
}

function describesItself(traits: StoreTraits, inWorld: InWorld): void {
  inWorld('a new store has an id, its kind and capacity, and holds nothing', async (_world, open) => {
    const told = await open();
    assert.match(told.store.id, /^[0-9a-f]{32}$/);
    assert.equal(told.store.kind, traits.kind);
    assert.equal(told.store.capacityBytes, CAPACITY);
    assert.equal(told.store.recovered, null);
    assert.deepEqual(told.store.aside, []);
    await told.close();
    assert.deepEqual(told.events, ['closed']);
  });
}

function tellsWhatIsStored(inWorld: InWorld): void {
  inWorld('appends may follow begin at once; stored comes after its end', async (_world, open) => {
    const told = await open();
    told.begin(headOf(1));
    told.append(writesOf(1, 1, 3));
    await told.untilStored(3);
    assert.equal(told.events[0], 'begun 1');
    assert.match(told.events[1] ?? '', /^stored /);
    await told.close();
  });

  inWorld('stored is cumulative over many appends, in one turn and in many', async (world, open) => {
    const told = await open();
    told.begin(headOf(1));
    let last = 0;
    for (let round = 0; round < 40; round += 1) {
      for (let i = 0; i < round % 4; i += 1) told.append([writeOf(1, ++last, 512 + round), trimOf(1, ++last)]);
      if (round % 3 === 0) await world.step();
      if (round % 10 === 9) told.release(told.stored);
    }
    await told.untilStored(last);
    await told.close();
  });

  inWorld('sequences go on from the base of the log', async (_world, open) => {
    const told = await open();
    told.begin(headOf(3, 100));
    told.append(writesOf(3, 101, 104));
    await told.untilStored(104);
    await told.close();
  });

  inWorld('a begin voids what was on its way: nothing of it is told afterwards', async (world, open) => {
    for (let steps = 0; steps < 6; steps += 1) {
      const told = steps === 0 ? await open() : new Told(world, await world.open(CAPACITY));
      told.begin(headOf(1));
      told.append(writesOf(1, 1, 50, 512));
      for (let i = 0; i < steps; i += 1) await world.step();
      told.begin(headOf(2, 5));
      const since = told.events.length;
      told.append(writesOf(2, 6, 9));
      await told.untilStored(9);
      const told2 = told.events.slice(since);
      assert.ok(told2.indexOf('begun 2') < told2.findIndex((event) => event.startsWith('stored')), told2.join(', '));
      assert.ok(
        told2.every((event) => !event.startsWith('stored') || Number(event.slice(7)) <= 9),
        told2.join(', '),
      );
      await told.close();
    }
  });

  inWorld('every begin and mark ends, in order, also those that a later one overtakes', async (_world, open) => {
    const told = await open();
    told.begin(headOf(1, 0, false), 'first');
    told.append(writesOf(1, 1, 2));
    told.mark(generations(1, 2), false, 'second');
    told.append(writesOf(1, 3, 4));
    told.mark(generations(2), true, 'third');
    told.begin(headOf(2), 'fourth');
    told.mark(generations(3), true, 'fifth');
    await told.untilTold('fifth');
    assert.deepEqual(
      told.events.filter((event) => !event.startsWith('stored')),
      ['first', 'second', 'third', 'fourth', 'fifth'],
    );
    await told.close();
  });

  inWorld('close waits for what is on its way', async (_world, open) => {
    const told = await open();
    told.begin(headOf(1));
    told.append(writesOf(1, 1, 20));
    await told.close();
    assert.equal(told.stored, 20);
    assert.equal(told.events.at(-1), 'closed');
  });
}

function keepsItsBounds(traits: StoreTraits, inWorld: InWorld): void {
  inWorld('exactly the capacity fits, however it is made up, again and again', async (_world, open) => {
    const told = await open();
    told.begin(headOf(1));
    const makers: ((number: number) => Operation)[] = [
      (n) => writeOf(1, n, 4096),
      (n) => trimOf(1, n),
      (n) => writeOf(1, n, 512),
      (n) => (n % 2 === 0 ? trimOf(1, n) : writeOf(1, n, 20_000)),
    ];
    let last = 0;
    for (let round = 0; round < 12; round += 1) {
      const make = makers[round % makers.length]!;
      let room = told.store.capacityBytes;
      const batch: Operation[] = [];
      for (let next = make(last + 1); costBytes(next) <= room; next = make(last + 1)) {
        batch.push(next);
        room -= costBytes(next);
        last += 1;
      }
      told.append(batch);
      await told.untilStored(last);
      told.release(last);
    }
    await told.close();
  });

  inWorld('room is free at once after a release, in the middle of writing', async (world, open) => {
    const told = await open();
    told.begin(headOf(1));
    const cost = costBytes(writeOf(1, 1));
    const fits = Math.floor(told.store.capacityBytes / cost);
    let last = 0;
    let released = 0;
    for (let round = 0; round < 60; round += 1) {
      const count = Math.min(fits - (last - released), 1 + (round % 13));
      if (count > 0) told.append(writesOf(1, last + 1, last + count));
      last += count;
      await world.step();
      const through = Math.min(told.stored, released + 1 + (round % 17));
      if (through > released) told.release(through);
      released = Math.max(released, through);
    }
    await told.untilStored(last);
    await told.close();
  });

  if (!traits.asserts) return;
  inWorld('a gap, another epoch, no log and more than the capacity are bugs', async (_world, open) => {
    const told = await open();
    assert.throws(() => told.store.append([writeOf(1, 1)], sequence(0)), /broken invariant/);
    assert.throws(() => told.store.mark(generations(1), true, () => {}), /broken invariant/);
    told.begin(headOf(1));
    assert.throws(() => told.store.append([writeOf(1, 2)], sequence(0)), /broken invariant/);
    assert.throws(() => told.store.append([writeOf(2, 1)], sequence(0)), /broken invariant/);
    const most = Math.floor(told.store.capacityBytes / costBytes(writeOf(1, 1)));
    assert.throws(() => told.store.append(writesOf(1, 1, most + 1), sequence(0)), /broken invariant.*capacity/);
    await told.untilTold('begun 1');
  });
}

function putsAside(inWorld: InWorld): void {
  inWorld('a log put aside is listed, and another can begin', async (_world, open) => {
    const told = await open();
    told.begin(headOf(4, 10));
    told.append(writesOf(4, 11, 20));
    await told.untilStored(20);
    told.release(12);
    told.setAside();
    await told.untilTold('set aside');
    assert.equal(told.store.aside.length, 1);
    const [aside] = told.store.aside;
    assert.deepEqual([aside?.epoch, aside?.firstSequence, aside?.lastSequence], [4, 13, 20]);
    assert.match(aside?.name ?? '', /4/);
    assert.ok((aside?.bytes ?? 0) >= 8 * 4096);
    told.begin(headOf(5));
    told.append(writesOf(5, 1, 3));
    await told.untilStored(3);
    assert.equal(told.store.aside.length, 1);
    await told.close();
  });

  inWorld('operations that were not stored yet are put aside too; a begin may follow at once', async (_world, open) => {
    const told = await open();
    told.begin(headOf(4));
    told.append(writesOf(4, 1, 10));
    told.setAside();
    told.begin(headOf(5));
    told.append(writesOf(5, 1, 2));
    await told.untilTold('begun 5');
    await told.untilStored(2);
    assert.ok(told.events.indexOf('set aside') < told.events.indexOf('begun 5'));
    assert.deepEqual([told.store.aside[0]?.firstSequence, told.store.aside[0]?.lastSequence], [1, 10]);
    await told.close();
  });
}

function forgets(inWorld: InWorld): void {
  inWorld('each opening is a new, empty store with a new id', async (world, open) => {
    const first = await open();
    first.begin(headOf(1));
    first.append(writesOf(1, 1, 3));
    await first.untilStored(3);
    await world.crash(first.store);
    const second = await open();
    assert.notEqual(second.store.id, first.store.id);
    assert.equal(second.store.recovered, null);
    await second.close();
  });
}

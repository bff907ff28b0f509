/**
 * The store port's conformance suite: what every kind of store promises, run by every driver's short test. A journal's
 * promises across a restart are tested where the kind makes them.
 *
 * Nothing here waits for a time: `world.step` lets the world go on a little (a turn of the event loop, or the next
 * event of a simulated one), and the suite takes steps until what it waits for has happened.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32c } from '../src/base/crc32c.ts';
import type { Fault } from '../src/base/fault.ts';
import type { Epoch, Generation, Sequence } from '../src/base/names.ts';
import { costBytes, NO_BYTES, type Operation, OperationKind } from '../src/base/operation.ts';
import type { LogHead, Store, StoreKind } from '../src/ports/store.ts';

/** One place where a store lives, and can be opened again. */
export interface StoreWorld {
  /** Opens the store that lives here; the first time, makes it. Only one is open at a time. */
  open(capacityBytes: number): Promise<Store>;
  /** The process that had the store open is gone, without a close. */
  crash(store: Store): Promise<void>;
  /** Time goes on a little. */
  step(): Promise<void>;
  /** Removes whatever is left. */
  end(): Promise<void>;
}

export interface StoreTraits {
  readonly kind: StoreKind;
  /** Misuse (a gap, more than the capacity) throws from within the call. */
  readonly asserts: boolean;
}

const CAPACITY = 256 << 10;
/** More steps than anything here takes; reaching it means that something never happened. */
const STEPS_MAX = 200_000;

export const epoch = (value: number): Epoch => value as Epoch;
export const sequence = (value: number): Sequence => value as Sequence;
export const generations = (...values: number[]): Generation[] => values as Generation[];

/** A head of epoch `of`, complete, generation 1. */
export function headOf(of: number, base = 0, complete = true, lives: readonly Generation[] = generations(1)): LogHead {
  return { epoch: epoch(of), generations: lives, base: sequence(base), complete };
}

/** A write whose bytes follow from its numbers. */
export function writeOf(of: number, number: number, bytes = 4096, target = ''): Operation {
  const data = Buffer.alloc(bytes, `${of}.${number}.`);
  return {
    epoch: epoch(of),
    sequence: sequence(number),
    kind: OperationKind.write,
    target,
    offset: number * bytes,
    length: bytes,
    data,
    dataCrc: crc32c(data),
  };
}

/** A trim: an operation without data. */
export function trimOf(of: number, number: number): Operation {
  return {
    epoch: epoch(of),
    sequence: sequence(number),
    kind: OperationKind.trim,
    target: '',
    offset: number * 512,
    length: 512,
    data: NO_BYTES,
    dataCrc: 0,
  };
}

/** Writes `first` to `last`. */
export function writesOf(of: number, first: number, last: number, bytes = 4096): Operation[] {
  return Array.from({ length: last - first + 1 }, (_, i) => writeOf(of, first + i, bytes));
}

/** A store and everything it told, in order. */
export class Told {
  readonly store: Store;
  readonly events: string[] = [];
  stored = 0;
  failure: Fault | null = null;
  /** Set while one of the store's methods runs: being told anything then is an error. */
  #within = false;
  readonly #world: StoreWorld;

  constructor(world: StoreWorld, store: Store) {
    this.#world = world;
    this.store = store;
    store.listen({
      stored: (through) => {
        assert.equal(this.#within, false, 'stored is never called from within a call');
        assert.ok(through > this.stored, `stored ascends: ${through} after ${this.stored}`);
        this.stored = through;
        this.events.push(`stored ${through}`);
      },
      failed: (fault) => {
        assert.equal(this.#within, false, 'failed is never called from within a call');
        assert.equal(this.failure, null, 'failed is called at most once');
        this.failure = fault;
      },
    });
  }

  #call(run: () => void): void {
    this.#within = true;
    run();
    this.#within = false;
  }

  #done(name: string): (fault: Fault | null) => void {
    return (fault) => {
      assert.equal(this.#within, false, `the end of ${name} is never told from within a call`);
      this.events.push(fault === null ? name : `${name}: ${fault.kind}`);
    };
  }

  begin(head: LogHead, name = `begun ${head.epoch}`): void {
    this.stored = head.base;
    this.#call(() => this.store.begin(head, this.#done(name)));
  }
  mark(lives: readonly Generation[], complete: boolean, name = 'marked'): void {
    this.#call(() => this.store.mark(lives, complete, this.#done(name)));
  }
  append(operations: readonly Operation[], acknowledged = 0): void {
    this.#call(() => this.store.append(operations, sequence(acknowledged)));
  }
  release(through: number, acknowledged = through): void {
    this.#call(() => this.store.release(sequence(through), sequence(acknowledged)));
  }
  setAside(name = 'set aside'): void {
    this.#call(() => this.store.setAside(this.#done(name)));
  }

  /** Steps until `condition` holds. */
  async until(condition: () => boolean, what: string): Promise<void> {
    for (let steps = 0; !condition(); steps += 1) {
      if (steps > STEPS_MAX) assert.fail(`never happened: ${what}; told: ${this.events.slice(-8).join(', ')}`);
      await this.#world.step();
    }
  }
  async untilStored(through: number): Promise<void> {
    await this.until(() => this.stored >= through, `stored ${through}`);
  }
  async untilTold(event: string): Promise<void> {
    await this.until(() => this.events.includes(event), event);
  }
  async close(): Promise<void> {
    this.#call(() => this.store.close(this.#done('closed')));
    await this.untilTold('closed');
  }
}

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

type InWorld = (
  what: string,
  run: (world: StoreWorld, open: (capacity?: number) => Promise<Told>) => Promise<void>,
) => void;

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

/** What `store` found must be `operations` under `head`. */
export function assertRecovered(store: Store, head: LogHead, released: number, operations: readonly Operation[]): void {
  const found = store.recovered;
  assert.notEqual(found, null, 'a log was found');
  assert.deepEqual(found?.head, head);
  assert.equal(found?.released, released);
  assertSameOperations(found?.operations ?? [], operations);
}

export function assertSameOperations(found: readonly Operation[], expected: readonly Operation[]): void {
  assert.deepEqual(
    found.map((one) => one.sequence),
    expected.map((one) => one.sequence),
  );
  found.forEach((one, i) => {
    const other = expected[i]!;
    assert.deepEqual({ ...one, data: null }, { ...other, data: null });
    assert.ok(one.data.equals(other.data), `the data of operation ${one.sequence}`);
  });
}

function remembers(inWorld: InWorld): void {
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

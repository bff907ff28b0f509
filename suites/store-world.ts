/**
 * What the store port's suite is made of: a place where a store lives, operations to put into it, and a witness of what
 * it says.
 */
import assert from 'node:assert/strict';
import type { Fault } from '../src/base/fault.ts';
import type { Epoch, Generation, Sequence } from '../src/base/names.ts';
import { dataCrcOf, NO_BYTES, type Operation, OperationKind, NO_TIME } from '../src/base/operation.ts';
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

export const CAPACITY = 256 << 10;
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
    dataCrc: dataCrcOf(data),
    timeNs: NO_TIME,
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
    timeNs: NO_TIME,
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

/** Runs one test in a world of its own. */
export type InWorld = (
  what: string,
  run: (world: StoreWorld, open: (capacity?: number) => Promise<Told>) => Promise<void>,
) => void;

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

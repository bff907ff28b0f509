/**
 * The store that survives the loss of the other server and nothing else: its operations are this process's memory.
 * A new one is a new store with a new id, so that an empty one never passes for the one that the record names (T16).
 */
import { assert, type Done, Fault } from '../../base/fault.ts';
import type { Generation, Sequence, StoreId } from '../../base/names.ts';
import { costBytes, type Operation } from '../../base/operation.ts';
import { Ring } from '../../base/ring.ts';
import { makeRoomInSlabs } from '../../base/slab.ts';
import type { Clock, Ids } from '../../ports/clock.ts';
import type { AsideLog, LogHead, Store, StoreEvents } from '../../ports/store.ts';

export interface MemoryStoreOptions {
  /** Bytes of operations that fit. */
  readonly capacityBytes: number;
  readonly clock: Pick<Clock, 'soon'>;
  readonly ids: Pick<Ids, 'draw'>;
  /** Stamps the names of logs put aside, for people; a number when not given. */
  readonly stamp?: () => string;
}

export class MemoryStore implements Store {
  readonly id: StoreId;
  readonly kind = 'memory';
  readonly capacityBytes: number;
  readonly recovered = null;
  readonly #clock: Pick<Clock, 'soon'>;
  readonly #stamp: () => string;
  readonly #asideLogs: AsideLog[] = [];
  /** What the logs put aside hold, by their names. */
  readonly #asideOperations: Map<string, readonly Operation[]> = new Map();
  #operations: Ring<Operation> = new Ring();
  #usedBytes = 0;
  #head: LogHead | null = null;
  #last = 0 as Sequence;
  #reported = 0 as Sequence;
  #events: StoreEvents | null = null;
  #scheduled = false;
  #ends: Done[] = [];
  #closed = false;
  #closing: Done | null = null;

  constructor(options: MemoryStoreOptions) {
    this.id = options.ids.draw() as StoreId;
    this.capacityBytes = options.capacityBytes;
    makeRoomInSlabs(options.capacityBytes);
    this.#clock = options.clock;
    this.#stamp = options.stamp ?? (() => `${this.#asideLogs.length + 1}`);
  }

  get aside(): readonly AsideLog[] {
    return this.#asideLogs;
  }

  /** The operations of a log put aside, kept until the process ends; undefined when there is none of that name. */
  asideOperations(name: string): readonly Operation[] | undefined {
    return this.#asideOperations.get(name);
  }

  listen(events: StoreEvents): void {
    assert(this.#events === null, 'one listener');
    this.#events = events;
  }

  begin(head: LogHead, done: Done): void {
    if (this.#refuses(done)) return;
    this.#clear({ ...head, generations: [...head.generations] });
    this.#last = head.base;
    this.#reported = head.base;
    this.#tell(done);
  }

  mark(generations: readonly Generation[], complete: boolean, done: Done): void {
    if (this.#refuses(done)) return;
    assert(this.#head !== null, 'a mark belongs to a log');
    this.#head = { ...this.#head, generations: [...generations], complete };
    this.#tell(done);
  }

  append(operations: readonly Operation[], _acknowledged: Sequence): void {
    if (this.#closed || operations.length === 0) return;
    const head = this.#head;
    assert(head !== null, 'operations are appended to a log');
    for (let i = 0; i < operations.length; i += 1) {
      const operation = operations[i]!;
      assert(operation.epoch === head.epoch, "operations are of the log's epoch");
      assert(operation.sequence === this.#last + 1, 'sequences go on without a gap');
      this.#operations.push(operation);
      this.#usedBytes += costBytes(operation);
      this.#last = operation.sequence;
    }
    assert(this.#usedBytes <= this.capacityBytes, 'the core never appends beyond the capacity');
    this.#schedule();
  }

  release(through: Sequence, _acknowledged: Sequence): void {
    for (let oldest = this.#operations.at(0); oldest !== undefined; oldest = this.#operations.at(0)) {
      if (oldest.sequence > through) return;
      this.#operations.shift();
      this.#usedBytes -= costBytes(oldest);
    }
  }

  setAside(done: Done): void {
    if (this.#refuses(done)) return;
    const first = this.#operations.at(0);
    if (this.#head !== null && first !== undefined) {
      const name = `${this.#head.epoch}-${first.sequence}-${this.#last}-${this.#stamp()}`;
      const operations: Operation[] = [];
      for (let i = 0; i < this.#operations.length; i += 1) operations.push(this.#operations.at(i)!);
      this.#asideOperations.set(name, operations);
      this.#asideLogs.push({
        name,
        epoch: this.#head.epoch,
        firstSequence: first.sequence,
        lastSequence: this.#last,
        bytes: this.#usedBytes,
      });
    }
    this.#clear(null);
    this.#tell(done);
  }

  close(done: Done): void {
    assert(!this.#closed, 'a store is closed once');
    this.#closed = true;
    this.#closing = done;
    this.#schedule();
  }

  #refuses(done: Done): boolean {
    if (!this.#closed) return false;
    this.#clock.soon(() => done(new Fault('refused', 'The store has been closed.')));
    return true;
  }

  #clear(head: LogHead | null): void {
    this.#operations = new Ring();
    this.#usedBytes = 0;
    this.#head = head;
  }

  #tell(done: Done): void {
    this.#ends.push(done);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#clock.soon(this.#run);
  }

  /** A later turn: what was done in one is told together, ends before `stored`. */
  readonly #run = (): void => {
    this.#scheduled = false;
    const ends = this.#ends;
    this.#ends = [];
    // Counted before the ends are told: what they begin or append is told in a turn of its own.
    const stored = this.#head !== null && this.#last > this.#reported ? this.#last : null;
    const head = this.#head;
    for (let i = 0; i < ends.length; i += 1) ends[i]!(null);
    if (stored !== null && this.#head === head && stored > this.#reported) {
      this.#reported = stored;
      this.#events?.stored(stored);
    }
    const closing = this.#closing;
    if (closing === null || this.#scheduled) return;
    this.#closing = null;
    closing(null);
  };
}

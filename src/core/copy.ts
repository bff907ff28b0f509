/**
 * This server's copy of one volume's undestaged operations: the store, and the same operations in memory. It is the
 * first store's content while the server owns the volume, the second store's while it mirrors it (design section 1).
 */
import { assert } from '../base/fault.ts';
import type { Fault } from '../base/fault.ts';
import { NO_SEQUENCE, higher, lower } from '../base/names.ts';
import type { Generation, Sequence } from '../base/names.ts';
import type { Operation } from '../base/operation.ts';
import type { LogHead, Store } from '../ports/store.ts';
import { OperationLog } from './log.ts';

/** Who uses the copy at present: owner, partner, or nobody. */
export interface CopyUser {
  /** Everything up to `sequence` is stored. */
  stored(sequence: Sequence): void;
}

export class Copy {
  readonly store: Store;
  #log: OperationLog;
  #head: LogHead | null;
  #stored: Sequence;
  #acknowledged: Sequence;
  #user: CopyUser | null = null;
  #damaged = false;
  #fault: Fault | null = null;
  /** Counts begins, so that what belonged to a voided log is told from what belongs to this one. */
  #beginning = 0;
  /** False while a begin is on its way: reports of what is stored still speak of the log before. */
  #begun = true;
  readonly #failed: (fault: Fault) => void;

  constructor(store: Store, failed: (fault: Fault) => void) {
    this.store = store;
    this.#failed = failed;
    const found = store.recovered;
    this.#head = found?.head ?? null;
    this.#log = new OperationLog(found?.released ?? NO_SEQUENCE);
    for (const operation of found?.operations ?? []) this.#log.append(operation);
    this.#stored = this.#log.last;
    this.#acknowledged = found?.acknowledged ?? NO_SEQUENCE;
    store.listen({
      stored: (sequence) => this.#onStored(sequence),
      failed: (fault) => this.#onFailed(fault),
    });
  }

  get head(): LogHead | null {
    return this.#head;
  }
  get log(): OperationLog {
    return this.#log;
  }
  /** Everything up to here is stored as durably as the store's kind promises. */
  get stored(): Sequence {
    return this.#stored;
  }
  /** The highest sequence known to have been acknowledged to a client. */
  get acknowledged(): Sequence {
    return this.#acknowledged;
  }
  /** Why the store can hold nothing more; null while it can. */
  get fault(): Fault | null {
    return this.#fault;
  }

  /** Another holder of the same log knows of more that was acknowledged: a copy without it counts no longer (I10). */
  learn(acknowledged: Sequence): void {
    this.#know(acknowledged);
  }

  /** The bytes in memory do not match their checksums: this copy counts no longer (I11). */
  foundDamaged(): void {
    this.#damaged = true;
  }

  /** The head of a log that may count as a copy; null when something acknowledged is missing from it or damaged. */
  get soundHead(): LogHead | null {
    return this.#damaged || this.#log.last < this.#acknowledged ? null : this.#head;
  }

  use(user: CopyUser | null): void {
    this.#user = user;
  }

  /** Voids the log and begins another; `done` when that is durable, never when another begin came between. */
  begin(head: LogHead, done: () => void): void {
    this.#head = head;
    this.#log = new OperationLog(head.base);
    this.#stored = head.base;
    this.#acknowledged = head.base;
    this.#damaged = false;
    this.#beginning += 1;
    this.#begun = false;
    const turn = this.#beginning;
    this.store.begin(head, (fault) => {
      if (fault) return this.#onFailed(fault);
      if (turn !== this.#beginning) return;
      this.#begun = true;
      done();
    });
  }

  /** Changes what the log is a copy of; `done` when that is durable. */
  mark(generations: readonly Generation[], complete: boolean, done: () => void): void {
    assert(this.#head !== null, 'a log to mark');
    this.#head = { ...this.#head, generations, complete };
    const turn = this.#beginning;
    this.store.mark(generations, complete, (fault) => {
      if (fault) return this.#onFailed(fault);
      if (turn === this.#beginning) done();
    });
  }

  /** Puts the log aside under a name that status shows; the copy is empty afterwards. */
  setAside(done: () => void): void {
    this.#beginning += 1;
    this.#begun = false;
    this.#head = null;
    this.#log = new OperationLog(NO_SEQUENCE);
    this.#stored = NO_SEQUENCE;
    this.#acknowledged = NO_SEQUENCE;
    this.store.setAside((fault) => {
      if (fault) return this.#onFailed(fault);
      done();
    });
  }

  /** Takes operations into memory and hands them to the store. */
  append(operations: readonly Operation[], acknowledged: Sequence): void {
    for (const operation of operations) this.#log.append(operation);
    this.store.append(operations, this.#know(acknowledged));
  }

  /** Takes an operation into memory only; `flush` hands it to the store with the others of its turn. */
  take(operation: Operation): void {
    this.#log.append(operation);
  }
  flush(operations: readonly Operation[], acknowledged: Sequence): void {
    this.store.append(operations, this.#know(acknowledged));
  }

  /** The synced medium holds everything up to `through`. Only what is stored is let go of. */
  release(through: Sequence, acknowledged: Sequence): void {
    this.#know(acknowledged);
    const limit = lower(through, this.#stored);
    if (limit <= this.#log.base) return;
    this.#log.release(limit);
    this.store.release(limit, this.#acknowledged);
  }

  #know(acknowledged: Sequence): Sequence {
    this.#acknowledged = higher(this.#acknowledged, acknowledged);
    return this.#acknowledged;
  }

  #onStored(sequence: Sequence): void {
    if (!this.#begun || sequence <= this.#stored) return;
    assert(sequence <= this.#log.last, 'only what was appended is stored');
    this.#stored = sequence;
    this.#user?.stored(sequence);
  }

  #onFailed(fault: Fault): void {
    if (this.#fault !== null) return;
    this.#fault = fault;
    this.#failed(fault);
  }
}

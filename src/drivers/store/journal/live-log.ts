/**
 * The journal's log as memory knows it: the operations not yet released, which of them have been handed to a write,
 * and changes of the head that wait for the operations appended before them.
 */
import { assert, type Done } from '../../../base/fault.ts';
import { higher, type Generation, NO_SEQUENCE, type Sequence } from '../../../base/names.ts';
import { costBytes, type Operation } from '../../../base/operation.ts';
import { Ring } from '../../../base/ring.ts';
import type { LogHead, RecoveredLog } from '../../../ports/store.ts';

/** Changes of the head that may wait at a time: each is a swap of the record, so that more than a few are a bug. */
const MARKS_MAX = 1024;

/** A change of the head that counts once the operations up to `after` are stored. */
interface Mark {
  readonly after: Sequence;
  readonly head: LogHead;
  readonly done: Done;
}

export class LiveLog {
  /** Tells this process's logs apart. */
  readonly serial: number;
  /** Everything up to here is stored; and has been told to be. */
  stored: Sequence;
  reported: Sequence;
  /** The head as of the last group handed to a write; null when there is no log. */
  head: LogHead | null;
  /** The head as of the last call. */
  #latestHead: LogHead | null;
  readonly #operations: Ring<Operation> = new Ring();
  readonly #marks: Ring<Mark> = new Ring();
  #released: Sequence;
  #last: Sequence;
  #written: Sequence;
  #acknowledged: Sequence;
  #usedBytes = 0;

  constructor(serial: number, head: LogHead | null) {
    this.serial = serial;
    this.head = head;
    this.#latestHead = head;
    this.#released = head === null ? NO_SEQUENCE : head.base;
    this.#last = this.#released;
    this.#written = this.#released;
    // Whatever of this epoch came before the base has long been answered.
    this.#acknowledged = this.#released;
    this.stored = this.#released;
    this.reported = this.#released;
  }

  /** The log found at opening: all of it is stored, unless it is to be `rewritten` elsewhere. */
  static recovered(serial: number, found: RecoveredLog, rewritten = false): LiveLog {
    const log = new LiveLog(serial, found.head);
    log.#released = found.released;
    log.#last = found.released;
    for (const operation of found.operations) log.append(operation);
    log.#written = rewritten ? log.#released : log.#last;
    log.stored = log.#last;
    log.reported = log.#last;
    log.#acknowledged = found.acknowledged;
    return log;
  }

  get released(): Sequence {
    return this.#released;
  }
  /** The last operation appended. */
  get last(): Sequence {
    return this.#last;
  }
  /** The last operation handed to a write. */
  get written(): Sequence {
    return this.#written;
  }
  get acknowledged(): Sequence {
    return this.#acknowledged;
  }
  /** What the operations not released cost of the capacity. */
  get usedBytes(): number {
    return this.#usedBytes;
  }
  get empty(): boolean {
    return this.#operations.length === 0;
  }
  /** The first operation that no write has been given yet, when `hasPending`. */
  get firstPending(): Sequence {
    return (higher(this.#written, this.#released) + 1) as Sequence;
  }
  get hasPending(): boolean {
    return this.#last > this.#written && this.#last > this.#released;
  }
  get hasMarks(): boolean {
    return this.#marks.length > 0;
  }

  append(operation: Operation): void {
    const head = this.#latestHead;
    assert(head !== null, 'operations are appended to a log');
    assert(operation.epoch === head.epoch, "operations are of the log's epoch");
    assert(operation.sequence === this.#last + 1, 'sequences go on without a gap');
    this.#operations.push(operation);
    this.#usedBytes += costBytes(operation);
    this.#last = operation.sequence;
  }

  /** The operation of that sequence, which has been appended and not released. */
  at(sequence: Sequence): Operation {
    const operation = this.#operations.at(sequence - this.#released - 1);
    assert(operation !== undefined && operation.sequence === sequence, 'the log holds what was not released');
    return operation;
  }

  /** Drops what is released; a release of more than was appended drops what is there. True when it changed anything. */
  release(through: Sequence): boolean {
    const before = this.#released;
    while (this.#released < through && this.#released < this.#last) {
      const operation = this.#operations.shift();
      assert(operation !== undefined, 'the log holds what was not released');
      this.#usedBytes -= costBytes(operation);
      this.#released = operation.sequence;
    }
    return this.#released !== before;
  }

  acknowledge(through: Sequence): boolean {
    if (through <= this.#acknowledged) return false;
    this.#acknowledged = through;
    return true;
  }

  mark(generations: readonly Generation[], complete: boolean, done: Done): void {
    const head = this.#latestHead;
    assert(head !== null, 'a mark belongs to a log');
    assert(this.#marks.length < MARKS_MAX, 'few changes of the head wait');
    this.#latestHead = { epoch: head.epoch, base: head.base, generations: [...generations], complete };
    this.#marks.push({ after: this.#last, head: this.#latestHead, done });
  }

  /** Everything up to `through` goes into a write: takes the marks that become true with it, and hands out their ends. */
  advance(through: Sequence, dones: Done[]): void {
    this.#written = higher(this.#written, higher(through, this.#released));
    for (let mark = this.#marks.at(0); mark !== undefined && mark.after <= this.#written; mark = this.#marks.at(0)) {
      this.#marks.shift();
      this.head = mark.head;
      dones.push(mark.done);
    }
  }

  /** The ends of marks that waited, for whoever voids this log or fails it. */
  abandonMarks(dones: Done[]): void {
    for (let mark = this.#marks.shift(); mark !== undefined; mark = this.#marks.shift()) dones.push(mark.done);
  }

  /** All operations not released, oldest first. */
  operations(): Operation[] {
    const all: Operation[] = [];
    for (let i = 0; i < this.#operations.length; i += 1) all.push(this.#operations.at(i)!);
    return all;
  }

  /** The head as of the last call. */
  get latestHead(): LogHead | null {
    return this.#latestHead;
  }
}

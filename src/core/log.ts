/**
 * The operations of one log that are not yet released, in order and without a gap: what a copy holds in memory.
 */
import { assert } from '../base/fault.ts';
import { after, before } from '../base/names.ts';
import type { Sequence } from '../base/names.ts';
import { NumberRing } from '../base/number-ring.ts';
import { costBytes } from '../base/operation.ts';
import type { Operation } from '../base/operation.ts';
import { Ring } from '../base/ring.ts';

export class OperationLog {
  readonly #operations = new Ring<Operation>();
  #base: Sequence;
  /** Cost of everything ever appended, up to each operation here, and up to the base. */
  readonly #ends = new NumberRing();
  #appended = 0;
  #released = 0;

  /** An empty log that goes on after `base`. */
  constructor(base: Sequence) {
    this.#base = base;
  }

  /** Everything up to here has been released. */
  get base(): Sequence {
    return this.#base;
  }

  /** The last operation's sequence; `base` when the log is empty. */
  get last(): Sequence {
    return (this.#base + this.#operations.length) as Sequence;
  }

  /** What the operations cost a store, in bytes. */
  get bytes(): number {
    return this.#appended - this.#released;
  }

  get length(): number {
    return this.#operations.length;
  }

  /** What the operations after `from` up to `through` cost, in bytes; those no longer here cost nothing. */
  bytesBetween(from: Sequence, through: Sequence): number {
    return this.#costBefore(through) - this.#costBefore(from);
  }

  append(operation: Operation): void {
    assert(operation.sequence === after(this.last), 'a log has no gap');
    this.#operations.push(operation);
    this.#appended += costBytes(operation);
    this.#ends.push(this.#appended);
  }

  #costBefore(sequence: Sequence): number {
    const index = sequence - this.#base - 1;
    if (index < 0) return this.#released;
    return index >= this.#ends.length ? this.#appended : (this.#ends.at(index) ?? this.#appended);
  }

  /** The operation with that sequence, or undefined when it is released or not yet there. */
  at(sequence: Sequence): Operation | undefined {
    const index = sequence - this.#base - 1;
    return index < 0 || index >= this.#operations.length ? undefined : this.#operations.at(index);
  }

  /** Drops everything up to `through`. */
  release(through: Sequence): void {
    while (this.#base < through) {
      const operation = this.#operations.shift();
      assert(operation !== undefined, 'only what is in the log is released');
      this.#released = this.#ends.shift() ?? this.#released;
      this.#base = operation.sequence;
    }
  }

  /** Operations from `from` up to `through`, as many as fit `limitBytes`, at least one when there is one. */
  take(from: Sequence, limitBytes: number, through: Sequence = this.last): Operation[] {
    const taken: Operation[] = [];
    let bytes = 0;
    for (let sequence = from; sequence <= through; sequence = after(sequence)) {
      const operation = this.at(sequence);
      if (operation === undefined) break;
      bytes += costBytes(operation);
      if (taken.length > 0 && bytes > limitBytes) break;
      taken.push(operation);
    }
    return taken;
  }

  invariants(): void {
    let expected = after(this.#base);
    for (let i = 0; i < this.#operations.length; i += 1) {
      assert(this.#operations.at(i)?.sequence === expected, 'sequences go on one by one');
      expected = after(expected);
    }
    assert(before(expected) === this.last, 'the last sequence is the last');
  }
}

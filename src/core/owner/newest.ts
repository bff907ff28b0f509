/**
 * Of each range the newest of a batch of operations: what a plan is made from. Nothing is looked up or taken out while
 * a batch is gathered, so no map is kept: the operations are sorted by where they begin, and swept once.
 */
import { ascending } from '../../base/ascending.ts';
import { assert } from '../../base/fault.ts';
import { MinHeap } from '../../base/heap.ts';
import type { Operation } from '../../base/operation.ts';
import type { PendingObject } from '../../ports/service.ts';
import { PendingFiles } from './pending.ts';

/** No operation's index. */
const NONE = -1;

export class Newest {
  readonly #targets = new Map<string, Operation[]>();
  readonly #files = new PendingFiles();

  /** `operation` is newer than everything here. */
  add(operation: Operation): void {
    this.#files.add(operation);
    if (operation.length === 0) return;
    const operations = this.#targets.get(operation.target);
    if (operations === undefined) this.#targets.set(operation.target, [operation]);
    else operations.push(operation);
  }

  /** What is known of a file beyond its bytes; null when nothing of it is here. */
  pending(target: string): PendingObject | null {
    return this.#files.get(target);
  }

  /** Files with operations here. */
  files(): Iterable<readonly [target: string, pending: PendingObject]> {
    return this.#files.all();
  }

  /** What holds the bytes of each target, in the order in which targets came. */
  *sweeps(): Generator<Sweep, void, undefined> {
    for (const operations of this.#targets.values()) yield new Sweep(operations);
  }
}

/** Goes over one target's bytes, ascending, from piece to piece: a piece is all of a range that one operation holds. */
export class Sweep {
  /** The piece that `next` came to: the bytes [from, to) are `operation`'s. */
  from = 0;
  to = 0;
  operation: Operation;
  readonly #operations: readonly Operation[];
  /** Where each begins, their indices in that order, and how many of these the sweep has passed. */
  readonly #begins: Float64Array;
  readonly #order: Uint32Array;
  #passed = 0;
  /** What holds the bytes from `to` on, where that began before what the piece belongs to ended. */
  #heir = NONE;
  /** Passed and older than what covers them, but reaching beyond it; the newest on top. */
  readonly #covered = new MinHeap<number>();

  /** @param operations of one target, at least one, the newest last. */
  constructor(operations: readonly Operation[]) {
    assert(operations[0] !== undefined, 'there is something to sweep over');
    this.operation = operations[0];
    this.#operations = operations;
    this.#begins = new Float64Array(operations.length);
    for (let i = 0; i < operations.length; i += 1) this.#begins[i] = operations[i]!.offset;
    this.#order = ascending(this.#begins);
  }

  /** Goes on to the next piece. False when there is none. */
  next(): boolean {
    let from = this.to;
    let holder = this.#heir === NONE ? this.#uncovered() : this.#heir;
    this.#heir = NONE;
    if (holder === NONE) {
      if (this.#passed === this.#order.length) return false;
      holder = this.#order[this.#passed]!;
      this.#passed += 1;
      from = this.#begins[holder]!;
    }
    let to = this.#end(holder);
    for (; this.#passed < this.#order.length; this.#passed += 1) {
      const next = this.#order[this.#passed]!;
      const begin = this.#begins[next]!;
      if (begin >= to) break;
      const end = this.#end(next);
      if (next < holder) {
        if (end > to) this.#covered.push(-next, next);
        continue;
      }
      if (to > end) this.#covered.push(-holder, holder);
      if (begin > from) {
        this.#heir = next;
        this.#passed += 1;
        to = begin;
        break;
      }
      holder = next;
      to = end;
    }
    this.from = from;
    this.to = to;
    this.operation = this.#operations[holder]!;
    return true;
  }

  /** Takes the newest of those that reach beyond `to` from under what covered them. */
  #uncovered(): number {
    for (let index = this.#covered.pop(); index !== undefined; index = this.#covered.pop())
      if (this.#end(index) > this.to) return index;
    return NONE;
  }

  #end(index: number): number {
    const { offset, length } = this.#operations[index]!;
    return offset + length;
  }
}

/**
 * Of each range the newest of a batch of operations: what a plan is made from. Nothing is looked up or taken out while
 * a batch is gathered, so no map is kept: the operations are sorted by where they begin, and swept once.
 */
import { ascending } from '../../base/ascending.ts';
import { MinHeap } from '../../base/heap.ts';
import type { Operation } from '../../base/operation.ts';
import type { PendingObject } from '../../ports/service.ts';
import { PendingFiles } from './pending.ts';

/** No operation's index. */
const NONE = -1;

export class Newest {
  readonly #targets = new Map<string, Operation[]>();
  readonly #files = new PendingFiles();
  readonly #sweep = new Sweep();

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

  /** What holds the bytes of each target, in the order in which targets came: one sweep at a time, to its end. */
  *sweeps(): Generator<Sweep, void, undefined> {
    for (const operations of this.#targets.values()) {
      this.#sweep.start(operations);
      yield this.#sweep;
    }
  }

  /**
   * Takes everything out, for the next batch. Code that was compiled for objects of a kind goes when a collection finds
   * none of the kind: who plans again and again keeps one of these.
   */
  clear(): void {
    this.#targets.clear();
    this.#files.clear();
    this.#sweep.start([]);
  }
}

/** Goes over one target's bytes, ascending, from piece to piece: a piece is all of a range that one operation holds. */
export class Sweep {
  /** The piece that `next` came to: the bytes [from, to) are `operation`'s. */
  from = 0;
  to = 0;
  #holder = NONE;
  /** What holds the bytes from `to` on, where that began before what the piece belongs to ended. */
  #heir = NONE;
  #operations: readonly Operation[] = [];
  /** Where each begins, their indices in that order, and how many of these the sweep has passed. */
  #begins = new Float64Array(0);
  #order = new Uint32Array(0);
  #passed = 0;
  /** Passed and older than what covers them, but reaching beyond it; the newest on top. */
  readonly #covered = new MinHeap<number>();

  get operation(): Operation {
    return this.#operations[this.#holder]!;
  }

  /** Begins before the first of `operations`: those of one target, the newest last. */
  start(operations: readonly Operation[]): void {
    this.from = 0;
    this.to = 0;
    this.#holder = NONE;
    this.#heir = NONE;
    this.#operations = operations;
    this.#begins = new Float64Array(operations.length);
    for (let i = 0; i < operations.length; i += 1) this.#begins[i] = operations[i]!.offset;
    this.#order = ascending(this.#begins);
    this.#passed = 0;
    this.#covered.clear();
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
    this.#holder = holder;
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

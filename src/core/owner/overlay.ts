/**
 * What the log leads to: for each range of each target the newest undestaged operation, and for a file what lies beyond
 * ranges, its size and its time. Reads look here before the medium.
 *
 * What lies where is found out when somebody looks: a volume that is written for a while, and not read, has its operations
 * on the medium before anybody asked for them, and a map of them would cost more than all else that is done with a write.
 */
import { ExtentMap } from '../../base/extent-map.ts';
import type { Operation } from '../../base/operation.ts';
import { Ring } from '../../base/ring.ts';
import type { PendingObject } from '../../ports/service.ts';
import { PendingFiles } from './pending.ts';

/** Most operations that wait to be mapped: as many of 4 KiB as a store of 256 MiB holds. */
const UNMAPPED_MAX = 65_536;

export class Overlay {
  /** What lies where, but for what `#unmapped` has. */
  readonly #targets = new Map<string, ExtentMap<Operation>>();
  /** The newest operations, in order: nobody has looked since they came. */
  readonly #unmapped = new Ring<Operation>();
  readonly #files = new PendingFiles();

  /** `operation` is newer than everything here. */
  add(operation: Operation): void {
    this.#files.add(operation);
    if (operation.length === 0) return;
    this.#unmapped.push(operation);
    if (this.#unmapped.length > UNMAPPED_MAX) this.map(1);
  }

  /** Maps up to `most` operations that nobody has looked behind yet, the oldest first. True when none is left. */
  map(most: number): boolean {
    for (let left = most; left > 0; left -= 1) {
      const operation = this.#unmapped.shift();
      if (operation === undefined) return true;
      this.#place(operation);
    }
    return this.#unmapped.length === 0;
  }

  #place(operation: Operation): void {
    let map = this.#targets.get(operation.target);
    if (map === undefined) {
      map = new ExtentMap<Operation>();
      this.#targets.set(operation.target, map);
    }
    map.set(operation.offset, operation.length, operation);
  }

  /** What is known of a file beyond its bytes; null when nothing of it is here. */
  pending(target: string): PendingObject | null {
    return this.#files.get(target);
  }

  /** Calls `each` for the parts of the range that operations here determine, ascending. */
  visit(
    target: string,
    offset: number,
    length: number,
    each: (from: number, to: number, operation: Operation) => void,
  ): void {
    this.map(Number.POSITIVE_INFINITY);
    this.#targets.get(target)?.visit(offset, length, each);
  }

  /** Forgets what `operation` still determines: it is on the medium. Operations are removed in order. */
  remove(operation: Operation): void {
    this.#files.remove(operation);
    if (operation.length === 0) return;
    if (this.#unmapped.at(0) === operation) {
      this.#unmapped.shift();
      return;
    }
    const map = this.#targets.get(operation.target);
    if (map === undefined) return;
    map.remove(operation.offset, operation.length, operation);
    if (map.pieces === 0) this.#targets.delete(operation.target);
  }
}

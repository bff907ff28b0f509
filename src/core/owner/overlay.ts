/**
 * What the log leads to: for each range of each target the newest undestaged operation, and for a file what lies beyond
 * ranges, its size and its time. Reads look here before the medium.
 */
import { ExtentMap } from '../../base/extent-map.ts';
import type { Operation } from '../../base/operation.ts';
import type { PendingObject } from '../../ports/service.ts';
import { PendingFiles } from './pending.ts';

export class Overlay {
  readonly #targets = new Map<string, ExtentMap<Operation>>();
  readonly #files = new PendingFiles();

  /** `operation` is newer than everything here. */
  add(operation: Operation): void {
    this.#files.add(operation);
    if (operation.length === 0) return;
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
    this.#targets.get(target)?.visit(offset, length, each);
  }

  /** Forgets what `operation` still determines: it is on the medium. Operations are removed in order. */
  remove(operation: Operation): void {
    this.#files.remove(operation);
    const map = this.#targets.get(operation.target);
    if (map === undefined || operation.length === 0) return;
    map.remove(operation.offset, operation.length, operation);
    if (map.pieces === 0) this.#targets.delete(operation.target);
  }
}

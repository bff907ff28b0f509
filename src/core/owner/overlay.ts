/**
 * What the log leads to: for each range of each target the newest undestaged operation. Reads look here before the
 * medium; the destager plans with the same structure.
 */
import { ExtentMap } from '../../base/extent-map.ts';
import type { Operation } from '../../base/operation.ts';

export class Overlay {
  readonly #targets = new Map<string, ExtentMap<Operation>>();

  /** `operation` is newer than everything here. */
  add(operation: Operation): void {
    let map = this.#targets.get(operation.target);
    if (map === undefined) {
      map = new ExtentMap<Operation>();
      this.#targets.set(operation.target, map);
    }
    map.set(operation.offset, operation.length, operation);
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

  /** Forgets what `operation` still determines: it is on the medium. */
  remove(operation: Operation): void {
    const map = this.#targets.get(operation.target);
    if (map === undefined) return;
    map.removeWhere(operation.offset, operation.length, (value) => value === operation);
    if (map.pieces === 0) this.#targets.delete(operation.target);
  }

  /** All pieces, target by target, ascending. */
  *pieces(): Generator<{ target: string; from: number; to: number; operation: Operation }> {
    for (const [target, map] of this.#targets)
      for (const { from, to, value } of map.entries()) yield { target, from, to, operation: value };
  }
}

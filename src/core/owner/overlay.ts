/**
 * What the log leads to: for each range of each target the newest undestaged operation, and for a file what lies beyond
 * ranges, its size and its time. Reads look here before the medium; the destager plans with the same structure.
 */
import { ExtentMap } from '../../base/extent-map.ts';
import { NO_SEQUENCE } from '../../base/names.ts';
import type { Sequence } from '../../base/names.ts';
import { OperationKind } from '../../base/operation.ts';
import type { Operation } from '../../base/operation.ts';
import type { PendingObject } from '../../ports/service.ts';

/** What the operations here say of one file, and the newest of them: until it is gone, all of it is needed. */
class Pending implements PendingObject {
  exactBytes: number | null = null;
  leastBytes = 0;
  timeNs = 0n;
  newest: Sequence = NO_SEQUENCE;

  add(operation: Operation): void {
    const { kind, offset, length } = operation;
    this.newest = operation.sequence;
    this.timeNs = operation.timeNs;
    if (kind === OperationKind.truncate) {
      this.exactBytes = offset;
      this.leastBytes = offset;
    } else if (kind === OperationKind.write) {
      this.leastBytes = Math.max(this.leastBytes, offset + length);
      if (this.exactBytes !== null) this.exactBytes = this.leastBytes;
    }
  }
}

export class Overlay {
  readonly #targets = new Map<string, ExtentMap<Operation>>();
  /** Of files only: a block volume's one image has neither a size of its own nor a time. */
  readonly #files = new Map<string, Pending>();

  /** `operation` is newer than everything here. */
  add(operation: Operation): void {
    if (operation.target !== '') this.#addFile(operation);
    if (operation.length === 0) return;
    let map = this.#targets.get(operation.target);
    if (map === undefined) {
      map = new ExtentMap<Operation>();
      this.#targets.set(operation.target, map);
    }
    map.set(operation.offset, operation.length, operation);
  }

  #addFile(operation: Operation): void {
    let file = this.#files.get(operation.target);
    if (file === undefined) {
      file = new Pending();
      this.#files.set(operation.target, file);
    }
    file.add(operation);
  }

  /** What is known of a file beyond its bytes; null when nothing of it is here. */
  pending(target: string): PendingObject | null {
    return this.#files.get(target) ?? null;
  }

  /** Files with operations here. */
  files(): Iterable<readonly [target: string, pending: PendingObject]> {
    return this.#files;
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
    const { target } = operation;
    if (target !== '' && this.#files.get(target)?.newest === operation.sequence) this.#files.delete(target);
    const map = this.#targets.get(target);
    if (map === undefined || operation.length === 0) return;
    map.removeWhere(operation.offset, operation.length, (value) => value === operation);
    if (map.pieces === 0) this.#targets.delete(target);
  }

  /** Calls `each` for all pieces, target by target, ascending. It must not change anything here. */
  visitAll(each: (from: number, to: number, operation: Operation) => void): void {
    for (const map of this.#targets.values()) map.visit(0, Number.MAX_SAFE_INTEGER, each);
  }
}

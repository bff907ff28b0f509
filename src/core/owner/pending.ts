/** What operations that are not on the medium yet say of files beyond ranges of bytes: sizes and times. */
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

/** Of files only: a block volume's one image has neither a size of its own nor a time. */
export class PendingFiles {
  readonly #files = new Map<string, Pending>();

  /** `operation` is newer than everything here. */
  add(operation: Operation): void {
    if (operation.target === '') return;
    let file = this.#files.get(operation.target);
    if (file === undefined) {
      file = new Pending();
      this.#files.set(operation.target, file);
    }
    file.add(operation);
  }

  /** What is known of a file; null when nothing of it is here. */
  get(target: string): PendingObject | null {
    return this.#files.get(target) ?? null;
  }

  /** Files with operations here, in the order in which they came. */
  all(): Iterable<readonly [target: string, pending: PendingObject]> {
    return this.#files;
  }

  /** Operations are removed in order: with the last one of a file goes what is known of it. */
  remove({ target, sequence }: Operation): void {
    if (target !== '' && this.#files.get(target)?.newest === sequence) this.#files.delete(target);
  }

  clear(): void {
    this.#files.clear();
  }
}

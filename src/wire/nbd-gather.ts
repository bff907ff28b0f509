/**
 * Bytes as a socket hands them out, in pieces of any size, taken out again in the sizes that a parser wants. Bytes that
 * lie whole in one piece are not copied; others are gathered into one buffer of exactly their size. Pieces that lie one
 * behind the other in memory, as an inlet's do (src/base/inlet.ts), are one piece.
 */
import { assert } from '../base/fault.ts';
import { NO_BYTES } from '../base/operation.ts';
import { joined } from '../base/slab.ts';

/** What a queued piece costs beside its bytes: many tiny pieces must not evade a bound on bytes. */
const PIECE_OVERHEAD_BYTES = 256;

/** A queue of received pieces with a read position. The owner bounds it by looking at `costBytes`. */
export class ByteQueue {
  /** The piece that is being read; NO_BYTES when there is none. */
  piece: Buffer = NO_BYTES;
  /** Read position in `piece`. */
  at = 0;
  /** Bytes not yet read, over all pieces. */
  length = 0;
  readonly #later: Buffer[] = [];

  /** What the unread pieces hold of memory, in bytes. */
  get costBytes(): number {
    return this.length + PIECE_OVERHEAD_BYTES * this.#later.length;
  }

  push(piece: Buffer): void {
    if (piece.length === 0) return;
    this.length += piece.length;
    const later = this.#later;
    if (later.length > 0) {
      const longer = joined(later[later.length - 1]!, piece);
      if (longer === null) later.push(piece);
      else later[later.length - 1] = longer;
    } else if (this.at === this.piece.length) {
      this.piece = piece;
      this.at = 0;
    } else {
      const longer = joined(this.piece.subarray(this.at), piece);
      if (longer === null) return void later.push(piece);
      this.piece = longer;
      this.at = 0;
    }
  }

  /** Whether the bytes that come next may turn out to be the rest of the current piece. */
  get mayGrow(): boolean {
    return this.#later.length === 0;
  }

  /** Unread bytes of the current piece; moves on to the next piece when there are none. */
  get ready(): number {
    if (this.at === this.piece.length) {
      this.piece = this.#later.shift() ?? NO_BYTES;
      this.at = 0;
    }
    return this.piece.length - this.at;
  }

  /** Moves past `count` bytes of the current piece. */
  advance(count: number): void {
    assert(count <= this.piece.length - this.at, 'a parser advances within the current piece');
    this.at += count;
    this.length -= count;
  }

  /** Copies what there is, at most `into.length - from` bytes, into `into` from `from` on; returns the new `from`. */
  fill(into: Buffer, from: number): number {
    while (from < into.length && this.ready > 0) {
      const count = Math.min(into.length - from, this.piece.length - this.at);
      this.piece.copy(into, from, this.at, this.at + count);
      this.advance(count);
      from += count;
    }
    return from;
  }

  /** Drops at most `count` bytes; returns how many are still to be dropped when more arrive. */
  drop(count: number): number {
    while (count > 0 && this.ready > 0) {
      const now = Math.min(count, this.piece.length - this.at);
      this.advance(now);
      count -= now;
    }
    return count;
  }
}

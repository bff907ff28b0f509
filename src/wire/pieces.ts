/**
 * Bytes to be sent, in pieces of memory one behind the other: what a batch of frames is made of. A piece is said by a
 * buffer and two positions, so that none needs a view of its own; the list is used again from batch to batch.
 */
import { NO_BYTES } from '../base/operation.ts';

/** A list that once was longer gives its memory back when it is emptied. */
const KEPT_PIECES = 4096;

export class Pieces {
  /** How many there are: what the three lists have behind that is left over from longer batches. */
  count = 0;
  buffers: Buffer[] = [];
  /** Piece `i` is the bytes [`from[i]`, `to[i]`) of `buffers[i]`. */
  from: number[] = [];
  to: number[] = [];

  add(buffer: Buffer, from: number, to: number): void {
    this.buffers[this.count] = buffer;
    this.from[this.count] = from;
    this.to[this.count] = to;
    this.count += 1;
  }

  /** Of all of them. */
  get bytes(): number {
    let bytes = 0;
    for (let i = 0; i < this.count; i += 1) bytes += this.to[i]! - this.from[i]!;
    return bytes;
  }

  /** Everything behind the first `skip` bytes: buffers that are wanted as a whole, and views. */
  behind(skip: number): Buffer[] {
    const found: Buffer[] = [];
    let passed = 0;
    for (let i = 0; i < this.count; i += 1) {
      const buffer = this.buffers[i]!;
      const to = this.to[i]!;
      const from = this.from[i]! + Math.max(0, skip - passed);
      passed += to - this.from[i]!;
      if (from < to) found.push(to - from === buffer.length ? buffer : buffer.subarray(from, to));
    }
    return found;
  }

  /** Lets go of all of them. */
  clear(): void {
    if (this.count > KEPT_PIECES) {
      this.buffers = [];
      this.from = [];
      this.to = [];
    } else for (let i = 0; i < this.count; i += 1) this.buffers[i] = NO_BYTES;
    this.count = 0;
  }
}

/**
 * The calls on ranges of an open raw image: reserving room, zeroing, and telling holes from data.
 */
import { write } from 'node:fs';
import { type Done, Fault, type Result } from '../../base/fault.ts';
import type { Extent } from '../../ports/medium.ts';
import { zeroDevice } from '../linux/block-device.ts';
import { codeOf, faultOfErrno, faultOfError } from '../linux/errno.ts';
import { isUnsupported, punchRange, reserveRange, seekData, seekHole, zeroRange } from '../linux/ranges.ts';
import { type Call, type ImageHandle, syncData } from './raw-calls.ts';

/** A range is zeroed by writing in pieces of this size. */
const ZERO_PIECE_BYTES = 1 << 20;
/** Ranges of a device are zeroed by itself in whole multiples of this, which every logical block size divides. */
const DEVICE_BLOCK_BYTES = 4096;
/** More extents than this are not told apart: what follows counts as data, which is always safe. */
export const EXTENTS_MAX = 4096;

const ZEROES = Buffer.alloc(ZERO_PIECE_BYTES);

export class ReserveCall implements Call {
  readonly #image: ImageHandle;
  readonly #offset: number;
  readonly #length: number;
  readonly #done: Done;

  constructor(image: ImageHandle, offset: number, length: number, done: Done) {
    this.#image = image;
    this.#offset = offset;
    this.#length = length;
    this.#done = done;
  }

  start(): void {
    reserveRange(this.#image.fd, this.#offset, this.#length, (errno) => {
      this.#image.returned();
      if (errno === 0) return this.#done(null);
      const what = `Reserving ${this.#length} bytes at ${this.#offset} of ${this.#image.path}`;
      this.#done(faultOfErrno(errno, what));
    });
  }

  fail(fault: Fault): void {
    this.#done(fault);
  }
}

/**
 * Makes a range read as zeroes, by the first way that the image has: punching a hole (if asked for), zeroing the range
 * in place, writing zeroes. A device zeroes whole blocks only: the ends of the range are written.
 */
export class ZeroCall implements Call {
  readonly #image: ImageHandle;
  readonly #offset: number;
  readonly #length: number;
  readonly #done: Done;
  #punch: boolean;
  /** The part that the image zeroes by itself; what lies before and behind is written. */
  readonly #from: number;
  readonly #to: number;

  constructor(image: ImageHandle, offset: number, length: number, punch: boolean, done: Done) {
    this.#image = image;
    this.#offset = offset;
    this.#length = length;
    this.#punch = punch;
    this.#done = done;
    const unit = image.isDevice ? DEVICE_BLOCK_BYTES : 1;
    this.#from = Math.ceil(offset / unit) * unit;
    this.#to = Math.floor((offset + length) / unit) * unit;
  }

  start(): void {
    const end = this.#offset + this.#length;
    if (this.#from >= this.#to || (this.#image.writesZeroes && !this.#punch)) {
      return this.#write(this.#offset, end, () => this.#end(null));
    }
    this.#write(this.#offset, this.#from, () => this.#write(this.#to, end, () => this.#middle()));
  }

  fail(fault: Fault): void {
    this.#done(fault);
  }

  #middle(): void {
    const length = this.#to - this.#from;
    if (this.#punch) {
      return punchRange(this.#image.fd, this.#from, length, (errno) => {
        if (!isUnsupported(errno)) return this.#ranged(errno);
        this.#punch = false;
        this.#middle();
      });
    }
    if (this.#image.writesZeroes) return this.#write(this.#from, this.#to, () => this.#end(null));
    const zero = this.#image.isDevice ? zeroDevice : zeroRange;
    zero(this.#image.fd, this.#from, length, (errno) => {
      if (!isUnsupported(errno)) return this.#ranged(errno);
      this.#image.writesZeroes = true;
      this.#middle();
    });
  }

  /** A range operation has ended. */
  #ranged(errno: number): void {
    if (errno !== 0) return this.#end(faultOfErrno(errno, this.#what()));
    if (!this.#image.syncsRanges) return this.#end(null);
    syncData(this.#image, (fault) => this.#end(fault));
  }

  /** Writes zeroes from `from` up to `to`, a piece at a time; goes on with `then`, or ends with the fault. */
  #write(from: number, to: number, then: () => void): void {
    if (from >= to) return then();
    write(this.#image.fd, ZEROES, 0, Math.min(ZERO_PIECE_BYTES, to - from), from, (error, count) => {
      if (error !== null) this.#end(faultOfError(error, this.#what()));
      else if (count === 0) this.#end(new Fault('io', `${this.#what()} failed: nothing was taken.`));
      else this.#write(from + count, to, then);
    });
  }

  #what(): string {
    return `Zeroing ${this.#length} bytes at ${this.#offset} of ${this.#image.path}`;
  }

  #end(fault: Fault | null): void {
    this.#image.returned();
    this.#done(fault);
  }
}

/**
 * Tells holes from data (SEEK_DATA, SEEK_HOLE). Room that was reserved and never written reads as zeroes and may count
 * as a hole. A file system that cannot tell says that all is data.
 */
export class ExtentsCall implements Call {
  readonly #image: ImageHandle;
  readonly #end: number;
  readonly #length: number;
  readonly #done: Result<readonly Extent[]>;
  readonly #found: { offset: number; length: number; hole: boolean }[] = [];
  #at: number;

  constructor(image: ImageHandle, offset: number, length: number, done: Result<readonly Extent[]>) {
    this.#image = image;
    this.#at = offset;
    this.#end = offset + length;
    this.#length = length;
    this.#done = done;
  }

  start(): void {
    if (this.#image.isDevice) setImmediate(() => this.#finish());
    else this.#next();
  }

  fail(fault: Fault): void {
    this.#done(fault, null);
  }

  /** From `at` on: the hole up to the next data, and the data up to the next hole. */
  #next(): void {
    if (this.#at >= this.#end || this.#found.length >= EXTENTS_MAX) return this.#finish();
    seekData(this.#image.fd, this.#at, (errno, data) => {
      if (codeOf(errno) === 'ENXIO') this.#take(this.#end, true);
      else if (codeOf(errno) === 'EINVAL') return this.#finish();
      else if (errno !== 0) return this.#broken(errno);
      else this.#take(data, true);
      if (this.#at >= this.#end) return this.#finish();
      seekHole(this.#image.fd, this.#at, (holeErrno, hole) => {
        if (holeErrno !== 0) return this.#broken(holeErrno);
        // A hole that opens where data was just found would keep us here for ever.
        this.#take(Math.max(hole, this.#at + 1), false);
        this.#next();
      });
    });
  }

  #take(to: number, hole: boolean): void {
    const length = Math.min(to, this.#end) - this.#at;
    if (length <= 0) return;
    this.#found.push({ offset: this.#at, length, hole });
    this.#at += length;
  }

  #broken(errno: number): void {
    this.#image.returned();
    this.#done(faultOfErrno(errno, `Looking for holes in ${this.#length} bytes of ${this.#image.path}`), null);
  }

  #finish(): void {
    this.#take(this.#end, false);
    this.#image.returned();
    this.#done(null, merged(this.#found));
  }
}

/** Neighbours of the same sort become one. */
function merged(found: readonly Extent[]): Extent[] {
  const result: { offset: number; length: number; hole: boolean }[] = [];
  for (const extent of found) {
    const last = result.at(-1);
    if (last !== undefined && last.hole === extent.hole) last.length += extent.length;
    else result.push({ ...extent });
  }
  return result;
}

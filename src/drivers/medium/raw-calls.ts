/**
 * Reading, writing and syncing an open raw image, one class each; raw-ranges.ts has the rest. A call object carries its own progress through short reads and
 * writes, pieces and fall-backs, so that it costs one object and one callback whatever happens on the way.
 */
import { fdatasync, read, write, writev } from 'node:fs';
import { type Done, Fault, type Result } from '../../base/fault.ts';
import { faultOfError } from '../linux/errno.ts';

/** What a call needs of the image it works on. */
export interface ImageHandle {
  readonly fd: number;
  readonly path: string;
  readonly isDevice: boolean;
  /** Range operations are synced before they are reported. */
  readonly syncsRanges: boolean;
  /** The image cannot zero ranges by itself: learnt once, for all calls. */
  writesZeroes: boolean;
  /** A call has returned from the operating system for good. */
  returned(): void;
}

/** One call. `start` is called once, or `fail` instead of it. */
export interface Call {
  start(): void;
  fail(fault: Fault): void;
}

/** One read takes no more; the front ends ask for far less. */
export const READ_BYTES_MAX = 1 << 30;
export class ReadCall implements Call {
  readonly #image: ImageHandle;
  readonly #offset: number;
  readonly #buffer: Buffer;
  /** What lies beyond the end is zeroes, as of a file that grows; else it is a fault, as of an image. */
  readonly #grows: boolean;
  readonly #done: Result<Buffer>;
  #filled = 0;

  constructor(image: ImageHandle, offset: number, length: number, grows: boolean, done: Result<Buffer>) {
    this.#image = image;
    this.#offset = offset;
    this.#buffer = Buffer.allocUnsafe(length);
    this.#grows = grows;
    this.#done = done;
  }

  start(): void {
    const at = this.#filled;
    read(this.#image.fd, this.#buffer, at, this.#buffer.length - at, this.#offset + at, this.#got);
  }

  fail(fault: Fault): void {
    this.#done(fault, null);
  }

  readonly #got = (error: NodeJS.ErrnoException | null, count: number): void => {
    if (error === null && count > 0) {
      this.#filled += count;
      if (this.#filled < this.#buffer.length) return this.start();
      this.#image.returned();
      return this.#done(null, this.#buffer);
    }
    this.#image.returned();
    if (error === null && this.#grows) return this.#done(null, this.#buffer.fill(0, this.#filled));
    const what = `Reading ${this.#buffer.length} bytes from ${this.#offset} of ${this.#image.path}`;
    if (error !== null) return this.#done(faultOfError(error, what), null);
    this.#done(new Fault('io', `${what} failed: the image ends at ${this.#offset + this.#filled}.`), null);
  };
}

export class WriteCall implements Call {
  readonly #image: ImageHandle;
  readonly offset: number;
  readonly length: number;
  readonly #done: Done;
  #pieces: readonly Buffer[];
  #written = 0;

  constructor(image: ImageHandle, offset: number, pieces: readonly Buffer[], length: number, done: Done) {
    this.#image = image;
    this.offset = offset;
    this.#pieces = pieces;
    this.length = length;
    this.#done = done;
  }

  /** What is still to be written; all of it, before `start`. */
  get pieces(): readonly Buffer[] {
    return this.#pieces;
  }

  /** It was written as a whole, with others, instead of being started. */
  written(): void {
    this.#done(null);
  }

  start(): void {
    const [first] = this.#pieces;
    const at = this.offset + this.#written;
    const wrote = (error: NodeJS.ErrnoException | null, count: number): void => this.#wrote(error, count);
    if (first !== undefined && this.#pieces.length === 1) write(this.#image.fd, first, 0, first.length, at, wrote);
    else writev(this.#image.fd, this.#pieces, at, wrote);
  }

  fail(fault: Fault): void {
    this.#done(fault);
  }

  #wrote(error: NodeJS.ErrnoException | null, count: number): void {
    if (error === null && count > 0) {
      this.#written += count;
      if (this.#written < this.length) {
        this.#pieces = piecesFrom(this.#pieces, count);
        return this.start();
      }
      this.#image.returned();
      return this.#done(null);
    }
    this.#image.returned();
    const what = `Writing ${this.length} bytes at ${this.offset} of ${this.#image.path}`;
    if (error !== null) return this.#done(faultOfError(error, what));
    this.#done(new Fault('io', `${what} failed: the operating system took ${this.#written} of them.`));
  }
}

/** What is left of `pieces` behind their first `count` bytes. */
export function piecesFrom(pieces: readonly Buffer[], count: number): readonly Buffer[] {
  let skipped = 0;
  for (let i = 0; i < pieces.length; i++) {
    const piece = pieces[i] as Buffer;
    if (skipped + piece.length > count) return [piece.subarray(count - skipped), ...pieces.slice(i + 1)];
    skipped += piece.length;
  }
  return [];
}

export class SyncCall implements Call {
  readonly #image: ImageHandle;
  readonly #done: Done;

  constructor(image: ImageHandle, done: Done) {
    this.#image = image;
    this.#done = done;
  }

  start(): void {
    syncData(this.#image, (fault) => {
      this.#image.returned();
      this.#done(fault);
    });
  }

  fail(fault: Fault): void {
    this.#done(fault);
  }
}

/** fdatasync, its failure as a fault. */
export function syncData(image: { readonly fd: number; readonly path: string }, done: Done): void {
  fdatasync(image.fd, (error) => done(error === null ? null : faultOfError(error, `Syncing ${image.path}`)));
}

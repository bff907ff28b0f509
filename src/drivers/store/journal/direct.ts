/**
 * Writing past the kernel's cache (O_DIRECT): the pieces of a small group are put into one page-aligned piece of memory
 * and go to the disk from there. Nothing of the journal is ever read while it runs, so that the cache, with a page to be
 * found, locked, marked and written back for every 4 KiB, only costs: a group of 64 KiB takes a quarter less processor
 * time without it, and does not wait behind what the medium's sync has brought into the cache's own queue.
 */
import { close, constants, open, write } from 'node:fs';
import { assert } from '../../../base/fault.ts';
import { AsyncWrite } from '../../linux/async-write.ts';
import { ErrorNumber, errorCode, errorOfErrno } from '../../linux/errno.ts';
import { PAGE_BYTES, PageMemory } from '../../linux/memory.ts';
import { dropCachedRange } from '../../linux/ranges.ts';

/**
 * Larger groups go through the cache, as vectored writes: their bytes are then copied by the thread that writes them,
 * and not by the one that everybody waits for.
 */
export const DIRECT_BYTES_MAX = 256 << 10;

/** As `fs.write` ends: an error, or how many bytes were written. */
export type DirectDone = (error: NodeJS.ErrnoException | null, written: number) => void;

export class DirectWriter {
  readonly #fd: number;
  /** Made for the first group: a file that is only looked at needs none. */
  #memory: PageMemory | null = null;
  /** Null where every write takes a thread. */
  #async: AsyncWrite | null = null;
  #busy = false;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** For the file that `fd` is of, whatever its name is now. Null where the file system or the platform refuses. */
  static open(fd: number, done: (writer: DirectWriter | null) => void): void {
    open(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_DSYNC | constants.O_DIRECT, (error, direct) =>
      done(error === null ? new DirectWriter(direct) : null),
    );
  }

  /** Whether `bytes` at `at` can be written now in this way. */
  takes(bytes: number, at: number): boolean {
    return !this.#busy && bytes <= DIRECT_BYTES_MAX && bytes % PAGE_BYTES === 0 && at % PAGE_BYTES === 0;
  }

  /** Writes the pieces one behind the other; stable when `done(null, written)`. Their bytes are copied at once. */
  write(pieces: readonly Buffer[], at: number, done: DirectDone): void {
    assert(!this.#busy, 'one direct write at a time');
    this.#busy = true;
    const ended: DirectDone = (error, written) => {
      this.#busy = false;
      done(error, written);
    };
    if (this.#memory !== null) return this.#submit(this.#memory, this.#memory.gather(pieces), at, ended);
    const memory = new PageMemory(DIRECT_BYTES_MAX);
    const length = memory.gather(pieces);
    this.#memory = memory;
    this.#async = AsyncWrite.make();
    // What the cache still holds of the file, since it was made or read, would have to be let go of piece by piece, and
    // a write that does not wait does not wait for that.
    dropCachedRange(this.#fd, 0, 0, () => this.#submit(memory, length, at, ended));
  }

  #submit({ bytes }: PageMemory, length: number, at: number, ended: DirectDone): void {
    const onThread = (): void => write(this.#fd, bytes, 0, length, at, ended);
    const taken = this.#async?.write(this.#fd, bytes, length, at, (written, errno) => {
      if (written >= 0) ended(null, written);
      else if (errno === ErrorNumber.EAGAIN) onThread();
      else ended(errorOfErrno(errno, 'io_submit'), 0);
    });
    if (taken !== true) onThread();
  }

  /** No write is on its way. */
  close(done: (error: NodeJS.ErrnoException | null | undefined) => void): void {
    this.#async?.close();
    this.#async = null;
    close(this.#fd, done);
  }
}

/** The file system took the file for direct writing, and does not take a direct write: blocks larger than a page. */
export function refusesDirect(error: unknown): boolean {
  const code = errorCode(error);
  return code === 'EINVAL' || code === 'EOPNOTSUPP';
}

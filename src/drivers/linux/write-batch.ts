/**
 * Many writes at different places of a file with one system call on one thread of the pool: the kernel's `io_submit`,
 * which carries buffered writes out one behind the other before it returns. Node has no call for more than one place,
 * and a call each costs the event loop many times what it costs the kernel to copy a page.
 *
 * The structures are the kernel's own (include/uapi/linux/aio_abi.h: `iocb` of 64 bytes, `io_event` of 32).
 */
import { assert } from '../../base/fault.ts';
import { codeOf } from './errno.ts';
import { libc, onThreadPool } from './libc.ts';
import { addressOf } from './memory.ts';

/** Numbers of io_setup, io_submit, io_getevents. Where they are not known, there are no batches. */
const CALLS: Readonly<Record<string, AioCalls>> = {
  x64: { setup: 206, submit: 209, getEvents: 208 },
  arm64: { setup: 0, submit: 2, getEvents: 4 },
};

/** Numbers of the kernel's calls for many files or places at once. */
export interface AioCalls {
  readonly setup: number;
  readonly submit: number;
  readonly getEvents: number;
}
/** Null where they are not known. */
export const AIO_CALLS: AioCalls | null = CALLS[process.arch] ?? null;
const IOCB_BYTES = 64;
const EVENT_BYTES = 32;
const IOVEC_BYTES = 16;
const IOCB_CMD_PWRITEV = 8;
const TWO_32 = 2 ** 32;

/**
 * Writes of one batch at most: enough that handing it to another thread and back costs little for each of them, few
 * enough that the thread, which does nothing else until they are done, does not keep a processor from those who wait.
 */
export const BATCH_WRITES_MAX = 128;
/** Pieces of all writes of one batch at most. */
export const BATCH_PIECES_MAX = 4096;

/** One write of a batch: its pieces one behind the other, `length` bytes in all, from `offset` on. */
export interface PlacedWrite {
  /** The file, where the writes of a batch go to several. */
  readonly fd?: number;
  readonly pieces: readonly Buffer[];
  readonly length: number;
  readonly offset: number;
}

/** Makes batches, one at a time. Its memory and the kernel's context live as long as the process. */
export class WriteBatch {
  readonly #context: bigint;
  readonly #submit: number;
  readonly #getEvents: number;
  readonly #controls = Buffer.alloc(IOCB_BYTES * BATCH_WRITES_MAX);
  readonly #pointers = new BigUint64Array(BATCH_WRITES_MAX);
  /** As halves of 64 bit numbers, low ones first: no BigInt is made for a piece. */
  readonly #vectors = new Uint32Array((IOVEC_BYTES / 4) * BATCH_PIECES_MAX);
  readonly #fields: Uint32Array;
  readonly #vectorsAt: number;
  readonly #events = Buffer.alloc(EVENT_BYTES * BATCH_WRITES_MAX);
  #busy = false;

  private constructor(context: bigint, submit: number, getEvents: number) {
    this.#context = context;
    this.#submit = submit;
    this.#getEvents = getEvents;
    const at = libc().address(this.#controls);
    this.#vectorsAt = addressOf(Buffer.from(this.#vectors.buffer));
    this.#fields = new Uint32Array(this.#controls.buffer, this.#controls.byteOffset, this.#controls.length / 4);
    for (let i = 0; i < BATCH_WRITES_MAX; i += 1) this.#pointers[i] = at + BigInt(i * IOCB_BYTES);
  }

  /** Null where the kernel has no such calls, or will not have them used. */
  static make(): WriteBatch | null {
    if (AIO_CALLS === null) return null;
    const { setup, submit, getEvents } = AIO_CALLS;
    const context = new BigUint64Array(1);
    if (libc().syscallWithMemory(setup, BATCH_WRITES_MAX, context) !== 0) return null;
    return new WriteBatch(context[0] ?? 0n, submit, getEvents);
  }

  get busy(): boolean {
    return this.#busy;
  }

  /**
   * Writes all of `writes` to the file. `done` is told, in a later turn, which of them were written as a whole; the
   * others may have been written in part or not at all, and are to be written in the ordinary way, which also says
   * what is wrong. Nobody changes the bytes meanwhile.
   */
  run(fd: number, writes: readonly PlacedWrite[], done: (written: readonly boolean[]) => void): void {
    assert(
      !this.#busy && writes.length > 0 && writes.length <= BATCH_WRITES_MAX,
      'one batch at a time, of some writes',
    );
    this.#busy = true;
    const fields = this.#fields;
    const vectors = this.#vectors;
    let vector = 0;
    for (let i = 0; i < writes.length; i += 1) {
      const { pieces, offset, fd: own } = writes[i]!;
      const at = i * (IOCB_BYTES / 4);
      const vectorAt = this.#vectorsAt + vector * IOVEC_BYTES;
      // The other fields are zero from the beginning.
      fields[at] = i;
      fields[at + 4] = IOCB_CMD_PWRITEV;
      fields[at + 5] = own ?? fd;
      fields[at + 6] = vectorAt % TWO_32;
      fields[at + 7] = vectorAt / TWO_32;
      fields[at + 8] = pieces.length;
      fields[at + 10] = offset % TWO_32;
      fields[at + 11] = offset / TWO_32;
      assert(vector + pieces.length <= BATCH_PIECES_MAX, 'the pieces of a batch are bounded');
      for (let k = 0; k < pieces.length; k += 1) {
        const piece = pieces[k]!;
        const address = addressOf(piece);
        const to = vector * (IOVEC_BYTES / 4);
        vectors[to] = address % TWO_32;
        vectors[to + 1] = address / TWO_32;
        vectors[to + 2] = piece.length;
        vector += 1;
      }
    }
    onThreadPool(
      (library, finished) =>
        library.syscallSubmit.async(this.#submit, this.#context, writes.length, this.#pointers, finished),
      (taken) => this.#collect(writes, Math.max(0, taken), done),
    );
  }

  /**
   * One event for each write that was taken. They are there when `io_submit` returns for a file in the kernel's cache;
   * where they are not, a thread waits for all of them: no write may still be on its way when the batch is over.
   */
  #collect(writes: readonly PlacedWrite[], taken: number, done: (written: readonly boolean[]) => void): void {
    const written = writes.map(() => false);
    let left = taken;
    const note = (found: number): void => {
      for (let i = 0; i < found; i += 1) {
        const index = this.#events.readUInt32LE(i * EVENT_BYTES);
        written[index] = Number(this.#events.readBigInt64LE(i * EVENT_BYTES + 16)) === writes[index]?.length;
      }
      left -= found;
    };
    const wait = (): void => {
      if (left === 0) {
        this.#busy = false;
        return done(written);
      }
      onThreadPool(
        (library, finished) =>
          library.syscallWithContext.async(this.#getEvents, this.#context, left, left, this.#events, null, finished),
        (found, errno) => {
          assert(found >= 0 || codeOf(errno) === 'EINTR', 'the kernel tells how every write of a batch ended');
          note(Math.max(0, found));
          wait();
        },
      );
    };
    if (left > 0)
      note(Math.max(0, libc().syscallWithContext(this.#getEvents, this.#context, 0, left, this.#events, null)));
    wait();
  }
}

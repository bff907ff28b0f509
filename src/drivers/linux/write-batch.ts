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
export const BATCH_WRITES_MAX = 64;
/** Pieces of all writes of one batch at most. */
export const BATCH_PIECES_MAX = 4096;

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
  readonly #eventFields: Uint32Array;
  /** Of each of the kernel's writes: its length, and which of the added ones it is a part of. */
  readonly #lengths = new Uint32Array(BATCH_WRITES_MAX);
  readonly #partOf = new Uint8Array(BATCH_WRITES_MAX);
  /** Of each of the added writes: 1 when all of its parts were written as a whole. */
  readonly #written = new Uint8Array(BATCH_WRITES_MAX);
  #added = 0;
  #parts = 0;
  #pieces = 0;
  #busy = false;

  private constructor(context: bigint, submit: number, getEvents: number) {
    this.#context = context;
    this.#submit = submit;
    this.#getEvents = getEvents;
    const at = libc().address(this.#controls);
    this.#vectorsAt = addressOf(Buffer.from(this.#vectors.buffer));
    this.#fields = new Uint32Array(this.#controls.buffer, this.#controls.byteOffset, this.#controls.length / 4);
    this.#eventFields = new Uint32Array(this.#events.buffer, this.#events.byteOffset, this.#events.length / 4);
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

  /** Writes that were added since the last batch. */
  get added(): number {
    return this.#added;
  }

  /** What was added is not written. */
  clear(): void {
    assert(!this.#busy, 'a batch on its way stays as it is');
    this.#added = 0;
    this.#parts = 0;
    this.#pieces = 0;
  }

  /**
   * Adds a write of `pieces`, one behind the other, to `fd` from `offset` on, which the kernel is given in parts of at
   * most `partBytes`. False when it does not fit any more; nothing was added then. Nobody changes the bytes, and they
   * are referred to, until the batch is over.
   */
  add(fd: number, offset: number, pieces: readonly Buffer[], partBytes: number): boolean {
    assert(!this.#busy, 'a batch on its way stays as it is');
    const partsBefore = this.#parts;
    const begin = this.#pieces;
    let begins = begin;
    let length = 0;
    let at = offset;
    for (let i = 0; i < pieces.length; i += 1) {
      const piece = pieces[i]!;
      const address = piece.length === 0 ? 0 : addressOf(piece);
      for (let skip = 0; skip < piece.length;) {
        const taken = Math.min(piece.length - skip, partBytes - length);
        if (this.#pieces === BATCH_PIECES_MAX || this.#parts === BATCH_WRITES_MAX)
          return this.#without(partsBefore, begin);
        this.#addPiece(address + skip, taken);
        skip += taken;
        length += taken;
        if (length < partBytes) continue;
        this.#addPart(fd, at, begins, length);
        begins = this.#pieces;
        at += length;
        length = 0;
      }
    }
    if (length > 0) this.#addPart(fd, at, begins, length);
    this.#written[this.#added] = 1;
    this.#added += 1;
    return true;
  }

  /** Takes back what was added of a write. */
  #without(parts: number, pieces: number): false {
    this.#parts = parts;
    this.#pieces = pieces;
    return false;
  }

  #addPiece(address: number, length: number): void {
    const to = this.#pieces * (IOVEC_BYTES / 4);
    this.#vectors[to] = address % TWO_32;
    this.#vectors[to + 1] = address / TWO_32;
    this.#vectors[to + 2] = length;
    this.#pieces += 1;
  }

  /** One of the kernel's writes: of the pieces from the `begins`-th on. */
  #addPart(fd: number, offset: number, begins: number, length: number): void {
    const fields = this.#fields;
    const at = this.#parts * (IOCB_BYTES / 4);
    const vectorAt = this.#vectorsAt + begins * IOVEC_BYTES;
    // The other fields are zero from the beginning.
    fields[at] = this.#parts;
    fields[at + 4] = IOCB_CMD_PWRITEV;
    fields[at + 5] = fd;
    fields[at + 6] = vectorAt % TWO_32;
    fields[at + 7] = vectorAt / TWO_32;
    fields[at + 8] = this.#pieces - begins;
    fields[at + 10] = offset % TWO_32;
    fields[at + 11] = offset / TWO_32;
    this.#lengths[this.#parts] = length;
    this.#partOf[this.#parts] = this.#added;
    this.#parts += 1;
  }

  /**
   * Writes what was added. `done` comes in a later turn, when nothing of it is on its way any more. The batch is empty
   * then, and until the next write is added `wrote` tells how each of them went.
   */
  run(done: () => void): void {
    assert(!this.#busy && this.#added > 0, 'one batch at a time, of some writes');
    this.#busy = true;
    onThreadPool(
      (library, finished) =>
        library.syscallSubmit.async(this.#submit, this.#context, this.#parts, this.#pointers, finished),
      (taken) => {
        for (let i = Math.max(0, taken); i < this.#parts; i += 1) this.#written[this.#partOf[i]!] = 0;
        this.#collect(Math.max(0, taken), done);
      },
    );
  }

  /**
   * The `index`-th of the added writes was written as a whole. If not, then in part or not at all: it is to be written
   * in the ordinary way, which also says what is wrong.
   */
  wrote(index: number): boolean {
    return this.#written[index] === 1;
  }

  /**
   * One event for each write that was taken. They are there when `io_submit` returns for a file in the kernel's cache;
   * where they are not, a thread waits for all of them: no write may still be on its way when the batch is over.
   */
  #collect(taken: number, done: () => void): void {
    const { syscallWithContext } = libc();
    const found = taken === 0 ? 0 : syscallWithContext(this.#getEvents, this.#context, 0, taken, this.#events, null);
    this.#note(found);
    this.#wait(taken - Math.max(0, found), done);
  }

  #wait(left: number, done: () => void): void {
    if (left === 0) {
      this.#busy = false;
      this.clear();
      return done();
    }
    onThreadPool(
      (library, finished) =>
        library.syscallWithContext.async(this.#getEvents, this.#context, left, left, this.#events, null, finished),
      (found, errno) => {
        assert(found >= 0 || codeOf(errno) === 'EINTR', 'the kernel tells how every write of a batch ended');
        this.#note(found);
        this.#wait(left - Math.max(0, found), done);
      },
    );
  }

  /** Notes how the first `found` of the kernel's events say that writes ended. */
  #note(found: number): void {
    const fields = this.#eventFields;
    for (let i = 0; i < found; i += 1) {
      const at = i * (EVENT_BYTES / 4);
      const part = fields[at]!;
      // The result is a number of 64 bits; a failure's high half is not zero.
      const whole = fields[at + 4] === this.#lengths[part] && fields[at + 5] === 0;
      if (!whole) this.#written[this.#partOf[part]!] = 0;
    }
  }
}

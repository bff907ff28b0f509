/**
 * A direct write without a thread: handed to the disk's queue by the thread that asks for it (`io_submit`), and told by an
 * event when it is stable. A thread of the pool has to be woken for a write, waits for its turn on a busy processor, and
 * wakes the event loop again: together as much processor time as the write itself, and under load several times as long.
 *
 * It never waits (RWF_NOWAIT): where the file system or the disk's queue would have to, the write is not taken, and goes
 * to the pool as any other. So a disk that hangs does not take the event loop with it.
 *
 * The structures are the kernel's own (include/uapi/linux/aio_abi.h: `iocb` of 64 bytes, `io_event` of 32).
 */
import { assert } from '../../base/fault.ts';
import { ErrorNumber } from './errno.ts';
import { type EventFd, openEventFd } from './event-fd.ts';
import { libc, type Returned } from './libc.ts';
import { addressOf } from './memory.ts';
import { AIO_CALLS } from './write-batch.ts';

/** Number of io_destroy. */
const DESTROY: Readonly<Record<string, number>> = { x64: 207, arm64: 1 };
const IOCB_BYTES = 64;
const EVENT_BYTES = 32;
const RESULT_AT = 16;
const IOCB_CMD_PWRITE = 1;
const IOCB_FLAG_RESFD = 1;
const RWF_NOWAIT = 8;
const TWO_32 = 2 ** 32;
/** After so many refusals, one behind the other, the file seems to be one that always has to wait. */
const REFUSALS_MAX = 100;
/** So many writes later it is asked again. */
const ASKED_AGAIN_AFTER = 10_000;

export class AsyncWrite {
  readonly #context: bigint;
  readonly #calls: { readonly submit: number; readonly getEvents: number; readonly destroy: number };
  readonly #control = Buffer.alloc(IOCB_BYTES);
  readonly #fields: Uint32Array;
  readonly #pointer: BigUint64Array;
  readonly #event = Buffer.alloc(EVENT_BYTES);
  #signal: EventFd | null = null;
  #done: Returned | null = null;
  #refusals = 0;

  private constructor(context: bigint, calls: { submit: number; getEvents: number; destroy: number }) {
    this.#context = context;
    this.#calls = calls;
    this.#fields = new Uint32Array(this.#control.buffer, this.#control.byteOffset, IOCB_BYTES / 4);
    this.#pointer = new BigUint64Array([BigInt(addressOf(this.#control))]);
  }

  /** For one write at a time. Null where the kernel has no such calls, or will not have them used. */
  static make(): AsyncWrite | null {
    const destroy = DESTROY[process.arch];
    if (AIO_CALLS === null || destroy === undefined) return null;
    const context = new BigUint64Array(1);
    if (libc().syscallWithMemory(AIO_CALLS.setup, 1, context) !== 0) return null;
    const writer = new AsyncWrite(context[0] ?? 0n, { ...AIO_CALLS, destroy });
    const signal = openEventFd(() => writer.#happened());
    writer.#signal = signal;
    if (signal !== null) return writer;
    writer.close();
    return null;
  }

  /**
   * Writes `length` bytes from the beginning of `bytes` to `at`. False: not taken, now at least; nothing was written.
   * `done` is told in a later turn how many bytes were written, or -1 and the errno: EAGAIN when it had to wait after all
   * and wrote nothing. Nobody changes the bytes meanwhile. The file is open for direct writing.
   */
  write(fd: number, bytes: Buffer, length: number, at: number, done: Returned): boolean {
    assert(this.#done === null, 'one write at a time');
    const signal = this.#signal;
    if (signal === null || this.#isHopeless()) return false;
    const fields = this.#fields;
    const address = addressOf(bytes);
    // The other fields are zero from the beginning.
    fields[3] = RWF_NOWAIT;
    fields[4] = IOCB_CMD_PWRITE;
    fields[5] = fd;
    fields[6] = address % TWO_32;
    fields[7] = address / TWO_32;
    fields[8] = length;
    fields[10] = at % TWO_32;
    fields[11] = at / TWO_32;
    fields[14] = IOCB_FLAG_RESFD;
    fields[15] = signal.fd;
    if (libc().syscallSubmit(this.#calls.submit, this.#context, 1, this.#pointer) !== 1) {
      this.#refusals += 1;
      return false;
    }
    this.#done = done;
    signal.await(true);
    return true;
  }

  #isHopeless(): boolean {
    if (this.#refusals < REFUSALS_MAX) return false;
    this.#refusals += 1;
    if (this.#refusals >= ASKED_AGAIN_AFTER) this.#refusals = 0;
    return true;
  }

  #happened(): void {
    const found = libc().syscallWithContext(this.#calls.getEvents, this.#context, 0, 1, this.#event, null);
    const done = this.#done;
    if (found !== 1 || done === null) return;
    this.#done = null;
    this.#signal?.await(false);
    const result = Number(this.#event.readBigInt64LE(RESULT_AT));
    if (result === -ErrorNumber.EAGAIN) this.#refusals += 1;
    else this.#refusals = 0;
    if (result < 0) done(-1, -result);
    else done(result, 0);
  }

  /** No write is on its way. */
  close(): void {
    assert(this.#done === null, 'no write is on its way');
    this.#signal?.close();
    this.#signal = null;
    libc().syscallWithNumbers(this.#calls.destroy, Number(this.#context), 0, 0, 0);
  }
}

/**
 * fsync of several files at once, by one system call on one thread of the pool: the kernel's `io_submit` lets its own threads
 * do them side by side, so that all of them wait for the same commit of the file system's journal. One behind the other,
 * each would wait for one of its own. Where the kernel has no such call, the files are synced through the pool, a few at a time.
 *
 * The structures are the kernel's own (include/uapi/linux/aio_abi.h: `iocb` of 64 bytes, `io_event` of 32).
 */
import { fsync } from 'node:fs';
import { assert } from '../../base/fault.ts';
import { syncFd } from './at-calls.ts';
import { codeOf } from './errno.ts';
import { libc, onThreadPool } from './libc.ts';
import { AIO_CALLS } from './write-batch.ts';

const IOCB_BYTES = 64;
const EVENT_BYTES = 32;
const IOCB_CMD_FSYNC = 2;
const IO_DESTROY: Readonly<Record<string, number>> = { x64: 207, arm64: 1 };
const EIO = 5;

/** Files of one batch at most. */
export const BATCH_SYNCS_MAX = 64;
/** Syncs on the thread pool at a time, where there are no batches. */
const POOLED_SYNCS_MAX = 8;

/** Which of the files could not be synced: an errno for each, or 0. */
type Synced = (errnos: readonly number[]) => void;

/** Batches that nobody uses at the moment; their memory and the kernel's contexts live as long as the process. */
const idle: SyncBatch[] = [];

export class SyncBatch {
  readonly #context: bigint | null;
  readonly #controls = Buffer.alloc(IOCB_BYTES * BATCH_SYNCS_MAX);
  readonly #pointers = new BigUint64Array(BATCH_SYNCS_MAX);
  readonly #events = Buffer.alloc(EVENT_BYTES * BATCH_SYNCS_MAX);
  #busy = false;

  private constructor(context: bigint | null) {
    this.#context = context;
    const at = libc().address(this.#controls);
    for (let i = 0; i < BATCH_SYNCS_MAX; i += 1) this.#pointers[i] = at + BigInt(i * IOCB_BYTES);
  }

  /** Give it back with `release`. */
  static take(): SyncBatch {
    const found = idle.pop();
    if (found !== undefined) return found;
    const context = new BigUint64Array(1);
    const made = AIO_CALLS !== null && libc().syscallWithMemory(AIO_CALLS.setup, BATCH_SYNCS_MAX, context) === 0;
    return new SyncBatch(made ? (context[0] ?? 0n) : null);
  }

  release(): void {
    assert(!this.#busy, 'a batch is given back when it is over');
    idle.push(this);
  }

  /** For a thread that ends before the process does: gives the kernel's context back. */
  end(): void {
    const number = IO_DESTROY[process.arch];
    assert(!this.#busy, 'a batch is given back when it is over');
    if (this.#context !== null && number !== undefined)
      libc().syscallWithNumbers(number, Number(this.#context), 0, 0, 0);
  }

  /** One at a time. `done` comes in a later turn, when nothing of the batch is on its way any more. */
  run(fds: readonly number[], done: Synced): void {
    assert(!this.#busy && fds.length > 0 && fds.length <= BATCH_SYNCS_MAX, 'one batch at a time, of some files');
    this.#busy = true;
    const errnos = fds.map(() => 0);
    const ended = (): void => {
      this.#busy = false;
      done(errnos);
    };
    if (this.#context === null || fds.length === 1) return pooled(fds, 0, errnos, ended);
    this.#submit(this.#context, fds, errnos, ended);
  }

  /** The same on this thread, which waits for it: an errno for each file, or 0. */
  runHere(fds: readonly number[]): readonly number[] {
    assert(!this.#busy && fds.length > 0 && fds.length <= BATCH_SYNCS_MAX, 'one batch at a time, of some files');
    const errnos = fds.map(() => 0);
    const taken = fds.length === 1 ? 0 : this.#submitHere(fds);
    for (let left = taken; left > 0 && this.#context !== null;)
      left -= this.#note(this.#getEventsHere(this.#context, left), errnos);
    for (let i = taken; i < fds.length; i += 1) errnos[i] = Math.max(0, -syncFd(fds[i] as number));
    return errnos;
  }

  /** How many the kernel has taken. */
  #submitHere(fds: readonly number[]): number {
    if (this.#context === null || AIO_CALLS === null) return 0;
    this.#fill(fds);
    return Math.max(0, libc().syscallSubmit(AIO_CALLS.submit, this.#context, fds.length, this.#pointers));
  }

  #getEventsHere(context: bigint, left: number): number {
    const { syscallWithContext, errno } = libc();
    const found = syscallWithContext(AIO_CALLS?.getEvents ?? -1, context, left, left, this.#events, null);
    assert(found >= 0 || codeOf(errno()) === 'EINTR', 'the kernel tells how every sync of a batch ended');
    return Math.max(0, found);
  }

  /** Writes what the kernel is to do. */
  #fill(fds: readonly number[]): void {
    this.#controls.fill(0, 0, fds.length * IOCB_BYTES);
    fds.forEach((fd, i) => {
      this.#controls.writeUInt32LE(i, i * IOCB_BYTES);
      this.#controls.writeUInt16LE(IOCB_CMD_FSYNC, i * IOCB_BYTES + 16);
      this.#controls.writeInt32LE(fd, i * IOCB_BYTES + 20);
    });
  }

  /** Notes how `found` syncs ended. */
  #note(found: number, errnos: number[]): number {
    for (let i = 0; i < found; i += 1) {
      const result = Number(this.#events.readBigInt64LE(i * EVENT_BYTES + 16));
      errnos[this.#events.readUInt32LE(i * EVENT_BYTES)] = result < 0 ? -result : 0;
    }
    return found;
  }

  #submit(context: bigint, fds: readonly number[], errnos: number[], ended: () => void): void {
    const calls = AIO_CALLS;
    if (calls === null) return pooled(fds, 0, errnos, ended);
    this.#fill(fds);
    onThreadPool(
      (library, finished) => library.syscallSubmit.async(calls.submit, context, fds.length, this.#pointers, finished),
      // What the kernel does not take is synced in the ordinary way, and says what is wrong with it.
      (taken) =>
        this.#collect(context, Math.max(0, taken), errnos, () => pooled(fds, Math.max(0, taken), errnos, ended)),
    );
  }

  #collect(context: bigint, left: number, errnos: number[], ended: () => void): void {
    const calls = AIO_CALLS;
    if (left === 0 || calls === null) return ended();
    onThreadPool(
      (library, finished) =>
        library.syscallWithContext.async(calls.getEvents, context, left, left, this.#events, null, finished),
      (found, errno) => {
        assert(found >= 0 || codeOf(errno) === 'EINTR', 'the kernel tells how every sync of a batch ended');
        this.#collect(context, left - Math.max(0, this.#note(found, errnos)), errnos, ended);
      },
    );
  }
}

/** Syncs the files from the `from`-th on through the thread pool, and notes how each ended. */
function pooled(fds: readonly number[], from: number, errnos: number[], ended: () => void): void {
  let next = from;
  let out = 0;
  const go = (): void => {
    if (next >= fds.length && out === 0) return ended();
    while (next < fds.length && out < POOLED_SYNCS_MAX) {
      const index = next;
      next += 1;
      out += 1;
      fsync(fds[index] as number, (error) => {
        errnos[index] = error === null ? 0 : Math.abs(error.errno ?? EIO);
        out -= 1;
        go();
      });
    }
  };
  go();
}

/** Everything of the file system that `fd` lies on is made stable: 0, or the errno. */
export function syncFileSystem(fd: number, done: (errno: number) => void): void {
  onThreadPool(
    (library, finished) => library.syncfs.async(fd, finished),
    (result, errno) => done(result < 0 ? errno : 0),
  );
}

/**
 * A short time slice for the thread that runs the event loop. The kernel lets a thread run on for its slice, some 3 ms,
 * before another one that woke up has its turn: a thread of the pool that copies a batch to the medium keeps clients and
 * heartbeats waiting for as long. A thread with a shorter slice of its own comes first; it gets no larger share of the
 * processor by that, so nothing starves.
 *
 * sched_setattr(2): since Linux 6.12 `sched_runtime` is the slice of an ordinary thread (SCHED_OTHER). Before that it is
 * ignored, and everything works the same, less evenly.
 */
import os from 'node:os';
import { foreignLibrary } from './libc.ts';

/** The shortest that the kernel takes. */
const SLICE_NS = 100_000;

/** Number of the system call, by processor. */
const SCHED_SETATTR: Readonly<Record<string, bigint>> = { x64: 314n, arm64: 274n };
/** struct sched_attr (include/uapi/linux/sched/types.h), and where its fields are. */
const ATTRIBUTES_BYTES = 56;
const SIZE_AT = 0;
const FLAGS_AT = 8;
const NICE_AT = 16;
const RUNTIME_AT = 24;
/** Threads that this one starts have ordinary slices: they are the ones that do the long work. */
const SCHED_FLAG_RESET_ON_FORK = 1n;

type SchedSetattr = (number: bigint, thread: bigint, attributes: Buffer, flags: bigint) => number;

/** Shortens the calling thread's slice. False where the kernel or the machine does not offer that, which does no harm. */
export function shortenSlice(): boolean {
  const number = SCHED_SETATTR[process.arch];
  if (number === undefined) return false;
  const call = foreignLibrary().func(
    'int64_t syscall(int64_t number, int64_t thread, void *attributes, int64_t flags)',
  ) as SchedSetattr;
  const attributes = Buffer.alloc(ATTRIBUTES_BYTES);
  attributes.writeUInt32LE(ATTRIBUTES_BYTES, SIZE_AT);
  attributes.writeBigUInt64LE(SCHED_FLAG_RESET_ON_FORK, FLAGS_AT);
  // Set along with the slice: it stays what it is.
  attributes.writeInt32LE(os.getPriority(), NICE_AT);
  attributes.writeBigUInt64LE(BigInt(SLICE_NS), RUNTIME_AT);
  return call(number, 0n, attributes, 0n) === 0;
}

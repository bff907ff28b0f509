/**
 * The C library, as far as Node does not offer it: the only foreign functions of the project (koffi). Everything here
 * is thin; what it is for stands in the neighbouring modules. The library is bound at the first call, so that importing
 * this module is harmless everywhere, and a platform without it gets a sentence instead of a crash.
 */
import { createRequire } from 'node:module';
import { Fault } from '../../base/fault.ts';
import { Ring } from '../../base/ring.ts';

/** What an asynchronous call returns: the function's result and, when that is negative, the thread's errno (else 0). */
export type Returned = (result: number, errno: number) => void;

/** A foreign function: called directly it blocks the event loop; `async` runs it on the thread pool. */
interface Foreign<A extends readonly unknown[]> {
  (...args: A): number;
  async(...args: [...A, (error: Error | null, result: number) => void]): void;
}

interface Libc {
  readonly flock: Foreign<[fd: number, operation: number]>;
  readonly clockGettime: Foreign<[clock: number, timespec: Uint32Array]>;
  readonly fallocate: Foreign<[fd: number, mode: number, offset: number, length: number]>;
  readonly fadvise: Foreign<[fd: number, offset: number, length: number, advice: number]>;
  readonly writeBack: Foreign<[fd: number, offset: number, length: number, flags: number]>;
  readonly lseek: Foreign<[fd: number, offset: number, whence: number]>;
  readonly ioctl: Foreign<[fd: number, request: number, argument: BigUint64Array]>;
  readonly syncfs: Foreign<[fd: number]>;
  readonly ifNameToIndex: Foreign<[device: string]>;
  readonly socket: Foreign<[domain: number, type: number, protocol: number]>;
  readonly sendto: Foreign<
    [fd: number, bytes: Buffer, length: number, flags: number, address: Buffer, addressLength: number]
  >;
  /** Null where the C library does not have it. */
  readonly preadv2: Foreign<[fd: number, vector: BigUint64Array, count: number, offset: number, flags: number]> | null;
  /** System calls that the C library has no function for; every argument is a number or memory. */
  readonly syscallWithMemory: Foreign<[number: number, count: number, memory: BigUint64Array]>;
  readonly syscallWithContext: Foreign<
    [number: number, context: bigint, least: number, most: number, memory: Buffer, timeout: null]
  >;
  readonly syscallSubmit: Foreign<[number: number, context: bigint, count: number, memory: BigUint64Array]>;
  readonly syscallWithNumbers: Foreign<[number: number, first: number, second: number, third: number, fourth: number]>;
  readonly errno: () => number;
  /** Where the bytes are: valid for as long as the buffer is referred to. */
  readonly address: (bytes: Uint8Array) => bigint;
}

/** What we use of koffi; its own declarations are loose. */
interface Koffi {
  load(path: string | null): { func(definition: string): unknown };
  errno(): number;
  address(memory: Uint8Array): bigint;
}

let bound: Libc | null = null;

/** What other modules of this room bind functions of their own with. */
export interface ForeignLibrary {
  func(definition: string): unknown;
  /** Of the last direct call on this thread. */
  errno(): number;
}

/** The C library. Fault `refused` on a platform that does not have it. */
export function foreignLibrary(): ForeignLibrary {
  const { library, koffi } = load();
  return { func: (definition) => library.func(definition), errno: () => koffi.errno() };
}

/** A function of another library, where the machine has that; null where it does not. */
export function foreignFunction(file: string, definition: string): unknown {
  const { koffi } = load();
  return optional(() => koffi.load(file).func(definition));
}

function load(): { readonly library: ReturnType<Koffi['load']>; readonly koffi: Koffi } {
  if (process.platform !== 'linux') {
    throw new Fault(
      'refused',
      `Holdfast needs Linux (flock, boot-time clock, fallocate); this is ${process.platform}.`,
    );
  }
  let koffi: Koffi;
  try {
    koffi = createRequire(import.meta.url)('koffi') as Koffi;
  } catch (cause) {
    throw new Fault('refused', 'The package koffi could not be loaded; run npm install for this platform.', cause);
  }
  // null: the symbols of the running program, which has the C library loaded already, whichever it is.
  return { library: koffi.load(null), koffi };
}

function bind(): Libc {
  const { library, koffi } = load();
  return {
    flock: library.func('int flock(int fd, int operation)') as Libc['flock'],
    clockGettime: library.func('int clock_gettime(int clock, _Out_ void *timespec)') as Libc['clockGettime'],
    fallocate: library.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)') as Libc['fallocate'],
    fadvise: library.func('int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)') as Libc['fadvise'],
    writeBack: library.func(
      'int sync_file_range(int fd, int64_t offset, int64_t length, unsigned int flags)',
    ) as Libc['writeBack'],
    lseek: library.func('int64_t lseek(int fd, int64_t offset, int whence)') as Libc['lseek'],
    ioctl: library.func('int ioctl(int fd, unsigned long request, void *argument)') as Libc['ioctl'],
    syncfs: library.func('int syncfs(int fd)') as Libc['syncfs'],
    ifNameToIndex: library.func('unsigned int if_nametoindex(const char *device)') as Libc['ifNameToIndex'],
    socket: library.func('int socket(int domain, int type, int protocol)') as Libc['socket'],
    sendto: library.func(
      'int64_t sendto(int fd, const void *bytes, size_t length, int flags, const void *address, uint32_t addressLength)',
    ) as Libc['sendto'],
    preadv2: optional(() =>
      library.func('int64_t preadv2(int fd, void *vector, int count, int64_t offset, int flags)'),
    ) as Libc['preadv2'],
    syscallWithMemory: library.func(
      'int64_t syscall(int64_t number, int64_t count, void *memory)',
    ) as Libc['syscallWithMemory'],
    syscallWithContext: library.func(
      'int64_t syscall(int64_t number, uint64_t context, int64_t least, int64_t most, void *memory, void *timeout)',
    ) as Libc['syscallWithContext'],
    syscallSubmit: library.func(
      'int64_t syscall(int64_t number, uint64_t context, int64_t count, void *memory)',
    ) as Libc['syscallSubmit'],
    syscallWithNumbers: library.func(
      'int64_t syscall(int64_t number, int64_t first, int64_t second, int64_t third, int64_t fourth)',
    ) as Libc['syscallWithNumbers'],
    errno: () => koffi.errno(),
    address: (bytes) => koffi.address(bytes),
  };
}

/** A function that not every C library has. */
function optional(make: () => unknown): unknown {
  try {
    return make();
  } catch {
    return null;
  }
}

/** The bound library. Fault `refused` on a platform that does not have it. */
export function libc(): Libc {
  bound ??= bind();
  return bound;
}

/** Calls on the thread pool at a time; koffi itself refuses more than 256. */
export const MAX_CALLS_IN_FLIGHT = 64;
/** Calls that wait for their turn: 64 volumes, each with far fewer range operations on their way than 64. */
export const MAX_CALLS_WAITING = 4096;
/** The errno reported for a call that found the queue full: EAGAIN. */
const EAGAIN = 11;

const waiting = new Ring<() => void>();
let inFlight = 0;

/**
 * Runs `call` on the thread pool once fewer than `MAX_CALLS_IN_FLIGHT` are there, in order of arrival. With
 * `MAX_CALLS_WAITING` already waiting it returns -1 and EAGAIN, in a later turn. `returned` is never called from within.
 */
export function onThreadPool(
  call: (library: Libc, finished: (error: Error | null, result: number) => void) => void,
  returned: Returned,
): void {
  const library = libc();
  const start = (): void => {
    inFlight += 1;
    call(library, (error, result) => {
      // koffi restores the errno of the worker's call just before this callback; read it before anything else runs.
      const errno = result < 0 ? library.errno() : 0;
      inFlight -= 1;
      const next = waiting.shift();
      if (next !== undefined) next();
      if (error !== null) throw error;
      returned(result, errno);
    });
  };
  if (inFlight < MAX_CALLS_IN_FLIGHT) start();
  else if (waiting.length < MAX_CALLS_WAITING) waiting.push(start);
  else setImmediate(returned, -1, EAGAIN);
}

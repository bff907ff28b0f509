/**
 * Reading what the kernel has cached, at once and on this thread: `preadv2` with RWF_NOWAIT copies it or says that it
 * would have to wait for the disk. So a read that the cache can answer costs one system call instead of a journey
 * through the thread pool, and one that it cannot answer never holds up the event loop.
 */
import { codeOf } from './errno.ts';
import { libc } from './libc.ts';

const RWF_NOWAIT = 8;
/** One element of a vector: address and length. */
const vector = new BigUint64Array(2);

/**
 * - `read`        all of `into` was filled
 * - `wait`        some of it would have to wait for the disk, or the call was interrupted: read it in the ordinary way
 * - `unsupported` this file system, kernel or C library cannot tell: do not ask again
 */
export type CachedRead = 'read' | 'wait' | 'unsupported';

/** Fills `into` with the bytes at `offset` of the file if that needs no waiting. */
export function readCached(fd: number, into: Buffer, offset: number): CachedRead {
  const library = libc();
  if (library.preadv2 === null) return 'unsupported';
  vector[0] = library.address(into);
  vector[1] = BigInt(into.length);
  const count = library.preadv2(fd, vector, 1, offset, RWF_NOWAIT);
  if (count === into.length) return 'read';
  if (count >= 0) return 'wait';
  const code = codeOf(library.errno());
  return code === 'EAGAIN' || code === 'EINTR' ? 'wait' : 'unsupported';
}

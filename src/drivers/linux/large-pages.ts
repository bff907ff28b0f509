/**
 * Memory that is there before it is needed, in large pages where the system has them. The first touch of an ordinary page
 * costs the event loop up to 5 us on a virtual machine, more than all else that a server does for the 4 KiB in it.
 */
import { makeSlabsReady } from '../../base/slab.ts';
import { foreignLibrary } from './libc.ts';
import { addressOf } from './memory.ts';

/** Of a large page, on x86-64 and most other machines; elsewhere slabs are aligned to no purpose. */
const LARGE_PAGE_BYTES = 2 << 20;
const MADV_HUGEPAGE = 14;
/** Linux 5.14 and later. */
const MADV_POPULATE_WRITE = 23;

/** madvise(2). */
interface Advise {
  (at: number, bytes: number, advice: number): number;
  async(at: number, bytes: number, advice: number, done: (error: Error | null, result: number) => void): void;
}

/** Has slabs backed by memory ahead of their first use, from now on. Throws the Fault of a platform that is not Linux. */
export function backSlabs(): void {
  const advise = foreignLibrary().func('int madvise(uintptr_t at, size_t bytes, int advice)') as Advise;
  // What the system refuses is no fault: the memory is the same, and slower at its first use.
  makeSlabsReady((region, bytes, ready) => {
    const begin = addressOf(Buffer.from(region));
    const from = (LARGE_PAGE_BYTES - (begin % LARGE_PAGE_BYTES)) % LARGE_PAGE_BYTES;
    advise(begin + from, bytes, MADV_HUGEPAGE);
    advise.async(begin + from, bytes, MADV_POPULATE_WRITE, () => ready(from));
  }, LARGE_PAGE_BYTES);
}

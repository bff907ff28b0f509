/**
 * Memory for bytes that stay: what a socket reads into, and payloads that had to be gathered.
 *
 * Ordinary buffers are memory that the garbage collector counts: every 64 MiB of them, alive or not, it marks the whole
 * heap, which cost more than a quarter of a server's processor time at 100 MiB/s. Shared memory is not counted. So it is
 * taken here, and counted here: beyond the limit, ordinary buffers are handed out again, and with them the collector
 * comes as often as memory needs it.
 */

/** Slabs of this size are pooled: little is cut at its end, and what keeps one alive is not far from its size. */
export const SLAB_BYTES = 1 << 20;
/** Most bytes of shared memory, alive or not yet collected, beside what the stores hold. */
const SPARE_BYTES = 128 << 20;

let limitBytes = SPARE_BYTES;
let usedBytes = 0;
/** Memory of pooled slabs that nobody refers to any more: to be used again, its pages are there already. */
const free: SharedArrayBuffer[] = [];
/** Told when no view of a slab is left: the memory of a pooled one, or the size of another. */
const collected = new FinalizationRegistry<SharedArrayBuffer | number>((left) => {
  if (typeof left === 'number') usedBytes -= left;
  else free.push(left);
});

/** A store of that capacity has been opened, and lives as long as the process: its operations may lie in slabs. */
export function makeRoomInSlabs(capacityBytes: number): void {
  limitBytes += capacityBytes;
}

/** Bytes of slabs: referred to, not yet collected, or waiting to be used again. */
export function slabBytes(): number {
  return usedBytes;
}

/** `bytes` of memory, zeroes or not; it lives as long as any view of it. Those of SLAB_BYTES are used again. */
export function newSlab(bytes: number): Buffer {
  let memory = bytes === SLAB_BYTES ? free.pop() : undefined;
  if (memory === undefined) {
    if (usedBytes + bytes > limitBytes) return Buffer.allocUnsafeSlow(bytes);
    memory = new SharedArrayBuffer(bytes);
    usedBytes += bytes;
  }
  if (bytes !== SLAB_BYTES) {
    collected.register(memory, bytes);
    return Buffer.from(memory);
  }
  // Every use has an object of its own for the same memory: when that is collected, no view of this use is left.
  const use = structuredClone(memory);
  collected.register(use, memory);
  return Buffer.from(use);
}

/** A view from the beginning of `first` to the end of `next`, when `next` lies right behind it in memory; else null. */
export function joined(first: Buffer, next: Buffer): Buffer | null {
  if (first.buffer !== next.buffer || first.byteOffset + first.length !== next.byteOffset) return null;
  return Buffer.from(first.buffer, first.byteOffset, first.length + next.length);
}

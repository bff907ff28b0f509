/**
 * Memory for bytes that stay: what a socket reads into, and payloads that had to be gathered.
 *
 * Ordinary buffers are memory that the garbage collector counts: every 64 MiB of them, alive or not, it marks the whole
 * heap, which cost more than a quarter of a server's processor time at 100 MiB/s. Shared memory is not counted. So it is
 * taken here, and counted here: beyond the limit, ordinary buffers are handed out again, and with them the collector
 * comes as often as memory needs it.
 */

/** Most bytes of shared memory, alive or not yet collected, beside what the stores hold. */
const SPARE_BYTES = 64 << 20;

let limitBytes = SPARE_BYTES;
let usedBytes = 0;
const collected = new FinalizationRegistry<number>((bytes) => {
  usedBytes -= bytes;
});

/** A store of that capacity has been opened, and lives as long as the process: its operations may lie in slabs. */
export function makeRoomInSlabs(capacityBytes: number): void {
  limitBytes += capacityBytes;
}

/** Bytes of slabs that have not been collected. */
export function slabBytes(): number {
  return usedBytes;
}

/** `bytes` of memory, zeroes or not; it lives as long as any view of it. */
export function newSlab(bytes: number): Buffer {
  if (usedBytes + bytes > limitBytes) return Buffer.allocUnsafeSlow(bytes);
  const memory = new SharedArrayBuffer(bytes);
  usedBytes += bytes;
  collected.register(memory, bytes);
  return Buffer.from(memory);
}

/** A view from the beginning of `first` to the end of `next`, when `next` lies right behind it in memory; else null. */
export function joined(first: Buffer, next: Buffer): Buffer | null {
  if (first.buffer !== next.buffer || first.byteOffset + first.length !== next.byteOffset) return null;
  return Buffer.from(first.buffer, first.byteOffset, first.length + next.length);
}

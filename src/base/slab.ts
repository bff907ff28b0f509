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
/** Slabs are cut from regions of this size: few pieces of memory, which the system can hold in large pages. */
const REGION_BYTES = 32 << 20;
/** The next region is made ready while there are so many slabs left: a tenth of a second at 160 MiB/s. */
const AHEAD_SLABS = 16;
/** Most bytes of shared memory, alive or not yet collected, beside what the stores hold. */
const SPARE_BYTES = 128 << 20;

/** Where a slab's memory is. */
interface Spot {
  readonly region: SharedArrayBuffer;
  readonly at: number;
}

/**
 * Has the first `bytes` behind some alignment of a region backed by memory, in the background: `ready` is told where they begin.
 * What is left of the region is the alignment's.
 */
export type MakeReady = (region: SharedArrayBuffer, bytes: number, ready: (from: number) => void) => void;

let makeReady: MakeReady | null = null;
/** Bytes that a region has beyond its slabs, for their alignment. */
let alignBytes = 0;
let preparing = false;
let limitBytes = SPARE_BYTES;
let usedBytes = 0;
/** Slabs that nobody refers to, the last used last: their pages are there already. */
const free: Spot[] = [];
/** Told when no view of a slab is left: where a pooled one is, or the size of another. */
const collected = new FinalizationRegistry<Spot | number>((left) => {
  if (typeof left === 'number') usedBytes -= left;
  else free.push(left);
});

/** From now on regions are made ready by `make`, with slabs that begin at a multiple of `alignmentBytes`. */
export function makeSlabsReady(make: MakeReady, alignmentBytes: number): void {
  makeReady = make;
  alignBytes = alignmentBytes;
}

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
  if (bytes !== SLAB_BYTES) return newMemory(bytes);
  if (free.length < AHEAD_SLABS) addRegion();
  const spot = free.pop();
  if (spot === undefined) return Buffer.allocUnsafeSlow(bytes);
  // Every use has an object of its own for the same memory: when that is collected, no view of this use is left.
  const use = structuredClone(spot.region);
  collected.register(use, spot);
  return Buffer.from(use, spot.at, bytes);
}

/** Memory that is used once. */
function newMemory(bytes: number): Buffer {
  if (usedBytes + bytes > limitBytes) return Buffer.allocUnsafeSlow(bytes);
  const memory = new SharedArrayBuffer(bytes);
  usedBytes += bytes;
  collected.register(memory, bytes);
  return Buffer.from(memory);
}

/** One region more, within the limit: at once, or in a while where somebody makes it ready. */
function addRegion(): void {
  if (preparing || usedBytes + REGION_BYTES > limitBytes) return;
  usedBytes += REGION_BYTES;
  const region = new SharedArrayBuffer(REGION_BYTES + alignBytes);
  if (makeReady === null) return cut(region, 0);
  preparing = true;
  makeReady(region, REGION_BYTES, (from) => {
    preparing = false;
    cut(region, from);
  });
}

function cut(region: SharedArrayBuffer, from: number): void {
  for (let at = 0; at < REGION_BYTES; at += SLAB_BYTES) free.push({ region, at: from + at });
}

/** A view from the beginning of `first` to the end of `next`, when `next` lies right behind it in memory; else null. */
export function joined(first: Buffer, next: Buffer): Buffer | null {
  if (first.buffer !== next.buffer || first.byteOffset + first.length !== next.byteOffset) return null;
  return Buffer.from(first.buffer, first.byteOffset, first.length + next.length);
}

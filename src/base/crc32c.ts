/**
 * CRC-32C (Castagnoli): the checksum of operations, frames and journal records.
 *
 * The native package does the work, or what is faster on this machine (src/drivers/linux/crc32c.ts). A twin in plain
 * JavaScript checks it in the tests, takes over where the package has no build for the machine, and is the faster one
 * below some 150 bytes, where the call itself costs the most.
 */
import { assert } from './fault.ts';

/** CRC-32C's polynomial 0x1edc6f41, bits reversed. */
const POLYNOMIAL = 0x82f6_3b78;

/** Below this many bytes a native call costs more than the plain loop does. */
const NATIVE_FROM_BYTES = 160;

/** Slicing-by-8 tables, one after the other: entry 256 * k + b is the crc of byte b followed by k zero bytes. */
const TABLES = buildTables();

/** The crc of the bytes [from, to) of `data`, behind bytes whose crc is `seed`. */
export type Crc = (data: Uint8Array, from: number, to: number, seed: number) => number;

let native: Crc | null = await loadNative();

/** From now on `faster` does the work; it computes the same, which whoever found it has tried. */
export function useCrc32c(faster: Crc): void {
  native = faster;
}

/**
 * The crc of `data`, an unsigned 32-bit number. `seed` is the crc of what came before: `crc32c(b, crc32c(a))` is the
 * crc of a followed by b.
 */
export function crc32c(data: Uint8Array, seed: number = 0): number {
  if (native === null || data.length < NATIVE_FROM_BYTES) return crc32cPlain(data, seed);
  return native(data, 0, data.length, seed);
}

/** The crc of the bytes [from, to) of `data`: they need no view of their own. */
export function crc32cWithin(data: Uint8Array, from: number, to: number): number {
  if (native === null || to - from < NATIVE_FROM_BYTES) return plainWithin(data, from, to, 0);
  return native(data, from, to, 0);
}

/** The same in plain JavaScript, eight bytes a step. */
export function crc32cPlain(data: Uint8Array, seed: number = 0): number {
  return plainWithin(data, 0, data.length, seed);
}

function plainWithin(data: Uint8Array, from: number, end: number, seed: number): number {
  const t = TABLES;
  const eights = end - ((end - from) % 8);
  let crc = ~seed;
  let at = from;
  // Every index below is within `data` or within the tables' 2048 entries.
  while (at < eights) {
    crc ^= data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24);
    crc =
      t[1792 + (crc & 0xff)]! ^
      t[1536 + ((crc >>> 8) & 0xff)]! ^
      t[1280 + ((crc >>> 16) & 0xff)]! ^
      t[1024 + (crc >>> 24)]! ^
      t[768 + data[at + 4]!]! ^
      t[512 + data[at + 5]!]! ^
      t[256 + data[at + 6]!]! ^
      t[data[at + 7]!]!;
    at += 8;
  }
  while (at < end) {
    crc = t[(crc ^ data[at]!) & 0xff]! ^ (crc >>> 8);
    at += 1;
  }
  return ~crc >>> 0;
}

/** Whether the native package is at work; for `holdfast status` and the tests. */
export function crc32cIsNative(): boolean {
  return native !== null;
}

function buildTables(): Int32Array {
  const tables = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
    tables[byte] = crc;
  }
  for (let at = 256; at < tables.length; at += 1) {
    const previous = tables[at - 256]!;
    tables[at] = tables[previous & 0xff]! ^ (previous >>> 8);
  }
  return tables;
}

/** The native function, or null where it cannot be loaded. One that computes something else is a bug, not a fallback. */
async function loadNative(): Promise<Crc | null> {
  let found: (data: Uint8Array, seed?: number) => number;
  try {
    // oxlint-disable-next-line no-restricted-imports -- computes, and touches nothing outside
    found = (await import('@node-rs/crc32')).crc32c;
  } catch {
    return null;
  }
  assert(found(new TextEncoder().encode('123456789')) === 0xe306_9283, 'the native crc32c computes CRC-32C');
  return (data, from, to, seed) => found(to - from === data.length ? data : data.subarray(from, to), seed);
}

/**
 * Reads directories: struct linux_dirent64 out of a buffer of the kernel's (inode number 8, cookie 8, length 2, type 1,
 * name up to a NUL). `.` and `..` are left out.
 */
import type { DirectoryEntry, Listing } from '../../../ports/tree.ts';
import { readDirectory, seekDirectory } from '../../linux/at-calls.ts';
import { ErrorNumber } from '../../linux/errno.ts';

export const DT_UNKNOWN = 0;
export const DT_DIR = 4;

const BUFFER_BYTES = 64 << 10;
/** What an entry takes: a name of usual length. */
const ENTRY_BYTES = 40;
const LISTING_BYTES_MIN = 1024;
const HEADER_BYTES = 19;

/** What some file systems give as the place behind the last entry, and what stands for it: the largest cookie there is. */
const KERNELS_END = 0x7fff_ffff_ffff_ffffn;
export const COOKIE_MAX = KERNELS_END - 3n;

const DOT = 0x2e;

/** Entries as the kernel gives them: `length` bytes of `bytes`. Nothing comes behind them at the `end`. */
export interface RawListing {
  readonly bytes: ArrayBuffer;
  readonly length: number;
  readonly end: boolean;
}

export class DirectoryReader {
  readonly #buffer = Buffer.alloc(BUFFER_BYTES);

  /** Every entry from the descriptor's position on. 0, or the negative errno. */
  readAll(fd: number, see: (number: bigint, type: number, name: string) => void): number {
    for (;;) {
      const filled = readDirectory(fd, this.#buffer);
      if (filled <= 0) return filled;
      for (let at = 0; at < filled; at += this.#buffer.readUInt16LE(at + 16)) {
        const name = nameAt(this.#buffer, at).toString('latin1');
        if (name !== '.' && name !== '..')
          see(this.#buffer.readBigUInt64LE(at), this.#buffer[at + 18] ?? DT_UNKNOWN, name);
      }
    }
  }
}

/**
 * Reads the entries behind `cookie` (0: from the start; up to COOKIE_MAX), as many as fit into room for about `most` of them;
 * or gives the negative errno. The bytes can be handed to another thread.
 */
export function readListing(fd: number, cookie: bigint, most: number): RawListing | number {
  const result = seekDirectory(fd, cookie >= COOKIE_MAX ? KERNELS_END : cookie);
  if (result < 0) return result;
  // A multiple of 8, as the entries are.
  const wanted = Math.min(BUFFER_BYTES, Math.max(LISTING_BYTES_MIN, (most + 2) * ENTRY_BYTES));
  const buffer = Buffer.from(new ArrayBuffer(wanted));
  let length = 0;
  for (;;) {
    const filled = readDirectory(fd, buffer.subarray(length));
    // No room for one more entry.
    if (filled === -ErrorNumber.EINVAL && length > 0) return { bytes: buffer.buffer, length, end: false };
    if (filled < 0) return filled;
    if (filled === 0) return { bytes: buffer.buffer, length, end: true };
    length += filled;
  }
}

/** At most `most` entries of what was read. The names are parts of its bytes. */
export function parseListing({ bytes, length, end }: RawListing, most: number): Listing {
  const buffer = Buffer.from(bytes, 0, length);
  // Entries begin at multiples of 8 bytes.
  const [numbers, cookies] = [new BigUint64Array(bytes), new BigInt64Array(bytes)];
  const entries: DirectoryEntry[] = [];
  let at = 0;
  while (at < length && entries.length < most) {
    const name = nameAt(buffer, at);
    if (!isDots(name)) {
      const next = cookies[at / 8 + 1] ?? 0n;
      entries.push({ name, fileNumber: numbers[at / 8] ?? 0n, cookie: next > COOKIE_MAX ? COOKIE_MAX : next });
    }
    at += buffer.readUInt16LE(at + 16);
  }
  // What is left may be nothing but dots: the next listing tells.
  return { entries, end: end && at >= length };
}

const isDots = (name: Buffer): boolean =>
  name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT));

/** The name's end mark lies in the last 8 bytes of the entry. */
function nameAt(buffer: Buffer, at: number): Buffer {
  const from = at + HEADER_BYTES;
  let end = Math.max(from, at + buffer.readUInt16LE(at + 16) - 8);
  while (buffer[end] !== 0) end += 1;
  return buffer.subarray(from, end);
}

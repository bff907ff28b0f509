/**
 * Reads directories: struct linux_dirent64 out of a buffer of the kernel's (inode number 8, cookie 8, length 2, type 1,
 * name up to a NUL). `.` and `..` are left out.
 */
import { readDirectory, seekDirectory } from '../../linux/at-calls.ts';

export const DT_UNKNOWN = 0;
export const DT_DIR = 4;

const BUFFER_BYTES = 64 << 10;
/** What an entry takes: a name of usual length. */
const ENTRY_BYTES = 48;
const ENTRY_BYTES_LEAST = 24;
const HEADER_BYTES = 19;

export interface Listed {
  readonly names: string[];
  readonly numbers: BigUint64Array;
  readonly cookies: BigInt64Array;
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
        const name = this.#nameAt(at);
        if (name !== '.' && name !== '..')
          see(this.#buffer.readBigUInt64LE(at), this.#buffer[at + 18] ?? DT_UNKNOWN, name);
      }
    }
  }

  /** At most `most` entries behind `cookie` (0: from the start), or the negative errno. */
  list(fd: number, cookie: bigint, most: number): Listed | number {
    const result = seekDirectory(fd, cookie);
    if (result < 0) return result;
    const names: string[] = [];
    const numbers = new BigUint64Array(most);
    const cookies = new BigInt64Array(most);
    let end = false;
    while (!end && names.length < most) {
      // No more than is wanted, so that a large directory is not read again and again for a few names of it.
      const wanted = Math.max(1024, (most - names.length + 2) * ENTRY_BYTES);
      const filled = readDirectory(fd, this.#buffer.subarray(0, Math.min(BUFFER_BYTES, wanted)));
      if (filled < 0) return filled;
      end = filled === 0;
      for (let at = 0; at + ENTRY_BYTES_LEAST <= filled && names.length < most;) {
        const name = this.#nameAt(at);
        if (name !== '.' && name !== '..') {
          numbers[names.length] = this.#buffer.readBigUInt64LE(at);
          cookies[names.length] = this.#buffer.readBigInt64LE(at + 8);
          names.push(name);
        }
        at += this.#buffer.readUInt16LE(at + 16);
      }
    }
    return { names, numbers: numbers.slice(0, names.length), cookies: cookies.slice(0, names.length), end };
  }

  #nameAt(at: number): string {
    const end = this.#buffer.indexOf(0, at + HEADER_BYTES);
    return this.#buffer.toString('latin1', at + HEADER_BYTES, end);
  }
}

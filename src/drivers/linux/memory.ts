/**
 * Where bytes are in memory, and copying them by address. V8 copies from shared memory, which payloads lie in, word by
 * word: 0.8 us for 4 KiB, where the C library takes 0.25, the call included. And direct I/O asks for aligned memory,
 * which Node has no word for.
 */
import { assert } from '../../base/fault.ts';
import { foreignLibrary, libc } from './libc.ts';

/** What direct I/O has memory and lengths aligned to: no current disk's block is larger. */
export const PAGE_BYTES = 4096;

/** Where memory begins, as far as it has been asked for: that never changes, and asking costs more than all else here. */
const begins = new WeakMap<ArrayBufferLike, number>();

const REMEMBERED_FROM_BYTES = 64 << 10;

/** The two memories that were asked for last, the newer one first: batches go to and fro between two. */
let newer: ArrayBufferLike | null = null;
let newerBegins = 0;
let older: ArrayBufferLike | null = null;
let olderBegins = 0;

/** Where the bytes are, as long as `bytes` is referred to; below 2^53 on every machine that runs Node. */
export function addressOf(bytes: Buffer): number {
  return addressWithin(bytes, 0);
}

/** The same of the byte at `at`. */
export function addressWithin(bytes: Uint8Array, at: number): number {
  const memory = bytes.buffer;
  const offset = bytes.byteOffset + at;
  if (memory === newer) return newerBegins + offset;
  if (memory === older) return olderBegins + offset;
  // One of many that live as short as what is in them is not worth remembering.
  if (memory.byteLength < REMEMBERED_FROM_BYTES) return Number(libc().address(bytes)) + at;
  let begin = begins.get(memory);
  if (begin === undefined) {
    begin = Number(libc().address(bytes)) - bytes.byteOffset;
    begins.set(memory, begin);
  }
  older = newer;
  olderBegins = newerBegins;
  newer = memory;
  newerBegins = begin;
  return begin + offset;
}

type Copy = (to: number, from: number, bytes: number) => void;

let copy: Copy | null = null;

function copier(): Copy {
  copy ??= foreignLibrary().func('void memcpy(uintptr_t to, uintptr_t from, size_t bytes)') as Copy;
  return copy;
}

/** Memory that begins at a page, in which pieces are put one behind the other. */
export class PageMemory {
  readonly bytes: Buffer;
  readonly #address: number;

  /** Throws the Fault of a platform without the C library. */
  constructor(size: number) {
    assert(size > 0 && size % PAGE_BYTES === 0, 'whole pages');
    const raw = Buffer.allocUnsafeSlow(size + PAGE_BYTES);
    const skip = (PAGE_BYTES - (addressOf(raw) % PAGE_BYTES)) % PAGE_BYTES;
    this.bytes = raw.subarray(skip, skip + size);
    this.#address = addressOf(this.bytes);
    copier();
  }

  /** Copies the pieces to the beginning, one behind the other; they fit. Returns how many bytes they are. */
  gather(pieces: readonly Buffer[]): number {
    const copyTo = copier();
    let filled = 0;
    for (let i = 0; i < pieces.length; i += 1) {
      const piece = pieces[i]!;
      assert(piece.length <= this.bytes.length - filled, 'what is gathered fits');
      // Where an empty piece is, nobody can say.
      if (piece.length > 0) copyTo(this.#address + filled, addressOf(piece), piece.length);
      filled += piece.length;
    }
    return filled;
  }
}

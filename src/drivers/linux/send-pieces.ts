/**
 * Sending memory where it lies: one `writev` for all pieces of a batch. Node's own way makes objects for every piece and
 * takes them apart again, several times what it costs to name its place to the kernel.
 *
 * The kernel has copied what it took when the call returns: nobody has to keep it.
 */
import type { Pieces } from '../../wire/pieces.ts';
import { foreignLibrary } from './libc.ts';
import { addressWithin } from './memory.ts';

/** Linux takes so many pieces with one call (IOV_MAX). */
const PIECES_MAX = 1024;
const WORDS = 4;
const TWO_32 = 2 ** 32;

type Writev = (fd: number, vector: number, count: number) => number;

/** Sends on sockets that do not block. */
export class PiecesSender {
  /** As halves of 64 bit numbers, low ones first: no BigInt is made for a piece. */
  readonly #vector = new Uint32Array(WORDS * PIECES_MAX);
  readonly #vectorAt: number;
  readonly #writev: Writev;

  /** Throws the Fault of a platform without the C library. */
  constructor() {
    this.#writev = foreignLibrary().func('int64_t writev(int fd, uintptr_t vector, int count)') as Writev;
    this.#vectorAt = addressWithin(Buffer.from(this.#vector.buffer), 0);
  }

  /**
   * How many bytes the kernel took: all, or only some where its buffer is full. What is wrong with the socket is not
   * told here: none are taken then, and whoever sends the rest in the ordinary way is told.
   */
  send(fd: number, pieces: Pieces): number {
    let taken = 0;
    for (let first = 0; first < pieces.count; first += PIECES_MAX) {
      const count = Math.min(PIECES_MAX, pieces.count - first);
      const bytes = this.#place(pieces, first, count);
      const now = this.#writev(fd, this.#vectorAt, count);
      if (now > 0) taken += now;
      if (now < bytes) break;
    }
    return taken;
  }

  /** Names the places of `count` pieces; returns how many bytes they are. */
  #place({ buffers, from, to }: Pieces, first: number, count: number): number {
    const vector = this.#vector;
    let bytes = 0;
    for (let i = 0; i < count; i += 1) {
      const begin = from[first + i]!;
      const length = to[first + i]! - begin;
      const address = addressWithin(buffers[first + i]!, begin);
      vector[i * WORDS] = address % TWO_32;
      vector[i * WORDS + 1] = address / TWO_32;
      vector[i * WORDS + 2] = length;
      bytes += length;
    }
    return bytes;
  }
}

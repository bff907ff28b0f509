/**
 * A chunk of neighbouring pieces: the leaf of an ExtentMap (extent-map.ts), and the loops that move pieces about in it.
 * Offsets lie in typed arrays, so that a search touches few cache lines and numbers beyond 2^31 are not boxed.
 */

/** Pieces in a full chunk: few enough that moving half of them is cheap, enough that the list of chunks stays short. */
export const CHUNK_PIECES = 64;

/** Pieces [from, to) with their values, ascending and apart; the first `length` entries of each array count. */
export interface Chunk<T> {
  readonly froms: Float64Array;
  readonly tos: Float64Array;
  readonly values: (T | undefined)[];
  length: number;
}

/** An empty chunk. */
export function newChunk<T>(): Chunk<T> {
  return {
    froms: new Float64Array(CHUNK_PIECES),
    tos: new Float64Array(CHUNK_PIECES),
    values: new Array<T | undefined>(CHUNK_PIECES).fill(undefined),
    length: 0,
  };
}

/** The byte behind the chunk's last piece. */
export function lastByte<T>(chunk: Chunk<T>): number {
  return chunk.tos[chunk.length - 1]!;
}

/** Index of the first piece that ends beyond `offset`, or the chunk's length. */
export function firstEndingBeyond<T>(chunk: Chunk<T>, offset: number): number {
  const tos = chunk.tos;
  let low = 0;
  let high = chunk.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (tos[middle]! <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Puts a piece at index `at`; the chunk must not be full. */
export function insertPiece<T>(chunk: Chunk<T>, at: number, from: number, to: number, value: T): void {
  const { froms, tos, values } = chunk;
  for (let i = chunk.length; i > at; i -= 1) {
    froms[i] = froms[i - 1]!;
    tos[i] = tos[i - 1]!;
    values[i] = values[i - 1];
  }
  froms[at] = from;
  tos[at] = to;
  values[at] = value;
  chunk.length += 1;
}

/** Takes the pieces [at, end) out of the chunk. */
export function removePieces<T>(chunk: Chunk<T>, at: number, end: number): void {
  const { froms, tos, values } = chunk;
  const gone = end - at;
  const length = chunk.length - gone;
  for (let i = at; i < length; i += 1) {
    froms[i] = froms[i + gone]!;
    tos[i] = tos[i + gone]!;
    values[i] = values[i + gone];
  }
  for (let i = length; i < chunk.length; i += 1) values[i] = undefined;
  chunk.length = length;
}

/** Moves the pieces from index `keep` on into the empty chunk `rear`. */
export function movePieces<T>(chunk: Chunk<T>, keep: number, rear: Chunk<T>): void {
  for (let i = keep; i < chunk.length; i += 1) {
    rear.froms[i - keep] = chunk.froms[i]!;
    rear.tos[i - keep] = chunk.tos[i]!;
    rear.values[i - keep] = chunk.values[i];
    chunk.values[i] = undefined;
  }
  rear.length = chunk.length - keep;
  chunk.length = keep;
}

/** Puts all of `behind`'s pieces at the end of the chunk. */
export function appendPieces<T>(chunk: Chunk<T>, behind: Chunk<T>): void {
  const at = chunk.length;
  for (let i = 0; i < behind.length; i += 1) {
    chunk.froms[at + i] = behind.froms[i]!;
    chunk.tos[at + i] = behind.tos[i]!;
    chunk.values[at + i] = behind.values[i];
  }
  chunk.length = at + behind.length;
}

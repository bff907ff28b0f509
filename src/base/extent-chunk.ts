/**
 * The pieces of an ExtentMap (extent-map.ts) in chunks of neighbours, its leaves, and the loops that move them about.
 *
 * What a lookup costs in a map of many pieces is the memory it touches. So all chunks lie in a few large arrays, first
 * and last bytes side by side, and a search reads three or four lines of one of them. Values are pointers, which a
 * garbage collector wants to know of whenever one moves: a value stays where it is, and a byte that says where moves.
 */

/** Pieces in a full chunk: few enough that moving half of them is cheap, enough that the list of chunks stays short. */
export const CHUNK_PIECES = 64;

/** Room for `chunks` chunks of `size` pieces: each holds pieces [from, to) with their values, ascending and apart. */
export class Pieces<T> {
  readonly chunks: number;
  readonly size: number;
  /** How many pieces each chunk holds. */
  readonly #lengths: Uint8Array;
  /** From and to of each piece. */
  readonly #bounds: Float64Array;
  /** Where in its chunk each piece has its value; behind the last piece the places that are free. */
  readonly #places: Uint8Array;
  readonly #values: (T | undefined)[];

  constructor(chunks: number, size: number) {
    const room = chunks * size;
    this.chunks = chunks;
    this.size = size;
    this.#lengths = new Uint8Array(chunks);
    this.#bounds = new Float64Array(2 * room);
    this.#places = new Uint8Array(room);
    for (let i = 0; i < room; i += 1) this.#places[i] = i % size;
    this.#values = new Array<T | undefined>(room).fill(undefined);
  }

  length(chunk: number): number {
    return this.#lengths[chunk]!;
  }

  from(chunk: number, at: number): number {
    return this.#bounds[2 * (chunk * this.size + at)]!;
  }

  to(chunk: number, at: number): number {
    return this.#bounds[2 * (chunk * this.size + at) + 1]!;
  }

  value(chunk: number, at: number): T {
    const base = chunk * this.size;
    return this.#values[base + this.#places[base + at]!] as T;
  }

  setFrom(chunk: number, at: number, from: number): void {
    this.#bounds[2 * (chunk * this.size + at)] = from;
  }

  setTo(chunk: number, at: number, to: number): void {
    this.#bounds[2 * (chunk * this.size + at) + 1] = to;
  }

  setValue(chunk: number, at: number, value: T): void {
    const base = chunk * this.size;
    this.#values[base + this.#places[base + at]!] = value;
  }

  /** Index of the first piece that ends beyond `offset`, or the chunk's length. */
  firstEndingBeyond(chunk: number, offset: number): number {
    const bounds = this.#bounds;
    const tos = 2 * chunk * this.size + 1;
    let low = 0;
    let left = this.#lengths[chunk]!;
    if (left === 0) return 0;
    // Without a branch on what is found: a processor would guess it, wrongly half of the time.
    while (left > 1) {
      const half = left >>> 1;
      low += half & -Number(bounds[tos + 2 * (low + half - 1)]! <= offset);
      left -= half;
    }
    return low + Number(bounds[tos + 2 * low]! <= offset);
  }

  /** Puts a piece at index `at`; the chunk must not be full. */
  insert(chunk: number, at: number, from: number, to: number, value: T): void {
    const bounds = this.#bounds;
    const places = this.#places;
    const base = chunk * this.size;
    const length = this.#lengths[chunk]!;
    const place = places[base + length]!;
    for (let i = base + length; i > base + at; i -= 1) {
      places[i] = places[i - 1]!;
      bounds[2 * i] = bounds[2 * i - 2]!;
      bounds[2 * i + 1] = bounds[2 * i - 1]!;
    }
    places[base + at] = place;
    bounds[2 * (base + at)] = from;
    bounds[2 * (base + at) + 1] = to;
    this.#values[base + place] = value;
    this.#lengths[chunk] = length + 1;
  }

  /** Takes the pieces [at, end) out of the chunk. */
  remove(chunk: number, at: number, end: number): void {
    const bounds = this.#bounds;
    const places = this.#places;
    const base = chunk * this.size;
    const gone = end - at;
    const length = this.#lengths[chunk]! - gone;
    for (let i = base + at; i < base + end; i += 1) this.#values[base + places[i]!] = undefined;
    for (let i = base + at; i < base + length; i += 1) {
      const place = places[i]!; // changes sides: in the end the free places are behind
      places[i] = places[i + gone]!;
      places[i + gone] = place;
      bounds[2 * i] = bounds[2 * (i + gone)]!;
      bounds[2 * i + 1] = bounds[2 * (i + gone) + 1]!;
    }
    this.#lengths[chunk] = length;
  }

  /** Copies the pieces from index `start` on of a chunk that lies in `source` to the end of `chunk`. */
  append(chunk: number, source: Pieces<T>, from: number, start: number): void {
    let length = this.#lengths[chunk]!;
    for (let at = start; at < source.length(from); at += 1, length += 1)
      this.insert(chunk, length, source.from(from, at), source.to(from, at), source.value(from, at));
  }

  /** Places of a chunk that hold on to a value. */
  held(chunk: number): number {
    const base = chunk * this.size;
    let held = 0;
    for (let i = base; i < base + this.size; i += 1) if (this.#values[i] !== undefined) held += 1;
    return held;
  }
}

/**
 * An ordered map from byte ranges to values: which operation holds which bytes of a volume. Reads look through it, a
 * newer write covers an older one, and releases take the older ones out.
 *
 * Pieces lie in sorted chunks of typed arrays, the chunks in a sorted list: a lookup is two binary searches, a change
 * moves at most one chunk's worth of numbers. That is what a B+-tree of two levels would do, with less memory per piece
 * and nothing allocated in steady state.
 */
import {
  appendPieces,
  CHUNK_PIECES,
  type Chunk,
  firstEndingBeyond,
  insertPiece,
  lastByte,
  movePieces,
  newChunk,
  removePieces,
} from './extent-chunk.ts';
import { assert } from './fault.ts';

/** A chunk that falls below this joins a neighbour, so that a map which shrank gives its memory back. */
const SPARSE_PIECES = 16;
/** Joined chunks stay below this, so that the next insertions do not split them again at once. */
const JOINED_PIECES = 48;

/** The first byte number that does not exist: beyond 2^53 numbers are no longer exact. */
const END_OF_BYTES = Number.MAX_SAFE_INTEGER + 1;

/** One piece as `entries` gives it: the bytes [from, to). */
export interface Extent<T> {
  readonly from: number;
  readonly to: number;
  readonly value: T;
}

export class ExtentMap<T> {
  readonly #chunks: Chunk<T>[] = [];
  /** The first byte of each chunk, apart from the chunks so that the search over them stays in the cache. */
  readonly #firsts: number[] = [];
  #pieces = 0;
  /** Grows with every change: a visitor that changes what it visits is found out. */
  #changes = 0;
  /** Where the last `#locate` ended: chunk and index within it. Instead of a result object per call. */
  #chunkAt = 0;
  #pieceAt = 0;

  /** How many pieces the map holds. */
  get pieces(): number {
    return this.#pieces;
  }

  /**
   * Gives the bytes [offset, offset + length) to `value`, whatever held them before. What remains of a piece in part
   * covered keeps its value, also when it is split in two.
   */
  set(offset: number, length: number, value: T): void {
    checkRange(offset, length);
    assert(length > 0, 'a piece has a length');
    const to = offset + length;
    this.#changes += 1;
    if (this.#chunks.length === 0) {
      this.#addChunk(0, newChunk());
      this.#chunkAt = 0;
      this.#pieceAt = 0;
    } else {
      this.#locate(offset);
      const chunk = this.#chunks[this.#chunkAt]!;
      const at = this.#pieceAt;
      if (at < chunk.length && chunk.froms[at] === offset && chunk.tos[at] === to) {
        chunk.values[at] = value; // the same block written again
        return;
      }
      this.#cut(offset, to);
    }
    const c = this.#chunkAt;
    this.#insert(c, this.#pieceAt, offset, to, value);
    this.#tidy(c);
  }

  /**
   * Calls `each` for every part of [offset, offset + length) that is covered, ascending, clipped to the range. `each`
   * must not change the map.
   */
  visit(offset: number, length: number, each: (from: number, to: number, value: T) => void): void {
    checkRange(offset, length);
    if (length === 0 || this.#pieces === 0) return;
    const end = offset + length;
    const changes = this.#changes;
    this.#locate(offset);
    let at = this.#pieceAt;
    for (let c = this.#chunkAt; c < this.#chunks.length; c += 1) {
      const chunk = this.#chunks[c]!;
      for (; at < chunk.length; at += 1) {
        const from = chunk.froms[at]!;
        if (from >= end) return;
        const to = chunk.tos[at]!;
        each(from < offset ? offset : from, to > end ? end : to, chunk.values[at] as T);
        assert(changes === this.#changes, 'a visitor does not change the map');
      }
      at = 0;
    }
  }

  /** Whether every byte of [offset, offset + length) is covered. */
  covers(offset: number, length: number): boolean {
    checkRange(offset, length);
    if (length === 0) return true;
    if (this.#pieces === 0) return false;
    const end = offset + length;
    this.#locate(offset);
    let next = offset;
    let at = this.#pieceAt;
    for (let c = this.#chunkAt; c < this.#chunks.length; c += 1) {
      const chunk = this.#chunks[c]!;
      for (; at < chunk.length; at += 1) {
        if (chunk.froms[at]! > next) return false;
        next = chunk.tos[at]!;
        if (next >= end) return true;
      }
      at = 0;
    }
    return false;
  }

  /**
   * Takes out what lies within [offset, offset + length) and has a value that `match` accepts; the rest of a piece that
   * reaches beyond the range stays. `match` is asked once for each piece that touches the range, and must not change the map.
   */
  removeWhere(offset: number, length: number, match: (value: T) => boolean): void {
    checkRange(offset, length);
    const end = offset + length;
    let next = offset;
    while (next < end && this.#pieces > 0) {
      this.#locate(next);
      const c = this.#chunkAt;
      const at = this.#pieceAt;
      const chunk = this.#chunks[c]!;
      if (at === chunk.length) {
        // Beyond the last piece of this chunk: go on with the next chunk, if it begins within the range.
        const first = this.#firsts[c + 1];
        if (first === undefined || first >= end) return;
        next = first;
        continue;
      }
      const from = chunk.froms[at]!;
      if (from >= end) return;
      const to = Math.min(chunk.tos[at]!, end);
      const changes = this.#changes;
      const matches = match(chunk.values[at] as T);
      assert(changes === this.#changes, 'a match does not change the map');
      if (matches) {
        this.#changes += 1;
        this.#chunkAt = c; // `match` may have looked something up
        this.#pieceAt = at;
        this.#cut(from < offset ? offset : from, to);
        this.#tidy(c);
      }
      next = to;
    }
  }

  /** Takes everything out. */
  clear(): void {
    this.#changes += 1;
    this.#chunks.length = 0;
    this.#firsts.length = 0;
    this.#pieces = 0;
  }

  /** All pieces, ascending. The map must not be changed meanwhile. */
  *entries(): Generator<Extent<T>, void, undefined> {
    const changes = this.#changes;
    for (const chunk of this.#chunks) {
      for (let at = 0; at < chunk.length; at += 1) {
        yield { from: chunk.froms[at]!, to: chunk.tos[at]!, value: chunk.values[at] as T };
        assert(changes === this.#changes, 'the map is not changed while its entries are read');
      }
    }
  }

  /** Throws unless the pieces are sorted, apart, counted, and the chunks neither empty nor needlessly small. */
  invariants(): void {
    let pieces = 0;
    let last = 0;
    let before: number | null = null;
    assert(this.#firsts.length === this.#chunks.length, 'every chunk has its first byte listed');
    for (const [c, chunk] of this.#chunks.entries()) {
      assert(chunk.length > 0 && chunk.length <= CHUNK_PIECES, 'a chunk is neither empty nor overfull');
      assert(this.#firsts[c] === chunk.froms[0], "the listed first byte is the chunk's");
      assert(chunk.values.length === CHUNK_PIECES, 'a chunk does not grow');
      if (before !== null) assert(before + chunk.length > SPARSE_PIECES, 'sparse neighbours are joined');
      for (let at = 0; at < chunk.length; at += 1) {
        assert(chunk.froms[at]! >= last, 'pieces ascend and do not overlap');
        assert(chunk.tos[at]! > chunk.froms[at]!, 'a piece has a length');
        last = chunk.tos[at]!;
      }
      for (let at = chunk.length; at < CHUNK_PIECES; at += 1) {
        assert(chunk.values[at] === undefined, 'an empty slot holds on to nothing');
      }
      before = chunk.length;
      pieces += chunk.length;
    }
    assert(pieces === this.#pieces, 'the pieces are counted');
  }

  /**
   * Finds the first piece that ends beyond `offset`, in the last chunk that begins at or before it (or the first chunk).
   * The index equals the chunk's length when there is none in that chunk; then the next chunk begins beyond `offset`.
   * Needs at least one chunk.
   */
  #locate(offset: number): void {
    const firsts = this.#firsts;
    let low = 0;
    let high = firsts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (firsts[middle]! <= offset) low = middle + 1;
      else high = middle;
    }
    this.#chunkAt = low === 0 ? 0 : low - 1;
    const chunk = this.#chunks[this.#chunkAt]!;
    this.#pieceAt = firstEndingBeyond(chunk, offset);
  }

  /**
   * Uncovers [from, to), beginning at the place where `#locate(from)` ended, and leaves that place where a piece
   * [from, to) belongs. The chunk there may be left empty or sparse: an insertion or `#tidy` has to follow.
   */
  #cut(from: number, to: number): void {
    const c = this.#chunkAt;
    const chunk = this.#chunks[c]!;
    const at = this.#pieceAt;
    if (at < chunk.length && chunk.froms[at]! < from) {
      const end = chunk.tos[at]!;
      chunk.tos[at] = from;
      this.#pieceAt = at + 1;
      if (end > to) {
        // Out of the middle of one piece: its rear part becomes a piece of its own.
        this.#insert(c, at + 1, to, end, chunk.values[at] as T);
        this.#locate(from);
        return;
      }
    }
    let reached = this.#uncoverHead(c, this.#pieceAt, to);
    if (reached || c + 1 >= this.#chunks.length || this.#firsts[c + 1]! >= to) return;

    let dropTo = c + 1;
    while (dropTo < this.#chunks.length && lastByte(this.#chunks[dropTo]!) <= to) {
      this.#pieces -= this.#chunks[dropTo]!.length;
      dropTo += 1;
    }
    if (dropTo > c + 1) {
      this.#chunks.splice(c + 1, dropTo - c - 1);
      this.#firsts.splice(c + 1, dropTo - c - 1);
    }
    if (c + 1 < this.#chunks.length) {
      reached = this.#uncoverHead(c + 1, 0, to);
      assert(reached, 'a chunk that reaches beyond the range keeps a piece');
      this.#tidyBehind(c + 1);
    }
  }

  /** Uncovers everything before `to` in chunk `c` from piece `at` on. False when no piece was left behind `at`. */
  #uncoverHead(c: number, at: number, to: number): boolean {
    const chunk = this.#chunks[c]!;
    let end = at;
    while (end < chunk.length && chunk.tos[end]! <= to) end += 1;
    if (end > at) {
      removePieces(chunk, at, end);
      this.#pieces -= end - at;
    }
    if (at >= chunk.length) return false;
    if (chunk.froms[at]! < to) chunk.froms[at] = to;
    if (at === 0) this.#firsts[c] = chunk.froms[0]!;
    return true;
  }

  /** Puts a piece at index `at` of chunk `c`; splits the chunk when it is full. */
  #insert(c: number, at: number, from: number, to: number, value: T): void {
    let chunk = this.#chunks[c]!;
    if (chunk.length === CHUNK_PIECES) {
      // Ascending insertions leave full chunks behind; all others split in the middle.
      const keep = at === CHUNK_PIECES && c + 1 === this.#chunks.length ? CHUNK_PIECES : CHUNK_PIECES / 2;
      const rear = newChunk<T>();
      movePieces(chunk, keep, rear);
      this.#addChunk(c + 1, rear);
      if (rear.length > 0) this.#firsts[c + 1] = rear.froms[0]!;
      if (at >= keep) {
        c += 1;
        at -= keep;
        chunk = rear;
      }
    }
    insertPiece(chunk, at, from, to, value);
    this.#pieces += 1;
    if (at === 0) this.#firsts[c] = from;
  }

  #addChunk(c: number, chunk: Chunk<T>): void {
    this.#chunks.splice(c, 0, chunk);
    this.#firsts.splice(c, 0, 0);
  }

  /** After a change that began in chunk `c`: an empty chunk goes, a sparse one joins a neighbour that has room. */
  #tidy(c: number): void {
    if (this.#chunks[c]!.length === 0) this.#dropChunk(c);
    else this.#tidyBehind(c);
    if (c > 0) this.#tidyBehind(c - 1);
  }

  /** Joins chunk `c` with the one behind it when one of them is sparse and both fit well into one. */
  #tidyBehind(c: number): void {
    const chunk = this.#chunks[c];
    const behind = this.#chunks[c + 1];
    if (chunk === undefined || behind === undefined) return;
    if (chunk.length >= SPARSE_PIECES && behind.length >= SPARSE_PIECES) return;
    if (chunk.length + behind.length > JOINED_PIECES) return;
    appendPieces(chunk, behind);
    this.#dropChunk(c + 1);
  }

  #dropChunk(c: number): void {
    this.#chunks.splice(c, 1);
    this.#firsts.splice(c, 1);
  }
}

function checkRange(offset: number, length: number): void {
  assert(Number.isSafeInteger(offset) && offset >= 0, 'an offset is a whole number of bytes');
  assert(Number.isSafeInteger(length) && length >= 0, 'a length is a whole number of bytes');
  assert(length <= END_OF_BYTES - offset, 'a range ends at or before byte 2^53');
}

/**
 * An ordered map from byte ranges to values: which operation holds which bytes of a volume. Reads look through it, a
 * newer write covers an older one, and releases take the older ones out.
 *
 * Pieces lie in sorted chunks (extent-chunk.ts), the chunks in a sorted list: a lookup is two binary searches, a change
 * moves at most one chunk's worth of numbers. That is what a B+-tree of two levels would do, with less memory per piece
 * and nothing allocated in steady state. The room for chunks doubles and halves with what is in them.
 */
import { CHUNK_PIECES, Pieces } from './extent-chunk.ts';
import { assert } from './fault.ts';

/** A chunk that falls below this joins a neighbour, so that a map which shrank gives its memory back. */
const SPARSE_PIECES = 16;
/** Joined chunks stay below this, so that the next insertions do not split them again at once. */
const JOINED_PIECES = 48;
/** The one chunk of a map begins small, and grows by this factor: a file of many has a piece or two. */
const FIRST_PIECES = 4;
const GROWTH = 4;
/** Room is halved when this many times what is used. */
const SLACK = 4;

/** The first byte number that does not exist: beyond 2^53 numbers are no longer exact. */
const END_OF_BYTES = Number.MAX_SAFE_INTEGER + 1;

/** One piece as `entries` gives it: the bytes [from, to). */
export interface Extent<T> {
  readonly from: number;
  readonly to: number;
  readonly value: T;
}

export class ExtentMap<T> {
  #store = new Pieces<T>(1, FIRST_PIECES);
  /** The chunks in use, in order; there is always one. */
  #order = new Uint32Array(1);
  /** The first byte of each of these, apart from the chunks so that the search over them stays in the cache. */
  #firsts = new Float64Array(1);
  #chunks = 1;
  /** Chunks that were in use; what is in neither list never was. */
  #spare: number[] = [];
  #pieces = 0;
  /** Grows with every change: a visitor that changes what it visits is found out. */
  #changes = 0;
  /** Where the last `#locate` ended: place of the chunk and index within it. Instead of a result object per call. */
  #chunkAt = 0;
  #pieceAt = 0;

  /** How many pieces the map holds. */
  get pieces(): number {
    return this.#pieces;
  }

  /** How many pieces there is room for: within a constant factor of `pieces`, but for one chunk. */
  get room(): number {
    return this.#store.chunks * this.#store.size;
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
    this.#locate(offset);
    const at = this.#pieceAt;
    const store = this.#store;
    const chunk = this.#order[this.#chunkAt]!;
    if (at < store.length(chunk) && store.from(chunk, at) === offset && store.to(chunk, at) === to)
      return store.setValue(chunk, at, value); // the same block written again
    this.#cut(offset, to);
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
    if (length === 0) return;
    const end = offset + length;
    const store = this.#store;
    const changes = this.#changes;
    this.#locate(offset);
    let at = this.#pieceAt;
    for (let c = this.#chunkAt; c < this.#chunks; c += 1) {
      const chunk = this.#order[c]!;
      for (; at < store.length(chunk); at += 1) {
        const from = store.from(chunk, at);
        if (from >= end) return;
        const to = store.to(chunk, at);
        each(from < offset ? offset : from, to > end ? end : to, store.value(chunk, at));
        assert(changes === this.#changes, 'a visitor does not change the map');
      }
      at = 0;
    }
  }

  /** Whether every byte of [offset, offset + length) is covered. */
  covers(offset: number, length: number): boolean {
    checkRange(offset, length);
    if (length === 0) return true;
    const end = offset + length;
    const store = this.#store;
    this.#locate(offset);
    let next = offset;
    let at = this.#pieceAt;
    for (let c = this.#chunkAt; c < this.#chunks; c += 1) {
      const chunk = this.#order[c]!;
      for (; at < store.length(chunk); at += 1) {
        if (store.from(chunk, at) > next) return false;
        next = store.to(chunk, at);
        if (next >= end) return true;
      }
      at = 0;
    }
    return false;
  }

  /**
   * Takes out what lies within [offset, offset + length) and has this very value; the rest of a piece that reaches
   * beyond the range stays.
   */
  remove(offset: number, length: number, value: T): void {
    checkRange(offset, length);
    const end = offset + length;
    let next = offset;
    while (next < end) {
      this.#locate(next);
      const c = this.#chunkAt;
      const at = this.#pieceAt;
      const store = this.#store;
      const chunk = this.#order[c]!;
      if (at === store.length(chunk)) {
        // Beyond the last piece of this chunk: go on with the next chunk, if it begins within the range.
        if (c + 1 >= this.#chunks) return;
        next = this.#firsts[c + 1]!;
        continue;
      }
      const from = store.from(chunk, at);
      if (from >= end) return;
      const to = Math.min(store.to(chunk, at), end);
      if (store.value(chunk, at) === value) {
        this.#changes += 1;
        this.#cut(from < offset ? offset : from, to);
        this.#tidy(c);
      }
      next = to;
    }
  }

  /** Takes everything out. */
  clear(): void {
    this.#changes += 1;
    this.#store = new Pieces<T>(1, FIRST_PIECES);
    this.#order = new Uint32Array(1);
    this.#firsts = new Float64Array(1);
    this.#chunks = 1;
    this.#spare = [];
    this.#pieces = 0;
  }

  /** All pieces, ascending. The map must not be changed meanwhile. */
  *entries(): Generator<Extent<T>, void, undefined> {
    const changes = this.#changes;
    const store = this.#store;
    for (const chunk of this.#order.subarray(0, this.#chunks)) {
      for (let at = 0; at < store.length(chunk); at += 1) {
        yield { from: store.from(chunk, at), to: store.to(chunk, at), value: store.value(chunk, at) };
        assert(changes === this.#changes, 'the map is not changed while its entries are read');
      }
    }
  }

  /** Throws unless the pieces are sorted, apart, counted, and neither chunks nor room are needlessly many. */
  invariants(): void {
    const store = this.#store;
    const order = [...this.#order.subarray(0, this.#chunks)];
    let pieces = 0;
    let last = 0;
    let before: number | null = null;
    assert(this.#order.length === store.chunks && this.#firsts.length === store.chunks, 'every chunk can be listed');
    assert(new Set([...order, ...this.#spare]).size === order.length + this.#spare.length, 'a chunk is listed once');
    assert(Math.max(...order, ...this.#spare) < order.length + this.#spare.length, 'no chunk is lost');
    assert(store.chunks === 1 || store.size === CHUNK_PIECES, 'only a chunk alone is small');
    assert(this.#chunks * SLACK > store.chunks, 'room that is not needed is given back');
    for (const [c, chunk] of order.entries()) {
      const length = store.length(chunk);
      assert(length <= store.size, 'a chunk is not overfull');
      assert(length > 0 || this.#chunks === 1, 'only a chunk alone is empty');
      assert(c === 0 || this.#firsts[c] === store.from(chunk, 0), "the listed first byte is the chunk's");
      if (before !== null) assert(before + length > SPARSE_PIECES, 'sparse neighbours are joined');
      for (let at = 0; at < length; at += 1) {
        assert(store.from(chunk, at) >= last, 'pieces ascend and do not overlap');
        assert(store.to(chunk, at) > store.from(chunk, at), 'a piece has a length');
        assert(store.value(chunk, at) !== undefined, 'a piece has a value');
        last = store.to(chunk, at);
      }
      assert(store.held(chunk) === length, 'a place holds a value only for a piece');
      before = length;
      pieces += length;
    }
    for (const chunk of this.#spare) assert(store.held(chunk) === 0, 'a spare chunk holds on to nothing');
    assert(pieces === this.#pieces, 'the pieces are counted');
  }

  /**
   * Finds the first piece that ends beyond `offset`, in the last chunk that begins at or before it (or the first chunk).
   * The index equals the chunk's length when there is none in that chunk; then the next chunk begins beyond `offset`.
   */
  #locate(offset: number): void {
    const firsts = this.#firsts;
    let low = 0;
    // Without a branch on what is found, as in a chunk.
    for (let left = this.#chunks; left > 1;) {
      const half = left >>> 1;
      low += half & -Number(firsts[low + half]! <= offset);
      left -= half;
    }
    this.#chunkAt = low;
    this.#pieceAt = this.#store.firstEndingBeyond(this.#order[low]!, offset);
  }

  /**
   * Uncovers [from, to), beginning at the place where `#locate(from)` ended, and leaves that place where a piece
   * [from, to) belongs. The chunk there may be left empty or sparse: an insertion or `#tidy` has to follow.
   */
  #cut(from: number, to: number): void {
    const store = this.#store;
    const c = this.#chunkAt;
    const chunk = this.#order[c]!;
    const at = this.#pieceAt;
    if (at < store.length(chunk) && store.from(chunk, at) < from) {
      const end = store.to(chunk, at);
      store.setTo(chunk, at, from);
      this.#pieceAt = at + 1;
      if (end > to) {
        // Out of the middle of one piece: its rear part becomes a piece of its own.
        this.#insert(c, at + 1, to, end, store.value(chunk, at));
        this.#locate(from);
        return;
      }
    }
    if (this.#uncoverHead(c, this.#pieceAt, to) || c + 1 >= this.#chunks || this.#firsts[c + 1]! >= to) return;

    let dropTo = c + 1;
    while (dropTo < this.#chunks) {
      const next = this.#order[dropTo]!;
      const length = store.length(next);
      if (store.to(next, length - 1) > to) break;
      store.remove(next, 0, length);
      this.#pieces -= length;
      dropTo += 1;
    }
    if (dropTo > c + 1) this.#dropChunks(c + 1, dropTo);
    if (c + 1 < this.#chunks) {
      const reached = this.#uncoverHead(c + 1, 0, to);
      assert(reached, 'a chunk that reaches beyond the range keeps a piece');
      this.#tidyBehind(c + 1);
    }
  }

  /** Uncovers everything before `to` in chunk `c` from piece `at` on. False when no piece was left behind `at`. */
  #uncoverHead(c: number, at: number, to: number): boolean {
    const store = this.#store;
    const chunk = this.#order[c]!;
    const length = store.length(chunk);
    let end = at;
    while (end < length && store.to(chunk, end) <= to) end += 1;
    if (end > at) {
      store.remove(chunk, at, end);
      this.#pieces -= end - at;
    }
    if (end === length) return false;
    if (store.from(chunk, at) < to) store.setFrom(chunk, at, to);
    if (at === 0) this.#firsts[c] = store.from(chunk, 0);
    return true;
  }

  /** Puts a piece at index `at` of chunk `c`; splits the chunk when it is full. */
  #insert(c: number, at: number, from: number, to: number, value: T): void {
    if (this.#store.length(this.#order[c]!) === this.#store.size) {
      if (this.#store.size < CHUNK_PIECES) this.#rebuild(1, this.#store.size * GROWTH);
      else {
        // Ascending insertions leave full chunks behind; all others split in the middle.
        const keep = at === CHUNK_PIECES && c + 1 === this.#chunks ? CHUNK_PIECES : CHUNK_PIECES / 2;
        this.#split(c, keep);
        if (at >= keep) {
          c += 1;
          at -= keep;
        }
      }
    }
    this.#store.insert(this.#order[c]!, at, from, to, value);
    this.#pieces += 1;
    if (at === 0) this.#firsts[c] = from;
  }

  /** Moves the pieces from index `keep` on of the full chunk `c` to a new one behind it. */
  #split(c: number, keep: number): void {
    if (this.#chunks === this.#store.chunks) this.#rebuild(2 * this.#chunks, CHUNK_PIECES);
    const store = this.#store;
    const chunk = this.#order[c]!;
    const rear = this.#spare.pop() ?? this.#chunks;
    this.#order.copyWithin(c + 2, c + 1, this.#chunks);
    this.#firsts.copyWithin(c + 2, c + 1, this.#chunks);
    this.#order[c + 1] = rear;
    this.#chunks += 1;
    if (keep === CHUNK_PIECES) return;
    store.append(rear, store, chunk, keep);
    store.remove(chunk, keep, CHUNK_PIECES);
    this.#firsts[c + 1] = store.from(rear, 0);
  }

  /** After a change that began in chunk `c`: an empty chunk goes, a sparse one joins a neighbour that has room. */
  #tidy(c: number): void {
    if (this.#chunks === 1) return;
    if (this.#store.length(this.#order[c]!) === 0) this.#dropChunks(c, c + 1);
    else this.#tidyBehind(c);
    if (c > 0) this.#tidyBehind(c - 1);
  }

  /** Joins chunk `c` with the one behind it when one of them is sparse and both fit well into one. */
  #tidyBehind(c: number): void {
    if (c + 1 >= this.#chunks) return;
    const store = this.#store;
    const chunk = this.#order[c]!;
    const behind = this.#order[c + 1]!;
    const length = store.length(chunk);
    const lengthBehind = store.length(behind);
    if (length >= SPARSE_PIECES && lengthBehind >= SPARSE_PIECES) return;
    if (length + lengthBehind > JOINED_PIECES) return;
    store.append(chunk, store, behind, 0);
    store.remove(behind, 0, lengthBehind);
    this.#dropChunks(c + 1, c + 2);
  }

  /** Takes the empty chunks [c, end) off the list. */
  #dropChunks(c: number, end: number): void {
    for (let i = c; i < end; i += 1) this.#spare.push(this.#order[i]!);
    this.#order.copyWithin(c, end, this.#chunks);
    this.#firsts.copyWithin(c, end, this.#chunks);
    this.#chunks -= end - c;
    let needed = this.#store.chunks;
    while (needed > 1 && this.#chunks * SLACK <= needed) needed /= 2;
    if (needed < this.#store.chunks) this.#rebuild(needed, CHUNK_PIECES);
  }

  /** Moves everything to where there is room for `chunks` chunks of `size` pieces, in order. */
  #rebuild(chunks: number, size: number): void {
    const before = this.#store;
    const order = this.#order;
    const firsts = this.#firsts;
    this.#store = new Pieces<T>(chunks, size);
    this.#order = new Uint32Array(chunks);
    this.#firsts = new Float64Array(chunks);
    this.#spare = [];
    for (let c = 0; c < this.#chunks; c += 1) {
      this.#store.append(c, before, order[c]!, 0);
      this.#order[c] = c;
      this.#firsts[c] = firsts[c]!;
    }
  }
}

function checkRange(offset: number, length: number): void {
  assert(Number.isSafeInteger(offset) && offset >= 0, 'an offset is a whole number of bytes');
  assert(Number.isSafeInteger(length) && length >= 0, 'a length is a whole number of bytes');
  assert(length <= END_OF_BYTES - offset, 'a range ends at or before byte 2^53');
}

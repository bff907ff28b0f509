/**
 * The demo's own books: what was written, what of it was acknowledged, and when. They are kept apart from the servers
 * and checked against what is read back, so that "nothing lost" is found out and not believed.
 */
import type { Disk } from './disk.ts';

/** Bytes of one write. */
export const PIECE_BYTES = 16 << 10;
/** Writes in flight side by side. */
const DEPTH = 16;
/** Bytes of one read when the books are checked. */
const CHECK_BYTES = 256 << 10;

/** Writes a file piece by piece at a given pace, and knows of each piece whether it was acknowledged. */
export class FileWriter {
  readonly #disk: Disk;
  readonly #file: Buffer;
  readonly #bytesPerMs: number;
  readonly #acknowledged: Uint8Array;
  #next = 0;
  #startedMs = 0;
  #count = 0;
  #firstAnswer: ((atMs: number) => void) | null = null;

  constructor(disk: Disk, file: Buffer, bytesPerSecond: number) {
    this.#disk = disk;
    this.#file = file;
    this.#bytesPerMs = bytesPerSecond / 1_000;
    this.#acknowledged = new Uint8Array(Math.ceil(file.length / PIECE_BYTES));
  }

  get pieces(): number {
    return this.#acknowledged.length;
  }
  /** Writes acknowledged so far. */
  get count(): number {
    return this.#count;
  }
  /** Writes sent so far. */
  get sent(): number {
    return this.#next;
  }
  get acknowledgedBytes(): number {
    return Math.min(this.#file.length, this.#count * PIECE_BYTES);
  }
  /** Which pieces are acknowledged at this moment. */
  snapshot(): Uint8Array {
    return this.#acknowledged.slice();
  }

  /** Resolves with the time (ms since 1970) of the next acknowledgement. */
  nextAnswer(): Promise<number> {
    return new Promise((resolve) => (this.#firstAnswer = resolve));
  }

  /** Writes everything; resolves when all of it is acknowledged. */
  async run(): Promise<void> {
    this.#startedMs = performance.now();
    await Promise.all(Array.from({ length: DEPTH }, () => this.#lane()));
  }

  async #lane(): Promise<void> {
    for (let index = this.#take(); index !== null; index = this.#take()) {
      const dueMs = this.#startedMs + (index * PIECE_BYTES) / this.#bytesPerMs;
      const waitMs = dueMs - performance.now();
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
      const offset = index * PIECE_BYTES;
      await this.#disk.write(offset, this.#file.subarray(offset, offset + PIECE_BYTES));
      this.#acknowledged[index] = 1;
      this.#count += 1;
      this.#firstAnswer?.(Date.now());
      this.#firstAnswer = null;
    }
  }

  #take(): number | null {
    if (this.#next >= this.pieces) return null;
    this.#next += 1;
    return this.#next - 1;
  }

  /** Reads the pieces of `which` back and counts the bytes that are not what was acknowledged. */
  async check(disk: Disk, which: Uint8Array): Promise<Checked> {
    let checkedBytes = 0;
    let wrongBytes = 0;
    for (let offset = 0; offset < this.#file.length; offset += CHECK_BYTES) {
      const wanted = this.#file.subarray(offset, offset + CHECK_BYTES);
      const found = await disk.read(offset, wanted.length);
      for (let at = 0; at < wanted.length; at += PIECE_BYTES) {
        if (which[(offset + at) / PIECE_BYTES] !== 1) continue;
        const piece = wanted.subarray(at, at + PIECE_BYTES);
        checkedBytes += piece.length;
        wrongBytes += differing(piece, found.subarray(at, at + piece.length));
      }
    }
    return { checkedBytes, wrongBytes };
  }
}

export interface Checked {
  readonly checkedBytes: number;
  readonly wrongBytes: number;
}

/** How many bytes of two buffers of one length differ. */
function differing(wanted: Buffer, found: Buffer): number {
  if (wanted.equals(found)) return 0;
  return wanted.reduce((count, byte, index) => count + (byte === found[index] ? 0 : 1), 0);
}

const BLOCK_BYTES = 4_096;
/** Blocks that the counter goes round over. */
const COUNTER_BLOCKS = 256;
const COUNTER_PACE_MS = 5;

/** A second application: counts into blocks, one write at a time, and knows how long it ever had to wait. */
export class Counter {
  readonly #disk: Disk;
  readonly #last: (Buffer | null)[] = new Array<Buffer | null>(COUNTER_BLOCKS).fill(null);
  #number = 0;
  #longestMs = 0;
  #stopped = false;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** Writes acknowledged so far. */
  get count(): number {
    return this.#number;
  }

  /** The longest wait for an answer since this was last asked, ms. */
  takeLongestMs(): number {
    const longest = this.#longestMs;
    this.#longestMs = 0;
    return longest;
  }

  stop(): void {
    this.#stopped = true;
  }

  async run(): Promise<void> {
    while (!this.#stopped) {
      const block = Buffer.alloc(BLOCK_BYTES, `write ${this.#number + 1} of the counter. `);
      const slot = this.#number % COUNTER_BLOCKS;
      const startedMs = performance.now();
      await this.#disk.write(slot * BLOCK_BYTES, block);
      this.#longestMs = Math.max(this.#longestMs, performance.now() - startedMs);
      this.#last[slot] = block;
      this.#number += 1;
      await new Promise((resolve) => setTimeout(resolve, COUNTER_PACE_MS));
    }
  }

  /** Reads every block back. Only once it has stopped. */
  async check(disk: Disk): Promise<Checked> {
    const found = await disk.read(0, COUNTER_BLOCKS * BLOCK_BYTES);
    let checkedBytes = 0;
    let wrongBytes = 0;
    this.#last.forEach((block, slot) => {
      if (block === null) return;
      checkedBytes += block.length;
      wrongBytes += differing(block, found.subarray(slot * BLOCK_BYTES, (slot + 1) * BLOCK_BYTES));
    });
    return { checkedBytes, wrongBytes };
  }
}

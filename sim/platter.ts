/**
 * Places of the simulated medium that are written and synced one by one: the sectors of a block volume; the cells, the size
 * and the time of a file. Each holds a number: what a read finds, and what a loss of power leaves.
 */

/** In `dirty`: a failed sync forgot it, but the cache still shows it; it will never become durable. */
export const GHOST = 255;

/** The bytes of one block volume, or of one object of a files volume. */
export class Platter {
  readonly sectors: number;
  /** What a read finds. */
  readonly now: Uint32Array;
  /** What a loss of power leaves. */
  readonly synced: Uint32Array;
  /** Server index + 1 of the newest write that is not synced, else 0. */
  readonly dirty: Uint8Array;
  readonly hole: Uint8Array;
  /** Order of the newest landing in `now`, and of the one that `synced` holds. */
  readonly stamp: Float64Array;
  readonly syncedStamp: Float64Array;
  readonly shared: boolean;
  full = false;
  #order = 0;

  constructor(sectors: number, shared = true) {
    this.sectors = sectors;
    this.shared = shared;
    this.now = new Uint32Array(sectors);
    this.synced = new Uint32Array(sectors);
    this.dirty = new Uint8Array(sectors);
    this.hole = new Uint8Array(sectors).fill(1);
    this.stamp = new Float64Array(sectors);
    this.syncedStamp = new Float64Array(sectors);
  }

  /** What `now` held at the time of `stamp` is durable, unless something newer is. */
  makeDurable(sector: number, tag: number, stamp: number): void {
    if (stamp > (this.syncedStamp[sector] as number)) {
      this.synced[sector] = tag;
      this.syncedStamp[sector] = stamp;
    }
    if (this.stamp[sector] === stamp) this.dirty[sector] = 0;
  }

  /** The content that is not durable is gone. */
  revert(sector: number): void {
    this.now[sector] = this.synced[sector] as number;
    this.stamp[sector] = this.syncedStamp[sector] as number;
  }

  /** What server `by` wrote to a sector arrives. */
  put(at: number, tag: number, by: number, hole = false): void {
    this.now[at] = tag;
    this.stamp[at] = ++this.#order;
    this.dirty[at] = by + 1;
    this.hole[at] = hole ? 1 : 0;
  }

  /** What a sync covers that is issued now; to be called when it takes effect. Null: nothing is to be synced. */
  capture(): (() => void) | null {
    if (!this.dirty.some((by) => by !== 0)) return null;
    const captured = this.now.slice();
    const stamps = this.stamp.slice();
    const dirty = this.dirty.slice();
    return () => {
      for (let i = 0; i < this.sectors; i++) {
        // What landed after the sync was issued stays dirty; what was there before it is durable, unless the
        // kernel has forgotten it meanwhile.
        const forgotten =
          dirty[i] === GHOST || this.dirty[i] === GHOST || (this.stamp[i] as number) < (stamps[i] as number);
        if (dirty[i] !== 0 && !forgotten) this.makeDurable(i, captured[i] as number, stamps[i] as number);
      }
    };
  }
}

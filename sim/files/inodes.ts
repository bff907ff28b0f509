/**
 * The files that a simulated front end knows, as src/front/nfs has them: size and time as they are acknowledged, put together
 * from the log's view and the medium's when a file is not known. Files are forgotten at any time when nothing is on its way.
 */
import type { PendingObject } from '../../src/ports/service.ts';
import type { ObjectId } from '../../src/ports/tree.ts';
import type { Change } from './model.ts';
import { CELL } from './platter.ts';

/** A modification on its way. */
export interface Underway {
  readonly change: Change;
  /** The size that it leads to, or (a write) at least. */
  readonly cells: number;
  readonly settled: (fault: unknown) => void;
  ended: boolean;
  fault: unknown;
}

export class Inode {
  readonly id: ObjectId;
  size = 0;
  time = 0;
  loaded = false;
  stale = false;
  /** Who holds on to it. */
  pins = 0;
  /** Who waits for it to be known. */
  readonly waiting: (() => void)[] = [];
  readonly underway: Underway[] = [];

  constructor(id: ObjectId) {
    this.id = id;
  }

  /** What the medium says, and what was on its way to it before it was asked. */
  load(mediumCells: number, mediumTime: number, pending: PendingObject | null): void {
    this.size = mediumCells;
    this.time = mediumTime;
    if (pending === null) return;
    this.size =
      pending.exactBytes === null ? Math.max(mediumCells, pending.leastBytes / CELL) : pending.exactBytes / CELL;
    this.time = Number(pending.timeNs);
  }

  /** What is answered without a gap from the oldest on takes effect. */
  settle(): void {
    while (this.underway[0]?.ended === true) {
      const { change, cells, fault, settled } = this.underway.shift() as Underway;
      this.pins--;
      if (fault === null) {
        this.time = change.tag;
        if (change.kind === 'write') this.size = Math.max(this.size, cells);
        else if (change.kind === 'truncate') this.size = cells;
      }
      settled(fault);
    }
  }
}

/** Requests on the same names, one after the other. */
export class Locks {
  readonly #queues = new Map<string, (() => void)[]>();

  /** All of them, in one order, so that nobody waits in a circle. */
  acquire(keys: readonly string[], granted: () => void): void {
    const [key, ...rest] = [...new Set(keys)].sort();
    if (key === undefined) return granted();
    const go = (): void => this.acquire(rest, granted);
    const queue = this.#queues.get(key);
    if (queue !== undefined) return void queue.push(go);
    this.#queues.set(key, []);
    go();
  }

  release(keys: readonly string[]): void {
    for (const key of new Set(keys)) {
      const next = this.#queues.get(key)?.shift();
      if (next === undefined) this.#queues.delete(key);
      else next();
    }
  }
}

/**
 * Order and bounds for the coordinator's file operations. They run on the thread pool that the journals use as well:
 * a directory that hangs must not take all of its threads, nor may calls pile up behind it.
 */
import { Fault } from '../../base/fault.ts';
import { Ring } from '../../base/ring.ts';

/** Callers that share the next reading: at ten calls a second, as many as come in a quarter of a minute. */
const ASKING_MAX = 150;

/** Runs at most so many pieces of work at a time, the others in order of arrival. */
export class Turns {
  readonly #limit: number;
  readonly #waitingMax: number;
  readonly #waiting = new Ring<() => void>();
  #running = 0;

  constructor(limit: number, waitingMax: number) {
    this.#limit = limit;
    this.#waitingMax = waitingMax;
  }

  /** The outcome of `work`, once it had its turn. Throws Fault `retry`, `work` not begun, when too many wait. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#limit) {
      if (this.#waiting.length >= this.#waitingMax)
        throw new Fault('retry', 'Too many calls wait for the coordinator.');
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#running += 1;
    }
    try {
      return await work();
    } finally {
      // The turn passes on as it is; only without a successor does it end.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}

/**
 * One reading at a time, shared by all who asked before it began. A call never gets the outcome of a reading that began
 * before the call: what was read then may be older.
 */
export class SharedReading<T> {
  readonly #read: () => Promise<T>;
  #running: Promise<T> | null = null;
  #following: Promise<T> | null = null;
  #asking = 0;

  constructor(read: () => Promise<T>) {
    this.#read = read;
  }

  /** The outcome of a reading that begins after this call. Throws Fault `retry` when too many wait already. */
  async fresh(): Promise<T> {
    if (this.#asking >= ASKING_MAX) throw new Fault('retry', 'Too many calls wait for the coordinator.');
    this.#asking += 1;
    try {
      return await this.#next();
    } finally {
      this.#asking -= 1;
    }
  }

  #next(): Promise<T> {
    if (this.#following !== null) return this.#following;
    if (this.#running === null) return this.#begin();
    const follow = (): Promise<T> => this.#begin();
    this.#following = this.#running.then(follow, follow);
    return this.#following;
  }

  #begin(): Promise<T> {
    this.#following = null;
    const running = this.#read().finally(() => {
      if (this.#running === running) this.#running = null;
    });
    this.#running = running;
    return running;
  }
}

/**
 * How long a supervisor waits before it starts a server again: the first time almost at once, twice as long after each
 * end that follows soon, so that a server that cannot live does not keep its machine and its peers busy.
 */

/** Pause before the first start anew, ms: long enough for the partner to go first. */
const FIRST_MS = 500;
/** Longest pause, ms. */
const MOST_MS = 30_000;
/** A server that was up for so long has lived: its next end is a first one again, ms. */
const LIVED_MS = 60_000;

export class BackOff {
  #nextMs = FIRST_MS;

  /** The process ended after `upMs` of taking part in the cluster (0: it never did). Gives the pause, ms. */
  ended(upMs: number): number {
    const pauseMs = upMs >= LIVED_MS ? FIRST_MS : this.#nextMs;
    this.#nextMs = Math.min(2 * pauseMs, MOST_MS);
    return pauseMs;
  }
}

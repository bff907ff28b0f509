/** Time, as the core is given it. */

/** A pending call of `Clock.after`. Opaque. */
export interface Timer {
  /** The call will not happen. Harmless when it already has. */
  cancel(): void;
}

export interface Clock {
  /**
   * Milliseconds, fractional, of a clock that never steps and counts on while the machine is suspended
   * (CLOCK_BOOTTIME). Its zero means nothing; two servers' clocks are never compared.
   */
  nowMs(): number;
  /** Calls `run` once, not before `delayMs` have passed. */
  after(delayMs: number, run: () => void): Timer;
  /** Calls `run` soon, after what is running now and before anything waits. */
  soon(run: () => void): void;
  /** Calls `run` once what has arrived by now has been taken in, from whomever: what arrived together leaves together. */
  together(run: () => void): void;
  /**
   * Calls `run` in a later turn, behind everything that is ready now, I/O too, and behind what leaves together: long work
   * in pieces lets the rest go on.
   */
  later(run: () => void): void;
}

/** The only source of chance: identities and nonces. */
export interface Ids {
  /** 32 hexadecimal digits, never drawn twice. */
  draw(): string;
  /** A number in [0, 1), to spread retries. Not a secret. */
  spread(): number;
}

/**
 * Real time and real chance, as the core is given them (src/ports/clock.ts). The clock is CLOCK_BOOTTIME: it never
 * steps and counts on while the machine is suspended, which Node's own clocks do not; a server that slept must see
 * that its lease ran out.
 */
import { randomBytes, randomInt } from 'node:crypto';
import type { Clock, Ids, Timer } from '../../ports/clock.ts';
import { faultOfErrno } from './errno.ts';
import { libc } from './libc.ts';

const CLOCK_BOOTTIME = 7;
const TWO_32 = 2 ** 32;
/** The longest delay that setTimeout takes; longer ones are waited for in pieces. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

export class BootClock implements Clock {
  /** struct timespec: seconds, nanoseconds; as halves of 64 bit numbers, low ones first, so that no BigInt is made. */
  readonly #timespec = new Uint32Array(4);
  readonly #library = libc();
  /** What leaves at the end of this round of the event loop. */
  #leaving: (() => void)[] = [];
  /** Long work, in pieces. */
  readonly #pieces: (() => void)[] = [];
  /** The next piece let something leave before it already. */
  #waited = false;

  /** Throws a Fault `refused` where there is no such clock. */
  constructor() {
    if (this.#library.clockGettime(CLOCK_BOOTTIME, this.#timespec) !== 0) {
      throw faultOfErrno(this.#library.errno(), 'Reading the boot-time clock');
    }
  }

  /** Milliseconds since the machine started, suspended times included. One vDSO call, about 0.2 us. */
  nowMs(): number {
    this.#library.clockGettime(CLOCK_BOOTTIME, this.#timespec);
    const timespec = this.#timespec;
    return (timespec[1]! * TWO_32 + timespec[0]!) * 1e3 + timespec[2]! / 1e6;
  }

  after(delayMs: number, run: () => void): Timer {
    return new BootTimer(this, delayMs, run);
  }

  soon(run: () => void): void {
    process.nextTick(run);
  }

  together(run: () => void): void {
    this.#leaving.push(run);
    if (this.#leaving.length === 1) setImmediate(this.#leave);
  }

  later(run: () => void): void {
    this.#pieces.push(run);
    if (this.#pieces.length === 1) setImmediate(this.#work);
  }

  // Immediates run when every socket that was ready has been read until it was empty.
  readonly #leave = (): void => {
    const leaving = this.#leaving;
    this.#leaving = [];
    for (const run of leaving) run();
  };

  /** One piece a round of the event loop; when something is to leave in this round, that first, and the piece in the next. */
  readonly #work = (): void => {
    const wait = this.#leaving.length > 0 && !this.#waited;
    this.#waited = wait;
    const run = wait ? undefined : this.#pieces.shift();
    if (wait || this.#pieces.length > 0) setImmediate(this.#work);
    run?.();
  };
}

/**
 * One pending call. Node's timers count in whole milliseconds of another clock and may fire a moment early by this
 * one: the call is put off again until the boot clock has really passed.
 */
class BootTimer implements Timer {
  readonly #clock: BootClock;
  readonly #dueMs: number;
  readonly #run: () => void;
  #timeout: NodeJS.Timeout;

  constructor(clock: BootClock, delayMs: number, run: () => void) {
    this.#clock = clock;
    this.#dueMs = clock.nowMs() + Math.max(0, delayMs);
    this.#run = run;
    this.#timeout = this.#arm(delayMs);
  }

  cancel(): void {
    clearTimeout(this.#timeout);
  }

  #arm(delayMs: number): NodeJS.Timeout {
    return setTimeout(fire, Math.min(MAX_TIMEOUT_MS, Math.max(1, Math.ceil(delayMs))), this);
  }

  /** The timeout ran out: the call, or another timeout for what is left. */
  fired(): void {
    const leftMs = this.#dueMs - this.#clock.nowMs();
    if (leftMs > 0) this.#timeout = this.#arm(leftMs);
    else this.#run();
  }
}

function fire(timer: BootTimer): void {
  timer.fired();
}

/** Identities from the operating system's random source. */
export class RandomIds implements Ids {
  draw(): string {
    return randomBytes(16).toString('hex');
  }

  spread(): number {
    return randomInt(2 ** 32) / 2 ** 32;
  }
}

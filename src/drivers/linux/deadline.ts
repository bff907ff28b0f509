/**
 * Work against a deadline: storage that hangs is as bad as storage that fails, and the server must notice it (design,
 * section 7).
 */
import { type Done, Fault } from '../../base/fault.ts';
import type { Clock } from '../../ports/clock.ts';
import { faultOfError } from './errno.ts';

/** What has not answered a probe within this is not reached. */
export const PROBE_DEADLINE_MS = 2_000;

/**
 * Runs one piece of work at a time against a deadline. Work that has not come back stays outstanding, and until it
 * does every further call is answered at once, without piling more I/O on what hangs.
 */
export class Deadline {
  readonly #clock: Clock;
  readonly #deadlineMs: number;
  readonly #what: string;
  #startedAtMs: number | null = null;

  constructor(clock: Clock, deadlineMs: number, what: string) {
    this.#clock = clock;
    this.#deadlineMs = deadlineMs;
    this.#what = what;
  }

  /** `done` is called once, when `work` ends or the deadline passes (fault `timeout`), whichever is first. */
  run(work: () => Promise<void>, done: Done): void {
    const startedAtMs = this.#clock.nowMs();
    if (this.#startedAtMs !== null) {
      const sinceMs = Math.round(startedAtMs - this.#startedAtMs);
      const fault = new Fault('timeout', `${this.#what} has not answered an earlier probe for ${sinceMs} ms.`);
      return process.nextTick(done, fault);
    }
    this.#startedAtMs = startedAtMs;
    let answered = false;
    const answer = (fault: Fault | null): void => {
      if (answered) return;
      answered = true;
      timer.cancel();
      process.nextTick(done, fault);
    };
    const timer = this.#clock.after(this.#deadlineMs, () =>
      answer(new Fault('timeout', `${this.#what} has not answered a probe within ${this.#deadlineMs} ms.`)),
    );
    const ended = (fault: Fault | null): void => {
      this.#startedAtMs = null;
      answer(fault);
    };
    work().then(
      () => ended(null),
      (error: unknown) => ended(faultOfError(error, `Probing ${this.#what}`)),
    );
  }
}

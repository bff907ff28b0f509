/**
 * Work against a deadline: storage that hangs is as bad as storage that fails, and the server must notice it (design,
 * section 7).
 */
import { type Done, Fault } from '../../base/fault.ts';
import type { Clock } from '../../ports/clock.ts';
import { faultOfError } from './errno.ts';

/** What has not answered a probe within this is not reached. */
export const PROBE_DEADLINE_MS = 2_000;

/** Callers that share one piece of work; one for each volume of a medium, and some. */
const SHARING_MAX = 256;

/**
 * Runs one piece of work at a time against a deadline. Who asks while it runs shares its outcome, with a deadline of
 * his own. Work that has not come back in time stays outstanding, and until it does everybody is answered at once:
 * nothing more is piled on what hangs.
 */
export class Deadline {
  readonly #clock: Clock;
  readonly #deadlineMs: number;
  readonly #what: string;
  readonly #waiting = new Set<(fault: Fault | null) => void>();
  #startedAtMs: number | null = null;

  /** `what` is probed, named as within a sentence. */
  constructor(clock: Clock, deadlineMs: number, what: string) {
    this.#clock = clock;
    this.#deadlineMs = deadlineMs;
    this.#what = what;
  }

  /** `done` is called once, never from within: when `work` ends or the deadline passes (fault `timeout`). */
  run(work: () => Promise<void>, done: Done): void {
    const nowMs = this.#clock.nowMs();
    const sinceMs = this.#startedAtMs === null ? 0 : nowMs - this.#startedAtMs;
    if (sinceMs >= this.#deadlineMs || this.#waiting.size >= SHARING_MAX) {
      const message = `A probe of ${this.#what} has not come back for ${Math.round(sinceMs)} ms.`;
      return process.nextTick(done, new Fault('timeout', message));
    }
    this.#wait(done);
    if (this.#startedAtMs !== null) return;
    this.#startedAtMs = nowMs;
    work().then(
      () => this.#ended(null),
      (error: unknown) => this.#ended(faultOfError(error, `The probe of ${this.#what}`)),
    );
  }

  /** Answers `done` with whatever comes first. */
  #wait(done: Done): void {
    const answer = (fault: Fault | null): void => {
      this.#waiting.delete(answer);
      timer.cancel();
      process.nextTick(done, fault);
    };
    const timer = this.#clock.after(this.#deadlineMs, () =>
      answer(new Fault('timeout', `A probe of ${this.#what} has not come back within ${this.#deadlineMs} ms.`)),
    );
    this.#waiting.add(answer);
  }

  #ended(fault: Fault | null): void {
    this.#startedAtMs = null;
    this.#waiting.forEach((answer) => answer(fault));
  }
}

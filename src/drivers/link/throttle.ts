/**
 * A log that a stranger cannot fill: in each window the same finding is written once, and only so many different ones.
 * What was left out is counted and said with the next line.
 */
import type { Clock } from '../../ports/clock.ts';

export type LogFields = Readonly<Record<string, string | number | boolean | null>>;

/** Who is told. `event` is a dotted name (docs/operating.md lists them). */
export type LinkLog = (level: 'info' | 'warn', event: string, fields: LogFields) => void;

const WINDOW_MS = 5_000;
/** Different findings per window; at most 7 lines a second. */
const MAX_LINES = 35;

export class ThrottledLog {
  readonly #log: LinkLog;
  readonly #clock: Clock;
  #windowEndsMs = -Infinity;
  /** How often each finding came in this window, and in the last one. */
  #counts = new Map<string, number>();
  #earlier: ReadonlyMap<string, number> = new Map();
  /** Findings beyond MAX_LINES that were not even told apart. */
  #dropped = 0;

  constructor(log: LinkLog, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** Writes at once; for what happens rarely. */
  always(level: 'info' | 'warn', event: string, fields: LogFields): void {
    this.#log(level, event, fields);
  }

  /** Writes the first of each `finding` in a window. */
  throttled(finding: string, level: 'info' | 'warn', event: string, fields: LogFields): void {
    const now = this.#clock.nowMs();
    if (now >= this.#windowEndsMs) {
      this.#earlier = now >= this.#windowEndsMs + WINDOW_MS ? new Map() : this.#counts;
      this.#counts = new Map();
      this.#windowEndsMs = now + WINDOW_MS;
    }
    const count = this.#counts.get(finding);
    if (count !== undefined) {
      this.#counts.set(finding, count + 1);
      return;
    }
    if (this.#counts.size >= MAX_LINES) {
      this.#dropped += 1;
      return;
    }
    this.#counts.set(finding, 1);
    const suppressed = (this.#earlier.get(finding) ?? 1) - 1;
    const others = this.#dropped;
    this.#dropped = 0;
    this.#log(level, event, {
      ...fields,
      ...(suppressed > 0 ? { suppressed } : {}),
      ...(others > 0 ? { suppressedOthers: others } : {}),
    });
  }
}

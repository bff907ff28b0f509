/** What a run of the torture did and what came of it, for the lines that it prints in the end. */
import type { Oracle } from '../oracle.ts';

/** Findings that say that an acknowledged write is gone; all others are reads of what must not be any more, or not yet. */
const LOST =
  /happened and was not seen|nothing made them zero|overwritten before the last full check|differs from what/;

export class Tally {
  readonly counts = {
    kills: 0,
    freezes: 0,
    cuts: 0,
    stops: 0,
    takeovers: 0,
    fills: 0,
    errors: 0,
    hangs: 0,
    slows: 0,
    checks: 0,
  };
  readonly #clients = { written: 0, read: 0, resent: 0, full: 0, failed: 0 };
  #lost = 0;
  #stale = 0;
  readonly #pausesMs: number[] = [];

  /** The longest time without an acknowledged write around one failure, ms. */
  pause(ms: number): void {
    this.#pausesMs.push(ms);
  }

  /** Takes over what the clients of a world have seen, once it is over. */
  seen({ counts, history, errors }: Oracle): void {
    const clients = this.#clients;
    for (const key of Object.keys(clients) as (keyof typeof clients)[]) clients[key] += counts[key];
    const lost = history.findings.filter((text) => LOST.test(text)).length;
    this.#lost += lost;
    this.#stale += history.findings.length - lost + errors.length;
  }

  lines(): string[] {
    const counts = Object.entries(this.counts).map(([what, count]) => `${what} ${count}`);
    const { written, read, resent, full, failed } = this.#clients;
    const refused = `refused as full ${full}, failed while the medium failed ${failed}`;
    return [
      counts.join(', '),
      `writes acknowledged ${written}, reads ${read}, sent again ${resent}, ${refused}`,
      `lost ${this.#lost}, stale ${this.#stale}; ${this.#pauses()}`,
    ];
  }

  /** `pauses 83 ms at the median, 1240 ms at the 95th of 100, 4012 ms at most`. */
  #pauses(): string {
    const sorted = this.#pausesMs.toSorted((a, b) => a - b);
    const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
    return `pauses ${at(0.5)} ms at the median, ${at(0.95)} ms at the 95th of 100, ${at(1)} ms at most`;
  }
}

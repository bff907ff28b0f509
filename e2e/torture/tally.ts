/** What a run of the torture did and what came of it, for the line that it prints in the end. */
export class Tally {
  readonly counts = {
    kills: 0,
    freezes: 0,
    cuts: 0,
    stops: 0,
    takeovers: 0,
    fills: 0,
    checks: 0,
  };
  readonly #pausesMs: number[] = [];

  /** The longest time without an acknowledged write around one failure, ms. */
  pause(ms: number): void {
    this.#pausesMs.push(ms);
  }

  /** `pauses 83 ms at the median, 1240 ms at the 95th of 100, 4012 ms at most`. */
  pauses(): string {
    const sorted = this.#pausesMs.toSorted((a, b) => a - b);
    const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
    return `pauses ${at(0.5)} ms at the median, ${at(0.95)} ms at the 95th of 100, ${at(1)} ms at most`;
  }

  done(): string {
    return Object.entries(this.counts)
      .map(([what, count]) => `${what} ${count}`)
      .join(', ');
  }
}

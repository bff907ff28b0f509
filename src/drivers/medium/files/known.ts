/**
 * What was learnt of the tree a moment ago. Everything that changes it through this volume says so (`enter`, `leave`), and
 * nothing that was looked at before or meanwhile is kept; so what is kept is exact, but for what somebody changes behind the
 * back of the volume's owner: that is seen when the entry has aged.
 */

/** An entry is good for so long. */
const AGE_MAX_MS = 1_000;
/** Keys of which is remembered when they changed last. */
const CHANGED_MAX = 4_096;

interface Entry<V> {
  readonly value: V;
  readonly untilMs: number;
}

export class Known<V> {
  readonly #entries = new Map<string, Entry<V>>();
  readonly #max: number;
  /** Changes on their way, per key. */
  readonly #changing = new Map<string, number>();
  /** Keys that changed lately, oldest first, with the moment after the change. */
  readonly #changed = new Map<string, number>();
  /** Changes before this moment are no longer remembered. */
  #forgotten = 0;
  #moment = 0;

  /** Keeps `max` entries; the oldest goes first. */
  constructor(max: number) {
    this.#max = max;
  }

  /** Taken before one looks, and told when what was seen is put in. */
  get moment(): number {
    return this.#moment;
  }

  get(key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.untilMs > performance.now()) return entry.value;
    this.#entries.delete(key);
    return undefined;
  }

  put(key: string, value: V, moment: number): void {
    if (moment < this.#forgotten || this.#changing.has(key) || (this.#changed.get(key) ?? 0) > moment) return;
    this.#entries.delete(key);
    if (this.#entries.size >= this.#max) {
      const [oldest] = this.#entries.keys();
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    this.#entries.set(key, { value, untilMs: performance.now() + AGE_MAX_MS });
  }

  /** A change of it begins. */
  enter(key: string): void {
    this.#entries.delete(key);
    this.#changing.set(key, (this.#changing.get(key) ?? 0) + 1);
  }

  /** It has ended. */
  leave(key: string): void {
    const left = (this.#changing.get(key) ?? 1) - 1;
    if (left === 0) this.#changing.delete(key);
    else this.#changing.set(key, left);
    this.change(key);
  }

  /** It has changed at some time before now. */
  change(key: string): void {
    this.#entries.delete(key);
    this.#moment += 1;
    this.#changed.delete(key);
    this.#changed.set(key, this.#moment);
    if (this.#changed.size <= CHANGED_MAX) return;
    for (const [oldest, moment] of this.#changed) {
      this.#changed.delete(oldest);
      this.#forgotten = moment;
      break;
    }
  }
}

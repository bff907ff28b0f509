/**
 * What was learnt of the tree a moment ago. Everything that changes it through this volume says so (`enter`, `leave`), and
 * nothing that was looked at before or meanwhile is kept; so what is kept is exact, but for what somebody changes behind the
 * back of the volume's owner: that is seen when the entry has aged.
 */

/** An entry is good for so long. */
const AGE_MAX_MS = 1_000;
/** Entries looked at for one that may go. */
const LOOKED_AT = 16;

interface Entry<V> {
  value: V | undefined;
  untilMs: number;
  /** Changes on their way. */
  changing: number;
  /** The moment after its last change. */
  changed: number;
}

export class Known<V> {
  /** Those that change stay where they are: a map in which the same key comes and goes gets slow. */
  readonly #entries = new Map<string, Entry<V>>();
  readonly #max: number;
  /** Goes through the entries, the oldest first; kept, since the way to the first one grows with those that went. */
  #oldest: MapIterator<[string, Entry<V>]>;
  /** Changes before this moment are no longer remembered. */
  #forgotten = 0;
  #moment = 0;

  /** Keeps `max` entries, and those that are being changed; the oldest goes first. */
  constructor(max: number) {
    this.#max = max;
    this.#oldest = this.#entries.entries();
  }

  /** Taken before one looks, and told when what was seen is put in. */
  get moment(): number {
    return this.#moment;
  }

  get(key: string): V | undefined {
    const entry = this.#entries.get(key);
    return entry !== undefined && entry.untilMs > performance.now() ? entry.value : undefined;
  }

  put(key: string, value: V, moment: number): void {
    if (moment < this.#forgotten) return;
    const entry = this.#entries.get(key) ?? this.#add(key);
    if (entry.changing > 0 || entry.changed > moment) return;
    entry.value = value;
    entry.untilMs = performance.now() + AGE_MAX_MS;
  }

  /** A change of it begins. */
  enter(key: string): void {
    const entry = this.#entries.get(key) ?? this.#add(key);
    entry.value = undefined;
    entry.changing += 1;
  }

  /** It has ended. */
  leave(key: string): void {
    const entry = this.#entries.get(key);
    if (entry !== undefined && entry.changing > 0) entry.changing -= 1;
    this.change(key);
  }

  /** It has changed at some time before now. */
  change(key: string): void {
    const entry = this.#entries.get(key) ?? this.#add(key);
    this.#moment += 1;
    entry.value = undefined;
    entry.changed = this.#moment;
  }

  #add(key: string): Entry<V> {
    if (this.#entries.size >= this.#max) this.#makeRoom();
    const entry: Entry<V> = { value: undefined, untilMs: 0, changing: 0, changed: 0 };
    this.#entries.set(key, entry);
    return entry;
  }

  #makeRoom(): void {
    for (let left = LOOKED_AT; left > 0; left -= 1) {
      const { value: next } = this.#oldest.next();
      if (next === undefined) this.#oldest = this.#entries.entries();
      else if (next[1].changing === 0) {
        this.#entries.delete(next[0]);
        this.#forgotten = Math.max(this.#forgotten, next[1].changed);
        return;
      }
    }
  }
}

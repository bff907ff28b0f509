/**
 * Is there an order of some deeds that explains what was seen? The states that an object can be in, followed deed by deed:
 * its value, and which of the deeds begun have not taken effect. Exhaustive, and bounded; beyond that it is undecided.
 */

/** A modification or a look. */
export interface Deed<V> {
  /**
   * The values that it can lead to from `value`; none: it cannot have been then. A look leads to the same value.
   * `torn`: all that it may leave when its process dies in the middle of it.
   */
  apply(value: V, torn: boolean): readonly V[];
  readonly isLook: boolean;
  /** Deeds of one lane take effect in the order in which they began; null: it has none. */
  readonly lane: number | null;
  /** Nobody was told that it is done, and it may have been done in part. */
  readonly mayTear: () => boolean;
}

interface State<V> {
  readonly value: V;
  /** Deeds begun without effect so far, ascending. */
  readonly open: readonly number[];
}

/** More states than this: undecided. */
const STATES = 4_000;
/** More steps from state to state than this: undecided as well. */
const STEPS = 100_000;

export class Explanation<V extends number | string> {
  #states = new Map<string, State<V>>();
  readonly #deeds: Deed<V>[] = [];
  undecided = false;
  #steps = 0;

  constructor(initial: V) {
    keep(this.#states, { value: initial, open: [] });
  }

  /** The deed may take effect from now on. Returns its number. */
  begin(deed: Deed<V>): number {
    const index = this.#deeds.push(deed) - 1;
    const next = new Map<string, State<V>>();
    for (const state of this.#states.values()) {
      if (deed.isLook && deed.apply(state.value, false).length > 0) keep(next, state);
      else keep(next, { value: state.value, open: [...state.open, index] });
    }
    this.#states = next;
    return index;
  }

  /** The deed has taken effect by now; if it need not, it has or never will. False: nothing explains that. */
  end(index: number, must: boolean): boolean {
    if (this.undecided) return true;
    const next = new Map<string, State<V>>();
    // What is told to be done is done wholly, and so was what came before it.
    const tears = !must || (this.#deeds[index] as Deed<V>).isLook;
    for (const from of this.#states.values()) {
      this.#reach(from, tears, (state) => {
        if (!state.open.includes(index)) {
          keep(next, state);
          return false;
        }
        if (!must) keep(next, { value: state.value, open: state.open.filter((i) => i !== index) });
        return true;
      });
      if (next.size > STATES) this.undecided = true;
    }
    if (this.undecided) return true;
    if (next.size > 0) this.#states = next;
    return next.size > 0;
  }

  /** Whether the object can have this value now. */
  canBe(value: V): boolean {
    let found = this.undecided;
    for (const state of this.#states.values()) if (state.value === value) found = true;
    for (const from of found ? [] : this.#states.values())
      this.#reach(from, true, (state) => {
        if (state.value === value) found = true;
        return !found;
      });
    return found || this.undecided;
  }

  /** Values that it can have without any of the open deeds, for a person. */
  get values(): readonly V[] {
    return [...new Set([...this.#states.values()].map((state) => state.value))];
  }

  /** Calls `each` with `from` and what comes of it by open deeds; those that it returns false for lead no further. */
  #reach(from: State<V>, tears: boolean, each: (state: State<V>) => boolean): void {
    const seen = new Map<string, State<V>>();
    const work = [from];
    keep(seen, from);
    for (let state = work.pop(); state !== undefined; state = work.pop()) {
      if (!each(state)) continue;
      const lanes = new Set<number>();
      for (const index of state.open) {
        const deed = this.#deeds[index] as Deed<V>;
        if (deed.isLook || (deed.lane !== null && lanes.has(deed.lane))) continue;
        if (deed.lane !== null) lanes.add(deed.lane);
        const open = state.open.filter((i) => i !== index);
        for (const value of deed.apply(state.value, tears && deed.mayTear())) this.#step({ value, open }, seen, work);
      }
      this.#steps += seen.size > 1 ? 1 : 0;
      if (seen.size > STATES || this.#steps > STEPS) {
        this.undecided = true;
        return;
      }
    }
  }

  /** Looks that the new value satisfies are satisfied: that can only help. */
  #step(reached: State<V>, seen: Map<string, State<V>>, work: State<V>[]): void {
    const open = reached.open.filter((i) => {
      const deed = this.#deeds[i] as Deed<V>;
      return !deed.isLook || deed.apply(reached.value, false).length === 0;
    });
    const state = { value: reached.value, open };
    if (seen.has(keyOf(state))) return;
    keep(seen, state);
    work.push(state);
  }
}

const keyOf = <V>({ value, open }: State<V>): string => `${String(value)}:${open.join()}`;

function keep<V>(states: Map<string, State<V>>, state: State<V>): void {
  states.set(keyOf(state), state);
}

/** A deed with its time: it took effect within it, if it must. */
export interface Timed<V> extends Deed<V> {
  readonly beginMs: number;
  readonly endMs: number;
  readonly must: boolean;
  /** For the sentence, should nothing explain it. */
  readonly text: string;
}

/** The deed that no order explains, as a sentence; null when all can be; 'undecided' when there are too many. */
export function unexplained<V extends number | string>(initial: V, deeds: readonly Timed<V>[]): string | null {
  const explanation = new Explanation(initial);
  const events = deeds.flatMap((deed) => [
    { atMs: deed.beginMs, deed, isEnd: false },
    ...(deed.endMs === Infinity ? [] : [{ atMs: deed.endMs, deed, isEnd: true }]),
  ]);
  // At one moment begins come before ends: what touches may overlap.
  events.sort((a, b) => a.atMs - b.atMs || Number(a.isEnd) - Number(b.isEnd));
  const numbers = new Map<Timed<V>, number>();
  for (const { deed, isEnd } of events) {
    if (!isEnd) numbers.set(deed, explanation.begin(deed));
    else if (!explanation.end(numbers.get(deed) as number, deed.must)) return deed.text;
    if (explanation.undecided) return 'undecided';
  }
  return null;
}

/**
 * Every state that the tree of a files volume has been in, on the device, and what each answer says of them: there is a
 * moment between request and answer at which the tree was, to whoever looked, as the answer has it. A change that was not
 * answered may not have taken place yet, to a client; one that a loss of power takes back must not have been shown (T1).
 */
import type { Tree } from './tree-state.ts';
import type { Version } from './platter.ts';

interface State {
  readonly tree: Tree;
  readonly fromMs: number;
  /** The change that led to it; null: power was lost, or it is the first. */
  readonly version: Version | null;
  /** From then on the change before this one has taken place for everybody, answered or not: another owner has opened. */
  openedMs: number;
}

export class History {
  readonly #states: State[];
  /** What was shown that only a change explains which was not durable then. */
  readonly #shown = new Map<Version, string>();

  constructor(tree: Tree) {
    this.#states = [{ tree, fromMs: -1, version: null, openedMs: -1 }];
  }

  changed(version: Version, nowMs: number): void {
    this.#states.push({ tree: version.tree, fromMs: nowMs, version, openedMs: Infinity });
  }

  /** Power was lost, and these changes with it. Returns what a client had been shown of them, or null. */
  lost(gone: readonly Version[], tree: Tree, nowMs: number): string | null {
    if (gone.length > 0) this.#states.push({ tree, fromMs: nowMs, version: null, openedMs: nowMs });
    for (const version of gone) {
      const shown = this.#shown.get(version);
      if (shown !== undefined) return shown;
    }
    return null;
  }

  /** An owner opened the volume: what took place before has taken place for its clients. */
  opened(nowMs: number): void {
    for (const state of this.#states) if (state.openedMs === Infinity) state.openedMs = nowMs;
  }

  /** Trees that could be seen between the two moments, the newest first. */
  *#between(beginMs: number, endMs: number): Generator<State> {
    let untilMs = Infinity;
    for (let at = this.#states.length - 1; at >= 0; at--) {
      const state = this.#states[at] as State;
      if (state.fromMs <= endMs && untilMs >= beginMs) yield state;
      untilMs = Math.min(state.openedMs, state.version?.deed?.answeredMs ?? Infinity);
    }
  }

  *all(beginMs: number, endMs: number): Generator<Tree> {
    for (const { tree } of this.#between(beginMs, endMs)) yield tree;
  }

  /** A tree between the two moments of which that holds. */
  find(beginMs: number, endMs: number, holds: (tree: Tree) => boolean): Tree | null {
    for (const { tree } of this.#between(beginMs, endMs)) if (holds(tree)) return tree;
    return null;
  }

  /**
   * The same for what a client is shown of the tree: should all such trees go with a loss of power, it must not have been.
   * @param isDurable of versions
   */
  shows(
    beginMs: number,
    endMs: number,
    text: string,
    holds: (tree: Tree) => boolean,
    isDurable: (version: Version) => boolean,
  ): boolean {
    let oldest: Version | null = null;
    let found = false;
    for (const { tree, version } of this.#between(beginMs, endMs)) {
      if (!holds(tree)) continue;
      if (version === null || isDurable(version)) return true;
      found = true;
      oldest = version;
    }
    if (oldest !== null && !this.#shown.has(oldest)) this.#shown.set(oldest, text);
    return found;
  }
}

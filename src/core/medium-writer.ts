/**
 * Carries a plan out on the medium: a bounded number of steps at a time, then one sync. Used by the destager and by
 * the replay, which differ only in what they do when it is done. A fault anywhere, the sync included, leaves nothing
 * to be assumed: the caller plans and writes again everything since the last good sync (design 2.4, trap T24).
 */
import type { Done, Fault } from '../base/fault.ts';
import type { MediumVolume } from '../ports/medium.ts';
import { issue } from './owner/plan.ts';
import type { Step } from './owner/plan.ts';

/** Steps that are issued together: many small ones, which media take together, or a few large ones. */
const BUNCH_STEPS = 64;
/** Bytes of these at most, but for the last one. */
const BUNCH_BYTES = 2 << 20;
/** Bunches on their way at a time. */
const BUNCHES_OUT = 4;

export interface WriterEvents {
  /** Asked before each bunch of steps: may I/O be issued now (authority)? When not, the writer stops as if failed. */
  mayIssue(): boolean;
  /** May this trim give room back, or must its room stay reserved? */
  mayPunch(step: Step): boolean;
  /** Null: everything is on the synced medium. Called once nothing is on its way any more. */
  finished(fault: Fault | null, refused: boolean): void;
}

/** Steps that are issued in one turn. Nothing is made for a step of its own: there are thousands in a plan. */
interface Bunch {
  /** Those that have not returned. */
  out: number;
  /** What each of them ends with. */
  readonly returned: Done;
}

export class MediumWriter {
  readonly #medium: MediumVolume;
  readonly #steps: readonly Step[];
  readonly #events: WriterEvents;
  readonly #bunches: readonly Bunch[] = Array.from({ length: BUNCHES_OUT }, () => this.#newBunch());
  #next = 0;
  #out = 0;
  #fault: Fault | null = null;
  #refused = false;
  #issuing = false;
  #syncing = false;

  constructor(medium: MediumVolume, steps: readonly Step[], events: WriterEvents) {
    this.#medium = medium;
    this.#steps = steps;
    this.#events = events;
  }

  /** Begins, or goes on. Ends in exactly one call of `finished`, never from within this call when steps are issued. */
  run(): void {
    if (this.#issuing) return;
    this.#issuing = true;
    while (this.#hasNext()) {
      const bunch = this.#bunches.find(({ out }) => out === 0);
      if (bunch === undefined || this.#ended()) break;
      this.#issue(bunch);
    }
    this.#issuing = false;
    if (this.#out > 0) return;
    if (this.#ended()) return this.#events.finished(this.#fault, this.#refused);
    if (!this.#syncing) this.#sync();
  }

  #ended(): boolean {
    if (!this.#refused && this.#fault === null && !this.#events.mayIssue()) this.#refused = true;
    return this.#refused || this.#fault !== null;
  }

  #hasNext(): boolean {
    return this.#next < this.#steps.length && !this.#stampsTooEarly();
  }

  /** A file's time is set when everything that would move it again has returned. */
  #stampsTooEarly(): boolean {
    if (this.#steps[this.#next]?.kind !== 'stamp') return false;
    return this.#out > 0 && this.#steps[this.#next - 1]?.kind !== 'stamp';
  }

  #newBunch(): Bunch {
    const bunch: Bunch = {
      out: 0,
      returned: (fault) => {
        bunch.out -= 1;
        this.#out -= 1;
        // The driver did not begin it, for the same reason: that is no failure of the medium.
        if (fault?.kind === 'refused' && !this.#events.mayIssue()) this.#refused = true;
        else this.#fault ??= fault;
        if (bunch.out === 0) this.run();
      },
    };
    return bunch;
  }

  #issue(bunch: Bunch): void {
    let bytes = 0;
    for (let steps = 0; steps < BUNCH_STEPS && bytes < BUNCH_BYTES && this.#hasNext(); steps += 1) {
      const step = this.#steps[this.#next]!;
      this.#next += 1;
      this.#out += 1;
      bunch.out += 1;
      if (step.kind !== 'resize') bytes += step.length;
      issue(this.#medium, step, this.#events.mayPunch(step), bunch.returned);
    }
  }

  #sync(): void {
    this.#syncing = true;
    this.#out += 1;
    this.#medium.sync((fault) => {
      this.#out -= 1;
      this.#fault ??= fault;
      this.#events.finished(this.#fault, false);
    });
  }
}

/**
 * The brake on changes of owner that nobody needs at once: givebacks and hand-overs for unfitness (design section 4,
 * "Flapping"). A stable period first; after a few changes in a short time an administrator is asked; it expires. It never
 * stops a claim on a dead owner (trap T31), nor what an administrator asks for.
 */
import type { Epoch } from '../base/names.ts';
import type { VolumeRecord } from '../ports/coordinator.ts';
import type { Clock } from '../ports/clock.ts';
import type { Brake as Held } from './status.ts';

/** The volume stays in sync under one owner for so long before it is given back by itself. */
const STABLE_MS = 30_000;
/** Changes of owner within `WINDOW_MS` after which no more is made without need. */
const CHANGES = 3;
const WINDOW_MS = 600_000;

export class Brake {
  readonly #clock: Clock;
  #epoch: Epoch | null = null;
  #state = '';
  #sinceMs = 0;
  #changesMs: number[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Takes note of the record: every epoch is a change, every state begins its stable period anew. */
  see(record: VolumeRecord): void {
    const state = `${record.epoch} ${record.mirror}`;
    if (state === this.#state) return;
    const nowMs = this.#clock.nowMs();
    if (this.#epoch !== null && record.epoch !== this.#epoch) this.#changesMs.push(nowMs);
    if (this.#changesMs.length > CHANGES) this.#changesMs.shift();
    this.#epoch = record.epoch;
    this.#state = state;
    this.#sinceMs = nowMs;
  }

  /** Why no change may be made that is not needed at once; null when one may. */
  handover(): Held | null {
    const oldest = this.#changesMs.at(-CHANGES);
    const leftMs = oldest === undefined ? 0 : WINDOW_MS - (this.#clock.nowMs() - oldest);
    if (leftMs <= 0) return null;
    const minutes = WINDOW_MS / 60_000;
    return {
      why: `the owner changed ${CHANGES} times within ${minutes} minutes; an administrator’s command goes on`,
      leftMs,
    };
  }

  /** The same, and the stable period before an automatic giveback. */
  giveback(): Held | null {
    const leftMs = STABLE_MS - (this.#clock.nowMs() - this.#sinceMs);
    const held = this.handover();
    if (leftMs <= 0 || (held !== null && held.leftMs > leftMs)) return held;
    return { why: `the volume is to be in sync under one owner for ${STABLE_MS / 1_000} s first`, leftMs };
  }
}

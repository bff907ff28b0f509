/**
 * This server's view of one volume's record: the newest known one, and the swaps of its own whose outcome is unknown.
 * Until such a swap is settled, every record in `possible` may be the one in force, and the rules of all of them hold
 * (design section 3, "Unknown outcomes"; traps T18, T19, T27).
 */
import { Fault, assert } from '../base/fault.ts';
import type { VolumeName } from '../base/names.ts';
import type { Clock, Ids, Timer } from '../ports/clock.ts';
import type { Coordinator, SwapOutcome, VolumeRecord } from '../ports/coordinator.ts';
import { unchanged } from './record.ts';
import type { Timings } from './settings.ts';

/** A coordinator that has swallowed so many reads is asked at a slower pace: once in so many of its deadlines. */
const READS_OUT = 16;
const READS_LOST_PAUSES = 4;

/** A swap on its way: told once, when it is settled. */
export interface SwapAttempt {
  /** Still wanted? Asked when an unknown outcome is settled by trying again on the same version. */
  wanted(): boolean;
  /** `won`: the record known now is the one that was wanted. Otherwise judge the known record from the start. */
  settled(won: boolean): void;
}

export interface RegisterEvents {
  /** The known record, or the set of possible ones, changed. */
  changed(): void;
  /** A read issued at `issuedAtMs` returned the newest known record: the coordinator's grant. */
  confirmed(record: VolumeRecord, issuedAtMs: number): void;
}

interface Pending {
  readonly next: VolumeRecord;
  readonly attempt: SwapAttempt;
  /** All records issued on the same version, under different nonces; each may be the one that landed. */
  readonly issued: VolumeRecord[];
  /** Calls of the coordinator that have not returned. */
  deadline: Timer | null;
}

export class Register {
  readonly #volume: VolumeName;
  readonly #coordinator: Coordinator;
  readonly #clock: Clock;
  readonly #ids: Ids;
  readonly #timings: Timings;
  readonly #events: RegisterEvents;
  #known: VolumeRecord | null = null;
  #pending: Pending | null = null;
  #fault: Fault | null = null;
  /** Reads that have not returned, and of these the ones within their deadline. */
  #out = 0;
  #counted = 0;
  #issuedMs = Number.NEGATIVE_INFINITY;
  #afterRead: (() => void)[] = [];

  constructor(
    volume: VolumeName,
    coordinator: Coordinator,
    clock: Clock,
    ids: Ids,
    timings: Timings,
    events: RegisterEvents,
  ) {
    this.#volume = volume;
    this.#coordinator = coordinator;
    this.#clock = clock;
    this.#ids = ids;
    this.#timings = timings;
    this.#events = events;
  }

  /** The newest record known to have been in force; null before the first read. */
  get known(): VolumeRecord | null {
    return this.#known;
  }

  /** Why the last read failed; null when it succeeded. */
  get fault(): Fault | null {
    return this.#fault;
  }

  /** False while a swap of this server's may or may not have been done. */
  get settled(): boolean {
    return this.#pending === null;
  }

  /** True when some record that may be in force satisfies `test`. False when no record is known. */
  mayBe(test: (record: VolumeRecord) => boolean): boolean {
    if (this.#known !== null && test(this.#known)) return true;
    return this.#pending !== null && test(this.#pending.next);
  }

  /**
   * Reads the record. A read that does not return within the deadline counts as failed, but its late answer is still
   * taken for what it says. `then` runs once a read issued now or later returned, or failed (`fault` tells).
   */
  read(then?: () => void): void {
    if (then) this.#afterRead.push(then);
    // One read at a time is enough for polling; who needs one issued after this moment may have a second.
    if (this.#counted >= (then ? 2 : 1)) return;
    const pauseMs = READS_LOST_PAUSES * this.#timings.coordinatorMs;
    if (this.#out >= READS_OUT && this.#clock.nowMs() - this.#issuedMs < pauseMs) return;
    const waiting = this.#afterRead;
    this.#afterRead = [];
    const issuedAtMs = this.#clock.nowMs();
    this.#issuedMs = issuedAtMs;
    let counted = true;
    this.#out += 1;
    this.#counted += 1;
    const end = (fault: Fault | null): void => {
      if (!counted) return;
      counted = false;
      deadline.cancel();
      this.#counted -= 1;
      this.#fault = fault;
      for (const run of waiting) run();
      if (this.#afterRead.length > 0) this.read();
    };
    const deadline = this.#clock.after(this.#timings.coordinatorMs, () =>
      end(new Fault('timeout', 'the coordinator did not answer in time')),
    );
    this.#coordinator.read(this.#volume, (fault, record) => {
      this.#out -= 1;
      if (record !== null) this.#took(record, issuedAtMs);
      end(fault);
    });
  }

  /** Swaps the known record for `next`, whose version follows it. One at a time. */
  swap(next: VolumeRecord, attempt: SwapAttempt): void {
    assert(this.#pending === null, 'one swap at a time');
    assert(this.#known !== null && next.version === this.#known.version + 1, 'a swap follows the known version');
    this.#pending = { next, attempt, issued: [], deadline: null };
    this.#issue(this.#pending, next);
    this.#events.changed();
  }

  #issue(pending: Pending, record: VolumeRecord): void {
    pending.issued.push(record);
    let over = false;
    const finish = (outcome: SwapOutcome): void => {
      if (over && outcome === 'unknown') return;
      over = true;
      pending.deadline?.cancel();
      pending.deadline = null;
      if (this.#pending !== pending) return;
      if (outcome === 'done') this.#took(record, null);
      else this.#settle(pending);
    };
    pending.deadline = this.#clock.after(this.#timings.coordinatorMs, () => finish('unknown'));
    this.#coordinator.swap(this.#volume, record, finish);
  }

  /** Reads until the record shows what became of the swap; while it is still on the old version, swaps once more. */
  #settle(pending: Pending): void {
    this.read(() => {
      if (this.#pending !== pending) return;
      const pause = this.#timings.retryMs * (0.5 + this.#ids.spread());
      pending.deadline?.cancel();
      pending.deadline = this.#clock.after(pause, () => {
        pending.deadline = null;
        if (this.#pending !== pending) return;
        if (this.#fault !== null || pending.issued.length >= 64) return this.#settle(pending);
        this.#reissue(pending);
      });
    });
  }

  #reissue(pending: Pending): void {
    assert(this.#known !== null, 'a pending swap has a base');
    const nonce = this.#ids.draw();
    this.#issue(pending, pending.attempt.wanted() ? { ...pending.next, nonce } : unchanged(this.#known, nonce));
  }

  /** Takes a record that was in force: read at `issuedAtMs`, or swapped in by this server (null). */
  #took(record: VolumeRecord, issuedAtMs: number | null): void {
    if (this.#known !== null && record.version < this.#known.version) return;
    const moved = this.#known === null || record.version > this.#known.version;
    if (moved) this.#known = record;
    // What this record settles was pending before anybody is told of it: an owner that it gives authority back to may
    // swap at once, on this very version, and that swap stays open (trap T18).
    const pending = this.#pending;
    if (issuedAtMs !== null) this.#events.confirmed(record, issuedAtMs);
    if (!moved) return;
    if (pending !== null) {
      // A version at or past the pending one: nothing issued on the old version can land any more.
      assert(record.version >= pending.next.version, 'a new version settles a swap on the old one');
      pending.deadline?.cancel();
      this.#pending = null;
      pending.attempt.settled(
        pending.issued.some((issued) => issued.nonce === record.nonce && isWhatWasWanted(issued, pending.next)),
      );
    }
    this.#events.changed();
  }
}

/** False for a swap that only settled an unknown outcome (`unchanged`). */
function isWhatWasWanted(issued: VolumeRecord, wanted: VolumeRecord): boolean {
  return issued.epoch === wanted.epoch && issued.mirror === wanted.mirror && issued.generation === wanted.generation;
}

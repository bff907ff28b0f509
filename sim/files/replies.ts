/**
 * The replies of a simulated front end (docs/decisions/0007): the ring in the object `replies`, each slot one cell. A slot's
 * cell carries a tag like any write; what stands for is kept beside the world, by tag. The same steps in the same order as
 * src/front/nfs/replies, with callbacks.
 */
import type { Fault } from '../../src/base/fault.ts';
import type { NameDeed, NameOutcome } from './names.ts';
import { SLOTS } from './platter.ts';

export interface Slot {
  readonly serial: number;
  readonly state: 'intent' | 'reply' | 'void';
  readonly deed: NameDeed;
  /** The object that the intent relies on: what is removed, renamed, linked. */
  readonly id: string | null;
  readonly outcome: NameOutcome | null;
}

/** A request that is known: running, or answered. */
export interface Kept {
  readonly deed: NameDeed;
  serial: number | null;
  outcome: NameOutcome | null;
  /** Who waits for its answer. */
  readonly waiting: ((outcome: NameOutcome) => void)[];
}

/** How slots are read and written. */
export interface SlotAccess {
  /** All slots in their order, null where there is none. */
  read(done: (slots: readonly (Slot | null)[]) => void): void;
  write(slot: Slot, done: (fault: Fault | null) => void): void;
}

/** So many recorded requests run at a time. */
const RUNNING = SLOTS / 4;

export class Replies {
  readonly #access: SlotAccess;
  readonly #byKey = new Map<string, Kept>();
  readonly #slots: (Kept | null)[] = Array.from({ length: SLOTS }, () => null);
  #next = 1;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(access: SlotAccess) {
    this.#access = access;
  }

  /** Reads the ring: replies are remembered, intents without one are handed on, oldest first. */
  load(done: (open: readonly Slot[]) => void): void {
    this.#access.read((slots) => {
      const open: Slot[] = [];
      for (const slot of slots) {
        if (slot === null) continue;
        this.#next = Math.max(this.#next, slot.serial + 1);
        if (slot.state === 'intent') open.push(slot);
        else if (slot.state === 'reply') this.#remember(slot);
      }
      done(open.sort((a, b) => a.serial - b.serial));
    });
  }

  #remember({ deed, serial, outcome }: Slot): void {
    const kept: Kept = { deed, serial, outcome, waiting: [] };
    if ((this.#byKey.get(deed.key)?.serial ?? 0) < serial) this.#byKey.set(deed.key, kept);
    this.#slots[serial % SLOTS] = kept;
  }

  /** An intent of before: its reply, or (null) nothing came of it. */
  settle(slot: Slot, outcome: NameOutcome | null, done: (fault: Fault | null) => void): void {
    const settled: Slot = { ...slot, state: outcome === null ? 'void' : 'reply', outcome };
    this.#access.write(settled, (fault) => {
      if (fault === null && outcome !== null) this.#remember(settled);
      done(fault);
    });
  }

  find(deed: NameDeed): Kept | undefined {
    return this.#byKey.get(deed.key);
  }

  begin(deed: NameDeed): Kept {
    const kept: Kept = { deed, serial: null, outcome: null, waiting: [] };
    this.#byKey.set(deed.key, kept);
    return kept;
  }

  /** It changed nothing, and was not recorded. */
  forget(kept: Kept): void {
    if (this.#byKey.get(kept.deed.key) === kept) this.#byKey.delete(kept.deed.key);
  }

  /** What it is about to do is written; `done` when that is mirrored. */
  intend(kept: Kept, id: string | null, done: (fault: Fault | null) => void): void {
    if (this.#running >= RUNNING) return void this.#waiting.push(() => this.intend(kept, id, done));
    this.#running++;
    const serial = this.#take(kept);
    this.#access.write({ serial, state: 'intent', deed: kept.deed, id, outcome: null }, (fault) => {
      if (fault === null) return done(null);
      this.#slots[serial % SLOTS] = null;
      kept.serial = null;
      this.#leave();
      done(fault);
    });
  }

  /** What it is answered is written; `done` when that is mirrored. */
  conclude(kept: Kept, outcome: NameOutcome, done: (fault: Fault | null) => void): void {
    const slot: Slot = { serial: kept.serial as number, state: 'reply', deed: kept.deed, id: null, outcome };
    this.#access.write(slot, (fault) => {
      if (fault === null) {
        kept.outcome = outcome;
        this.#leave();
      }
      done(fault);
    });
  }

  #leave(): void {
    this.#running--;
    this.#waiting.shift()?.();
  }

  #take(kept: Kept): number {
    let serial = this.#next;
    let old = this.#slots[serial % SLOTS] ?? null;
    while (old !== null && old.outcome === null) {
      serial++;
      old = this.#slots[serial % SLOTS] ?? null;
    }
    if (old !== null && this.#byKey.get(old.deed.key) === old) this.#byKey.delete(old.deed.key);
    this.#next = serial + 1;
    this.#slots[serial % SLOTS] = kept;
    kept.serial = serial;
    return serial;
  }
}

/**
 * The last requests of a volume that cannot be repeated, and what they were answered (docs/decisions/0007): a ring of
 * SLOTS slots in the volume's object `replies`, mirrored like every write, and the same in memory. Bound: 4,096 requests; a
 * client that sends one again after 4,096 others is not recognised. Of these at most RUNNING run at a time, so that the ring
 * always has a slot whose request is answered.
 */
import { assert } from '../../../base/fault.ts';
import type { Fault } from '../../../base/fault.ts';
import type { ModifyRequest, ReadPiece, ReadRequest, VolumeService } from '../../../ports/service.ts';
import type { NfsReply } from '../program.ts';
import { REPLIES } from '../../../ports/tree.ts';
import { SLOTS, SLOT_BYTES, decodeSlot, encodeIntent, encodeSlot, keyOf } from './slot.ts';
import type { Asker, Intent, Slot, SlotState } from './slot.ts';

/** Bytes of one read of the ring at the start. */
const READ_BYTES = 256 << 10;
/** So many recorded requests run at a time; others wait. */
const RUNNING = SLOTS / 4;

/** A request that is recorded, or may come to be. */
export interface Kept {
  readonly asker: Asker;
  readonly key: string;
  /** Of its slot; null while it has none. */
  serial: number | null;
  /** What it was answered; null while it runs. */
  reply: Buffer | null;
  /** Who sent it again while it ran. */
  readonly resent: NfsReply[];
}

export class Ring {
  readonly #service: VolumeService;
  readonly #nowNs: () => bigint;
  readonly #byKey = new Map<string, Kept>();
  readonly #slots: (Kept | null)[] = new Array<Kept | null>(SLOTS).fill(null);
  #next = 1;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(service: VolumeService, nowNs: () => bigint) {
    this.#service = service;
    this.#nowNs = nowNs;
  }

  /** Reads the ring. Replies are remembered; intents without one are returned, oldest first, to be settled. */
  async load(): Promise<{ readonly open: readonly Slot[]; readonly damaged: number } | Fault> {
    const open: Slot[] = [];
    let damaged = 0;
    for (let at = 0; at < SLOTS * SLOT_BYTES; at += READ_BYTES) {
      const pieces = await this.#read(at);
      if (pieces === null) continue;
      if (!Buffer.isBuffer(pieces)) return pieces;
      for (let from = 0; from < READ_BYTES; from += SLOT_BYTES) {
        const slot = decodeSlot(pieces.subarray(from, from + SLOT_BYTES));
        if (slot === null) continue;
        if (slot === 'damaged' || slot.serial % SLOTS !== (at + from) / SLOT_BYTES) damaged += 1;
        else {
          this.#next = Math.max(this.#next, slot.serial + 1);
          if (slot.state === 'intent') open.push(slot);
          else if (slot.state === 'reply') this.#remember(slot);
        }
      }
    }
    open.sort((a, b) => a.serial - b.serial);
    return { open, damaged };
  }

  #remember({ asker, serial, body }: Slot): void {
    const kept: Kept = { asker, key: keyOf(asker), serial, reply: body, resent: [] };
    const same = this.#byKey.get(kept.key);
    // Of two with the same key the later one is what the client was told last.
    if (same === undefined || (same.serial ?? 0) < serial) this.#byKey.set(kept.key, kept);
    this.#slots[serial % SLOTS] = kept;
  }

  /** A part of the ring; null when all of it is zeroes. */
  #read(offset: number): Promise<Buffer | Fault | null> {
    return new Promise((resolve) => {
      const done = (fault: Fault | null, pieces: readonly ReadPiece[] | null): void => {
        const parts = pieces ?? [];
        if (fault !== null) resolve(fault);
        else if (parts.every(({ data }) => data === null)) resolve(null);
        else resolve(Buffer.concat(parts.map(({ data, length }) => data ?? Buffer.alloc(length))));
      };
      const request: ReadRequest = {
        kind: 'read',
        target: REPLIES,
        offset,
        length: READ_BYTES,
        cancelled: false,
        done,
      };
      this.#service.submit(request);
    });
  }

  /** Settles an intent of before: with its reply, or (null) nothing came of it. */
  async settle({ asker, serial }: Slot, reply: Buffer | null): Promise<Fault | null> {
    const state = reply === null ? 'void' : 'reply';
    const fault = await this.#write({ serial, asker, state, body: reply ?? Buffer.alloc(0) });
    if (fault === null && reply !== null) this.#remember({ asker, serial, state, body: reply });
    return fault;
  }

  // ---- while it serves

  /** The same request, sent before and running or answered. */
  find(asker: Asker): Kept | undefined {
    return this.#byKey.get(keyOf(asker));
  }

  /** A request that begins; it is recognised from now on. */
  begin(asker: Asker): Kept {
    const kept: Kept = { asker, key: keyOf(asker), serial: null, reply: null, resent: [] };
    this.#byKey.set(kept.key, kept);
    return kept;
  }

  /** Writes what it is about to do; resolves when that is mirrored. A fault: nothing may be done. */
  async intend(kept: Kept, intent: Intent): Promise<Fault | null> {
    assert(kept.serial === null && kept.reply === null, 'a request has one intent');
    if (this.#running >= RUNNING) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#running += 1;
    const serial = this.#take(kept);
    const fault = await this.#write({ serial, asker: kept.asker, state: 'intent', body: encodeIntent(intent) });
    if (fault === null) return null;
    // Should the intent stand there after all: nothing comes of it, which is what a recovery finds.
    this.#slots[serial % SLOTS] = null;
    kept.serial = null;
    this.#leave();
    return fault;
  }

  #leave(): void {
    this.#running -= 1;
    this.#waiting.shift()?.();
  }

  /** The next slot whose request is answered becomes `kept`'s; what was in it is forgotten. */
  #take(kept: Kept): number {
    let serial = this.#next;
    let old = this.#slots[serial % SLOTS];
    // Terminates: at most a quarter of the slots is of requests that run.
    while (old !== null && old !== undefined && old.reply === null) {
      serial += 1;
      old = this.#slots[serial % SLOTS];
    }
    if (old !== null && old !== undefined && this.#byKey.get(old.key) === old) this.#byKey.delete(old.key);
    this.#next = serial + 1;
    this.#slots[serial % SLOTS] = kept;
    kept.serial = serial;
    return serial;
  }

  /** Writes what it is answered; resolves when that is mirrored. To be tried again after a fault. */
  async conclude(kept: Kept, reply: Buffer): Promise<Fault | null> {
    assert(kept.serial !== null, 'only what was begun is concluded');
    const fault = await this.#write({ serial: kept.serial, asker: kept.asker, state: 'reply', body: reply });
    if (fault !== null) return fault;
    kept.reply = reply;
    this.#leave();
    return null;
  }

  /** A request that changed nothing and was not recorded. */
  forget(kept: Kept): void {
    assert(kept.serial === null, 'what has a slot is concluded');
    if (this.#byKey.get(kept.key) === kept) this.#byKey.delete(kept.key);
  }

  #write(slot: { serial: number; asker: Asker; state: SlotState; body: Buffer }): Promise<Fault | null> {
    return new Promise((resolve) => {
      const data = encodeSlot(slot);
      const request: ModifyRequest = {
        kind: 'write',
        target: REPLIES,
        offset: (slot.serial % SLOTS) * SLOT_BYTES,
        length: data.length,
        timeNs: this.#nowNs(),
        data,
        cancelled: false,
        done: resolve,
      };
      this.#service.submit(request);
    });
  }
}

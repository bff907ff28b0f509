/**
 * What outlives a server process of one store: the journal as it would be found on disk. Appends, heads and releases
 * become durable in the order in which they were issued, group by group; a crash keeps any prefix of what was issued
 * and not yet synced, and may tear the next record.
 */
import type { Done } from '../src/base/fault.ts';
import type { Epoch, Generation, Sequence, StoreId } from '../src/base/names.ts';
import type { Operation } from '../src/base/operation.ts';
import type { AsideLog, LogHead, RecoveredLog, StoreKind } from '../src/ports/store.ts';
import { SECTOR } from './model.ts';
import type { Prng } from './prng.ts';

export type Entry =
  | { readonly type: 'begin'; readonly head: LogHead; readonly done: Done }
  | {
      readonly type: 'mark';
      readonly generations: readonly Generation[];
      readonly complete: boolean;
      readonly done: Done;
    }
  | { readonly type: 'append'; readonly operation: Operation; readonly acknowledged: Sequence; readonly log: number }
  | { readonly type: 'release'; readonly through: Sequence; readonly acknowledged: Sequence }
  | { readonly type: 'aside'; readonly done: Done };

/** One state of a log. `operations` are those after `released`, contiguous. */
export interface LogState {
  head: LogHead;
  released: number;
  acknowledged: number;
  operations: Operation[];
}

export class Disk {
  id: StoreId;
  readonly kind: StoreKind;
  readonly capacityBytes: number;
  /** What a recovery would find; for a memory store what the living process holds. */
  durable: LogState | null = null;
  /** Issued, not durable. */
  pending: Entry[] = [];
  torn = 0;
  /** Logs that were replaced by another one, since this was last emptied. */
  voided: { readonly epoch: Epoch; readonly complete: boolean; readonly operations: number }[] = [];
  readonly aside: AsideLog[] = [];
  /** Every tag this store ever durably held. */
  readonly everHeld = new Set<number>();
  /** What it held is gone (memory of a dead process, damage). */
  lost = false;

  constructor(id: StoreId, kind: StoreKind, capacityBytes: number) {
    this.id = id;
    this.kind = kind;
    this.capacityBytes = capacityBytes;
  }

  /** Makes the first `count` pending entries durable. */
  commit(count: number): void {
    for (let i = 0; i < count; i++) this.#apply(this.pending[i] as Entry);
    this.pending.splice(0, count);
  }

  /** The process ended: any prefix of what was pending is there, and perhaps a torn piece of the next. */
  crash(prng: Prng): void {
    const kept = prng.chance(0.3) ? 0 : prng.chance(0.3) ? this.pending.length : prng.below(this.pending.length + 1);
    const torn = kept < this.pending.length && prng.chance(0.5);
    this.commit(kept);
    this.pending = [];
    this.torn = torn ? prng.int(1, 600) : 0;
  }

  recovered(): RecoveredLog | null {
    const log = this.durable;
    if (log === null) return null;
    return {
      head: log.head,
      released: log.released as Sequence,
      acknowledged: log.acknowledged as Sequence,
      operations: [...log.operations],
      tornBytes: this.torn,
    };
  }

  /** The last `count` operations vanish, as if the last group had rotted: it looks like a torn tail. */
  rotTail(count: number): number {
    const log = this.durable;
    if (log === null) return 0;
    const cut = Math.min(count, log.operations.length);
    log.operations.length -= cut;
    if (cut > 0) this.torn += 512;
    return cut;
  }

  #apply(entry: Entry): void {
    switch (entry.type) {
      case 'begin':
        if (this.durable !== null) {
          const { head, operations } = this.durable;
          this.voided.push({ epoch: head.epoch, complete: head.complete, operations: operations.length });
        }
        this.durable = { head: entry.head, released: entry.head.base, acknowledged: entry.head.base, operations: [] };
        this.torn = 0;
        this.lost = false;
        return;
      case 'mark':
        if (this.durable !== null) {
          this.durable.head = { ...this.durable.head, generations: entry.generations, complete: entry.complete };
        }
        return;
      case 'append': {
        const log = this.durable;
        if (log === null) return;
        const operation = entry.operation;
        if (operation.sequence > log.released) log.operations.push(operation);
        if (entry.acknowledged > log.acknowledged) log.acknowledged = entry.acknowledged;
        // Of files every operation has a time of its own, which is the tag of a write.
        if (operation.target !== '') this.everHeld.add(Number(operation.timeNs));
        else if (operation.data.length >= 4) this.everHeld.add(tagOf(operation.data, 0));
        return;
      }
      case 'release': {
        const log = this.durable;
        if (log === null) return;
        if (entry.acknowledged > log.acknowledged) log.acknowledged = entry.acknowledged;
        if (entry.through <= log.released) return;
        log.released = entry.through;
        const first = log.operations.findIndex((o) => o.sequence > entry.through);
        log.operations = first < 0 ? [] : log.operations.slice(first);
        return;
      }
      case 'aside': {
        const log = this.durable;
        if (log === null) return;
        this.aside.push(asideOf(log.head.epoch, log.operations, log.released));
        this.durable = null;
        return;
      }
    }
  }
}

function asideOf(epoch: Epoch, operations: readonly Operation[], released: number): AsideLog {
  const first = operations[0];
  const last = operations[operations.length - 1];
  return {
    name: `aside-e${epoch}-${released}`,
    epoch,
    firstSequence: (first?.sequence ?? released + 1) as Sequence,
    lastSequence: (last?.sequence ?? released) as Sequence,
    bytes: operations.reduce((sum, o) => sum + o.data.length + 64, 0),
  };
}

/** The tag that fills the sector at `offset`. */
export function tagOf(data: Buffer, offset: number): number {
  return data.readUInt32LE(offset);
}

/** Whether all of the sector at `offset` carries one tag. */
export function wholeSector(data: Buffer, offset: number, bytes = SECTOR): boolean {
  const tag = data.readUInt32LE(offset);
  for (let i = offset + 4; i < offset + bytes; i += 4) if (data.readUInt32LE(i) !== tag) return false;
  return true;
}

/** Fills the sectors of `data` from `offset` on with `tag`. */
export function fillTag(data: Buffer, tag: number, offset = 0, length = data.length - offset): void {
  if (tag === 0) {
    data.fill(0, offset, offset + length);
    return;
  }
  data.writeUInt32LE(tag, offset);
  data.copyWithin(offset + 4, offset, offset + 4);
  for (let filled = 4; filled < length; filled *= 2) {
    data.copyWithin(offset + filled, offset, offset + Math.min(filled, length - filled));
  }
}

/**
 * The ring's room: where the next group goes, which groups are still needed, and how large a ring must be so that the
 * configured capacity always fits, however badly the operations were packed. Numbers only; no I/O.
 *
 * Positions count on for ever; a position's place in the file is its remainder by the ring's size. The room before the
 * `durable tail` may be overwritten: the tail that the newest *synced* group names, not the one in memory, since a torn
 * write must leave everything intact that the group before it needs.
 *
 * The arithmetic. C is the capacity as wire bytes, G = `groupBytesMax` the largest group. Groups end at multiples of
 * 4096, so that a lonely trim of 64 bytes takes 4096 and a lonely write of 4 KiB takes 8192: groups alone could need 64
 * times C. Instead, sparse groups at the tail are packed anew ("carried") whenever room runs out:
 *
 * 1. Before every write at least G bytes are free (the reserve). A group of new operations is written only if G stay
 *    free after it. A carry group takes the operations of the oldest groups, so it is never larger than G, nor than
 *    those groups together; once it is synced they are free, and no more is in use than before it.
 * 2. When all groups have been carried once, any two consecutive ones hold more than CARRY_BYTES or more than 1000
 *    operations, so at least 64000 bytes (packing stops only where the next group would exceed that), and each wastes
 *    less than 4096 + 256: at most C + (2 C / 64000 + 2) * 4352 are in use, which is below 1.14 C + 16 KiB.
 * 3. A ring of 1.14 C + 16 KiB + 2 G therefore always finds room for the next group. A quarter of C is added, so that
 *    after packing it lasts a while: at the worst, some five bytes are written for one.
 */
import { Ring } from '../../../base/ring.ts';
import { assert } from '../../../base/fault.ts';
import { alignUp, GROUP_HEADER_BYTES, type GroupPlace } from '../../../wire/journal.ts';
import { OPERATION_HEAD_BYTES_MAX } from '../../../wire/operation.ts';

/** A group takes operations up to so many bytes; a single larger one goes alone. */
export const GROUP_BYTES = 2 << 20;
/** A carry group takes whole old groups until their operations exceed this. */
export const CARRY_BYTES = 1 << 20;

/** Sizes of a ring for a capacity. */
export interface RingSizes {
  /** The ring proper, without the superblock. */
  readonly ringBytes: number;
  /** The largest group, and the reserve that is always free. */
  readonly groupBytesMax: number;
}

/** What holds `capacityBytes` of operations, none with more data than `maxDataBytes`. */
export function ringSizes(capacityBytes: number, maxDataBytes: number): RingSizes {
  const largest = Math.min(capacityBytes, maxDataBytes) + OPERATION_HEAD_BYTES_MAX;
  const groupBytesMax = alignUp(GROUP_HEADER_BYTES + Math.max(largest, Math.min(capacityBytes, GROUP_BYTES)));
  const packed = Math.ceil(capacityBytes * 1.14) + (16 << 10);
  return { groupBytesMax, ringBytes: alignUp(packed + 2 * groupBytesMax + Math.ceil(capacityBytes / 4)) };
}

/** A written group and which operations it holds. */
export interface GroupRecord extends GroupPlace {
  readonly bytes: number;
  /** The log it belongs to: a number that this process gives each log. */
  readonly log: number;
  /** Pairs of first and last sequence, in the order of the group; empty without operations. */
  readonly ranges: readonly number[];
  /** The highest sequence in it; 0 without operations. */
  readonly last: number;
}

export class RingSpace {
  readonly ringBytes: number;
  readonly reserveBytes: number;
  /** Groups that may be needed, oldest first, contiguous up to the head. */
  readonly #groups: Ring<GroupRecord> = new Ring();
  #head: number;
  #number: number;
  #durableTail: number;

  /** `next` is the place of the next group, `tailPosition` the oldest one that the newest synced group needs. */
  constructor(sizes: RingSizes, next: GroupPlace, tailPosition: number) {
    this.ringBytes = sizes.ringBytes;
    this.reserveBytes = sizes.groupBytesMax;
    this.#head = next.position;
    this.#number = next.number;
    this.#durableTail = tailPosition;
  }

  /** Where the next group goes. */
  next(): GroupPlace {
    return { number: this.#number, position: this.#head };
  }

  /** Bytes that may be overwritten now. */
  free(): number {
    return this.ringBytes - (this.#head - this.#durableTail);
  }

  /** Forgets groups at the tail that hold nothing of log `log` above `released`. */
  trim(log: number, released: number): void {
    for (let oldest = this.#groups.at(0); oldest !== undefined; oldest = this.#groups.at(0)) {
      if (oldest.log === log && oldest.last > released) return;
      this.#groups.shift();
    }
  }

  /** The oldest group still needed, after `trim`; the next one when there is none. */
  tail(): GroupPlace {
    const oldest = this.#groups.at(0);
    return oldest === undefined ? this.next() : { number: oldest.number, position: oldest.position };
  }

  /** Bytes that would be free after a group of `bytes` with the present tail was synced. */
  freeAfter(bytes: number): number {
    return this.ringBytes - (this.#head + bytes - this.tail().position);
  }

  /** The groups still needed, after `trim`: index 0 is the oldest; undefined beyond the newest. */
  group(index: number): GroupRecord | undefined {
    return this.#groups.at(index);
  }

  /** Forgets the `count` oldest groups: their operations go into the group about to be written. */
  drop(count: number): void {
    for (let i = 0; i < count; i += 1) this.#groups.shift();
  }

  /** A group of `bytes` at `next()` is about to be written, or was found at opening. */
  take(bytes: number, log: number, ranges: readonly number[]): GroupRecord {
    assert(bytes <= this.free(), 'a group never overwrites what a synced one needs');
    let last = 0;
    for (let i = 1; i < ranges.length; i += 2) last = Math.max(last, ranges[i]!);
    const record = { number: this.#number, position: this.#head, bytes, log, ranges, last };
    this.#groups.push(record);
    this.#head += bytes;
    this.#number += 1;
    return record;
  }

  /** The newest group is synced and names `tailPosition` as the oldest one needed. */
  synced(tailPosition: number): void {
    assert(tailPosition >= this.#durableTail, 'the tail never goes back');
    this.#durableTail = tailPosition;
    assert(this.free() >= this.reserveBytes, 'the reserve is free again after every group');
  }
}

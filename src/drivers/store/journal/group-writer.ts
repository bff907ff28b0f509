/**
 * Writes groups into the ring, one at a time: builds the next from what the log has waiting, or, when room runs short,
 * from what the oldest groups still hold. Copies no data: a group is one vectored write of a reused buffer for header
 * and heads, the operations' own bytes, and shared zeroes.
 */
import { crc32c } from '../../../base/crc32c.ts';
import { assert, type Done, type Fault } from '../../../base/fault.ts';
import type { Sequence } from '../../../base/names.ts';
import type { Operation } from '../../../base/operation.ts';
import {
  alignUp,
  encodeGroupHeader,
  GROUP_ALIGNMENT,
  GROUP_HEADER_BYTES,
  GROUP_HEADS_BYTES_MAX,
  GROUP_OPERATIONS_MAX,
  SUPERBLOCK_BYTES,
} from '../../../wire/journal.ts';
import { encodedBytes, encodeOperationHeader } from '../../../wire/operation.ts';
import { before, behind, type JournalFile } from './file.ts';
import type { LiveLog } from './live-log.ts';
import { CARRY_BYTES, GROUP_BYTES, type RingSpace } from './space.ts';

const ZEROES = Buffer.alloc(GROUP_ALIGNMENT);

/** Where the chain of groups stands when a writer begins. */
export interface ChainEnd {
  readonly previousPosition: number;
  readonly previousCrc: number;
  /** The number of the group that began the log, and the log's serial; 0 when there is none. */
  readonly logNumber: number;
  readonly logSerial: number;
}

export class GroupWriter {
  readonly #file: JournalFile;
  readonly #key: Buffer;
  readonly #space: RingSpace;
  readonly #scratch = Buffer.alloc(GROUP_HEADS_BYTES_MAX);
  #buffers: Buffer[] = [];
  #headsEnd = GROUP_HEADER_BYTES;
  #dataBytes = 0;
  #operations = 0;
  #previousPosition: number;
  #previousCrc: number;
  #logNumber: number;
  #logSerial: number;
  /** Bytes carried since the last group of another kind: more than the ring holds would be a bug. */
  #carriedBytes = 0;
  #tailPosition = 0;
  #then: Done | null = null;

  constructor(file: JournalFile, key: Buffer, space: RingSpace, end: ChainEnd) {
    this.#file = file;
    this.#key = key;
    this.#space = space;
    this.#previousPosition = end.previousPosition;
    this.#previousCrc = end.previousCrc;
    this.#logNumber = end.logNumber;
    this.#logSerial = end.logSerial;
  }

  /**
   * Builds the next group from `log`, adds to `dones` the marks that become durable with it, and writes it. `done` is
   * called when it is stable. The group holds as many waiting operations as fit, none when room must be made first.
   */
  write(log: LiveLog, dones: Done[], done: Done): void {
    assert(this.#then === null, 'one group is written at a time');
    this.#then = done;
    this.#begin();
    this.#space.trim(log.serial, log.released);
    const ranges = this.#fill(log) ?? this.#carry(log);
    const place = this.#space.next();
    log.advance(ranges.carried ? log.written : ranges.last, dones);
    if (this.#logSerial !== log.serial) {
      this.#logSerial = log.serial;
      this.#logNumber = log.head === null ? 0 : place.number;
    }
    this.#tailPosition = this.#space.tail().position;
    const bytes = alignUp(this.#headsEnd + this.#dataBytes);
    this.#encodeHeader(log, bytes);
    this.#space.take(bytes, log.serial, ranges.pairs);
    this.#submit(place.position % this.#space.ringBytes, bytes);
  }

  #begin(): void {
    this.#buffers = [this.#scratch];
    this.#headsEnd = GROUP_HEADER_BYTES;
    this.#dataBytes = 0;
    this.#operations = 0;
  }

  #add(operation: Operation): void {
    this.#headsEnd += encodeOperationHeader(operation, this.#scratch, this.#headsEnd);
    this.#operations += 1;
    const { data } = operation;
    if (data.length === 0) return;
    this.#buffers.push(data);
    this.#dataBytes += data.length;
  }

  /** Bytes of heads and data so far. */
  #contentBytes(): number {
    return this.#headsEnd - GROUP_HEADER_BYTES + this.#dataBytes;
  }

  /** Takes waiting operations; null when there is no room for the first one, or for an empty group. */
  #fill(log: LiveLog): Ranges | null {
    const room = this.#space.free() - this.#space.reserveBytes;
    if (room < GROUP_ALIGNMENT) return null;
    const first = log.firstPending;
    let sequence = first;
    for (; sequence <= log.last && this.#operations < GROUP_OPERATIONS_MAX; sequence = (sequence + 1) as Sequence) {
      const operation = log.at(sequence);
      const bytes = this.#contentBytes() + encodedBytes(operation);
      if (this.#operations > 0 && bytes > GROUP_BYTES) break;
      if (alignUp(GROUP_HEADER_BYTES + bytes) > Math.min(room, this.#space.reserveBytes)) break;
      this.#add(operation);
    }
    if (this.#operations === 0 && log.hasPending) return null;
    this.#carriedBytes = 0;
    const last = (sequence - 1) as Sequence;
    return { pairs: this.#operations === 0 ? [] : [first, last], last, carried: false };
  }

  /** Makes room: an empty group if naming a newer tail is enough, else one that packs the oldest groups anew. */
  #carry(log: LiveLog): Ranges {
    const needed = log.hasPending
      ? alignUp(GROUP_HEADER_BYTES + encodedBytes(log.at(log.firstPending)))
      : GROUP_ALIGNMENT;
    if (this.#space.freeAfter(GROUP_ALIGNMENT) >= this.#space.reserveBytes + needed) {
      return { pairs: [], last: log.written, carried: true };
    }
    const pairs: number[] = [];
    let groups = 0;
    for (let group = this.#space.group(0); group !== undefined; group = this.#space.group(groups)) {
      if (group.log === log.serial && group.last > log.released) {
        if (groups > 0 && !this.#takesMore(log, group.ranges)) break;
        this.#carryRanges(log, group.ranges, pairs);
      }
      groups += 1;
    }
    this.#space.drop(groups);
    this.#carriedBytes += this.#contentBytes();
    assert(this.#carriedBytes <= 2 * this.#space.ringBytes, 'packing the ring makes room for what the capacity allows');
    return { pairs, last: log.written, carried: true };
  }

  /** Whether the operations of `ranges` that are still needed fit beside what is carried already. */
  #takesMore(log: LiveLog, ranges: readonly number[]): boolean {
    let bytes = this.#contentBytes();
    let operations = this.#operations;
    for (let i = 0; i < ranges.length; i += 2) {
      for (let s = Math.max(ranges[i]!, log.released + 1); s <= ranges[i + 1]!; s += 1) {
        bytes += encodedBytes(log.at(s as Sequence));
        operations += 1;
        if (bytes > CARRY_BYTES || operations > GROUP_OPERATIONS_MAX) return false;
      }
    }
    return true;
  }

  #carryRanges(log: LiveLog, ranges: readonly number[], pairs: number[]): void {
    for (let i = 0; i < ranges.length; i += 2) {
      const first = Math.max(ranges[i]!, log.released + 1);
      const last = ranges[i + 1]!;
      if (first > last) continue;
      for (let s = first; s <= last; s += 1) this.#add(log.at(s as Sequence));
      if (pairs.length > 0 && pairs[pairs.length - 1] === first - 1) pairs[pairs.length - 1] = last;
      else pairs.push(first, last);
    }
  }

  #encodeHeader(log: LiveLog, bytes: number): void {
    const place = this.#space.next();
    this.#previousCrc = encodeGroupHeader(
      {
        number: place.number,
        position: place.position,
        bytes,
        operations: this.#operations,
        headsBytes: this.#headsEnd - GROUP_HEADER_BYTES,
        headsCrc: crc32c(this.#scratch.subarray(GROUP_HEADER_BYTES, this.#headsEnd)),
        dataBytes: this.#dataBytes,
        tail: this.#space.tail(),
        previousPosition: this.#previousPosition,
        previousCrc: this.#previousCrc,
        logNumber: this.#logNumber,
        head: log.head,
        released: log.released,
        acknowledged: log.acknowledged,
      },
      this.#key,
      this.#scratch,
    );
    this.#previousPosition = place.position;
  }

  /** One write, or two where the ring ends within the group; their order does not matter, the checksums cover both. */
  #submit(at: number, bytes: number): void {
    const buffers = this.#buffers;
    buffers[0] = this.#scratch.subarray(0, this.#headsEnd);
    const padding = bytes - this.#headsEnd - this.#dataBytes;
    if (padding > 0) buffers.push(ZEROES.subarray(0, padding));
    const first = this.#space.ringBytes - at;
    if (bytes <= first) {
      this.#file.write(buffers, SUPERBLOCK_BYTES + at, this.#written);
      return;
    }
    this.#file.write(before(buffers, first), SUPERBLOCK_BYTES + at, (fault) => {
      if (fault !== null) this.#written(fault);
      else this.#file.write(behind(buffers, first), SUPERBLOCK_BYTES, this.#written);
    });
  }

  readonly #written = (fault: Fault | null): void => {
    const then = this.#then;
    assert(then !== null, 'a write ends once');
    this.#then = null;
    this.#buffers = [];
    if (fault === null) this.#space.synced(this.#tailPosition);
    then(fault);
  };
}

/** What a group holds: pairs of first and last sequence, and the last waiting operation that it took. */
interface Ranges {
  readonly pairs: readonly number[];
  readonly last: Sequence;
  readonly carried: boolean;
}

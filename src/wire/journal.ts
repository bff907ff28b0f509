/**
 * The journal's formats, without files: the superblock that names a ring, and the group, the unit that is written and
 * synced as one (docs/durability.md). Little-endian.
 *
 * A group is a header of 256 bytes, the heads of its operations (header and target in wire form, one behind the other),
 * their data in the same order, and zeroes up to the next multiple of 4096. Every byte is covered: the header by its
 * checksum, the heads by one in the header, the data by the operations' own, the padding by being zero.
 *
 * Each header repeats the whole state of the log (head, released, acknowledged, the oldest group still needed), so that
 * the newest whole group alone says what the log is.
 */
import { crc32c } from '../base/crc32c.ts';
import { assert, Fault } from '../base/fault.ts';
import type { Epoch, Generation, Sequence } from '../base/names.ts';
import type { Operation } from '../base/operation.ts';
import { readU64, writeU64 } from './numbers.ts';
import { attachData, decodeOperationHead, OPERATION_HEAD_BYTES_MAX, type OperationHead } from './operation.ts';

/**
 * Groups begin and end at multiples of this: a page of the kernel's cache and the physical sector of current disks, so
 * that no write ever touches a sector that an earlier, synced group shares.
 */
export const GROUP_ALIGNMENT = 4096;
export const GROUP_HEADER_BYTES = 256;
/** Operations in one group at most: with heads and padding, their buffers fit one vectored write (1024 pieces). */
export const GROUP_OPERATIONS_MAX = 1000;
/** Bytes that the header and the heads of the fullest group take. */
export const GROUP_HEADS_BYTES_MAX = GROUP_HEADER_BYTES + GROUP_OPERATIONS_MAX * OPERATION_HEAD_BYTES_MAX;
/** The superblock takes the ring file's first block; groups follow it. */
export const SUPERBLOCK_BYTES = 4096;
/** Generations in a log's head at most (src/ports/store.ts). */
export const GENERATIONS_MAX = 4;

/** "HFgr" and "oup1", read as little-endian numbers. */
const GROUP_MAGIC_A = 0x72674648;
const GROUP_MAGIC_B = 0x3170756f;
const SUPER_MAGIC_A = 0x6e724648;
const SUPER_MAGIC_B = 0x31676e69;
const KEY_BYTES = 16;

const FLAG_HEAD = 1;
const FLAG_COMPLETE = 2;

/** `bytes` rounded up to whole blocks. */
export function alignUp(bytes: number): number {
  return Math.ceil(bytes / GROUP_ALIGNMENT) * GROUP_ALIGNMENT;
}

/** A log's head as the journal keeps it; the store port's `LogHead` says what it means. */
export interface JournalHead {
  readonly epoch: Epoch;
  readonly generations: readonly Generation[];
  readonly base: Sequence;
  readonly complete: boolean;
}

/** Where a group lies: its number, and its distance from the ring's beginning if the ring never wrapped. */
export interface GroupPlace {
  readonly number: number;
  readonly position: number;
}

/** A group's header. */
export interface GroupHeader extends GroupPlace {
  /** Bytes from the header to the end of the padding. */
  readonly bytes: number;
  readonly operations: number;
  readonly headsBytes: number;
  readonly headsCrc: number;
  readonly dataBytes: number;
  /** The oldest group that is still needed once this one is stored; itself when there is none. */
  readonly tail: GroupPlace;
  /** The group before this one and its header's checksum; zeroes for the first. */
  readonly previousPosition: number;
  readonly previousCrc: number;
  /** Number of the group that began the log: groups before it hold nothing of it. 0 when there is no log. */
  readonly logNumber: number;
  /** Null when the journal holds no log. */
  readonly head: JournalHead | null;
  readonly released: Sequence;
  readonly acknowledged: Sequence;
}

/** A header as it was found: with its own checksum, to which the next group's link refers. */
export interface FoundHeader extends GroupHeader {
  readonly crc: number;
}

/** Writes the header at the beginning of `into` and returns its checksum. `key` is the ring's. */
export function encodeGroupHeader(header: GroupHeader, key: Buffer, into: Buffer): number {
  const head = header.head;
  assert(key.length === KEY_BYTES, 'a ring key has 16 bytes');
  assert(head === null || head.generations.length <= GENERATIONS_MAX, 'a log has at most 4 generations');
  into.fill(0, 0, GROUP_HEADER_BYTES);
  into.writeUInt32LE(GROUP_MAGIC_A, 0);
  into.writeUInt32LE(GROUP_MAGIC_B, 4);
  into.writeUInt16LE(head === null ? 0 : FLAG_HEAD | (head.complete ? FLAG_COMPLETE : 0), 12);
  into.writeUInt16LE(head === null ? 0 : head.generations.length, 14);
  key.copy(into, 16);
  writeU64(into, 32, header.number);
  writeU64(into, 40, header.position);
  into.writeUInt32LE(header.bytes, 48);
  into.writeUInt32LE(header.operations, 52);
  into.writeUInt32LE(header.headsBytes, 56);
  into.writeUInt32LE(header.headsCrc, 60);
  writeU64(into, 64, header.tail.position);
  writeU64(into, 72, header.tail.number);
  writeU64(into, 80, header.logNumber);
  writeU64(into, 88, header.previousPosition);
  into.writeUInt32LE(header.previousCrc, 96);
  writeU64(into, 104, header.acknowledged);
  writeU64(into, 112, header.released);
  if (head !== null) {
    writeU64(into, 120, head.epoch);
    writeU64(into, 128, head.base);
    for (let i = 0; i < head.generations.length; i += 1) writeU64(into, 136 + 8 * i, head.generations[i]!);
  }
  writeU64(into, 168, header.dataBytes);
  const crc = crc32c(into.subarray(12, GROUP_HEADER_BYTES));
  into.writeUInt32LE(crc, 8);
  return crc;
}

/** True when a group's magic number is at `at`: a cheap look before the checksum is computed. */
export function looksLikeGroup(bytes: Buffer, at: number): boolean {
  return bytes.readUInt32LE(at) === GROUP_MAGIC_A && bytes.readUInt32LE(at + 4) === GROUP_MAGIC_B;
}

/** The group header of ring `key` at `at`, or null when what is there is none of its headers, whole and sensible. */
export function decodeGroupHeader(bytes: Buffer, at: number, key: Buffer): FoundHeader | null {
  if (!looksLikeGroup(bytes, at)) return null;
  const crc = bytes.readUInt32LE(at + 8);
  if (crc32c(bytes.subarray(at + 12, at + GROUP_HEADER_BYTES)) !== crc) return null;
  if (key.compare(bytes, at + 16, at + 32) !== 0) return null;
  const flags = bytes.readUInt16LE(at + 12);
  const generations: Generation[] = [];
  for (let i = 0; i < Math.min(GENERATIONS_MAX, bytes.readUInt16LE(at + 14)); i += 1) {
    generations.push(readU64(bytes, at + 136 + 8 * i) as Generation);
  }
  const head: JournalHead | null =
    (flags & FLAG_HEAD) === 0
      ? null
      : {
          epoch: readU64(bytes, at + 120) as Epoch,
          generations,
          base: readU64(bytes, at + 128) as Sequence,
          complete: (flags & FLAG_COMPLETE) !== 0,
        };
  return {
    crc,
    number: readU64(bytes, at + 32),
    position: readU64(bytes, at + 40),
    bytes: bytes.readUInt32LE(at + 48),
    operations: bytes.readUInt32LE(at + 52),
    headsBytes: bytes.readUInt32LE(at + 56),
    headsCrc: bytes.readUInt32LE(at + 60),
    dataBytes: readU64(bytes, at + 168),
    tail: { position: readU64(bytes, at + 64), number: readU64(bytes, at + 72) },
    logNumber: readU64(bytes, at + 80),
    previousPosition: readU64(bytes, at + 88),
    previousCrc: bytes.readUInt32LE(at + 96),
    acknowledged: readU64(bytes, at + 104) as Sequence,
    released: readU64(bytes, at + 112) as Sequence,
    head,
  };
}

/**
 * The operations of a whole group, every byte behind the header verified; `bytes` is the group from its header to the
 * end of its padding. Fault `corrupt` with the place within the group. The operations' data are slices of `bytes`.
 */
export function decodeGroupOperations(header: FoundHeader, bytes: Buffer): Operation[] | Fault {
  const heads = GROUP_HEADER_BYTES + header.headsBytes;
  const end = heads + header.dataBytes;
  if (alignUp(end) !== header.bytes || bytes.length !== header.bytes) {
    return new Fault('corrupt', `a group of ${header.bytes} bytes whose parts are ${end}`);
  }
  if (crc32c(bytes.subarray(GROUP_HEADER_BYTES, heads)) !== header.headsCrc) {
    return new Fault('corrupt', "the operations' heads do not match their checksum");
  }
  const found: OperationHead[] = [];
  let at = GROUP_HEADER_BYTES;
  while (at < heads) {
    const head = decodeOperationHead(bytes, at, heads);
    if (head === 'short') return new Fault('corrupt', `at byte ${at}: half a head`);
    if (head instanceof Fault) return new Fault('corrupt', `at byte ${at}: ${head.message}`, head);
    found.push(head);
    at = head.next;
  }
  const operations: Operation[] = [];
  for (const head of found) {
    if (at + head.dataLength > end) return new Fault('corrupt', `at byte ${at}: data beyond the group's end`);
    const operation = attachData(head, bytes, at);
    if (operation instanceof Fault) return new Fault('corrupt', `at byte ${at}: ${operation.message}`, operation);
    operations.push(operation);
    at += head.dataLength;
  }
  if (at !== end || operations.length !== header.operations) {
    return new Fault('corrupt', `a group of ${header.operations} operations that holds ${operations.length}`);
  }
  for (; at < bytes.length; at += 1) {
    if (bytes[at] !== 0) return new Fault('corrupt', `at byte ${at}: the padding is not zero`);
  }
  return operations;
}

/** What the ring file says of itself in its first block. */
export interface Superblock {
  /** 32 hexadecimal digits: the store's id. */
  readonly store: string;
  /** 16 secret bytes that every group repeats: no client's data can pass for a group. */
  readonly key: Buffer;
  /** Bytes of the ring proper, behind the superblock. */
  readonly ringBytes: number;
  /** The largest group it was made for, which is also its reserve. */
  readonly groupBytesMax: number;
  /** Inode number and birth of the file this was written to, as decimal digits: a copy has others. */
  readonly place: string;
}

const PLACE_BYTES_MAX = 64;

/** The superblock as a whole block. */
export function encodeSuperblock(superblock: Superblock): Buffer {
  const bytes = Buffer.alloc(SUPERBLOCK_BYTES);
  bytes.writeUInt32LE(SUPER_MAGIC_A, 0);
  bytes.writeUInt32LE(SUPER_MAGIC_B, 4);
  assert(bytes.write(superblock.store, 16, 'hex') === 16, 'a store id has 32 hexadecimal digits');
  superblock.key.copy(bytes, 32);
  writeU64(bytes, 48, superblock.ringBytes);
  const place = Buffer.byteLength(superblock.place);
  assert(place <= PLACE_BYTES_MAX, 'a place has at most 64 bytes');
  bytes.writeUInt16LE(place, 56);
  bytes.write(superblock.place, 58, 'latin1');
  writeU64(bytes, 128, superblock.groupBytesMax);
  bytes.writeUInt32LE(crc32c(bytes.subarray(12)), 8);
  return bytes;
}

/** Fault `corrupt` when the block is no superblock, or damaged. */
export function decodeSuperblock(bytes: Buffer): Superblock | Fault {
  if (bytes.length !== SUPERBLOCK_BYTES) return new Fault('corrupt', 'it is shorter than a superblock');
  if (bytes.readUInt32LE(0) !== SUPER_MAGIC_A || bytes.readUInt32LE(4) !== SUPER_MAGIC_B) {
    return new Fault('corrupt', 'it does not begin as a journal of this version does');
  }
  if (crc32c(bytes.subarray(12)) !== bytes.readUInt32LE(8)) {
    return new Fault('corrupt', 'its superblock does not match its checksum');
  }
  const place = Math.min(PLACE_BYTES_MAX, bytes.readUInt16LE(56));
  return {
    store: bytes.toString('hex', 16, 32),
    key: Buffer.from(bytes.subarray(32, 48)),
    ringBytes: readU64(bytes, 48),
    groupBytesMax: readU64(bytes, 128),
    place: bytes.toString('latin1', 58, 58 + place),
  };
}

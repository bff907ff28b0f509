/**
 * The binary form of an operation, as the link carries it and the journal keeps it: a header of 64 bytes, the target's
 * UTF-8 bytes, the data. Little-endian. Header and target have one checksum, the data another, so that the data travel
 * from the client's request to both stores with the checksum computed once.
 *
 *     offset  size  field
 *          0     4  magic "HFop"
 *          4     4  crc32c of bytes 8..63 and the target
 *          8     1  kind
 *          9     1  flags, zero
 *         10     2  target length, 0..64
 *         12     4  data length, 0..32 MiB
 *         16     8  epoch, from 1 on
 *         24     8  sequence, from 1 on
 *         32     8  offset
 *         40     8  length, from 1 on (0 for a stamp)
 *         48     4  crc32c of the data, 0 without data
 *         52     8  time in ns since 1970, 0 for none
 *         60     4  reserved, zero
 */
import { crc32c, crc32cWithin } from '../base/crc32c.ts';
import { assert, Fault } from '../base/fault.ts';
import type { Epoch, Sequence } from '../base/names.ts';
import {
  dataBytes,
  dataCrcWithin,
  LARGEST_OBJECT_BYTES,
  NO_BYTES,
  NO_TIME,
  type Operation,
  OPERATION_HEADER_BYTES,
  OperationKind,
} from '../base/operation.ts';

/** Longest target, in bytes of UTF-8. */
export const TARGET_BYTES_MAX = 64;
/** Largest payload of one operation, in bytes: the largest request of the NBD document's recommendation. */
export const DATA_BYTES_MAX = 32 << 20;
/** Most bytes that header and target take. */
export const OPERATION_HEAD_BYTES_MAX = OPERATION_HEADER_BYTES + TARGET_BYTES_MAX;

/** "HFop" read as a little-endian number. */
const MAGIC = 0x706f4648;
/** The checksum covers the header from here on. */
const CHECKED_FROM = 8;
const TWO_32 = 2 ** 32;
/** The high half of a safe integer is below this. */
const HIGH_LIMIT = 1 << 21;

/** Each kind at its own number. */
const OPERATION_KINDS: (OperationKind | undefined)[] = [];
for (const kind of Object.values(OperationKind)) OPERATION_KINDS[kind] = kind;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** What `decodeOperationHead` returns: the operation's fields, without its data. */
export interface OperationHead {
  readonly epoch: Epoch;
  readonly sequence: Sequence;
  readonly kind: OperationKind;
  readonly target: string;
  readonly offset: number;
  readonly length: number;
  readonly dataLength: number;
  readonly dataCrc: number;
  readonly timeNs: bigint;
  /** Where the header and the target end. */
  readonly next: number;
}

/** Bytes of the target in UTF-8; the empty one, a block volume's, costs nothing to measure. */
function targetBytes(target: string): number {
  return target === '' ? 0 : Buffer.byteLength(target, 'utf8');
}

/** Bytes that header and target take. */
export function encodedHeadBytes(operation: Operation): number {
  return OPERATION_HEADER_BYTES + targetBytes(operation.target);
}

/** Bytes that the whole operation takes: header, target and data. */
export function encodedBytes(operation: Operation): number {
  return encodedHeadBytes(operation) + dataBytes(operation);
}

/**
 * A header is put together here and then copied to its place: a DataView writes a number several times faster than a
 * Buffer does, and the bytes to be checksummed need no view of their own for each operation.
 */
const draft = Buffer.alloc(OPERATION_HEAD_BYTES_MAX);
const draftView = new DataView(draft.buffer, draft.byteOffset, draft.length);
const draftHeader = draft.subarray(0, OPERATION_HEADER_BYTES);
const draftChecked = draft.subarray(CHECKED_FROM, OPERATION_HEADER_BYTES);
draftView.setUint32(0, MAGIC, true);

/**
 * Writes header and target at `at` and returns the bytes written (at most OPERATION_HEAD_BYTES_MAX, for which `into`
 * must have room). The data follow on the wire without being copied.
 */
export function encodeOperationHeader(operation: Operation, into: Buffer, at: number): number {
  const { target } = operation;
  const dataLength = dataBytes(operation);
  assert(dataLength <= DATA_BYTES_MAX, 'an operation carries at most 32 MiB');
  // Flags and reserved fields stay zero, as they were allocated.
  draftView.setUint8(8, operation.kind);
  draftView.setUint32(12, dataLength, true);
  setU64(16, operation.epoch);
  setU64(24, operation.sequence);
  setU64(32, operation.offset);
  setU64(40, operation.length);
  draftView.setInt32(48, operation.dataCrc, true);
  draftView.setBigUint64(52, operation.timeNs, true);
  if (target === '') {
    draftView.setUint16(10, 0, true);
    draftView.setUint32(4, crc32c(draftChecked), true);
    into.set(draftHeader, at);
    return OPERATION_HEADER_BYTES;
  }
  const bytes = targetBytes(target);
  assert(bytes <= TARGET_BYTES_MAX, 'a target has at most 64 bytes');
  draftView.setUint16(10, bytes, true);
  draft.write(target, OPERATION_HEADER_BYTES, 'utf8');
  const end = OPERATION_HEADER_BYTES + bytes;
  draftView.setUint32(4, crc32c(draft.subarray(CHECKED_FROM, end)), true);
  into.set(draft.subarray(0, end), at);
  return end;
}

function setU64(at: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, 'a number on the wire is a safe integer');
  const high = Math.floor(value / TWO_32);
  draftView.setUint32(at, value - high * TWO_32, true);
  draftView.setUint32(at + 4, high, true);
}

/** The view of the memory that was read last: the operations of a frame or a group share it. */
let view: DataView = new DataView(new ArrayBuffer(0));

function viewOf(bytes: Buffer): DataView {
  if (view.buffer !== bytes.buffer) view = new DataView(bytes.buffer);
  return view;
}

/** The number at `at`; -1 when it is not a safe integer. */
function getU64(from: DataView, at: number): number {
  const high = from.getUint32(at + 4, true);
  return high < HIGH_LIMIT ? high * TWO_32 + from.getUint32(at, true) : -1;
}

/**
 * Reads header and target at `at`, within `limit`, and checks every field but the data. `short`: more bytes are needed
 * to tell. A fault of kind `corrupt` otherwise.
 */
export function decodeOperationHead(bytes: Buffer, at: number, limit: number): OperationHead | 'short' | Fault {
  const head = emptyHead();
  return readHead(bytes, at, limit, head) ?? head;
}

type FillableHead = { -readonly [K in keyof OperationHead]: OperationHead[K] };

function emptyHead(): FillableHead {
  return {
    epoch: 0 as Epoch,
    sequence: 0 as Sequence,
    kind: OperationKind.write,
    target: '',
    offset: 0,
    length: 0,
    dataLength: 0,
    dataCrc: 0,
    timeNs: NO_TIME,
    next: 0,
  };
}

/** The head that is being read, where nobody keeps it. */
const passing = emptyHead();

/** Fills `head`; null when it is whole and right. */
function readHead(bytes: Buffer, at: number, limit: number, head: FillableHead): 'short' | Fault | null {
  if (limit - at < OPERATION_HEADER_BYTES) return 'short';
  const from = viewOf(bytes);
  const base = bytes.byteOffset + at;
  if (from.getUint32(base, true) !== MAGIC)
    return new Fault('corrupt', 'not an operation: the magic number is missing');
  const targetLength = from.getUint16(base + 10, true);
  if (targetLength > TARGET_BYTES_MAX) return new Fault('corrupt', `an operation's target has ${targetLength} bytes`);
  const next = at + OPERATION_HEADER_BYTES + targetLength;
  if (limit < next) return 'short';
  if (crc32cWithin(bytes, at + CHECKED_FROM, next) !== from.getUint32(base + 4, true)) {
    return new Fault('corrupt', "an operation's header does not match its checksum");
  }
  const kind = kindOf(bytes[at + 8]);
  if (kind === null) return new Fault('corrupt', `an operation of unknown kind ${bytes[at + 8]}`);
  const dataLength = from.getUint32(base + 12, true);
  const epoch = getU64(from, base + 16);
  const sequence = getU64(from, base + 24);
  const offset = getU64(from, base + 32);
  const length = getU64(from, base + 40);
  const dataCrc = from.getInt32(base + 48, true);
  if (epoch < 1 || sequence < 1) return new Fault('corrupt', 'an operation without epoch or sequence');
  if (!isRange(kind, offset, length)) {
    return new Fault('corrupt', `an operation with an impossible range: offset ${offset}, length ${length}`);
  }
  if (kind === OperationKind.write ? dataLength !== length : dataLength !== 0 || dataCrc !== 0) {
    return new Fault('corrupt', `an operation over ${length} bytes that carries ${dataLength}`);
  }
  if (dataLength > DATA_BYTES_MAX) return new Fault('corrupt', `an operation that carries ${dataLength} bytes`);
  if (bytes[at + 9] !== 0 || from.getUint32(base + 60, true) !== 0) {
    return new Fault('corrupt', 'an operation with flags or reserved fields that this version does not know');
  }
  head.target = '';
  if (targetLength > 0) {
    try {
      head.target = utf8.decode(bytes.subarray(at + OPERATION_HEADER_BYTES, next));
    } catch (cause) {
      return new Fault('corrupt', "an operation's target is not UTF-8", cause);
    }
  }
  head.epoch = epoch as Epoch;
  head.sequence = sequence as Sequence;
  head.kind = kind;
  head.offset = offset;
  head.length = length;
  head.dataLength = dataLength;
  head.dataCrc = dataCrc;
  head.timeNs = timeAt(from, base + 52);
  head.next = next;
  return null;
}

/** A block volume's operations have no time, and none is made for them. */
function timeAt(from: DataView, at: number): bigint {
  const isNone = from.getUint32(at, true) === 0 && from.getUint32(at + 4, true) === 0;
  return isNone ? NO_TIME : from.getBigUint64(at, true);
}

function kindOf(byte: number | undefined): OperationKind | null {
  return (byte === undefined ? undefined : OPERATION_KINDS[byte]) ?? null;
}

function isRange(kind: OperationKind, offset: number, length: number): boolean {
  if (kind === OperationKind.stamp) return offset === 0 && length === 0;
  if (kind === OperationKind.truncate) return offset >= 0 && length >= 1 && offset + length === LARGEST_OBJECT_BYTES;
  return offset >= 0 && length >= 1 && Number.isSafeInteger(offset + length);
}

/**
 * An operation as it was received. Its data stay where they are, and a view of them is made for whoever asks: of a
 * partner with its store in memory nobody does, as long as nothing fails, and views would be half of what it keeps.
 */
class Received implements Operation {
  readonly epoch: Epoch;
  readonly sequence: Sequence;
  readonly kind: OperationKind;
  readonly target: string;
  readonly offset: number;
  readonly length: number;
  readonly dataCrc: number;
  readonly timeNs: bigint;
  readonly #bytes: Buffer;
  readonly #dataAt: number;

  constructor(head: OperationHead, bytes: Buffer, dataAt: number) {
    this.epoch = head.epoch;
    this.sequence = head.sequence;
    this.kind = head.kind;
    this.target = head.target;
    this.offset = head.offset;
    this.length = head.length;
    this.dataCrc = head.dataCrc;
    this.timeNs = head.timeNs;
    this.#bytes = bytes;
    this.#dataAt = dataAt;
  }

  get data(): Buffer {
    const length = dataBytes(this);
    return length === 0 ? NO_BYTES : this.#bytes.subarray(this.#dataAt, this.#dataAt + length);
  }
}

/**
 * The operation of `head`, whose data are at `dataAt` in `bytes` (all of them: the caller has checked that). The data
 * are a slice, not a copy. Fault `corrupt` when they do not match their checksum.
 */
export function attachData(head: OperationHead, bytes: Buffer, dataAt: number): Operation | Fault {
  if (dataCrcWithin(bytes, dataAt, dataAt + head.dataLength) !== head.dataCrc) {
    return new Fault('corrupt', `the data of operation (${head.epoch}, ${head.sequence}) do not match their checksum`);
  }
  return new Received(head, bytes, dataAt);
}

/**
 * Reads one whole operation at `at`, of `encodedBytes` bytes; `limit` is where the bytes at hand end. `short`: more bytes
 * are needed. A fault of kind `corrupt` when a checksum or a field is wrong. Its data are a slice of `bytes`.
 */
export function decodeOperation(bytes: Buffer, at: number, limit: number): Operation | 'short' | Fault {
  const wrong = readHead(bytes, at, limit, passing);
  if (wrong !== null) return wrong;
  return limit - passing.next < passing.dataLength ? 'short' : attachData(passing, bytes, passing.next);
}

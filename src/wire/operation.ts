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
 *         40     8  length, from 1 on
 *         48     4  crc32c of the data, 0 without data
 *         52    12  reserved, zero
 */
import { crc32c } from '../base/crc32c.ts';
import { assert, Fault } from '../base/fault.ts';
import type { Epoch, Sequence } from '../base/names.ts';
import { NO_BYTES, type Operation, OPERATION_HEADER_BYTES, OperationKind } from '../base/operation.ts';
import { readU64, writeU64 } from './numbers.ts';

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

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** What `decodeOperation` returns when it found a whole operation: it, and where the next one begins. */
export interface DecodedOperation {
  readonly operation: Operation;
  readonly next: number;
}

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
  return encodedHeadBytes(operation) + operation.data.length;
}

/**
 * Writes header and target at `at` and returns the bytes written (at most OPERATION_HEAD_BYTES_MAX, for which `into`
 * must have room). The data follow on the wire without being copied.
 */
export function encodeOperationHeader(operation: Operation, into: Buffer, at: number): number {
  const target = operation.target === '' ? 0 : into.write(operation.target, at + OPERATION_HEADER_BYTES, 'utf8');
  assert(target === targetBytes(operation.target), 'there is room for the target');
  assert(target <= TARGET_BYTES_MAX, 'a target has at most 64 bytes');
  assert(operation.data.length <= DATA_BYTES_MAX, 'an operation carries at most 32 MiB');
  into.writeUInt32LE(MAGIC, at);
  into[at + 8] = operation.kind;
  into[at + 9] = 0;
  into.writeUInt16LE(target, at + 10);
  into.writeUInt32LE(operation.data.length, at + 12);
  writeU64(into, at + 16, operation.epoch);
  writeU64(into, at + 24, operation.sequence);
  writeU64(into, at + 32, operation.offset);
  writeU64(into, at + 40, operation.length);
  into.writeUInt32LE(operation.dataCrc, at + 48);
  into.fill(0, at + 52, at + 64);
  const end = at + OPERATION_HEADER_BYTES + target;
  into.writeUInt32LE(crc32c(into.subarray(at + CHECKED_FROM, end)), at + 4);
  return end - at;
}

/**
 * Reads header and target at `at`, within `limit`, and checks every field but the data. `short`: more bytes are needed
 * to tell. A fault of kind `corrupt` otherwise.
 */
export function decodeOperationHead(bytes: Buffer, at: number, limit: number): OperationHead | 'short' | Fault {
  if (limit - at < OPERATION_HEADER_BYTES) return 'short';
  if (bytes.readUInt32LE(at) !== MAGIC) return new Fault('corrupt', 'not an operation: the magic number is missing');
  const targetLength = bytes.readUInt16LE(at + 10);
  if (targetLength > TARGET_BYTES_MAX) return new Fault('corrupt', `an operation's target has ${targetLength} bytes`);
  const next = at + OPERATION_HEADER_BYTES + targetLength;
  if (limit < next) return 'short';
  if (crc32c(bytes.subarray(at + CHECKED_FROM, next)) !== bytes.readUInt32LE(at + 4)) {
    return new Fault('corrupt', "an operation's header does not match its checksum");
  }
  const kind = bytes[at + 8];
  if (kind !== OperationKind.write && kind !== OperationKind.zero && kind !== OperationKind.trim) {
    return new Fault('corrupt', `an operation of unknown kind ${kind}`);
  }
  const dataLength = bytes.readUInt32LE(at + 12);
  const epoch = readU64(bytes, at + 16);
  const sequence = readU64(bytes, at + 24);
  const offset = readU64(bytes, at + 32);
  const length = readU64(bytes, at + 40);
  const dataCrc = bytes.readUInt32LE(at + 48);
  if (epoch < 1 || sequence < 1) return new Fault('corrupt', 'an operation without epoch or sequence');
  if (offset < 0 || length < 1 || !Number.isSafeInteger(offset + length)) {
    return new Fault('corrupt', `an operation with an impossible range: offset ${offset}, length ${length}`);
  }
  if (kind === OperationKind.write ? dataLength !== length : dataLength !== 0 || dataCrc !== 0) {
    return new Fault('corrupt', `an operation over ${length} bytes that carries ${dataLength}`);
  }
  if (dataLength > DATA_BYTES_MAX) return new Fault('corrupt', `an operation that carries ${dataLength} bytes`);
  if (
    bytes[at + 9] !== 0 ||
    bytes.readUInt32LE(at + 52) !== 0 ||
    bytes.readUInt32LE(at + 56) !== 0 ||
    bytes.readUInt32LE(at + 60) !== 0
  ) {
    return new Fault('corrupt', 'an operation with flags or reserved fields that this version does not know');
  }
  let target = '';
  if (targetLength > 0) {
    try {
      target = utf8.decode(bytes.subarray(at + OPERATION_HEADER_BYTES, next));
    } catch (cause) {
      return new Fault('corrupt', "an operation's target is not UTF-8", cause);
    }
  }
  return {
    epoch: epoch as Epoch,
    sequence: sequence as Sequence,
    kind,
    target,
    offset,
    length,
    dataLength,
    dataCrc,
    next,
  };
}

/**
 * The operation of `head`, whose data are at `dataAt` in `bytes` (all of them: the caller has checked that). The data
 * are a slice, not a copy. Fault `corrupt` when they do not match their checksum.
 */
export function attachData(head: OperationHead, bytes: Buffer, dataAt: number): Operation | Fault {
  const data = head.dataLength === 0 ? NO_BYTES : bytes.subarray(dataAt, dataAt + head.dataLength);
  if (head.dataLength !== 0 && crc32c(data) !== head.dataCrc) {
    return new Fault('corrupt', `the data of operation (${head.epoch}, ${head.sequence}) do not match their checksum`);
  }
  return {
    epoch: head.epoch,
    sequence: head.sequence,
    kind: head.kind,
    target: head.target,
    offset: head.offset,
    length: head.length,
    data,
    dataCrc: head.dataCrc,
  };
}

/**
 * Reads one whole operation at `at`; `limit` is where the bytes at hand end. `short`: more bytes are needed. A fault
 * of kind `corrupt` when a checksum or a field is wrong. The operation's data are a slice of `bytes`.
 */
export function decodeOperation(bytes: Buffer, at: number, limit: number): DecodedOperation | 'short' | Fault {
  const head = decodeOperationHead(bytes, at, limit);
  if (head === 'short' || head instanceof Fault) return head;
  if (limit - head.next < head.dataLength) return 'short';
  const operation = attachData(head, bytes, head.next);
  if (operation instanceof Fault) return operation;
  return { operation, next: head.next + head.dataLength };
}

/**
 * A slot of the object `replies` (docs/decisions/0007): who asked what, and either what the request is about to do (its
 * intent) or what it was answered. 1 KiB is enough for either: the longest intent is a RENAME's, with two names of 255
 * bytes and three ids of 64.
 *
 *     0  "HFRP"          8  serial: grows with every request; the slot is serial modulo their number
 *     4  version        16  xid
 *     5  state          20  procedure number
 *     6  bytes in all   21  bytes of the address      24  digest of credential and arguments      40  address, then the body
 *     and crc32c of all of it at the end. Numbers are big endian.
 */
import { crc32c } from '../../../base/crc32c.ts';
import { assert } from '../../../base/fault.ts';
import type { ObjectId } from '../../../ports/tree.ts';

export const SLOT_BYTES = 1024;
/** So many requests are remembered per volume. */
export const SLOTS = 4096;

const MAGIC = 0x48_46_52_50;
const VERSION = 1;
const HEADER_BYTES = 40;
export const DIGEST_BYTES = 16;
const CRC_BYTES = 4;
/** The longest textual IPv6 address with a zone; a longer one is cut: it only tells clients apart. */
const ADDRESS_BYTES = 64;
/** What the body may take. */
export const BODY_BYTES = SLOT_BYTES - HEADER_BYTES - ADDRESS_BYTES - CRC_BYTES;

const STATES = ['intent', 'reply', 'void'] as const;
/** `void`: nothing came of it, nobody was answered. */
export type SlotState = (typeof STATES)[number];

/** Tells requests apart, and a request that is sent again from another one. */
export interface Asker {
  readonly address: string;
  readonly xid: number;
  readonly procedure: number;
  /** Of credential and arguments. */
  readonly digest: Buffer;
}

export interface Slot {
  readonly serial: number;
  readonly state: SlotState;
  readonly asker: Asker;
  readonly body: Buffer;
}

export function encodeSlot({ serial, state, asker, body }: Slot): Buffer {
  assert(body.length <= BODY_BYTES, `a body of ${body.length} bytes fits into a slot`);
  const address = Buffer.from(asker.address, 'latin1').subarray(0, ADDRESS_BYTES);
  const bytes = HEADER_BYTES + address.length + body.length + CRC_BYTES;
  const out = Buffer.alloc(bytes);
  out.writeUInt32BE(MAGIC, 0);
  out[4] = VERSION;
  out[5] = STATES.indexOf(state) + 1;
  out.writeUInt16BE(bytes, 6);
  out.writeBigUInt64BE(BigInt(serial), 8);
  out.writeUInt32BE(asker.xid, 16);
  out[20] = asker.procedure;
  out[21] = address.length;
  asker.digest.copy(out, 24, 0, DIGEST_BYTES);
  address.copy(out, HEADER_BYTES);
  body.copy(out, HEADER_BYTES + address.length);
  out.writeUInt32BE(crc32c(out.subarray(0, bytes - CRC_BYTES)), bytes - CRC_BYTES);
  return out;
}

/** What a slot holds: null when it was never used, 'damaged' when it cannot be read. */
export function decodeSlot(bytes: Buffer): Slot | null | 'damaged' {
  const magic = bytes.readUInt32BE(0);
  if (magic === 0) return null;
  const length = bytes.readUInt16BE(6);
  if (magic !== MAGIC || bytes[4] !== VERSION || length > bytes.length) return 'damaged';
  const addressBytes = bytes[21] ?? 0;
  const bodyAt = HEADER_BYTES + addressBytes;
  const state = STATES[(bytes[5] ?? 0) - 1];
  if (bodyAt + CRC_BYTES > length || state === undefined) return 'damaged';
  if (crc32c(bytes.subarray(0, length - CRC_BYTES)) !== bytes.readUInt32BE(length - CRC_BYTES)) return 'damaged';
  return {
    serial: Number(bytes.readBigUInt64BE(8)),
    state,
    asker: {
      xid: bytes.readUInt32BE(16),
      procedure: bytes[20] ?? 0,
      digest: Buffer.from(bytes.subarray(24, 24 + DIGEST_BYTES)),
      address: bytes.toString('latin1', HEADER_BYTES, bodyAt),
    },
    body: Buffer.from(bytes.subarray(bodyAt, length - CRC_BYTES)),
  };
}

/** The same for two slots exactly when they are of the same request. */
export function keyOf({ address, xid, procedure, digest }: Asker): string {
  return `${address.slice(0, ADDRESS_BYTES)} ${xid} ${procedure} ${digest.toString('latin1')}`;
}

// ---- what a request is about to do

/** What it relies on, so that after a failure it can be told whether it was done. */
export type Intent =
  | MakeIntent
  /** The name is that object's. */
  | { readonly kind: 'remove'; readonly directory: ObjectId; readonly name: Buffer; readonly id: ObjectId }
  /** The first name is that object's, the second is not. */
  | {
      readonly kind: 'rename';
      readonly directory: ObjectId;
      readonly name: Buffer;
      readonly id: ObjectId;
      readonly toDirectory: ObjectId;
      readonly toName: Buffer;
    }
  /** The name is free. */
  | { readonly kind: 'link'; readonly directory: ObjectId; readonly name: Buffer; readonly id: ObjectId }
  /** Nothing: it is done again. Null leaves a value as it is. */
  | ChangeIntent;

/** The name is free. What is made gets the size at last, if one is given. */
export interface MakeIntent {
  readonly kind: 'make';
  readonly directory: ObjectId;
  readonly name: Buffer;
  readonly sizeBytes: number | null;
}

export interface ChangeIntent {
  readonly kind: 'change';
  readonly id: ObjectId;
  readonly mode: number | null;
  readonly uid: number | null;
  readonly gid: number | null;
  readonly sizeBytes: number | null;
  readonly atimeNs: bigint | null;
  readonly mtimeNs: bigint | null;
}

const KINDS = ['make', 'remove', 'rename', 'link', 'change'] as const;

/** Kind, then fields in the order of their names above, each with its length; one of no bytes and the length NONE is null. */
export function encodeIntent(intent: Intent): Buffer {
  const fields: (Buffer | string | number | bigint | null)[] = [];
  switch (intent.kind) {
    case 'make':
      fields.push(intent.directory, intent.name, intent.sizeBytes);
      break;
    case 'remove':
    case 'link':
      fields.push(intent.directory, intent.name, intent.id);
      break;
    case 'rename':
      fields.push(intent.directory, intent.name, intent.id, intent.toDirectory, intent.toName);
      break;
    case 'change':
      fields.push(intent.id, intent.mode, intent.uid, intent.gid, intent.sizeBytes, intent.atimeNs, intent.mtimeNs);
      break;
  }
  const parts: Buffer[] = [Buffer.of(KINDS.indexOf(intent.kind))];
  for (const field of fields) {
    const bytes = field === null ? null : Buffer.isBuffer(field) ? field : Buffer.from(String(field), 'latin1');
    const length = Buffer.alloc(2);
    length.writeUInt16BE(bytes === null ? NONE : bytes.length);
    parts.push(length);
    if (bytes !== null) parts.push(bytes);
  }
  return Buffer.concat(parts);
}

const NONE = 0xff_ff;

/** Of a slot whose checksum was right: what cannot be read is a bug of the version that wrote it. */
export function decodeIntent(bytes: Buffer): Intent {
  const fields: (Buffer | null)[] = [];
  for (let at = 1; at < bytes.length;) {
    const length = bytes.readUInt16BE(at);
    at += 2;
    fields.push(length === NONE ? null : bytes.subarray(at, at + length));
    if (length !== NONE) at += length;
  }
  const name = (at: number): Buffer => {
    const field = fields[at];
    assert(field !== undefined && field !== null, 'an intent has all of its fields');
    return field;
  };
  const id = (at: number): ObjectId => name(at).toString('latin1');
  const number = (at: number): number | null => (fields[at] === null ? null : Number(id(at)));
  const bigint = (at: number): bigint | null => (fields[at] === null ? null : BigInt(id(at)));
  const kind = KINDS[bytes[0] ?? 0];
  assert(kind !== undefined, 'an intent is of a known kind');
  switch (kind) {
    case 'make':
      return { kind, directory: id(0), name: name(1), sizeBytes: number(2) };
    case 'remove':
    case 'link':
      return { kind, directory: id(0), name: name(1), id: id(2) };
    case 'rename':
      return { kind, directory: id(0), name: name(1), id: id(2), toDirectory: id(3), toName: name(4) };
    case 'change':
      return {
        kind,
        id: id(0),
        mode: number(1),
        uid: number(2),
        gid: number(3),
        sizeBytes: number(4),
        atimeNs: bigint(5),
        mtimeNs: bigint(6),
      };
  }
}

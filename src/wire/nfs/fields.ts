/**
 * What the procedures of NFS version 3 share on the wire: handles, names, attributes, weak cache consistency data
 * (RFC 1813, section 2.5 and 2.6). Each has a reader and a writer; a reader says what is wrong by `xdr.bad`.
 */
import type { ObjectType } from '../../ports/tree.ts';
import type { XdrReader, XdrWriter } from '../xdr.ts';
import {
  type Fattr3,
  MAX_HANDLE_BYTES,
  type NameIn,
  type NfsError,
  type NfsOk,
  NfsStatus,
  type PostOpAttributes,
  type Sattr3,
  type SetTime,
  type WccBefore,
  type WccData,
} from './types.ts';

/** fattr3 without a discriminant. */
export const FATTR_BYTES = 84;
/** post_op_attr with attributes. */
export const POST_OP_BYTES = 4 + FATTR_BYTES;

/** ftype3; the index is the number. 0 is none. */
const TYPES: readonly (ObjectType | null)[] = [
  null,
  'file',
  'directory',
  'block',
  'character',
  'symlink',
  'socket',
  'fifo',
];

const KNOWN_STATUS: ReadonlySet<number> = new Set(Object.values(NfsStatus));

export function readType(xdr: XdrReader): ObjectType {
  const type = TYPES[xdr.u32()] ?? null;
  if (type === null) xdr.fail();
  return type ?? 'file';
}

function typeNumber(type: ObjectType): number {
  switch (type) {
    case 'file':
      return 1;
    case 'directory':
      return 2;
    case 'block':
      return 3;
    case 'character':
      return 4;
    case 'symlink':
      return 5;
    case 'socket':
      return 6;
    case 'fifo':
      return 7;
  }
}

export function putType(xdr: XdrWriter, type: ObjectType): void {
  xdr.u32(typeNumber(type));
}

/** A status; one that RFC 1813 does not have is wrong. */
export function readStatus(xdr: XdrReader): NfsOk | NfsError {
  const status = xdr.u32();
  if (!KNOWN_STATUS.has(status)) xdr.fail();
  return status as NfsStatus;
}

export function readHandle(xdr: XdrReader): Buffer {
  return xdr.opaque(MAX_HANDLE_BYTES);
}

/** A name or a path: as long as the record lets it be. */
export function readName(xdr: XdrReader): Buffer {
  return xdr.opaque(xdr.left);
}

export function readNameIn(xdr: XdrReader): NameIn {
  return { directory: readHandle(xdr), name: readName(xdr) };
}

export function putNameIn(xdr: XdrWriter, at: NameIn): void {
  xdr.opaque(at.directory);
  xdr.opaque(at.name);
}

// ---- attributes to set

export function readSattr(xdr: XdrReader): Sattr3 {
  return {
    mode: xdr.bool() ? xdr.u32() : null,
    uid: xdr.bool() ? xdr.u32() : null,
    gid: xdr.bool() ? xdr.u32() : null,
    sizeBytes: xdr.bool() ? xdr.u64() : null,
    atime: readSetTime(xdr),
    mtime: readSetTime(xdr),
  };
}

export function putSattr(xdr: XdrWriter, change: Sattr3): void {
  putOptional(xdr, change.mode);
  putOptional(xdr, change.uid);
  putOptional(xdr, change.gid);
  xdr.bool(change.sizeBytes !== null);
  if (change.sizeBytes !== null) xdr.u64(change.sizeBytes);
  putSetTime(xdr, change.atime);
  putSetTime(xdr, change.mtime);
}

/** The longest sattr3. */
export const SATTR_BYTES = 8 + 8 + 8 + 12 + 12 + 12;

function putOptional(xdr: XdrWriter, value: number | null): void {
  xdr.bool(value !== null);
  if (value !== null) xdr.u32(value);
}

function readSetTime(xdr: XdrReader): SetTime {
  switch (xdr.u32()) {
    case 0:
      return null;
    case 1:
      return 'now';
    case 2:
      return xdr.timeNs();
    default:
      xdr.fail();
      return null;
  }
}

function putSetTime(xdr: XdrWriter, time: SetTime): void {
  if (time === null) xdr.u32(0);
  else if (time === 'now') xdr.u32(1);
  else {
    xdr.u32(2);
    xdr.timeNs(time);
  }
}

// ---- attributes

export function readFattr(xdr: XdrReader): Fattr3 {
  return {
    type: readType(xdr),
    mode: xdr.u32(),
    links: xdr.u32(),
    uid: xdr.u32(),
    gid: xdr.u32(),
    sizeBytes: xdr.u64(),
    usedBytes: xdr.u64(),
    major: xdr.u32(),
    minor: xdr.u32(),
    fsid: xdr.big64(),
    fileNumber: xdr.big64(),
    atimeNs: xdr.timeNs(),
    mtimeNs: xdr.timeNs(),
    ctimeNs: xdr.timeNs(),
  };
}

/** Takes FATTR_BYTES. */
export function putFattr(xdr: XdrWriter, of: Fattr3): void {
  xdr.u32(typeNumber(of.type));
  xdr.u32(of.mode);
  xdr.u32(of.links);
  xdr.u32(of.uid);
  xdr.u32(of.gid);
  xdr.u64(of.sizeBytes);
  xdr.u64(of.usedBytes);
  xdr.u32(of.major);
  xdr.u32(of.minor);
  xdr.big64(of.fsid);
  xdr.big64(of.fileNumber);
  xdr.timeNs(of.atimeNs);
  xdr.timeNs(of.mtimeNs);
  xdr.timeNs(of.ctimeNs);
}

export function readPostOp(xdr: XdrReader): PostOpAttributes {
  return xdr.bool() ? readFattr(xdr) : null;
}

/** Takes at most POST_OP_BYTES. */
export function putPostOp(xdr: XdrWriter, attributes: PostOpAttributes): void {
  if (attributes === null) return xdr.u32(0);
  xdr.u32(1);
  putFattr(xdr, attributes);
}

export function readWcc(xdr: XdrReader): WccData {
  return { before: xdr.bool() ? readWccBefore(xdr) : null, after: readPostOp(xdr) };
}

function readWccBefore(xdr: XdrReader): WccBefore {
  return { sizeBytes: xdr.u64(), mtimeNs: xdr.timeNs(), ctimeNs: xdr.timeNs() };
}

export function putWcc(xdr: XdrWriter, { before, after }: WccData): void {
  if (before === null) xdr.u32(0);
  else {
    xdr.u32(1);
    xdr.u64(before.sizeBytes);
    xdr.timeNs(before.mtimeNs);
    xdr.timeNs(before.ctimeNs);
  }
  putPostOp(xdr, after);
}

/** post_op_fh3. */
export function readPostOpHandle(xdr: XdrReader): Buffer | null {
  return xdr.bool() ? readHandle(xdr) : null;
}

export function putPostOpHandle(xdr: XdrWriter, handle: Buffer | null): void {
  xdr.bool(handle !== null);
  if (handle !== null) xdr.opaque(handle);
}

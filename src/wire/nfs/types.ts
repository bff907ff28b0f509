/**
 * The words of NFS version 3 (RFC 1813): arguments and results of its 22 procedures as closed unions, tagged by
 * `procedure`. Codecs (beside this file) make them from bytes and bytes from them; the front end thinks in them.
 *
 * How XDR's types are kept:
 * - handles, names and the targets of symbolic links are bytes; a decoded one is a slice of what was received, valid as
 *   long as somebody holds it and never changed. The same goes for the payload of WRITE.
 * - sizes, offsets and counts are numbers. A client can name 64 bits: what is beyond 2^53 - 1 is decoded as 2^53 - 1
 *   (`CLAMPED`), which is beyond any file, so that it is answered as what was asked would be.
 * - cookies, file numbers, fsid and the 8 opaque bytes of verifiers are bigints.
 * - times are ns since 1970, as bigints. On the wire they have 32 bits of seconds: before 1970 is sent as 1970, what is
 *   beyond February 2106 as its last second.
 */
import type { ReadPiece } from '../../ports/service.ts';
import type { Attributes, ObjectType } from '../../ports/tree.ts';

export const NFS_PROGRAM = 100_003;
export const NFS_VERSION = 3;

/** What a 64-bit size or offset beyond 2^53 - 1 is decoded as. */
export const CLAMPED = Number.MAX_SAFE_INTEGER;

/** RFC 1813, section 2.4: bytes of handles and verifiers. */
export const MAX_HANDLE_BYTES = 64;
export const VERIFIER_BYTES = 8;

/** The procedures in the order of their numbers: the index is the number. */
export const PROCEDURES = [
  'null',
  'getattr',
  'setattr',
  'lookup',
  'access',
  'readlink',
  'read',
  'write',
  'create',
  'mkdir',
  'symlink',
  'mknod',
  'remove',
  'rmdir',
  'rename',
  'link',
  'readdir',
  'readdirplus',
  'fsstat',
  'fsinfo',
  'pathconf',
  'commit',
] as const;
export type ProcedureName = (typeof PROCEDURES)[number];

/** nfsstat3 (RFC 1813, section 2.6). */
export const NfsStatus = {
  ok: 0,
  perm: 1,
  noent: 2,
  io: 5,
  nxio: 6,
  acces: 13,
  exist: 17,
  xdev: 18,
  nodev: 19,
  notdir: 20,
  isdir: 21,
  inval: 22,
  fbig: 27,
  nospc: 28,
  rofs: 30,
  mlink: 31,
  nametoolong: 63,
  notempty: 66,
  dquot: 69,
  stale: 70,
  remote: 71,
  badhandle: 10_001,
  notSync: 10_002,
  badCookie: 10_003,
  notsupp: 10_004,
  toosmall: 10_005,
  serverfault: 10_006,
  badtype: 10_007,
  jukebox: 10_008,
} as const;
export type NfsStatus = (typeof NfsStatus)[keyof typeof NfsStatus];
export type NfsOk = typeof NfsStatus.ok;
/** Any status but OK. */
export type NfsError = Exclude<NfsStatus, NfsOk>;

/** ACCESS bits. */
export const Access = { read: 1, lookup: 2, modify: 4, extend: 8, delete: 16, execute: 32 } as const;

/** stable_how: what a WRITE asks for and what it was answered with. */
export const Stable = { unstable: 0, dataSync: 1, fileSync: 2 } as const;
export type Stable = (typeof Stable)[keyof typeof Stable];

/** FSINFO's property bits. */
export const FsProperty = { link: 1, symlink: 2, homogeneous: 8, canSetTime: 16 } as const;

/** fattr3: what the medium has of an object, with what is undestaged laid over it. */
export interface Fattr3 extends Attributes {
  readonly fsid: bigint;
}

/** post_op_attr: null where they are not known. */
export type PostOpAttributes = Fattr3 | null;

/** wcc_attr: what a client compares with its cache. */
export interface WccBefore {
  readonly sizeBytes: number;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}
/** wcc_data: the object before and after the operation; null where that is not known. */
export interface WccData {
  readonly before: WccBefore | null;
  readonly after: PostOpAttributes;
}

/** A time in sattr3: null leaves it, `now` is the server's clock, else ns since 1970. */
export type SetTime = null | 'now' | bigint;
/** sattr3: null leaves a value as it is. */
export interface Sattr3 {
  readonly mode: number | null;
  readonly uid: number | null;
  readonly gid: number | null;
  readonly sizeBytes: number | null;
  readonly atime: SetTime;
  readonly mtime: SetTime;
}

/** diropargs3: a name in a directory. Any bytes, of any length: what they may be is the front end's to judge. */
export interface NameIn {
  readonly directory: Buffer;
  readonly name: Buffer;
}

// ---- arguments

export interface NullArguments {
  readonly procedure: 'null';
}
export interface GetattrArguments {
  readonly procedure: 'getattr';
  readonly handle: Buffer;
}
export interface SetattrArguments {
  readonly procedure: 'setattr';
  readonly handle: Buffer;
  readonly change: Sattr3;
  /** The ctime that the object must still have, ns; null: no guard. */
  readonly guardNs: bigint | null;
}
export interface LookupArguments extends NameIn {
  readonly procedure: 'lookup';
}
export interface AccessArguments {
  readonly procedure: 'access';
  readonly handle: Buffer;
  /** Bits of `Access`; others may be set. */
  readonly access: number;
}
export interface ReadlinkArguments {
  readonly procedure: 'readlink';
  readonly handle: Buffer;
}
export interface ReadArguments {
  readonly procedure: 'read';
  readonly handle: Buffer;
  readonly offset: number;
  /** As the client asked: any 32-bit number. */
  readonly count: number;
}
export interface WriteArguments {
  readonly procedure: 'write';
  readonly handle: Buffer;
  readonly offset: number;
  readonly stable: Stable;
  /** As long as the count beside it: another length is no valid WRITE. */
  readonly data: Buffer;
}
export interface CreateArguments extends NameIn {
  readonly procedure: 'create';
  readonly how:
    | { readonly mode: 'unchecked' | 'guarded'; readonly attributes: Sattr3 }
    | { readonly mode: 'exclusive'; readonly verifier: bigint };
}
export interface MkdirArguments extends NameIn {
  readonly procedure: 'mkdir';
  readonly attributes: Sattr3;
}
export interface SymlinkArguments extends NameIn {
  readonly procedure: 'symlink';
  readonly attributes: Sattr3;
  readonly to: Buffer;
}
/** `none`: a type that MKNOD does not make, to be answered NFS3ERR_BADTYPE. */
export type Mknod =
  | {
      readonly type: 'block' | 'character';
      readonly attributes: Sattr3;
      readonly major: number;
      readonly minor: number;
    }
  | { readonly type: 'fifo' | 'socket'; readonly attributes: Sattr3 }
  | { readonly type: 'none'; readonly asked: Extract<ObjectType, 'file' | 'directory' | 'symlink'> };
export interface MknodArguments extends NameIn {
  readonly procedure: 'mknod';
  readonly what: Mknod;
}
export interface RemoveArguments extends NameIn {
  readonly procedure: 'remove';
}
export interface RmdirArguments extends NameIn {
  readonly procedure: 'rmdir';
}
export interface RenameArguments {
  readonly procedure: 'rename';
  readonly from: NameIn;
  readonly to: NameIn;
}
export interface LinkArguments extends NameIn {
  readonly procedure: 'link';
  /** The object that gets the new name. */
  readonly handle: Buffer;
}
export interface ReaddirArguments {
  readonly procedure: 'readdir';
  readonly handle: Buffer;
  readonly cookie: bigint;
  readonly verifier: bigint;
  /** Largest READDIR3resok in bytes: `readdirBytes` (codec) counts as the client does. */
  readonly count: number;
}
export interface ReaddirplusArguments {
  readonly procedure: 'readdirplus';
  readonly handle: Buffer;
  readonly cookie: bigint;
  readonly verifier: bigint;
  /** Most bytes of names, file numbers and cookies. */
  readonly dirCount: number;
  /** Largest READDIRPLUS3resok in bytes. */
  readonly maxCount: number;
}
export interface FsstatArguments {
  readonly procedure: 'fsstat';
  readonly handle: Buffer;
}
export interface FsinfoArguments {
  readonly procedure: 'fsinfo';
  readonly handle: Buffer;
}
export interface PathconfArguments {
  readonly procedure: 'pathconf';
  readonly handle: Buffer;
}
export interface CommitArguments {
  readonly procedure: 'commit';
  readonly handle: Buffer;
  readonly offset: number;
  readonly count: number;
}

export type NfsArguments =
  | NullArguments
  | GetattrArguments
  | SetattrArguments
  | LookupArguments
  | AccessArguments
  | ReadlinkArguments
  | ReadArguments
  | WriteArguments
  | CreateArguments
  | MkdirArguments
  | SymlinkArguments
  | MknodArguments
  | RemoveArguments
  | RmdirArguments
  | RenameArguments
  | LinkArguments
  | ReaddirArguments
  | ReaddirplusArguments
  | FsstatArguments
  | FsinfoArguments
  | PathconfArguments
  | CommitArguments;

/** The arguments of one procedure. */
export type ArgumentsOf<P extends ProcedureName> = Extract<NfsArguments, { readonly procedure: P }>;

export type { ReadPiece };

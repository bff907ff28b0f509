/**
 * The tree of a files volume on the medium: names, attributes, directories. A front end reaches it by `call` requests only
 * (service.ts), so that authority is checked; bytes, sizes and the times of regular files go through the log instead.
 * Every method that changes something is durable when `done` is called. Names and link targets are bytes, as Linux has
 * them: any but NUL and `/`. Nothing follows a symbolic link, and nothing leads out of the volume's root.
 */
import type { Done, Result } from '../base/fault.ts';
import { Fault } from '../base/fault.ts';
import type { FaultKind } from '../base/fault.ts';

/** What the file system said, by its POSIX name. `ESTALE`: the object was removed, or never was one of this volume. */
export type TreeErrno =
  | 'EPERM'
  | 'ENOENT'
  | 'EIO'
  | 'EACCES'
  | 'EEXIST'
  | 'EXDEV'
  | 'ENODEV'
  | 'ENOTDIR'
  | 'EISDIR'
  | 'EINVAL'
  | 'EFBIG'
  | 'ENOSPC'
  | 'EROFS'
  | 'EMLINK'
  | 'ENAMETOOLONG'
  | 'ENOTEMPTY'
  | 'EDQUOT'
  | 'ESTALE'
  | 'EOPNOTSUPP'
  | 'ELOOP'
  | 'EBUSY';

/** A fault of the tree that a client is to be told as such. */
export class TreeFault extends Fault {
  readonly errno: TreeErrno;

  constructor(errno: TreeErrno, message: string, cause?: unknown) {
    super(kindOf(errno), message, cause);
    this.errno = errno;
  }
}

function kindOf(errno: TreeErrno): FaultKind {
  if (errno === 'ENOENT' || errno === 'ESTALE') return 'missing';
  if (errno === 'ENOSPC' || errno === 'EDQUOT') return 'full';
  if (errno === 'EEXIST') return 'conflict';
  return errno === 'EIO' ? 'io' : 'refused';
}

/** Names an object of the volume for its life, and is the `target` of operations on it. At most 64 bytes of ASCII. */
export type ObjectId = string;

/** The object that keeps intents and replies (docs/decisions/0007): 4 MiB, allocated at the volume's creation, no part of the tree. */
export const REPLIES: ObjectId = 'replies';

export type ObjectType = 'file' | 'directory' | 'symlink' | 'block' | 'character' | 'fifo' | 'socket';

/** What the medium has of an object. Undestaged writes are not in it: see `VolumeService.pending`. */
export interface Attributes {
  readonly type: ObjectType;
  /** Permission bits with set-id and sticky: 0o7777 at most. */
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  /** Room taken on the medium. */
  readonly usedBytes: number;
  /** Of a device. */
  readonly major: number;
  readonly minor: number;
  /** Inode number: the same for every name of the object, unique among those that exist. */
  readonly fileNumber: bigint;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

export interface TreeObject {
  readonly id: ObjectId;
  readonly attributes: Attributes;
}

/** Null leaves a value as it is. The size is not here: it goes through the log. */
export interface AttributeChange {
  readonly mode: number | null;
  readonly uid: number | null;
  readonly gid: number | null;
  readonly atimeNs: bigint | null;
  readonly mtimeNs: bigint | null;
}

/** What a creation makes. Made under a name that is free, else `EEXIST`; wholly there, with these attributes, or not at all. */
export type Creation = (
  | { readonly type: 'file' | 'directory' | 'fifo' | 'socket' }
  | { readonly type: 'symlink'; readonly to: Buffer }
  | { readonly type: 'block' | 'character'; readonly major: number; readonly minor: number }
) & { readonly attributes: AttributeChange };

/** One name of a directory. */
export interface DirectoryEntry {
  readonly name: Buffer;
  readonly fileNumber: bigint;
  /** Listing goes on behind this entry when it is given this cookie. Stable while other names come and go. */
  readonly cookie: bigint;
}
export interface Listing {
  /** In the medium's order, `.` and `..` left out. */
  readonly entries: readonly DirectoryEntry[];
  /** Nothing comes behind the last entry. */
  readonly end: boolean;
}

/** As statvfs gives it, in bytes and objects. */
export interface Usage {
  readonly totalBytes: number;
  readonly freeBytes: number;
  /** Free for ordinary users. */
  readonly availableBytes: number;
  readonly totalObjects: number;
  readonly freeObjects: number;
}

export interface TreeLimits {
  readonly largestFileBytes: number;
  readonly nameBytes: number;
  readonly links: number;
  /** False without the right to: then every object belongs to the server's own user, and `change` of owners is EPERM. */
  readonly changesOwners: boolean;
}

export interface MediumTree {
  /** 32 random bytes of this volume, the same on every server: handles are signed with it. Never told to anybody. */
  readonly secret: Buffer;
  readonly limits: TreeLimits;

  root(done: Result<TreeObject>): void;
  attributes(id: ObjectId, done: Result<Attributes>): void;
  /** `.` and `..` too; the root is its own parent. */
  lookup(directory: ObjectId, name: Buffer, done: Result<TreeObject>): void;
  readLink(id: ObjectId, done: Result<Buffer>): void;
  /** From behind `cookie` on (0n: from the start), at most `most` entries. A cookie that cannot be is EINVAL. */
  list(directory: ObjectId, cookie: bigint, most: number, done: Result<Listing>): void;
  usage(done: Result<Usage>): void;

  create(directory: ObjectId, name: Buffer, what: Creation, done: Result<TreeObject>): void;
  change(id: ObjectId, change: AttributeChange, done: Result<Attributes>): void;
  link(id: ObjectId, directory: ObjectId, name: Buffer, done: Done): void;
  remove(directory: ObjectId, name: Buffer, done: Done): void;
  removeDirectory(directory: ObjectId, name: Buffer, done: Done): void;
  rename(from: ObjectId, fromName: Buffer, to: ObjectId, toName: Buffer, done: Done): void;
}

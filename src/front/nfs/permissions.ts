/**
 * Who may do what: the checks of a POSIX file system, as Linux makes them for a user of the local machine, and with the
 * three exceptions that NFS version 3 needs, since it knows no open files (RFC 1813, section 4.4):
 *
 * - an owner reads and writes its file whatever the mode: it may have been opened before the mode was changed, or been
 *   created with a mode that forbids what its creator does with it;
 * - who may execute a file may read it: that is how it is executed;
 * - ACCESS knows neither exception, so that open(2) on a client says what it would on a local file system: it never
 *   promises what an operation then refuses.
 *
 * Nothing here knows a volume or a cache: attributes in, verdicts out.
 */
import type { AttributeChange, ObjectType } from '../../ports/tree.ts';
import { Access, NfsStatus } from '../../wire/nfs/types.ts';
import type { NfsError, Sattr3 } from '../../wire/nfs/types.ts';
import type { Credential, NfsExport } from './program.ts';

/** On whose behalf a request is carried out, after squashing. */
export interface Actor {
  readonly uid: number;
  readonly gid: number;
  readonly gids: readonly number[];
}

/** What decides about an object. */
export interface Guarded {
  readonly type: ObjectType;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** Bits of a permission triple. */
export const May = { read: 4, write: 2, execute: 1 } as const;

const SET_UID = 0o4000;
const SET_GID = 0o2000;
const STICKY = 0o1000;
const GROUP_EXECUTE = 0o010;
const ANY_EXECUTE = 0o111;
const MODE_BITS = 0o7777;

export type Squashing = Pick<NfsExport, 'squash' | 'anonUid' | 'anonGid'>;

/** Who a client's credential stands for on this export; null (AUTH_NONE) is nobody. */
export function actorOf(credential: Credential | null, exported: Squashing): Actor {
  const { squash, anonUid, anonGid } = exported;
  if (credential === null || squash === 'all') return { uid: anonUid, gid: anonGid, gids: [] };
  if (squash === 'none') return credential;
  const group = (gid: number): number => (gid === 0 ? anonGid : gid);
  return {
    uid: credential.uid === 0 ? anonUid : credential.uid,
    gid: credential.uid === 0 ? anonGid : group(credential.gid),
    gids: credential.gids.map(group),
  };
}

const isRoot = (actor: Actor): boolean => actor.uid === 0;
const isIn = (actor: Actor, gid: number): boolean => actor.gid === gid || actor.gids.includes(gid);
const owns = (actor: Actor, object: Guarded): boolean => actor.uid === object.uid || isRoot(actor);

/** Whether all of `wanted` (bits of `May`) are granted: the owner by the owner's bits alone, the group by the group's. */
export function permits(actor: Actor, object: Guarded, wanted: number): boolean {
  if (isRoot(actor)) {
    const canRun = object.type === 'directory' || (object.mode & ANY_EXECUTE) !== 0;
    return (wanted & May.execute) === 0 || canRun;
  }
  const shift = actor.uid === object.uid ? 6 : isIn(actor, object.gid) ? 3 : 0;
  return ((object.mode >> shift) & wanted) === wanted;
}

/** READ. */
export function mayRead(actor: Actor, file: Guarded): boolean {
  if (actor.uid === file.uid || permits(actor, file, May.read)) return true;
  return file.type === 'file' && permits(actor, file, May.execute);
}

/** WRITE, and SETATTR of size or of the times to the server's. */
export function mayWrite(actor: Actor, file: Guarded): boolean {
  return actor.uid === file.uid || permits(actor, file, May.write);
}

/** Names of `directory` may be added. */
export function mayAdd(actor: Actor, directory: Guarded): boolean {
  return permits(actor, directory, May.write | May.execute);
}

/** `victim`'s name may be taken out of `directory`; null when it may. */
export function removalError(actor: Actor, directory: Guarded, victim: Guarded): NfsError | null {
  if (!permits(actor, directory, May.write | May.execute)) return NfsStatus.acces;
  const sticky = (directory.mode & STICKY) !== 0;
  return sticky && !owns(actor, victim) && !owns(actor, directory) ? NfsStatus.perm : null;
}

const ON_FILES: readonly (readonly [bit: number, needs: number])[] = [
  [Access.read, May.read],
  [Access.modify, May.write],
  [Access.extend, May.write],
  [Access.execute, May.execute],
];
const ON_DIRECTORIES: readonly (readonly [bit: number, needs: number])[] = [
  [Access.read, May.read],
  [Access.lookup, May.execute],
  [Access.modify, May.write | May.execute],
  [Access.extend, May.write | May.execute],
  [Access.delete, May.write | May.execute],
];
const CHANGES = Access.modify | Access.extend | Access.delete;

/** ACCESS: of the bits asked for, those that are granted. What does not apply to the kind of object is not. */
export function grantedAccess(actor: Actor, object: Guarded, asked: number, readOnly: boolean): number {
  const isDevice = object.type !== 'file' && object.type !== 'directory' && object.type !== 'symlink';
  let granted = 0;
  for (const [bit, needs] of object.type === 'directory' ? ON_DIRECTORIES : ON_FILES)
    if ((asked & bit) !== 0 && permits(actor, object, needs)) granted |= bit;
  return readOnly && !isDevice ? granted & ~CHANGES : granted;
}

// ---- what is made

/**
 * The attributes of what `actor` makes in `directory`. A set-group-id directory hands its group on, and to directories
 * the bit too; a mode that was not given is 0. Owners are chosen by root alone; for others they are as if not given.
 * @param owners false: the medium cannot give objects away, everything is the server's own user's
 */
export function attributesOfNew(
  actor: Actor,
  directory: Guarded,
  type: ObjectType,
  asked: Pick<Sattr3, 'mode' | 'uid' | 'gid'>,
  owners: boolean,
): Pick<AttributeChange, 'mode' | 'uid' | 'gid'> {
  const inherits = (directory.mode & SET_GID) !== 0;
  const gid = inherits ? directory.gid : actor.gid;
  let mode = (asked.mode ?? 0) & MODE_BITS;
  if (type === 'symlink') mode = 0o777;
  else if (type === 'directory') mode = (mode & ~(SET_UID | SET_GID)) | (inherits ? SET_GID : 0);
  else if (inherits && (mode & GROUP_EXECUTE) !== 0 && !isIn(actor, gid) && !isRoot(actor)) mode &= ~SET_GID;
  if (!owners) return { mode, uid: null, gid: null };
  if (!isRoot(actor)) return { mode, uid: actor.uid, gid };
  return { mode, uid: asked.uid ?? actor.uid, gid: asked.gid ?? gid };
}

// ---- what is changed

/** What writing into a file, or cutting it, leaves of its mode: the set-id bits go, unless root does it. */
export function modeAfterWrite(actor: Actor, file: Guarded): number {
  return file.type !== 'file' || isRoot(actor) ? file.mode : withoutSetId(actor, file, file.mode);
}

/** The set-group-id bit without group execution has another meaning (mandatory locks) and stays with members. */
function withoutSetId(actor: Actor, file: Guarded, mode: number): number {
  const member = isRoot(actor) || isIn(actor, file.gid);
  const drop = (mode & GROUP_EXECUTE) !== 0 || !member ? SET_UID | SET_GID : SET_UID;
  return mode & ~drop;
}

/** A SETATTR that is allowed: what the modes and owners become; null leaves them. Size and times are as asked. */
export interface Allowed {
  readonly mode: number | null;
  readonly uid: number | null;
  readonly gid: number | null;
}

/** Judges SETATTR as chmod(2), chown(2), truncate(2) and utimensat(2) are judged together. */
export function judgeChange(actor: Actor, object: Guarded, asked: Sattr3): Allowed | NfsError {
  const { uid, gid, sizeBytes, atime, mtime } = asked;
  if (sizeBytes !== null && object.type === 'directory') return NfsStatus.isdir;
  if (sizeBytes !== null && object.type !== 'file') return NfsStatus.inval;
  // To the server's time: whoever may write. To a time of the client's choice: the owner alone, below.
  if ((sizeBytes !== null || atime === 'now' || mtime === 'now') && !mayWrite(actor, object)) return NfsStatus.acces;
  const mine = actor.uid === object.uid;
  if (!isRoot(actor)) {
    if (uid !== null && !(mine && uid === object.uid)) return NfsStatus.perm;
    if (gid !== null && !(mine && (gid === object.gid || isIn(actor, gid)))) return NfsStatus.perm;
    if (asked.mode !== null && !mine) return NfsStatus.perm;
    if ((typeof atime === 'bigint' || typeof mtime === 'bigint') && !mine) return NfsStatus.perm;
  }
  const mode = modeAfterChange(actor, object, asked);
  return { mode: mode === object.mode && asked.mode === null ? null : mode, uid, gid };
}

function modeAfterChange(actor: Actor, object: Guarded, asked: Sattr3): number {
  const group = asked.gid ?? object.gid;
  let mode = object.mode;
  if (asked.mode !== null) {
    mode = asked.mode & MODE_BITS;
    if (!isRoot(actor) && !isIn(actor, group)) mode &= ~SET_GID;
  }
  const changesOwner = asked.uid !== null || asked.gid !== null;
  if (changesOwner && object.type !== 'directory') mode = withoutSetId(actor, object, mode);
  if (asked.sizeBytes !== null && asked.mode === null && !isRoot(actor)) mode = withoutSetId(actor, object, mode);
  return mode;
}

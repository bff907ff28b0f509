/** What CREATE, MKDIR, SYMLINK and MKNOD have in common: a name that is free becomes an object's. */
import { Fault } from '../../../base/fault.ts';
import type { AttributeChange, Creation, ObjectType } from '../../../ports/tree.ts';
import type { Made, NotMade } from '../../../wire/nfs/results.ts';
import { NfsStatus } from '../../../wire/nfs/types.ts';
import type { NameIn, Sattr3, SetTime, WccData } from '../../../wire/nfs/types.ts';
import { failureOf, isFailure, type Failure, type Outcome } from '../faults.ts';
import type { Inode } from '../inode.ts';
import { isDot, isDotDot } from '../name-rules.ts';
import { May, attributesOfNew, mayAdd, permits, type Actor } from '../permissions.ts';
import { ALREADY, type Recording } from '../recording.ts';
import type { MakeIntent } from '../replies/slot.ts';
import type { Scope } from '../scope.ts';
import { NO_WCC, unchanged, wccSince, type Volume } from '../volume.ts';
import { failed } from './procedure.ts';

/** What is to be made, and what a name that is taken comes to. */
export interface Making {
  /** Attributes of what is made in that directory; or why it is not. */
  creation(directory: Inode): Creation | Failure;
  /** A size beside 0 that a new file gets. */
  readonly sizeBytes: number | null;
  /** The name is `existing`'s; null: that is an error. */
  readonly taken: ((directory: Inode, existing: Inode) => Promise<Outcome<Made | NotMade>>) | null;
  /**
   * What is there and of the right type is as good as made, and answered alike: then whether the name is free need not be
   * known before the intent is written, and is told by the attempt.
   */
  readonly takes: boolean;
}

export async function make(
  volume: Volume,
  { directory: handle, name }: NameIn,
  actor: Actor,
  recording: Recording,
  making: Making,
): Promise<Outcome<Made | NotMade>> {
  const directory = await volume.directory(handle, recording);
  const fail = (failure: Failure): Outcome<NotMade> => notMade(failure, unchanged(directory));
  if (isFailure(directory)) return fail(directory);
  const wrong = volume.nameError(name) ?? (isDot(name) || isDotDot(name) ? NfsStatus.exist : null);
  if (wrong !== null) return fail(wrong);
  const gone = await recording.lock([volume.nameKey(directory, name)]);
  if (gone !== null) return fail(gone);
  if (!permits(actor, directory, May.execute)) return fail(NfsStatus.acces);
  const refusal = (): Failure | null =>
    volume.exported.readOnly ? NfsStatus.rofs : mayAdd(actor, directory) ? null : NfsStatus.acces;
  const blindly = making.takes && refusal() === null && volume.names.get(directory, name) === undefined;
  const existing = blindly ? null : await volume.lookup(directory, name, recording);
  if (isFailure(existing)) return fail(existing);
  if (existing !== null) return making.taken === null ? fail(NfsStatus.exist) : making.taken(directory, existing);
  const no = refusal();
  if (no !== null) return fail(no);
  const what = making.creation(directory);
  if (isFailure(what)) return fail(what);
  const intent: MakeIntent = { kind: 'make', directory: directory.id, name, sizeBytes: making.sizeBytes };
  const refused = await recording.intend(intent);
  if (refused !== null) return fail(refused);
  return carryOut(volume, directory, intent, what, recording, making);
}

async function carryOut(
  volume: Volume,
  directory: Inode,
  intent: MakeIntent,
  what: Creation,
  recording: Recording,
  { taken, takes }: Making,
): Promise<Outcome<Made | NotMade>> {
  const { name } = intent;
  directory.beginNameChange();
  const made = await recording.carryOut(intent, async (tree) => {
    const object = await tree.create(directory.id, name, what);
    if (object instanceof Fault) return object;
    const refresh = await volume.refreshed(tree, directory);
    return refresh instanceof Fault ? refresh : { object, refresh };
  });
  directory.endNameChange();
  if (made === ALREADY) return madeBefore(volume, intent, what.type, recording);
  if (made instanceof Fault) {
    volume.names.forget(directory, name);
    const existing =
      takes && failureOf(made) === NfsStatus.exist ? await volume.lookup(directory, name, recording) : null;
    if (existing !== null && !isFailure(existing) && taken !== null) return taken(directory, existing);
    return notMade(volume.goneOr(directory, failureOf(made)), unchanged(directory));
  }
  const inode = recording.hold(volume.inodes.made(made.object));
  volume.names.set(directory, name, inode.id);
  const { before } = directory;
  made.refresh('names');
  const wcc = wccSince(before, directory);
  const failure = await resize(volume, inode, intent);
  return failure === null ? madeOf(inode, wcc) : notMade(failure, wcc);
}

/** A new file's size, which is 0 mostly. */
async function resize(volume: Volume, inode: Inode, { sizeBytes }: MakeIntent): Promise<Failure | null> {
  if (sizeBytes === null || sizeBytes === 0 || inode.type !== 'file') return null;
  const fault = await volume.truncate(inode, sizeBytes);
  return fault === null ? null : failureOf(fault);
}

/**
 * The answer to a request that was carried out at an unknown moment: after a takeover, or when the medium was in trouble.
 * `type` is what it makes, if that is told by its procedure.
 */
export async function madeBefore(
  volume: Volume,
  intent: MakeIntent,
  type: ObjectType | null,
  scope: Scope,
): Promise<Outcome<Made | NotMade>> {
  const directory = await volume.ofId(intent.directory, scope);
  if (isFailure(directory)) return notMade(directory, NO_WCC);
  await volume.changedBefore(directory, 'names');
  volume.names.forget(directory, intent.name);
  const inode = await volume.lookup(directory, intent.name, scope);
  const wcc: WccData = { before: null, after: directory.shown() };
  if (inode === null) return notMade(NfsStatus.serverfault, wcc);
  if (isFailure(inode)) return notMade(inode, wcc);
  // Somebody else's, then: it was there before.
  if (type !== null && inode.type !== type) return notMade(NfsStatus.exist, wcc);
  const failure = await resize(volume, inode, intent);
  return failure === null ? madeOf(inode, wcc) : notMade(failure, wcc);
}

export function madeOf(inode: Inode, directory: WccData): Made {
  return { status: NfsStatus.ok, handle: inode.handle, attributes: inode.shown(), directory };
}

export function notMade(failure: Failure, directory: WccData): Outcome<NotMade> {
  return failed(failure, (status) => ({ status, directory }));
}

/** Attributes for a creation: owners and mode by the rules, times as asked (`now` is the medium's). */
export function attributesFor(
  volume: Volume,
  actor: Actor,
  directory: Inode,
  type: ObjectType,
  asked: Sattr3,
): AttributeChange {
  const owned = attributesOfNew(actor, directory, type, asked, volume.limits.changesOwners);
  return { ...owned, atimeNs: fixed(asked.atime), mtimeNs: fixed(asked.mtime) };
}

const fixed = (time: SetTime): bigint | null => (time === 'now' ? null : time);

/** What REMOVE and RMDIR have in common: a name is taken out of a directory, and with the last one its object goes. */
import { Fault } from '../../../base/fault.ts';
import type { NameIn, WccData } from '../../../wire/nfs/types.ts';
import { NfsStatus } from '../../../wire/nfs/types.ts';
import { failureOf, isFailure, type Failure, type Outcome } from '../faults.ts';
import type { Inode } from '../inode.ts';
import { May, permits, removalError, type Actor } from '../permissions.ts';
import { ALREADY, type Recording } from '../recording.ts';
import type { Intent } from '../replies/slot.ts';
import type { Scope } from '../scope.ts';
import { NO_WCC, unchanged, wccSince, type Volume } from '../volume.ts';
import { failed } from './procedure.ts';

export interface Removed {
  readonly status: NfsStatus;
  readonly directory: WccData;
}

export type RemoveIntent = Extract<Intent, { readonly kind: 'remove' }>;

/** @param what removes directories, or everything else */
export async function removeName(
  volume: Volume,
  { directory: handle, name }: NameIn,
  actor: Actor,
  recording: Recording,
  what: 'directory' | 'other',
): Promise<Outcome<Removed>> {
  const directory = await volume.directory(handle, recording);
  const fail = (failure: Failure): Outcome<Removed> =>
    failed(failure, (status) => ({ status, directory: unchanged(directory) }));
  if (isFailure(directory)) return fail(directory);
  const wrong = volume.nameError(name);
  if (wrong !== null) return fail(wrong);
  const gone = await recording.lock([volume.nameKey(directory, name)]);
  if (gone !== null) return fail(gone);
  if (!permits(actor, directory, May.execute)) return fail(NfsStatus.acces);
  const victim = await volume.lookup(directory, name, recording);
  if (victim === null) return fail(NfsStatus.noent);
  if (isFailure(victim)) return fail(victim);
  if (volume.exported.readOnly) return fail(NfsStatus.rofs);
  const forbidden = removalError(actor, directory, victim);
  if (forbidden !== null) return fail(forbidden);
  if (what === 'directory' && victim.type !== 'directory') return fail(NfsStatus.notdir);
  if (what === 'other' && victim.type === 'directory') return fail(NfsStatus.isdir);
  const intent: RemoveIntent = { kind: 'remove', directory: directory.id, name, id: victim.id };
  const refused = await recording.intend(intent);
  if (refused !== null) return fail(refused);
  return carryOut(volume, directory, victim, intent, recording);
}

async function carryOut(
  volume: Volume,
  directory: Inode,
  victim: Inode,
  intent: RemoveIntent,
  recording: Recording,
): Promise<Outcome<Removed>> {
  const { name } = intent;
  directory.beginNameChange();
  const removed = await recording.carryOut(intent, async (tree) => {
    const fault = await (victim.type === 'directory'
      ? tree.removeDirectory(directory.id, name)
      : tree.remove(directory.id, name));
    if (fault !== null) return fault;
    return volume.refreshedEach(tree, { victim, directory });
  });
  directory.endNameChange();
  volume.names.forget(directory, name);
  if (removed === ALREADY) return removedBefore(volume, intent, recording);
  if (removed instanceof Fault)
    return failed(volume.goneOr(directory, failureOf(removed)), (status) => ({
      status,
      directory: unchanged(directory),
    }));
  volume.names.set(directory, name, null);
  const { before } = directory;
  removed.victim('attributes');
  if (victim.type === 'directory') victim.stale = true;
  removed.directory('names');
  return { status: NfsStatus.ok, directory: wccSince(before, directory) };
}

/** The answer to a request that was carried out at an unknown moment. */
export async function removedBefore(volume: Volume, intent: RemoveIntent, scope: Scope): Promise<Outcome<Removed>> {
  const victim = await volume.ofId(intent.id, scope);
  if (!isFailure(victim)) await volume.changedBefore(victim, 'attributes');
  const directory = await volume.ofId(intent.directory, scope);
  if (isFailure(directory)) return { status: NfsStatus.ok, directory: NO_WCC };
  await volume.changedBefore(directory, 'names');
  return { status: NfsStatus.ok, directory: { before: null, after: directory.stale ? null : directory.shown() } };
}

/** LINK (RFC 1813, section 3.3.15): one more name for anything but a directory. */
import { Fault } from '../../../base/fault.ts';
import { NfsStatus } from '../../../wire/nfs/types.ts';
import type { WccData } from '../../../wire/nfs/types.ts';
import type { LinkResult } from '../../../wire/nfs/results.ts';
import { failureOf, isFailure, type Failure, type Outcome } from '../faults.ts';
import type { Inode } from '../inode.ts';
import { isDot, isDotDot } from '../name-rules.ts';
import { May, mayAdd, permits } from '../permissions.ts';
import { ALREADY, type Recording } from '../recording.ts';
import type { Intent } from '../replies/slot.ts';
import type { Scope } from '../scope.ts';
import { NO_WCC, unchanged, wccSince, type Volume } from '../volume.ts';
import { failed, type RecordedProcedure } from './procedure.ts';

export type LinkIntent = Extract<Intent, { readonly kind: 'link' }>;

export const link: RecordedProcedure<'link'> = async (volume, asked, actor, recording) => {
  const inode = await volume.object(asked.handle, recording);
  const directory = await volume.directory(asked.directory, recording);
  const fail = (failure: Failure): Outcome<LinkResult> =>
    failed(failure, (status) => result(status, inode, unchanged(directory)));
  if (isFailure(inode)) return fail(inode);
  if (isFailure(directory)) return fail(directory);
  const { name } = asked;
  const wrong = volume.nameError(name) ?? (isDot(name) || isDotDot(name) ? NfsStatus.exist : null);
  if (wrong !== null) return fail(wrong);
  if (inode.type === 'directory') return fail(NfsStatus.isdir);
  const gone = await recording.lock([volume.nameKey(directory, name)]);
  if (gone !== null) return fail(gone);
  if (!permits(actor, directory, May.execute)) return fail(NfsStatus.acces);
  const existing = await volume.lookup(directory, name, recording);
  if (isFailure(existing)) return fail(existing);
  if (existing !== null) return fail(NfsStatus.exist);
  if (volume.exported.readOnly) return fail(NfsStatus.rofs);
  if (!mayAdd(actor, directory)) return fail(NfsStatus.acces);
  const intent: LinkIntent = { kind: 'link', directory: directory.id, name, id: inode.id };
  const refused = await recording.intend(intent);
  if (refused !== null) return fail(refused);
  return carryOut(volume, directory, inode, intent, recording);
};

async function carryOut(
  volume: Volume,
  directory: Inode,
  inode: Inode,
  intent: LinkIntent,
  recording: Recording,
): Promise<Outcome<LinkResult>> {
  const { name } = intent;
  directory.beginNameChange();
  const linked = await recording.carryOut(intent, async (tree) => {
    const fault = await tree.link(inode.id, directory.id, name);
    if (fault !== null) return fault;
    return volume.refreshedEach(tree, { inode, directory });
  });
  directory.endNameChange();
  volume.names.forget(directory, name);
  if (linked === ALREADY) return linkedBefore(volume, intent, recording);
  if (linked instanceof Fault)
    return failed(failureOf(linked), (status) => result(status, inode, unchanged(directory)));
  volume.names.set(directory, name, inode.id);
  const { before } = directory;
  linked.inode('attributes');
  linked.directory('names');
  return result(NfsStatus.ok, inode, wccSince(before, directory));
}

/** The answer to a request that was carried out at an unknown moment. */
export async function linkedBefore(volume: Volume, intent: LinkIntent, scope: Scope): Promise<Outcome<LinkResult>> {
  const inode = await volume.ofId(intent.id, scope);
  if (!isFailure(inode)) await volume.changedBefore(inode, 'attributes');
  const directory = await volume.ofId(intent.directory, scope);
  if (isFailure(directory)) return result(NfsStatus.ok, inode, NO_WCC);
  await volume.changedBefore(directory, 'names');
  return result(NfsStatus.ok, inode, { before: null, after: directory.stale ? null : directory.shown() });
}

function result(status: NfsStatus, inode: Inode | Failure, directory: WccData): LinkResult {
  const attributes = isFailure(inode) || inode.stale ? null : inode.shown();
  return { procedure: 'link', status, attributes, directory };
}

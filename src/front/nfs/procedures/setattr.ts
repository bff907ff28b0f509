/**
 * SETATTR (RFC 1813, section 3.3.2). One that is guarded, or that sets the size, is recorded, and alone with its file
 * until it is answered: carried out a second time it would be refused, or cut what was written since.
 */
import { NfsStatus } from '../../../wire/nfs/types.ts';
import type { SetattrArguments, WccData } from '../../../wire/nfs/types.ts';
import { isFailure, type Failure, type Outcome } from '../faults.ts';
import type { Inode } from '../inode.ts';
import { judgeChange, type Actor } from '../permissions.ts';
import type { ChangeIntent } from '../replies/slot.ts';
import type { Scope } from '../scope.ts';
import { NO_WCC, unchanged, type Volume } from '../volume.ts';
import { applyChange } from './changing.ts';
import { failed, type RecordedProcedure } from './procedure.ts';

/** Whether a SETATTR has to be recorded. */
export function isRecorded({ change, guardNs }: SetattrArguments): boolean {
  return guardNs !== null || change.sizeBytes !== null;
}

export const setattr: RecordedProcedure<'setattr'> = async (volume, asked, actor, recording) => {
  const inode = await volume.object(asked.handle, recording);
  const fail = (failure: Failure, wcc: WccData) => failed(failure, (status) => result(status, wcc));
  if (isFailure(inode)) return fail(inode, NO_WCC);
  const gone = await recording.lock([volume.objectKey(inode)]);
  if (gone !== null) return fail(gone, NO_WCC);
  if (recording.kept !== null && inode.type === 'file') {
    inode.freeze();
    recording.atEnd(() => inode.thaw());
    // What is on its way changes the ctime yet: the guard is to be what the change finds.
    await inode.settled();
  }
  const change = judge(volume, inode, asked, actor);
  if (isFailure(change)) return fail(change, unchanged(inode));
  if (recording.kept !== null) {
    const refused = await recording.intend(change);
    if (refused !== null) return fail(refused, unchanged(inode));
    // Links, or names of a directory, may have changed meanwhile.
    if (asked.guardNs !== null && asked.guardNs !== inode.ctimeNs) return fail(NfsStatus.notSync, unchanged(inode));
  }
  const { before, changes } = inode;
  const failure = await applyChange(volume, inode, change);
  // Others may have written meanwhile: then what was before is not what this change found.
  const alone = inode.changes - changes <= stepsOf(inode, change);
  const wcc: WccData = { before: alone ? before : null, after: inode.stale ? null : inode.shown() };
  return failure === null ? result(NfsStatus.ok, wcc) : fail(failure, wcc);
};

function result(status: NfsStatus, wcc: WccData) {
  return { procedure: 'setattr', status, wcc } as const;
}

/** What is to be changed, or why not. */
function judge(volume: Volume, inode: Inode, asked: SetattrArguments, actor: Actor): ChangeIntent | Failure {
  const { change, guardNs } = asked;
  if (inode.stale) return NfsStatus.stale;
  if (guardNs !== null && guardNs !== inode.ctimeNs) return NfsStatus.notSync;
  if (volume.exported.readOnly) return NfsStatus.rofs;
  const allowed = judgeChange(actor, inode, change);
  if (typeof allowed === 'number') return allowed;
  const { sizeBytes } = change;
  if (sizeBytes !== null && sizeBytes > volume.largestFileBytes) return NfsStatus.fbig;
  return {
    kind: 'change',
    id: inode.id,
    ...allowed,
    sizeBytes,
    atimeNs: change.atime === 'now' ? volume.nowNs() : change.atime,
    // A file's is told from that of a write in the same moment.
    mtimeNs: change.mtime === 'now' ? inode.nextTimeNs(volume.nowNs()) : change.mtime,
  };
}

/** How many changes of the inode it takes at most. */
function stepsOf(inode: Inode, { mode, uid, gid, atimeNs, mtimeNs, sizeBytes }: ChangeIntent): number {
  const isFile = inode.type === 'file';
  const onMedium = [mode, uid, gid, atimeNs, isFile ? null : mtimeNs].some((value) => value !== null);
  return Number(onMedium) + Number(sizeBytes !== null) + Number(isFile && mtimeNs !== null);
}

/** The answer to a SETATTR whose intent was found without a reply: it is carried out, once more or for the first time. */
export async function setattrAgain(
  volume: Volume,
  intent: ChangeIntent,
  scope: Scope,
): Promise<Outcome<ReturnType<typeof result>>> {
  const inode = await volume.ofId(intent.id, scope);
  if (isFailure(inode)) return failed(inode, (status) => result(status, NO_WCC));
  const failure = await applyChange(volume, inode, intent);
  const wcc: WccData = { before: null, after: inode.stale ? null : inode.shown() };
  return failure === null ? result(NfsStatus.ok, wcc) : failed(failure, (status) => result(status, wcc));
}

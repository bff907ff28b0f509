/**
 * Attributes are changed: what the medium keeps by a call, size and a file's mtime through the log. Doing it twice does no
 * harm as long as nothing else touches the object meanwhile; so that is how it is completed after a failure.
 */
import { Fault } from '../../../base/fault.ts';
import { failureOf, type Failure } from '../faults.ts';
import type { Inode } from '../inode.ts';
import type { ChangeIntent } from '../replies/slot.ts';
import type { Volume } from '../volume.ts';

/** Makes the change; a failure when part of it could not be made. */
export async function applyChange(volume: Volume, inode: Inode, change: ChangeIntent): Promise<Failure | null> {
  const isFile = inode.type === 'file';
  const { mode, uid, gid, sizeBytes, atimeNs } = change;
  const onMedium = { mode, uid, gid, atimeNs, mtimeNs: isFile ? null : change.mtimeNs };
  if (Object.values(onMedium).some((value) => value !== null)) {
    const refresh = await volume.calls.look((tree) => volume.changeAttributes(tree, inode, onMedium));
    if (refresh instanceof Fault) return volume.goneOr(inode, failureOf(refresh));
    refresh('attributes');
  }
  if (!isFile) return null;
  const cut = sizeBytes === null ? null : await volume.truncate(inode, sizeBytes);
  if (cut !== null) return failureOf(cut);
  const stamped = change.mtimeNs === null ? null : await volume.stamp(inode, change.mtimeNs);
  return stamped === null ? null : failureOf(stamped);
}

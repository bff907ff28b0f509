/** LOOKUP (RFC 1813, section 3.3.3): `.` and `..` too; the root is its own parent. */
import type { Inode } from '../inode.ts';
import type { Scope } from '../scope.ts';
import type { Volume } from '../volume.ts';
import { NfsStatus } from '../../../wire/nfs/types.ts';
import { isFailure, type Failure } from '../faults.ts';
import { May, permits } from '../permissions.ts';
import { failed, type Procedure } from './procedure.ts';

export const lookup: Procedure<'lookup'> = async (volume, { directory: handle, name }, actor, scope) => {
  const directory = await volume.directory(handle, scope);
  if (isFailure(directory)) return failed(directory, (status) => ({ procedure: 'lookup', status, directory: null }));
  const fail = (failure: Failure) =>
    failed(failure, (status) => ({ procedure: 'lookup', status, directory: directory.shown() }) as const);
  const wrong = volume.nameError(name);
  if (wrong !== null) return fail(wrong);
  if (!permits(actor, directory, May.execute)) return fail(NfsStatus.acces);
  const inode = await durably(volume, directory, name, scope);
  if (inode === null) return fail(NfsStatus.noent);
  if (isFailure(inode)) return fail(inode);
  return {
    procedure: 'lookup',
    status: NfsStatus.ok,
    handle: inode.handle,
    attributes: inode.shown(),
    directory: directory.shown(),
  };
};

/**
 * What the medium shows of a name that is being changed may not be durable yet, and a loss of power could take it back: then
 * it is looked up in its turn, when the change's reply is mirrored. Nobody who holds a name waits for a LOOKUP that waits. Where
 * the outcome of the change stays unknown, this request ends as those do that want the name: with this opening of the volume.
 */
async function durably(volume: Volume, directory: Inode, name: Buffer, scope: Scope): Promise<Inode | Failure | null> {
  const found = await volume.lookup(directory, name, scope);
  const key = volume.nameKey(directory, name);
  if (!volume.locks.isHeld(key)) return found;
  await volume.locks.acquire([key]);
  const inode = await volume.lookup(directory, name, scope);
  volume.locks.release([key]);
  return inode;
}

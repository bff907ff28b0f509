/** LOOKUP (RFC 1813, section 3.3.3): `.` and `..` too; the root is its own parent. */
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
  const inode = await volume.lookup(directory, name, scope);
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

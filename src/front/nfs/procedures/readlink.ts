/** READLINK (RFC 1813, section 3.3.5): nobody is kept from it; the client follows the link, never the server. */
import { Fault } from '../../../base/fault.ts';
import { NfsStatus } from '../../../wire/nfs/types.ts';
import { failureOf, isFailure } from '../faults.ts';
import { failed, type Procedure } from './procedure.ts';

export const readlink: Procedure<'readlink'> = async (volume, { handle }, _actor, scope) => {
  const inode = await volume.object(handle, scope);
  if (isFailure(inode)) return failed(inode, (status) => ({ procedure: 'readlink', status, attributes: null }));
  if (inode.type !== 'symlink') return { procedure: 'readlink', status: NfsStatus.inval, attributes: inode.shown() };
  const to = await volume.calls.look((tree) => tree.readLink(inode.id));
  if (!(to instanceof Fault)) return { procedure: 'readlink', status: NfsStatus.ok, attributes: inode.shown(), to };
  return failed(volume.goneOr(inode, failureOf(to)), (status) => ({
    procedure: 'readlink',
    status,
    attributes: inode.stale ? null : inode.shown(),
  }));
};

/** COMMIT (RFC 1813, section 3.3.21): nothing to do, since every answered WRITE is stable. */
import { NfsStatus } from '../../../wire/nfs/types.ts';
import { isFailure } from '../faults.ts';
import { NO_WCC, unchanged } from '../volume.ts';
import { failed, type Procedure } from './procedure.ts';

export const commit: Procedure<'commit'> = async (volume, { handle }, _actor, scope) => {
  const inode = await volume.object(handle, scope);
  if (isFailure(inode)) return failed(inode, (status) => ({ procedure: 'commit', status, wcc: NO_WCC }));
  const wcc = unchanged(inode);
  if (inode.type !== 'file') return { procedure: 'commit', status: NfsStatus.inval, wcc };
  return { procedure: 'commit', status: NfsStatus.ok, wcc, verifier: volume.verifier };
};

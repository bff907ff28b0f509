/** GETATTR (RFC 1813, section 3.3.1): nobody is kept from it. */
import { NfsStatus } from '../../../wire/nfs/types.ts';
import { isFailure } from '../faults.ts';
import { failed, type Procedure } from './procedure.ts';

export const getattr: Procedure<'getattr'> = async (volume, { handle }, _actor, scope) => {
  const inode = await volume.object(handle, scope);
  if (isFailure(inode)) return failed(inode, (status) => ({ procedure: 'getattr', status }));
  volume.freshenUsed(inode);
  return { procedure: 'getattr', status: NfsStatus.ok, attributes: inode.shown() };
};

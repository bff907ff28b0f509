/** ACCESS (RFC 1813, section 3.3.4). */
import { NfsStatus } from '../../../wire/nfs/types.ts';
import { isFailure } from '../faults.ts';
import { grantedAccess } from '../permissions.ts';
import { failed, type Procedure } from './procedure.ts';

export const access: Procedure<'access'> = async (volume, { handle, access: asked }, actor, scope) => {
  const inode = await volume.object(handle, scope);
  if (isFailure(inode)) return failed(inode, (status) => ({ procedure: 'access', status, attributes: null }));
  const granted = grantedAccess(actor, inode, asked, volume.exported.readOnly);
  return { procedure: 'access', status: NfsStatus.ok, attributes: inode.shown(), access: granted };
};

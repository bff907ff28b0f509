/** PATHCONF (RFC 1813, section 3.3.20). */
import { NfsStatus } from '../../../wire/nfs/types.ts';
import { isFailure } from '../faults.ts';
import { failed, type Procedure } from './procedure.ts';

export const pathconf: Procedure<'pathconf'> = async (volume, { handle }, _actor, scope) => {
  const inode = await volume.object(handle, scope);
  if (isFailure(inode)) return failed(inode, (status) => ({ procedure: 'pathconf', status, attributes: null }));
  return {
    procedure: 'pathconf',
    status: NfsStatus.ok,
    attributes: inode.shown(),
    linkMax: volume.limits.links,
    nameMax: volume.limits.nameBytes,
    noTruncation: true,
    chownRestricted: true,
    caseInsensitive: false,
    casePreserving: true,
  };
};

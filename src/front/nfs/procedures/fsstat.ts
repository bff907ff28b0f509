/** FSSTAT (RFC 1813, section 3.3.18): the room of the medium, which is the volume's and its neighbours'. */
import { Fault } from '../../../base/fault.ts';
import { NfsStatus } from '../../../wire/nfs/types.ts';
import { failureOf, isFailure } from '../faults.ts';
import { failed, type Procedure } from './procedure.ts';

export const fsstat: Procedure<'fsstat'> = async (volume, { handle }, _actor, scope) => {
  const inode = await volume.object(handle, scope);
  if (isFailure(inode)) return failed(inode, (status) => ({ procedure: 'fsstat', status, attributes: null }));
  const usage = await volume.calls.look((tree) => tree.usage());
  if (usage instanceof Fault)
    return failed(failureOf(usage), (status) => ({ procedure: 'fsstat', status, attributes: inode.shown() }));
  return {
    procedure: 'fsstat',
    status: NfsStatus.ok,
    attributes: inode.shown(),
    totalBytes: usage.totalBytes,
    freeBytes: usage.freeBytes,
    availableBytes: usage.availableBytes,
    totalObjects: usage.totalObjects,
    freeObjects: usage.freeObjects,
    availableObjects: usage.freeObjects,
    invariantSeconds: 0,
  };
};

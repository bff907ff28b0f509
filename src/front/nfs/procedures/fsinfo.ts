/** FSINFO (RFC 1813, section 3.3.19). */
import { FsProperty, NfsStatus } from '../../../wire/nfs/types.ts';
import { isFailure } from '../faults.ts';
import { LISTING_BYTES_PREFERRED } from '../listing.ts';
import { failed, type Procedure } from './procedure.ts';

/** What reads and writes are best multiples of: a page. */
const MULTIPLE_BYTES = 4096;

export const fsinfo: Procedure<'fsinfo'> = async (volume, { handle }, _actor, scope) => {
  const inode = await volume.object(handle, scope);
  if (isFailure(inode)) return failed(inode, (status) => ({ procedure: 'fsinfo', status, attributes: null }));
  const { read, write } = volume.payloadBytes;
  return {
    procedure: 'fsinfo',
    status: NfsStatus.ok,
    attributes: inode.shown(),
    rtmax: read,
    rtpref: read,
    rtmult: MULTIPLE_BYTES,
    wtmax: write,
    wtpref: write,
    wtmult: MULTIPLE_BYTES,
    dtpref: LISTING_BYTES_PREFERRED,
    maxFileBytes: volume.largestFileBytes,
    timeDeltaNs: 1n,
    properties: FsProperty.link | FsProperty.symlink | FsProperty.homogeneous | FsProperty.canSetTime,
  };
};

/** MKNOD (RFC 1813, section 3.3.11): devices for root alone, as on every file system. */
import { NfsStatus } from '../../../wire/nfs/types.ts';
import { attributesFor, make } from './making.ts';
import type { RecordedProcedure } from './procedure.ts';

export const mknod: RecordedProcedure<'mknod'> = async (volume, asked, actor, recording) => {
  const { what } = asked;
  const outcome = await make(volume, asked, actor, recording, {
    sizeBytes: null,
    taken: null,
    takes: false,
    creation: (directory) => {
      switch (what.type) {
        case 'none':
          return NfsStatus.badtype;
        case 'fifo':
        case 'socket':
          return { type: what.type, attributes: attributesFor(volume, actor, directory, what.type, what.attributes) };
        case 'block':
        case 'character': {
          if (actor.uid !== 0) return NfsStatus.perm;
          const attributes = attributesFor(volume, actor, directory, what.type, what.attributes);
          return { type: what.type, major: what.major, minor: what.minor, attributes };
        }
      }
    },
  });
  return 'status' in outcome ? { procedure: 'mknod', ...outcome } : outcome;
};

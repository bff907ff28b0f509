/** MKDIR (RFC 1813, section 3.3.9). */
import { attributesFor, make } from './making.ts';
import type { RecordedProcedure } from './procedure.ts';

export const mkdir: RecordedProcedure<'mkdir'> = async (volume, asked, actor, recording) => {
  const outcome = await make(volume, asked, actor, recording, {
    sizeBytes: null,
    taken: null,
    takes: false,
    creation: (directory) => ({
      type: 'directory',
      attributes: attributesFor(volume, actor, directory, 'directory', asked.attributes),
    }),
  });
  return 'status' in outcome ? { procedure: 'mkdir', ...outcome } : outcome;
};

/** SYMLINK (RFC 1813, section 3.3.10): wherever it leads, only clients go there. */
import { targetError } from '../name-rules.ts';
import { attributesFor, make } from './making.ts';
import type { RecordedProcedure } from './procedure.ts';

export const symlink: RecordedProcedure<'symlink'> = async (volume, asked, actor, recording) => {
  const { to } = asked;
  const outcome = await make(volume, asked, actor, recording, {
    sizeBytes: null,
    taken: null,
    takes: false,
    creation: (directory) =>
      targetError(to) ?? {
        type: 'symlink',
        to,
        attributes: attributesFor(volume, actor, directory, 'symlink', asked.attributes),
      },
  });
  return 'status' in outcome ? { procedure: 'symlink', ...outcome } : outcome;
};

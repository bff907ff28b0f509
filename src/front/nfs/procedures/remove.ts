/** REMOVE (RFC 1813, section 3.3.12): everything but directories. */
import { NfsStatus } from '../../../wire/nfs/types.ts';
import { Unanswered } from '../faults.ts';
import { isDot, isDotDot } from '../name-rules.ts';
import { NO_WCC } from '../volume.ts';
import type { RecordedProcedure } from './procedure.ts';
import { removeName } from './removing.ts';

export const remove: RecordedProcedure<'remove'> = async (volume, asked, actor, recording) => {
  if (isDot(asked.name) || isDotDot(asked.name))
    return { procedure: 'remove', status: NfsStatus.isdir, directory: NO_WCC };
  const outcome = await removeName(volume, asked, actor, recording, 'other');
  return outcome instanceof Unanswered ? outcome : { procedure: 'remove', ...outcome };
};

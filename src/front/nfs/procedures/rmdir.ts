/** RMDIR (RFC 1813, section 3.3.13): empty directories. `.` and `..` are refused as the RFC has it. */
import { NfsStatus } from '../../../wire/nfs/types.ts';
import { Unanswered } from '../faults.ts';
import { isDot, isDotDot } from '../name-rules.ts';
import { NO_WCC } from '../volume.ts';
import type { RecordedProcedure } from './procedure.ts';
import { removeName } from './removing.ts';

export const rmdir: RecordedProcedure<'rmdir'> = async (volume, asked, actor, recording) => {
  if (isDot(asked.name)) return { procedure: 'rmdir', status: NfsStatus.inval, directory: NO_WCC };
  if (isDotDot(asked.name)) return { procedure: 'rmdir', status: NfsStatus.exist, directory: NO_WCC };
  const outcome = await removeName(volume, asked, actor, recording, 'directory');
  return outcome instanceof Unanswered ? outcome : { procedure: 'rmdir', ...outcome };
};

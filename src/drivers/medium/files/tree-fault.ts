/**
 * An errno of the tree as a fault: those that mean something to a client as themselves, trouble that passes as `retry`,
 * everything else as EIO.
 */
import { Fault } from '../../../base/fault.ts';
import { type TreeErrno, TreeFault } from '../../../ports/tree.ts';
import { codeOf } from '../../linux/errno.ts';

const TOLD: ReadonlySet<string> = new Set<TreeErrno>([
  'EPERM',
  'ENOENT',
  'EIO',
  'EACCES',
  'EEXIST',
  'EXDEV',
  'ENODEV',
  'ENOTDIR',
  'EISDIR',
  'EINVAL',
  'EFBIG',
  'ENOSPC',
  'EROFS',
  'EMLINK',
  'ENAMETOOLONG',
  'ENOTEMPTY',
  'EDQUOT',
  'ESTALE',
  'EOPNOTSUPP',
  'ELOOP',
  'EBUSY',
]);
const PASSING: ReadonlySet<string> = new Set(['EAGAIN', 'EINTR', 'EMFILE', 'ENFILE', 'ENOMEM']);

/** `what` was being done, as a phrase. */
export function treeFault(errno: number, what: string): Fault {
  const code = codeOf(errno);
  const message = `${what} failed: ${code}.`;
  // Names that are not there are looked up all the time: where in the program that was asked is told by nobody's stack.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  const fault = PASSING.has(code)
    ? new Fault('retry', message)
    : new TreeFault(TOLD.has(code) ? (code as TreeErrno) : 'EIO', message);
  Error.stackTraceLimit = stackTraceLimit;
  return fault;
}

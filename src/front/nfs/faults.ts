/**
 * What a client is told when something failed. An error goes to an application, so only what is true of the file system
 * becomes one; what is true of this server alone (it is being deposed, it cannot know) is not answered at all: the
 * connection ends, and the client sends its request again, to whoever owns the volume then.
 */
import { Fault } from '../../base/fault.ts';
import { TreeFault } from '../../ports/tree.ts';
import type { TreeErrno } from '../../ports/tree.ts';
import { NfsStatus } from '../../wire/nfs/types.ts';
import type { NfsError } from '../../wire/nfs/types.ts';

/** No answer from this server, now. */
export class Unanswered {
  /** For the log. */
  readonly why: string;

  constructor(why: string) {
    this.why = why;
  }
}

/** How a request ends that does not succeed. */
export type Failure = NfsError | Unanswered;

/** What a procedure comes to: its result, which may be an error, or no answer. */
export type Outcome<T> = T | Unanswered;

/** True for what stands where a value was hoped for. */
export function isFailure(value: unknown): value is Failure {
  return typeof value === 'number' || value instanceof Unanswered;
}

const STATUS: Readonly<Record<TreeErrno, NfsError>> = {
  EPERM: NfsStatus.perm,
  ENOENT: NfsStatus.noent,
  EIO: NfsStatus.io,
  EACCES: NfsStatus.acces,
  EEXIST: NfsStatus.exist,
  EXDEV: NfsStatus.xdev,
  ENODEV: NfsStatus.nodev,
  ENOTDIR: NfsStatus.notdir,
  EISDIR: NfsStatus.isdir,
  EINVAL: NfsStatus.inval,
  EFBIG: NfsStatus.fbig,
  ENOSPC: NfsStatus.nospc,
  EROFS: NfsStatus.rofs,
  EMLINK: NfsStatus.mlink,
  ENAMETOOLONG: NfsStatus.nametoolong,
  ENOTEMPTY: NfsStatus.notempty,
  EDQUOT: NfsStatus.dquot,
  ESTALE: NfsStatus.stale,
  EOPNOTSUPP: NfsStatus.notsupp,
  // Version 3 has no word for these two: a link where none is followed; something that is mounted upon.
  ELOOP: NfsStatus.inval,
  EBUSY: NfsStatus.acces,
};

/** How a request ends that met `fault`. */
export function failureOf(fault: Fault): Failure {
  if (fault instanceof TreeFault) return STATUS[fault.errno];
  switch (fault.kind) {
    case 'full':
      return NfsStatus.nospc;
    case 'missing':
      return NfsStatus.stale;
    case 'io':
    case 'corrupt':
      return NfsStatus.io;
    case 'retry':
    case 'timeout':
    case 'moved':
    case 'refused':
    case 'conflict':
      return new Unanswered(fault.message);
  }
}

/** The medium, not the request, is the trouble: it may be over in a moment, or this server hands the volume over. */
export function isTrouble(fault: Fault): boolean {
  return fault.kind === 'io' || fault.kind === 'retry' || fault.kind === 'timeout';
}

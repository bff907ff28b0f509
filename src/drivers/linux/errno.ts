/**
 * Errors of the operating system as faults: one table for what Node reports (`code`) and what foreign calls report
 * (`errno`), so that a full disk is `full` and a broken one `io`, whichever way it was noticed.
 */
import { constants } from 'node:os';
import { Fault, type FaultKind } from '../../base/fault.ts';

/**
 * Kinds of the codes that mean more than "the call failed"; everything else is `io`. So is EROFS: a file system that was
 * writable turns read-only when its disk fails.
 */
const KINDS: Readonly<Record<string, FaultKind>> = {
  ENOSPC: 'full',
  EDQUOT: 'full',
  EFBIG: 'full',
  ENOENT: 'missing',
  ENOTDIR: 'missing',
  ENODEV: 'missing',
  ENXIO: 'missing',
  EEXIST: 'conflict',
  ENOTEMPTY: 'conflict',
  EACCES: 'refused',
  EPERM: 'refused',
  EINVAL: 'refused',
  EISDIR: 'refused',
  ELOOP: 'refused',
  ENAMETOOLONG: 'refused',
  EOPNOTSUPP: 'refused',
  ENOTSUP: 'refused',
  ENOSYS: 'refused',
  EAGAIN: 'retry',
  EINTR: 'retry',
  EMFILE: 'retry',
  ENFILE: 'retry',
  ENOMEM: 'retry',
  EBUSY: 'retry',
  ETIMEDOUT: 'timeout',
};

/** The second names of two numbers that Linux gives two names each. */
const ALIASES: ReadonlySet<string> = new Set(['EWOULDBLOCK', 'ENOTSUP']);

const CODES: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.errno)
    .filter(([code]) => !ALIASES.has(code))
    .map(([code, errno]): [number, string] => [errno, code]),
);

/** The symbolic code of an errno, such as `ENOSPC`; `errno 999` for one without a name. */
export function codeOf(errno: number): string {
  return CODES.get(errno) ?? `errno ${errno}`;
}

/** The kind of fault that a symbolic code stands for. */
export function kindOf(code: string | undefined): FaultKind {
  return (code === undefined ? undefined : KINDS[code]) ?? 'io';
}

/** A fault for a foreign call's `errno`; `what` says what was being done and to what, as a phrase. */
export function faultOfErrno(errno: number, what: string): Fault {
  const code = codeOf(errno);
  return new Fault(kindOf(code), `${what} failed: ${code}.`);
}

/** An error as Node reports one, for a foreign call's `errno`. */
export function errorOfErrno(errno: number, syscall: string): NodeJS.ErrnoException {
  const code = codeOf(errno);
  return Object.assign(new Error(`${code}, ${syscall}`), { code, errno: -errno, syscall });
}

/** A fault for an error thrown or reported by Node; a fault stays as it is. */
export function faultOfError(error: unknown, what: string): Fault {
  if (error instanceof Fault) return error;
  const code = errorCode(error);
  const reason = code ?? (error instanceof Error ? error.message : String(error));
  return new Fault(kindOf(code), `${what} failed: ${reason}.`, error);
}

/** The symbolic code of an error reported by Node, when it has one. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** The numbers of codes that are told apart without a name. */
export const ErrorNumber = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  EAGAIN: 11,
  EACCES: 13,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  EMFILE: 24,
  EFBIG: 27,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  EBUSY: 16,
  EOPNOTSUPP: 95,
  ESTALE: 116,
} as const;

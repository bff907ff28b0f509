/** Names that can be in a directory: any bytes but NUL and `/`. */
import { ErrorNumber } from '../../linux/errno.ts';

const DOT = 0x2e;

/**
 * 0, or the errno for a name that cannot be. `.` and `..` are for looking up; a call for which they are nothing gives the
 * errno that they get.
 */
export function nameErrno(name: Buffer, bytesMax: number, dotErrno = 0): number {
  if (name.length === 0 || name.includes(0) || name.includes(0x2f)) return ErrorNumber.EINVAL;
  if (name.length > bytesMax) return ErrorNumber.ENAMETOOLONG;
  const isDots = name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT));
  return isDots ? dotErrno : 0;
}

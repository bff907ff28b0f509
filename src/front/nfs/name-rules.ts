/**
 * What a name may be, as a Linux file system has it: any bytes but NUL and `/`, from 1 to 255 of them. `.` and `..` are
 * names of every directory, so nothing is made, removed or renamed under them.
 */
import { NfsStatus } from '../../wire/nfs/types.ts';
import type { NfsError } from '../../wire/nfs/types.ts';

const DOT = 0x2e;
const SLASH = 0x2f;

/** Linux's PATH_MAX without the NUL: the longest target of a symbolic link. */
export const MOST_TARGET_BYTES = 4_095;

/** Why a name cannot be one; null when it can, `.` and `..` included. */
export function nameError(name: Buffer, mostBytes: number): NfsError | null {
  if (name.length > mostBytes) return NfsStatus.nametoolong;
  if (name.length === 0 || name.includes(0) || name.includes(SLASH)) return NfsStatus.inval;
  return null;
}

/** Why a symbolic link cannot lead to `target`; null when it can. */
export function targetError(target: Buffer): NfsError | null {
  if (target.length > MOST_TARGET_BYTES) return NfsStatus.nametoolong;
  return target.length === 0 || target.includes(0) ? NfsStatus.inval : null;
}

export function isDot(name: Buffer): boolean {
  return name.length === 1 && name[0] === DOT;
}

export function isDotDot(name: Buffer): boolean {
  return name.length === 2 && name[0] === DOT && name[1] === DOT;
}

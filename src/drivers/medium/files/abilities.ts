/**
 * What a file system can, found out by trying: nothing else tells it reliably.
 */
import { closeSync, constants, openSync } from 'node:fs';
import {
  changeOwner,
  closeFd,
  HANDLE_BYTES_MAX,
  handleOf,
  linksMax,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDWR,
  openAt,
  openByHandle,
  truncateFd,
  unlinkAt,
  usageOf,
} from '../../linux/at-calls.ts';
import { LARGEST_OBJECT_BYTES } from '../../../base/operation.ts';
import { codeOf, faultOfErrno } from '../../linux/errno.ts';
import type { TreeLimits } from '../../../ports/tree.ts';
import { kernelId } from './object-id.ts';

/** An owner that nobody is: given to a trial file, to see whether that is allowed. */
const NOBODY = 65_533;
/** Sizes are told apart to this. */
const SIZE_UNIT_BYTES = 4096;

/** Whether this process may open objects of the file system by handles that fit into an id. */
export function kernelHandlesWork(directory: string): boolean {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const handle = Buffer.alloc(8 + HANDLE_BYTES_MAX);
    if (handleOf(fd, handle) < 0 || kernelId(handle) === null) return false;
    const again = openByHandle(fd, handle, O_PATH);
    if (again >= 0) closeFd(again);
    return again >= 0;
  } finally {
    closeSync(fd);
  }
}

/** Tries out the file system with a file in `newFd`, which is removed again. Throws a Fault where none can be made. */
export function limitsOf(rootFd: number, newFd: number, trial: string): TreeLimits {
  const fd = openAt(newFd, trial, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  if (fd < 0) throw faultOfErrno(-fd, 'Making a trial file beside the tree');
  try {
    const usage = usageOf(rootFd);
    if (typeof usage === 'number') throw faultOfErrno(-usage, 'Asking for the room on the medium');
    return {
      largestFileBytes: largest(fd),
      nameBytes: Math.min(usage.nameBytes, 255),
      links: linksMax(rootFd),
      changesOwners: changeOwner(fd, NOBODY, NOBODY) === 0,
    };
  } finally {
    closeFd(fd);
    unlinkAt(newFd, trial, false);
  }
}

/** The largest size that a file takes: found by trying, so that no write is too large when it is destaged. */
function largest(fd: number): number {
  const takes = (units: number): boolean => {
    const result = truncateFd(fd, units * SIZE_UNIT_BYTES);
    if (result === 0) return true;
    if (codeOf(-result) === 'EFBIG' || codeOf(-result) === 'EINVAL') return false;
    throw faultOfErrno(-result, 'Trying out the largest size of a file');
  };
  let most = Math.floor(LARGEST_OBJECT_BYTES / SIZE_UNIT_BYTES);
  if (takes(most)) return LARGEST_OBJECT_BYTES;
  let least = 0;
  while (most - least > 1) {
    const middle = Math.floor((least + most) / 2);
    if (takes(middle)) least = middle;
    else most = middle;
  }
  return least * SIZE_UNIT_BYTES;
}

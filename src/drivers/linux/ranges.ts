/**
 * Operations on ranges of a file that Node does not offer: reserve room, give it back, make zeroes, and tell holes from
 * data. All run on the thread pool, since any of them may wait for the disk. Whether the file system can is told by
 * their errno (`ranges.unsupported`), never by trying something else quietly.
 */
import { onThreadPool, type Returned } from './libc.ts';
import { codeOf } from './errno.ts';

/** How a range call ends: 0, or the errno. */
export type RangeDone = (errno: number) => void;
/** How a search ends: 0 and the position found, or the errno. */
export type SeekDone = (errno: number, at: number) => void;

const FALLOC_FL_KEEP_SIZE = 0x01;
const FALLOC_FL_PUNCH_HOLE = 0x02;
const FALLOC_FL_ZERO_RANGE = 0x10;
const POSIX_FADV_DONTNEED = 4;
/** SYNC_FILE_RANGE_WAIT_BEFORE and _WRITE. */
const WAIT_AND_WRITE = 1 | 2;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** Room for the range is held, so that later writes into it find it; its bytes stay. Grows the file where it is shorter. */
export function reserveRange(fd: number, offset: number, length: number, done: RangeDone): void {
  allocate(fd, 0, offset, length, done);
}

/** The range reads as zeroes and its whole blocks' room is given back; the size stays. */
export function punchRange(fd: number, offset: number, length: number, done: RangeDone): void {
  allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length, done);
}

/** The range reads as zeroes and its room stays held; the size stays. */
export function zeroRange(fd: number, offset: number, length: number, done: RangeDone): void {
  allocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, length, done);
}

/** The first byte of data at or after `offset`; ENXIO when only a hole follows. */
export function seekData(fd: number, offset: number, done: SeekDone): void {
  seek(fd, offset, SEEK_DATA, done);
}

/** The first byte of a hole at or after `offset`; the file's end counts as one. */
export function seekHole(fd: number, offset: number, done: SeekDone): void {
  seek(fd, offset, SEEK_HOLE, done);
}

/**
 * What this machine's cache holds of the range, and is clean, is dropped: the next read asks the storage. `length` 0
 * stands for everything from `offset` on.
 */
export function dropCachedRange(fd: number, offset: number, length: number, done: RangeDone): void {
  // Unlike the others it returns the error's number itself.
  onThreadPool((library, finished) => library.fadvise.async(fd, offset, length, POSIX_FADV_DONTNEED, finished), done);
}

/**
 * What is on its way to the storage from the range is waited for, then what else the cache holds of the range is sent on
 * its way. An error of anything of the file that has arrived by then is told once: whoever syncs afterwards does not hear
 * of it again.
 */
export function writeBackRange(fd: number, offset: number, length: number, done: RangeDone): void {
  const returned: Returned = (result, errno) => done(result < 0 ? errno : 0);
  onThreadPool((library, finished) => library.writeBack.async(fd, offset, length, WAIT_AND_WRITE, finished), returned);
}

/** The errno says that kernel or file system do not have the operation, rather than that it failed. */
export function isUnsupported(errno: number): boolean {
  const code = codeOf(errno);
  return code === 'EOPNOTSUPP' || code === 'ENOSYS' || code === 'ENOTTY';
}

function allocate(fd: number, mode: number, offset: number, length: number, done: RangeDone): void {
  onThreadPool(
    (library, finished) => library.fallocate.async(fd, mode, offset, length, finished),
    (result, errno) => {
      // A signal interrupted it before it was through; done twice, it does no more than done once.
      if (result < 0 && codeOf(errno) === 'EINTR') allocate(fd, mode, offset, length, done);
      else done(result < 0 ? errno : 0);
    },
  );
}

function seek(fd: number, offset: number, whence: number, done: SeekDone): void {
  const returned: Returned = (result, errno) => (result < 0 ? done(errno, 0) : done(0, result));
  // It moves the descriptor's position, which nobody uses: all our reads and writes name theirs.
  onThreadPool((library, finished) => library.lseek.async(fd, offset, whence, finished), returned);
}

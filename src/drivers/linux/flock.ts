/**
 * Locks on local files (flock(2)). The kernel drops a lock when the last descriptor of its open file is
 * closed, so also when the process is killed: a lock that can be taken proves that its holder has ended, and a frozen
 * holder keeps it. That is what a server's life (the witness) and a store's identity rest on.
 */
import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { Fault } from '../../base/fault.ts';
import { codeOf, errorCode, faultOfErrno, faultOfError } from './errno.ts';
import { libc } from './libc.ts';

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;

/** Somebody who replaces the file again and again while we lock it is given up on after so many rounds. */
const MAX_REPLACED = 8;

/** A lock, held until `release` or the end of the process. */
export interface FileLock {
  readonly path: string;
  /** The locked file, open for reading and (if exclusive) writing, not inherited by child processes. Valid until `release`. */
  readonly fd: number;
  /** Lets go of the lock and closes the file. Harmless when done already. */
  release(): void;
}

/**
 * Takes the exclusive lock on `path`, creating an empty file there when there is none (its directory must exist).
 * Returns null when another open file, here or in another process, holds the lock. Throws a Fault for everything else.
 * Blocks for the length of a few system calls; meant for local file systems.
 */
export function tryLockExclusive(path: string): FileLock | null {
  return lock(path, constants.O_RDWR | constants.O_CREAT, LOCK_EX);
}

/**
 * Takes a shared lock on a file that must exist: several may hold one at a time, but not beside an exclusive one. So it
 * proves that nobody holds the exclusive lock, without being taken for a holder by others that ask the same. Returns
 * null when somebody holds the exclusive one; throws Fault `missing` when there is no file, and others. Creates nothing.
 */
export function tryLockShared(path: string): FileLock | null {
  return lock(path, constants.O_RDONLY, LOCK_SH);
}

function lock(path: string, flags: number, kind: number): FileLock | null {
  const library = libc();
  for (let round = 0; round < MAX_REPLACED; round++) {
    const fd = open(path, flags);
    let kept = false;
    try {
      if (library.flock(fd, kind | LOCK_NB) !== 0) {
        const errno = library.errno();
        if (codeOf(errno) === 'EAGAIN') return null;
        if (codeOf(errno) === 'EINTR') continue;
        throw faultOfErrno(errno, `Locking ${path}`);
      }
      // The name may meanwhile lead to another file: a lock on the old one would exclude nobody.
      if (isStillNamed(path, fd)) {
        kept = true;
        return new HeldLock(path, fd);
      }
    } finally {
      if (!kept) closeSync(fd);
    }
  }
  throw new Fault('retry', `Locking ${path} failed: the file is being replaced all the time.`);
}

function open(path: string, flags: number): number {
  try {
    return openSync(path, flags, 0o600);
  } catch (error) {
    throw faultOfError(error, `Opening the lock file ${path}`);
  }
}

function isStillNamed(path: string, fd: number): boolean {
  try {
    const named = statSync(path, { bigint: true });
    const held = fstatSync(fd, { bigint: true });
    return named.dev === held.dev && named.ino === held.ino;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw faultOfError(error, `Looking at the lock file ${path}`);
  }
}

class HeldLock implements FileLock {
  readonly path: string;
  readonly fd: number;
  #held = true;

  constructor(path: string, fd: number) {
    this.path = path;
    this.fd = fd;
  }

  release(): void {
    if (!this.#held) return;
    this.#held = false;
    libc().flock(this.fd, LOCK_UN);
    closeSync(this.fd);
  }
}

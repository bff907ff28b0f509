/**
 * Locks on local files (flock(2)). The kernel drops a lock when the last descriptor of its open file is
 * closed, so also when the process is killed: a lock that can be taken proves that its holder has ended, and a frozen
 * holder keeps it. That is what a server's life (the witness) and a store's identity rest on.
 */
import { close, closeSync, constants, fstat, fstatSync, open as openLater, openSync, stat, statSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { promisify } from 'node:util';
import { Fault } from '../../base/fault.ts';
import { codeOf, errorCode, faultOfErrno, faultOfError } from './errno.ts';
import { libc } from './libc.ts';

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;

/** Somebody who replaces the file again and again while we lock it is given up on after so many rounds. */
const MAX_REPLACED = 8;

const statOf = promisify(stat);
const statOfOpen = promisify(fstat);

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
 * proves that nobody holds the exclusive lock, without being taken for a holder by others that ask the same. Gives null
 * when somebody holds the exclusive one; rejects with Fault `missing` when there is no file, and others. Creates nothing.
 *
 * It is somebody else's file, on a disk that may hang: the event loop never waits for it, the promise may for ever.
 */
export async function tryLockShared(path: string): Promise<FileLock | null> {
  for (let round = 0; round < MAX_REPLACED; round++) {
    const fd = await opened(path);
    let kept = false;
    try {
      const taken = take(fd, LOCK_SH, path);
      if (taken === 'held') return null;
      if (taken === 'yes' && (await isNamed(path, fd))) {
        kept = true;
        return new HeldLock(path, fd);
      }
    } finally {
      if (!kept) close(fd);
    }
  }
  throw new Fault('retry', `Locking ${path} failed: the file is being replaced all the time.`);
}

function lock(path: string, flags: number, kind: number): FileLock | null {
  for (let round = 0; round < MAX_REPLACED; round++) {
    const fd = open(path, flags);
    let kept = false;
    try {
      const taken = take(fd, kind, path);
      if (taken === 'held') return null;
      // The name may meanwhile lead to another file: a lock on the old one would exclude nobody.
      if (taken === 'yes' && isStillNamed(path, fd)) {
        kept = true;
        return new HeldLock(path, fd);
      }
    } finally {
      if (!kept) closeSync(fd);
    }
  }
  throw new Fault('retry', `Locking ${path} failed: the file is being replaced all the time.`);
}

function take(fd: number, kind: number, path: string): 'yes' | 'held' | 'again' {
  const library = libc();
  if (library.flock(fd, kind | LOCK_NB) === 0) return 'yes';
  const errno = library.errno();
  if (codeOf(errno) === 'EAGAIN') return 'held';
  if (codeOf(errno) === 'EINTR') return 'again';
  throw faultOfErrno(errno, `Locking ${path}`);
}

function open(path: string, flags: number): number {
  try {
    return openSync(path, flags, 0o600);
  } catch (error) {
    throw faultOfError(error, `Opening the lock file ${path}`);
  }
}

function opened(path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    openLater(path, constants.O_RDONLY, (error, fd) =>
      error === null ? resolve(fd) : reject(faultOfError(error, `Opening the lock file ${path}`)),
    );
  });
}

function isStillNamed(path: string, fd: number): boolean {
  try {
    return isSame(statSync(path, { bigint: true }), fstatSync(fd, { bigint: true }));
  } catch (error) {
    return isGone(error, path);
  }
}

async function isNamed(path: string, fd: number): Promise<boolean> {
  try {
    return isSame(await statOf(path, { bigint: true }), await statOfOpen(fd, { bigint: true }));
  } catch (error) {
    return isGone(error, path);
  }
}

function isSame(named: BigIntStats, held: BigIntStats): boolean {
  return named.dev === held.dev && named.ino === held.ino;
}

function isGone(error: unknown, path: string): false {
  if (errorCode(error) === 'ENOENT') return false;
  throw faultOfError(error, `Looking at the lock file ${path}`);
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

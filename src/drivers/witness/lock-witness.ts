/**
 * The witness `lock`: proof that another server's process on this machine has ended, by its lock (server-lock.ts).
 * About servers of other machines it knows nothing: their state directories are not in its map, or tell of another boot.
 */
import { closeSync, openSync } from 'node:fs';
import type { Incarnation, ServerId } from '../../base/names.ts';
import type { Witness } from '../../ports/world.ts';
import { type FileLock, tryLockShared } from '../linux/flock.ts';
import { lockFileOf, type LockedLife, readBootId, readLife } from './server-lock.ts';

export type Verdict = 'ended' | 'alive' | 'unknown';

export class LockWitness implements Witness {
  readonly #stateDirectories: ReadonlyMap<ServerId, string>;

  /** `stateDirectories` names those of the servers that run on this machine, and no others. */
  constructor(stateDirectories: ReadonlyMap<ServerId, string>) {
    this.#stateDirectories = stateDirectories;
  }

  /**
   * - `ended`   the lock was free and the file tells of that incarnation and this boot; or a later incarnation, written
   *             while it held the lock, names it among those before
   * - `alive`   the lock is held and the file tells of that incarnation
   * - `unknown` everything else: nothing can be said
   *
   * Costs a few system calls on a local file. The lock is let go of at once, and the file's content stays.
   */
  ended(server: ServerId, incarnation: Incarnation, done: (verdict: Verdict) => void): void {
    const directory = this.#stateDirectories.get(server);
    if (directory === undefined) return process.nextTick(done, 'unknown');
    readBootId().then(
      (boot) => process.nextTick(done, examine(lockFileOf(directory), server, incarnation, boot)),
      () => process.nextTick(done, 'unknown'),
    );
  }
}

function examine(path: string, server: ServerId, incarnation: Incarnation, boot: string): Verdict {
  let lock: FileLock | null = null;
  try {
    lock = tryLockShared(path);
    // Under the lock nobody writes; without it, the holder wrote what is there before it did anything else.
    const found = lock === null ? readHeld(path) : readLife(lock.fd);
    return found === null ? 'unknown' : judge(found, lock === null, server, incarnation, boot);
  } catch {
    // The file is absent or cannot be read: no proof of anything.
    return 'unknown';
  } finally {
    lock?.release();
  }
}

/** The verdict on `incarnation`, from what the lock file says and whether its lock is held. */
export function judge(
  found: LockedLife,
  held: boolean,
  server: ServerId,
  incarnation: Incarnation,
  boot: string,
): Verdict {
  if (found.server !== server || found.boot !== boot) return 'unknown';
  if (found.incarnation === incarnation) return held ? 'alive' : 'ended';
  return found.earlier.includes(incarnation) ? 'ended' : 'unknown';
}

function readHeld(path: string): LockedLife | null {
  const fd = openSync(path, 'r');
  try {
    return readLife(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * The witness `lock`: proof that another server's process on this machine has ended, by its lock (server-lock.ts).
 * About servers of other machines it knows nothing: their state directories are not in its map, or tell of another boot.
 */
import { open } from 'node:fs/promises';
import type { Incarnation, ServerId } from '../../base/names.ts';
import type { Witness } from '../../ports/world.ts';
import { tryLockShared } from '../linux/flock.ts';
import { lockFileOf, type LockedLife, readBootId, readOthersLife } from './server-lock.ts';

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
   * The lock is let go of at once, and the file's content stays. A disk that hangs holds up the answer, nothing else.
   */
  ended(server: ServerId, incarnation: Incarnation, done: (verdict: Verdict) => void): void {
    const directory = this.#stateDirectories.get(server);
    if (directory === undefined) return process.nextTick(done, 'unknown');
    examine(lockFileOf(directory), server, incarnation).then(
      (verdict) => process.nextTick(done, verdict),
      // The file is absent or cannot be read: no proof of anything.
      () => process.nextTick(done, 'unknown'),
    );
  }
}

async function examine(path: string, server: ServerId, incarnation: Incarnation): Promise<Verdict> {
  const boot = await readBootId();
  const lock = await tryLockShared(path);
  try {
    // Under the lock nobody writes; without it, the holder wrote what is there before it did anything else.
    const found = lock === null ? await readHeld(path) : await readOthersLife(lock.fd);
    return found === null ? 'unknown' : judge(found, lock === null, server, incarnation, boot);
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

/** What the file says whose lock somebody holds. */
export async function readHeld(path: string): Promise<LockedLife | null> {
  const file = await open(path, 'r');
  try {
    return await readOthersLife(file.fd);
  } finally {
    await file.close();
  }
}

/**
 * A server's life as a lock: from its start to its end, however it ends, each server holds the exclusive lock on
 * `server.lock` in its state directory. The kernel lets go of it when the process is gone, never before: a server that is
 * frozen still holds it.
 *
 * The file says whose life it is: server, incarnation, process, and the boot of the machine, so that the lock of another
 * machine's directory, or of a time before a restart of this one, is not taken for proof. It also names the incarnations
 * before: whoever holds the lock has proof that they have ended.
 */
import { readFile } from 'node:fs/promises';
import { fsyncSync, ftruncateSync, read, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import { Fault } from '../../base/fault.ts';
import type { Incarnation, ServerId } from '../../base/names.ts';
import type { Clock } from '../../ports/clock.ts';
import { faultOfError } from '../linux/errno.ts';
import { type FileLock, tryLockExclusive } from '../linux/flock.ts';

/** How many earlier incarnations a lock file names. */
export const EARLIER_MAX = 64;
/** No lock file is longer; what is behind that is no part of it, and makes it none. */
const FILE_BYTES_MAX = 16 << 10;
/** A witness holds a shared lock for a moment; a start that meets one tries again for so long. */
const PATIENCE_MS = 1_000;
const PAUSE_MS = 10;

const readLater = promisify(read);

const incarnation = z
  .string()
  .regex(/^[0-9a-f]{32}$/)
  .transform((text) => text as Incarnation);

const life = z.strictObject({
  format: z.literal('holdfast-server-lock-1'),
  server: z
    .string()
    .min(1)
    .transform((text) => text as ServerId),
  incarnation,
  process: z.int().positive(),
  boot: z.uuid(),
  /** Incarnations before this one in this boot, newest first. */
  earlier: z.array(incarnation).max(EARLIER_MAX),
});

/** Whose life a lock file tells of. */
export type LockedLife = z.output<typeof life>;

/** The lock, held until `release` or the end of the process. */
export class ServerLock {
  readonly path: string;
  /** Incarnations that held this lock before, in this boot of the machine, newest first: all of them have ended. */
  readonly ended: readonly Incarnation[];
  readonly #lock: FileLock;

  private constructor(lock: FileLock, ended: readonly Incarnation[]) {
    this.path = lock.path;
    this.ended = ended;
    this.#lock = lock;
  }

  /**
   * Begins the life of `incarnation`. The state directory must exist. Throws Fault `conflict` when another process of
   * the server is alive there, `refused` when the directory is another server's, and others of the file system.
   */
  static async acquire(
    stateDirectory: string,
    server: ServerId,
    incarnation: Incarnation,
    clock: Clock,
  ): Promise<ServerLock> {
    const boot = await readBootId();
    const lock = await lockPatiently(lockFileOf(stateDirectory), server, clock);
    try {
      const before = readLife(lock.fd);
      if (before !== null && before.server !== server) {
        const message = `${stateDirectory} is the state directory of the server ${before.server}, not of ${server}.`;
        throw new Fault('refused', message);
      }
      // Of another boot nothing is claimed: the directory may be the copy of one in which a server is alive.
      const earlier = before?.boot === boot ? [before.incarnation, ...before.earlier].slice(0, EARLIER_MAX) : [];
      writeLife(lock.fd, {
        format: 'holdfast-server-lock-1',
        server,
        incarnation,
        process: process.pid,
        boot,
        earlier,
      });
      return new ServerLock(lock, earlier);
    } catch (error) {
      lock.release();
      throw faultOfError(error, `Writing the lock file ${lock.path}`);
    }
  }

  /** Ends the life: only when nothing of the server is going on any more. */
  release(): void {
    this.#lock.release();
  }
}

/** The lock file in a server's state directory. */
export function lockFileOf(stateDirectory: string): string {
  return join(stateDirectory, 'server.lock');
}

/** Names the running boot of this machine: another one after every restart, another one on every machine. */
export async function readBootId(): Promise<string> {
  try {
    return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  } catch (error) {
    throw faultOfError(error, "Reading the machine's boot id");
  }
}

/** What the open lock file says; null when it says nothing whole, as while it is written for the first time. */
function readLife(fd: number): LockedLife | null {
  const bytes = Buffer.alloc(FILE_BYTES_MAX);
  return lifeIn(bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0)));
}

/** The same of another server's file, on a disk that may hang: the event loop does not wait for it. */
export async function readOthersLife(fd: number): Promise<LockedLife | null> {
  const { buffer, bytesRead } = await readLater(fd, Buffer.alloc(FILE_BYTES_MAX), 0, FILE_BYTES_MAX, 0);
  return lifeIn(buffer.subarray(0, bytesRead));
}

function lifeIn(bytes: Buffer): LockedLife | null {
  try {
    const checked = life.safeParse(JSON.parse(bytes.toString('utf8')));
    return checked.success ? checked.data : null;
  } catch {
    return null;
  }
}

function writeLife(fd: number, content: LockedLife): void {
  const bytes = Buffer.from(`${JSON.stringify(content, null, 2)}\n`);
  ftruncateSync(fd, 0);
  writeSync(fd, bytes, 0, bytes.length, 0);
  fsyncSync(fd);
}

async function lockPatiently(path: string, server: ServerId, clock: Clock): Promise<FileLock> {
  const untilMs = clock.nowMs() + PATIENCE_MS;
  for (;;) {
    const lock = tryLockExclusive(path);
    if (lock !== null) return lock;
    if (clock.nowMs() >= untilMs) {
      throw new Fault('conflict', `Another process of the server ${server} is alive: it holds ${path}.`);
    }
    await new Promise<void>((resolve) => clock.after(PAUSE_MS, resolve));
  }
}

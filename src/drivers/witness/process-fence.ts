/**
 * The fence within one machine: ends the process of a server that may be hung or frozen, and proves by its lock that it
 * has ended. A frozen process is no harmless one: calls that its threads had in hand go on when it does, long after its
 * lease, over what the new owner has written. A lock that is free is proof that nothing of the process is left, not even
 * a call that hung in the kernel (server-lock.ts).
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Done, Fault } from '../../base/fault.ts';
import type { Incarnation, ServerId } from '../../base/names.ts';
import type { Clock } from '../../ports/clock.ts';
import { errorCode, faultOfError } from '../linux/errno.ts';
import { tryLockShared } from '../linux/flock.ts';
import { openProcess } from '../linux/process-handle.ts';
import { readHeld } from './lock-witness.ts';
import { lockFileOf, readBootId } from './server-lock.ts';

/** The killed process is looked at so often until it is gone. */
const LOOK_MS = 5;
/** A process that is not gone by then hangs in the kernel: the fence has failed, and is tried again. */
const GONE_MS = 5_000;

export interface ProcessFenceOptions {
  /** Those of the servers that run on this machine, and no others. */
  readonly stateDirectories: ReadonlyMap<ServerId, string>;
  readonly clock: Clock;
  /** How long a killed process may take to be gone; 5 s if left out. */
  readonly goneMs?: number;
  /** Is told which process was killed, once for each. */
  readonly killed: (server: ServerId, process: number) => void;
}

/** Whom to fence: one life of a server. */
export interface Victim {
  readonly server: ServerId;
  readonly incarnation: Incarnation;
}

/**
 * What the lock says of the victim: nothing of it is left; or the lock is held, and the process was killed, has ended but
 * for what hangs, or was not there any more when it was looked for.
 */
type Finding = 'gone' | 'held';

/** One fencing that is going on. */
interface Run {
  readonly victim: Victim;
  /** Whether a look has come back. */
  looked: boolean;
  over: boolean;
}

export class ProcessFence {
  readonly #options: ProcessFenceOptions;
  readonly #goneMs: number;
  /** A look that has not come back, by server: a disk that hangs is asked once. */
  readonly #looking = new Set<ServerId>();
  /** The newest process of each server that was killed. */
  readonly #killed = new Map<ServerId, { readonly incarnation: Incarnation; readonly pid: number }>();

  constructor(options: ProcessFenceOptions) {
    this.#options = options;
    this.#goneMs = options.goneMs ?? GONE_MS;
  }

  /** Whether that server runs on this machine. */
  covers(server: ServerId): boolean {
    return this.#options.stateDirectories.has(server);
  }

  /**
   * Success: nothing of that life is left, or nothing is known of it because there is no lock file at all. Neither is
   * proof of its end; the witness gives that. Faults: `refused`
   * when the process may not be killed, or who holds the lock cannot be found; `timeout` when it does not end, or its
   * state directory hangs. `done` is called once, never from within.
   */
  run(victim: Victim, done: Done): void {
    const { clock } = this.#options;
    const run: Run = { victim, looked: false, over: false };
    const end = (fault: Fault | null): void => {
      if (run.over) return;
      run.over = true;
      late.cancel();
      done(fault);
    };
    const late = clock.after(this.#goneMs, () => end(new Fault('timeout', this.#lateness(run))));
    const look = (): void => {
      if (run.over) return;
      this.#look(run).then(
        (finding) => {
          if (finding === 'gone') end(null);
          else clock.after(LOOK_MS, look);
        },
        (error: unknown) => end(faultOfError(error, `Fencing the server ${victim.server}`)),
      );
    };
    look();
  }

  #lateness({ victim, looked }: Run): string {
    const { server, incarnation } = victim;
    const killed = this.#killed.get(server);
    if (!looked)
      return `the state directory of ${server} does not answer: whether its process lives cannot be found out`;
    return killed?.incarnation === incarnation
      ? `process ${killed.pid} of ${server} was killed and is not gone: it hangs in a call to a disk`
      : `${server} is not gone: its lock is held, and by no process that can be seen from here`;
  }

  async #look(run: Run): Promise<Finding> {
    const { server } = run.victim;
    if (this.#looking.has(server)) return 'held';
    this.#looking.add(server);
    try {
      const finding = await this.#find(run.victim);
      run.looked = true;
      return finding;
    } finally {
      this.#looking.delete(server);
    }
  }

  async #find(victim: Victim): Promise<Finding> {
    const path = lockFileOf(this.#options.stateDirectories.get(victim.server) ?? '');
    const boot = await readBootId();
    try {
      const lock = await tryLockShared(path);
      lock?.release();
      if (lock !== null) return 'gone';
    } catch (error) {
      // Its state directory is gone, or was never used: there is nobody to be killed.
      if (error instanceof Fault && error.kind === 'missing') return 'gone';
      throw error;
    }
    const life = await readHeld(path);
    // Whoever holds the lock after the victim did is proof that the victim does not.
    if (life !== null && life.boot === boot && life.incarnation > victim.incarnation) return 'gone';
    if (life === null || life.boot !== boot || life.server !== victim.server || life.incarnation !== victim.incarnation)
      throw new Fault('refused', `the lock ${path} is held by somebody of whom it does not tell`);
    const killed = this.#killed.get(victim.server);
    if (killed?.incarnation !== victim.incarnation || killed.pid !== life.process)
      await this.#kill(victim, life.process, path);
    return 'held';
  }

  /** Kills the process that a held lock names, if it is that one that holds it. */
  async #kill({ server, incarnation }: Victim, pid: number, path: string): Promise<void> {
    const found = openProcess(pid);
    try {
      if (found === null || (await isEnding(pid))) return;
      if (!(await holds(pid, path))) {
        // Numbers of processes are used again, and mean others in another container.
        const why = `the lock ${path} is held, but not by a process ${pid} that can be seen from here`;
        throw new Fault('refused', why);
      }
      if (!found.kill()) return;
      this.#killed.set(server, { incarnation, pid });
      this.#options.killed(server, pid);
    } finally {
      found?.release();
    }
  }
}

/** It has ended but for threads that still hang in a call, or has not been waited for yet. */
async function isEnding(pid: number): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(nothingThere);
  return text === null || /^\d+ \(.*\) [ZX] /s.test(text);
}

/**
 * Whether that process holds the exclusive lock on the file. Only what holds a lock is looked at closely: other files of
 * it may lie on a disk that hangs, and so would we.
 */
async function holds(pid: number, path: string): Promise<boolean> {
  try {
    const file = await stat(path, { bigint: true });
    for (const fd of await readdir(`/proc/${pid}/fd`)) {
      const info = await readFile(`/proc/${pid}/fdinfo/${fd}`, 'latin1').catch(nothingThere);
      if (info === null || !/^lock:.*\bFLOCK +ADVISORY +WRITE\b/m.test(info)) continue;
      const open = await stat(join(`/proc/${pid}/fd`, fd), { bigint: true });
      if (open.dev === file.dev && open.ino === file.ino) return true;
    }
    return false;
  } catch (error) {
    throw new Fault('refused', `what process ${pid} has open cannot be seen: ${(error as Error).message}`, error);
  }
}

/** A process or a file of it that has gone meanwhile. */
function nothingThere(error: unknown): null {
  if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ESRCH') return null;
  throw error;
}

/**
 * A process that is meant, and no other that got its number later: the kernel's pidfd (pidfd_open(2),
 * pidfd_send_signal(2); Linux 5.3). What is found out between opening and killing is found out about the process that
 * is killed.
 */
import { closeSync } from 'node:fs';
import { codeOf, faultOfErrno } from './errno.ts';
import { libc } from './libc.ts';

/** The same on every architecture. */
const PIDFD_SEND_SIGNAL = 424;
const PIDFD_OPEN = 434;
const SIGKILL = 9;

/** One process, also after it has ended. */
export interface ProcessHandle {
  /** SIGKILL. False when it has ended already; throws Fault `refused` when this process may not, and others. */
  kill(): boolean;
  /** Lets go of the handle. Harmless for the process. */
  release(): void;
}

/** The process of that number; null when there is none. Throws a Fault where the kernel has no such handles. */
export function openProcess(pid: number): ProcessHandle | null {
  const fd = libc().syscallWithNumbers(PIDFD_OPEN, pid, 0, 0, 0);
  if (fd < 0) return failed(libc().errno(), `Finding process ${pid}`);
  return {
    kill: () =>
      libc().syscallWithNumbers(PIDFD_SEND_SIGNAL, fd, SIGKILL, 0, 0) >= 0 ||
      failed(libc().errno(), `Killing process ${pid}`) !== null,
    release: () => closeSync(fd),
  };
}

function failed(errno: number, what: string): null {
  if (codeOf(errno) === 'ESRCH') return null;
  throw faultOfErrno(errno, what);
}

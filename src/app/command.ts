/**
 * Runs the commands that an administrator configured (fence hooks, address hooks), bounded by a deadline. What a command
 * says by its exit code is believed; what it prints goes into the fault.
 */
import { spawn } from 'node:child_process';
import { Fault } from '../base/fault.ts';
import type { Done } from '../base/fault.ts';

/** How much of what a command says goes into the fault. */
const MOST_OUTPUT_CHARACTERS = 400;

export interface ConfiguredCommand {
  /** What it is for, in front of the command: `the fence command`. */
  readonly what: string;
  /** A line for `/bin/sh -c`, or a program with its arguments. */
  readonly run: string | readonly string[];
  /** Added to this process's own environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** A command that has not ended by then is killed with all its children, ms. */
  readonly deadlineMs: number;
}

/** Runs it. Faults: `timeout` at the deadline, `io` when it does not start or does not end with 0. */
export function runCommand({ what, run, environment, deadlineMs }: ConfiguredCommand, done: Done): void {
  const [program, ...args] = typeof run === 'string' ? ['/bin/sh', '-c', run] : run;
  const words = typeof run === 'string' ? run : run.join(' ');
  // A group of its own: at the deadline the command's children end with it.
  const child = spawn(program ?? '', args, {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let said = '';
  const listen = (chunk: string): void => {
    said = (said + chunk).slice(0, MOST_OUTPUT_CHARACTERS);
  };
  child.stdout.setEncoding('utf8').on('data', listen);
  child.stderr.setEncoding('utf8').on('data', listen);
  let settled = false;
  const settle = (fault: Fault | null): void => {
    if (settled) return;
    settled = true;
    clearTimeout(deadline);
    done(fault);
  };
  const deadline = setTimeout(() => {
    if (child.pid !== undefined) killGroup(child.pid);
    settle(new Fault('timeout', `${what} \`${words}\` did not end within ${deadlineMs / 1_000} s`));
  }, deadlineMs);
  child.on('error', (error) => settle(new Fault('io', `${what} \`${words}\` did not start: ${error.message}`, error)));
  let end: { readonly code: number | null; readonly signal: string | null } | null = null;
  const ended = (): void => {
    if (end === null || end.code === 0) return settle(null);
    const how = end.code === null ? `was ended by ${String(end.signal)}` : `failed with exit code ${end.code}`;
    settle(new Fault('io', `${what} \`${words}\` ${how}${said.trim() === '' ? '' : `: ${said.trim()}`}`));
  };
  child.on('exit', (code, signal) => {
    end = { code, signal };
    // What it said last may come a moment later; children that hold on to its output are not waited for.
    if (code === 0) ended();
    else setTimeout(ended, 50);
  });
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended in this moment.
  }
}

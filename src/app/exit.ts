/**
 * How a command ends: exit codes that mean something, and failures that are one clear sentence.
 */
import { Fault } from '../base/fault.ts';

/** Documented in docs/operating.md, "Exit codes". Never reuse a number. */
export const ExitCode = {
  /** Done. */
  ok: 0,
  /** It was tried and failed; of `check-config`: the file has mistakes; of `demo --once`: not every byte was there. */
  failed: 1,
  /** The command line or the configuration file is wrong; nothing was tried. */
  usage: 2,
  /** No server that could do it answers. */
  unreachable: 3,
  /** Understood and refused: the sentence says why; trying again changes nothing until that is mended. */
  refused: 4,
  /** A bug ended the process; its log has the stack. */
  bug: 70,
  /** A server's own store failed; it handed its volumes over and ended, so that a supervisor may start it afresh. */
  unfit: 75,
  /** A second signal ended the process before its orderly stop was done. */
  interrupted: 130,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** Ends a command: `message` is told to the person, `code` to the caller. Not a bug: no stack is shown. */
export class Failure extends Error {
  readonly code: ExitCode;

  constructor(code: ExitCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'Failure';
    this.code = code;
  }
}

/** The exit code that a fault amounts to. */
export function exitCodeOf(fault: Fault): ExitCode {
  switch (fault.kind) {
    case 'refused':
    case 'conflict':
    case 'missing':
    case 'moved':
    case 'corrupt':
      return ExitCode.refused;
    case 'retry':
    case 'timeout':
    case 'full':
    case 'io':
      return ExitCode.failed;
  }
}

/** A callback-style call as a promise; a fault rejects. */
export function settled<T>(call: (done: (fault: Fault | null, value: T | null) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    call((fault, value) => {
      if (fault === null) resolve(value as T);
      else reject(fault);
    });
  });
}

/** The same for calls without a result. */
export function done(call: (done: (fault: Fault | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    call((fault) => {
      if (fault === null) resolve();
      else reject(fault);
    });
  });
}

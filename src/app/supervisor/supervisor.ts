/**
 * The supervisor of one server: a small process that starts the server as its child, outlives it, tells the other
 * servers at once when it has ended (end-reports.ts), and starts it again. It touches nothing that the server works with,
 * so that what ends the server does not end it.
 *
 * - A signal is passed on: the server stops in order. A second one ends both at once.
 * - A start that is refused before the server was ever up ends the supervisor, with the same exit code: somebody is
 *   there to read why. Later ones are tried again.
 * - Should the supervisor be killed, the server goes on without one.
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import type { Incarnation } from '../../base/names.ts';
import type { Config, ServerConfig } from '../config/load.ts';
import { ExitCode } from '../exit.ts';
import { readClusterKey } from '../key.ts';
import type { Log } from '../log.ts';
import { openLog } from '../log.ts';
import { BackOff } from './back-off.ts';
import { readChildMessage, SUPERVISED } from './channel.ts';
import { EndReports } from './end-reports.ts';
import { SERVER_ENVIRONMENT, SERVER_NODE_OPTIONS } from './process-options.ts';

/** Before it ends, a supervisor gives the last report so long to arrive, ms. */
const LAST_REPORT_MS = 500;

/** What the supervisor does around a server's life beside starting it. */
export interface Surroundings {
  /** The server's process has ended: nothing of it may linger, such as addresses of its volumes. Never throws. */
  cleanUp(log: Log): Promise<void>;
}

/** Runs the server under supervision until it is told to stop; the result is the process's exit code. */
export function supervise(config: Config, server: ServerConfig, surroundings: Surroundings): Promise<ExitCode> {
  const log = openLog(server.name, process.stdout.isTTY === true);
  const reports = new EndReports(config, server, readClusterKey(config.keyFile), log);
  return new Promise((resolve) => {
    const end = (code: ExitCode): void => {
      log.flush();
      resolve(code);
    };
    new Supervisor(log, reports, surroundings, end).start();
  });
}

class Supervisor {
  readonly #log: Log;
  readonly #reports: EndReports;
  readonly #surroundings: Surroundings;
  readonly #end: (code: ExitCode) => void;
  readonly #backOff = new BackOff();
  #child: ChildProcess | null = null;
  #incarnation: Incarnation | null = null;
  /** When the present child took part in the cluster; null before. */
  #upSinceMs: number | null = null;
  #everUp = false;
  #signals = 0;
  #pause: NodeJS.Timeout | null = null;

  constructor(log: Log, reports: EndReports, surroundings: Surroundings, end: (code: ExitCode) => void) {
    this.#log = log;
    this.#reports = reports;
    this.#surroundings = surroundings;
    this.#end = end;
  }

  start(): void {
    process.on('SIGTERM', () => this.#signal('SIGTERM'));
    process.on('SIGINT', () => this.#signal('SIGINT'));
    process.on('SIGHUP', () => this.#child?.kill('SIGHUP'));
    // However this process ends by itself, whoever was started to end with it does.
    if (process.env['HOLDFAST_ENDS_WITH_PARENT'] === '1') process.on('exit', () => this.#child?.kill('SIGKILL'));
    this.#startChild();
  }

  #startChild(): void {
    this.#pause = null;
    this.#incarnation = null;
    this.#upSinceMs = null;
    const program = process.argv[1] ?? '';
    const child = fork(program, [...process.argv.slice(2), '--no-supervisor'], {
      // Its log goes where this one's does, and goes on when this process is gone.
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      // Ctrl-C in a terminal reaches the supervisor only, which passes it on once.
      detached: true,
      execArgv: [...SERVER_NODE_OPTIONS, ...process.execArgv],
      env: { ...SERVER_ENVIRONMENT, ...process.env, [SUPERVISED]: '1' },
    });
    this.#child = child;
    this.#log.note('supervisor.started', { pid: process.pid, process: child.pid ?? 0 });
    child.on('message', (value) => this.#heard(value));
    let over = false;
    const ended = (code: number | null, how: string): void => {
      if (over) return;
      over = true;
      this.#ended(code, how);
    };
    child.once('error', (error) => {
      // Also told when a signal could not be sent to a child that lives.
      if (child.pid === undefined) ended(ExitCode.failed, error.message);
    });
    child.once('exit', (code, signal) => ended(code, signal ?? `exit code ${String(code)}`));
  }

  #heard(value: unknown): void {
    const message = readChildMessage(value);
    switch (message?.holdfast) {
      case undefined:
        return;
      case 'alive':
        this.#incarnation = message.incarnation;
        return;
      case 'up':
        this.#upSinceMs = performance.now();
        this.#everUp = true;
        this.#reports.superseded();
    }
  }

  #ended(code: number | null, how: string): void {
    this.#child = null;
    const incarnation = this.#incarnation;
    if (incarnation !== null) this.#reports.ended(incarnation);
    void this.#surroundings.cleanUp(this.#log).then(() => this.#afterEnd(code, how, incarnation));
  }

  #afterEnd(code: number | null, how: string, incarnation: Incarnation | null): void {
    const last = this.#lastCode(code);
    if (last !== null) {
      this.#log.note('supervisor.ended', { how, incarnation, again: 'no' }, last === ExitCode.ok ? 'info' : 'warn');
      void this.#reports.flushed(LAST_REPORT_MS).then(() => this.#end(last));
      return;
    }
    const pauseMs = this.#backOff.ended(this.#upSinceMs === null ? 0 : performance.now() - this.#upSinceMs);
    this.#log.note('supervisor.ended', { how, incarnation, again: `in ${pauseMs} ms` });
    this.#pause = setTimeout(() => this.#startChild(), pauseMs);
  }

  /** The exit code with which this process ends too, or null when the server is started again. */
  #lastCode(code: number | null): ExitCode | null {
    const known = Object.values(ExitCode).find((one) => one === code);
    if (this.#signals > 1) return ExitCode.interrupted;
    if (this.#signals === 1) return known ?? ExitCode.failed;
    switch (known) {
      // Somebody told the server itself to stop, and it did.
      case ExitCode.ok:
      case ExitCode.interrupted:
        return known;
      case ExitCode.usage:
      case ExitCode.refused:
      case ExitCode.failed:
      case ExitCode.unreachable:
        return this.#everUp ? null : known;
      case ExitCode.bug:
      case ExitCode.unfit:
      case undefined:
        return null;
    }
  }

  #signal(signal: NodeJS.Signals): void {
    this.#signals += 1;
    const child = this.#child;
    if (child === null) {
      if (this.#pause === null) return;
      // It waits to start the server again: there is nothing to stop.
      clearTimeout(this.#pause);
      this.#pause = null;
      void this.#reports.flushed(LAST_REPORT_MS).then(() => this.#end(ExitCode.ok));
      return;
    }
    if (this.#signals === 1) {
      this.#log.note('supervisor.stopping', { signal });
      child.kill(signal);
    } else {
      this.#log.note('server.cut', { signal, why: 'a second signal' });
      child.kill('SIGKILL');
    }
  }
}

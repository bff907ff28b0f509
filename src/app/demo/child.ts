/**
 * The demo's servers: real `holdfast serve` processes, whose structured log is read line by line.
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';

/** One line of a server's log. */
export interface LogLine {
  readonly event: string;
  /** When it was written, ms since 1970 by this machine's clock: all of the demo runs on one. */
  readonly atMs: number;
  readonly fields: Readonly<Record<string, string | number | boolean | null>>;
}

/** Lines kept of each server, for the report of a failure. */
const KEPT_LINES = 40;

/** One server's process. */
export class ChildServer {
  readonly name: string;
  readonly #configFile: string;
  readonly #heard: (line: LogLine) => void;
  readonly #kept: string[] = [];
  #process: ChildProcess | null = null;
  #ended: Promise<string> = Promise.resolve('never started');

  constructor(name: string, configFile: string, heard: (line: LogLine) => void) {
    this.name = name;
    this.#configFile = configFile;
    this.#heard = heard;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** The last lines of its log. */
  get log(): readonly string[] {
    return this.#kept;
  }

  get running(): boolean {
    return this.#process !== null && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Starts the same program as this one. The channel ends the server should this process die without a word. */
  start(): void {
    const program = process.argv[1];
    if (program === undefined) throw new Error('broken invariant: the program knows its own file');
    // Without its supervisor: whoever looks on is to see the death, and says when the dead one returns.
    const args = ['serve', '--no-supervisor', '--config', this.#configFile, '--server', this.name];
    const child = fork(program, args, {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // Ctrl-C in the terminal reaches this process only: it ends the servers itself.
      detached: true,
      env: { ...process.env, HOLDFAST_ENDS_WITH_PARENT: '1' },
    });
    this.#process = child;
    this.#ended = new Promise((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('exit', (code, signal) => resolve(signal ?? `exit code ${String(code)}`));
    });
    if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', (text) => this.#line(text));
    if (child.stderr !== null) createInterface({ input: child.stderr }).on('line', (text) => this.#keep(text));
  }

  /** Sends the signal and waits until the process has ended; the result tells how. */
  async end(signal: NodeJS.Signals): Promise<string> {
    if (this.running) this.#process?.kill(signal);
    return this.#ended;
  }

  /** Resolves when the process ends, however it does. */
  get ended(): Promise<string> {
    return this.#ended;
  }

  /** For the very end: no waiting. */
  kill(): void {
    if (this.running) this.#process?.kill('SIGKILL');
  }

  #line(text: string): void {
    this.#keep(text);
    let value: Record<string, string | number | boolean | null>;
    try {
      value = JSON.parse(text) as Record<string, string | number | boolean | null>;
    } catch {
      return;
    }
    const { msg, time, ...fields } = value;
    if (typeof msg === 'string' && typeof time === 'string')
      this.#heard({ event: msg, atMs: Date.parse(time), fields });
  }

  #keep(text: string): void {
    this.#kept.push(text);
    if (this.#kept.length > KEPT_LINES) this.#kept.shift();
  }
}

/**
 * One server of a test's cluster: a real `holdfast serve` process and its log, line by line. It ends with the process
 * that runs the tests, however that ends. Unless a test asks for its supervisor, it runs without one, so that a server
 * that was killed stays dead until the test starts it again.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { repositoryRoot } from './programs.ts';

/** The command as it is shipped. */
export const PROGRAM = path.join(repositoryRoot(), 'bin', 'holdfast.cjs');

/** One line of a server's log. */
export interface LogLine {
  readonly event: string;
  /** Ms since 1970. */
  readonly atMs: number;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** How a process ended: its exit code, or the signal. */
export type End = number | NodeJS.Signals;

const MOST_LINES = 500_000;
const TAIL_LINES = 60;

/** Everything that runs now, for the end of the process. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class ServerProcess {
  readonly name: string;
  /** Lines of all its starts, the oldest first. */
  readonly lines: LogLine[] = [];
  /** The stack of an assertion that failed, at any start. */
  bug: string | null = null;
  frozen = false;
  readonly #config: string;
  readonly #logFile: string;
  readonly #changed: () => void;
  #child: ChildProcess | null = null;
  #ended: Promise<End> = Promise.resolve(0);
  /** Index of the first line of the present start. */
  #startLine = 0;

  readonly #supervised: boolean;
  readonly #user: { readonly uid?: number; readonly gid?: number };

  /** `user`: who it runs as, if not as the test does. */
  constructor(
    name: string,
    config: string,
    logFile: string,
    changed: () => void,
    supervised = false,
    user: { readonly uid?: number; readonly gid?: number } = {},
  ) {
    this.name = name;
    this.#user = user;
    this.#supervised = supervised;
    this.#config = config;
    this.#logFile = logFile;
    this.#changed = changed;
  }

  get running(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** How the present start ends. */
  get ended(): Promise<End> {
    return this.#ended;
  }

  start(): void {
    if (this.running) throw new Error(`${this.name} runs already`);
    this.#startLine = this.lines.length;
    const alone = this.#supervised ? [] : ['--no-supervisor'];
    const child = fork(PROGRAM, ['serve', '--config', this.#config, '--server', this.name, ...alone], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      execArgv: [],
      ...this.#user,
      env: { ...process.env, HOLDFAST_ENDS_WITH_PARENT: '1', NODE_OPTIONS: '' },
    });
    this.#child = child;
    this.frozen = false;
    running.add(child);
    this.#ended = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        running.delete(child);
        this.#changed();
        resolve(signal ?? code ?? -1);
      });
    });
    for (const stream of [child.stdout, child.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on('line', (text) => this.#line(text));
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** The process of the server itself, below its supervisor if it has one; 0 before the first start. */
  get pid(): number {
    if (!this.#supervised) return this.#child?.pid ?? 0;
    return Number(this.lines.findLast((line) => line.event === 'supervisor.started')?.fields['process'] ?? 0);
  }

  /** A signal to the server itself, not to its supervisor. */
  signalServer(signal: NodeJS.Signals): void {
    try {
      if (this.pid > 0) process.kill(this.pid, signal);
    } catch {
      // It has ended already.
    }
  }

  /** kill -9, of the supervisor as well; resolves when the processes are gone. */
  async kill(): Promise<void> {
    if (this.running) {
      this.signal('SIGKILL');
      if (this.#supervised) this.signalServer('SIGKILL');
    }
    await this.#ended;
    this.frozen = false;
  }

  /** SIGTERM; resolves with how it ended. */
  stop(): Promise<End> {
    this.signal('SIGTERM');
    return this.#ended;
  }

  freeze(): void {
    this.signalServer('SIGSTOP');
    this.frozen = true;
  }

  thaw(): void {
    this.signalServer('SIGCONT');
    this.frozen = false;
  }

  /** Number of lines so far, for `since`. */
  get mark(): number {
    return this.lines.length;
  }

  /** The lines of an event since a mark; the present start if left out. */
  all(event: string, since = this.#startLine): readonly LogLine[] {
    return this.lines.slice(since).filter((line) => line.event === event);
  }

  /** Whether it has told of an event since a mark; the present start if left out. */
  has(event: string, since = this.#startLine): boolean {
    return this.all(event, since).length > 0;
  }

  #line(text: string): void {
    appendFileSync(this.#logFile, `${text}\n`);
    this.lines.push(parse(text));
    const last = this.lines.at(-1);
    if (last?.event === 'process.bug') this.bug = text;
    if (this.lines.length > MOST_LINES) throw new Error(`${this.name} has logged more than ${MOST_LINES} lines`);
    this.#changed();
  }

  /** Its last lines, for a person. */
  tail(): string {
    const lines = this.lines.slice(-TAIL_LINES).map(({ event, atMs, fields }) => {
      const time = Number.isNaN(atMs) ? '' : new Date(atMs).toISOString().slice(11, 23);
      const rest = Object.entries(fields).map(
        ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
      );
      return `  ${time} ${event} ${rest.join(' ')}`;
    });
    return [`--- ${this.name}${this.running ? '' : ' (not running)'}`, ...lines].join('\n');
  }
}

function parse(text: string): LogLine {
  try {
    const { time, msg, level: _level, server: _server, ...fields } = JSON.parse(text) as Record<string, unknown>;
    if (typeof msg === 'string') return { event: msg, atMs: Date.parse(String(time)), fields };
  } catch {
    // A line that is not of the log, such as a crash's stack.
  }
  return { event: text, atMs: Number.NaN, fields: {} };
}

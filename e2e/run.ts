/** Runs other people's programs: to their end, or beside a test until it is told to stop. */
import { type ChildProcess, spawn } from 'node:child_process';
import { type Program, programPath } from './programs.ts';

/** How a program ended. */
export interface Outcome {
  /** The exit code; -1 when a signal ended it. */
  readonly code: number;
  /** Standard output and standard error, as they came. */
  readonly text: string;
}

const LONG_MS = 60_000;

/** A program that runs beside the test. */
export class Running {
  readonly child: ChildProcess;
  /** How it ends. */
  readonly ended: Promise<Outcome>;
  #text = '';
  #ended = false;

  constructor(file: string, args: readonly string[]) {
    this.child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.#text += text));
    }
    // A program that ended does not read its input any more.
    this.child.stdin?.on('error', () => undefined);
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (code) => {
        this.#ended = true;
        resolve({ code: code ?? -1, text: this.#text });
      });
    });
  }

  get running(): boolean {
    return !this.#ended;
  }

  /** What it has said so far. */
  get text(): string {
    return this.#text;
  }

  /** Ends it, at once if it does not end by itself soon. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Outcome> {
    if (this.running) this.child.kill(signal);
    const hard = setTimeout(() => this.child.kill('SIGKILL'), 5_000);
    try {
      return await this.ended;
    } finally {
      clearTimeout(hard);
    }
  }
}

/** Starts a program and does not wait for it. */
export const start = (program: Program, ...args: string[]): Running => new Running(programPath(program), args);

/** Runs a program to its end, whatever that is; one that takes too long is killed. */
export async function attempt(program: Program, ...args: string[]): Promise<Outcome> {
  const running = start(program, ...args);
  running.child.stdin?.end();
  const late = setTimeout(() => running.child.kill('SIGKILL'), LONG_MS);
  try {
    return await running.ended;
  } finally {
    clearTimeout(late);
  }
}

/** Runs a program that has to end with 0; what it said. */
export async function run(program: Program, ...args: string[]): Promise<string> {
  const { code, text } = await attempt(program, ...args);
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}: ${text}`);
  return text;
}

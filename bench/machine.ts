/**
 * What a benchmark needs of the machine: processes that end with it, free ports, scratch space on a real disk, and how
 * much of the processors others took meanwhile.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

export const HOST = '127.0.0.1';
const READY_MS = 30_000;
const STOP_MS = 3_000;
/** Clock ticks of /proc in one second: 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

const running = new Set<ChildProcess>();
const scratch = new Set<string>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  for (const directory of scratch) removeScratch(directory);
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130));

/** A directory that is gone when the benchmark ends. It should lie on the disk under test: TMPDIR chooses. */
export function scratchDirectory(): string {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'holdfast-bench-'));
  scratch.add(directory);
  return directory;
}

export function removeScratch(directory: string): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  scratch.delete(directory);
}

/** A server under test. */
export class Running {
  readonly child: ChildProcess;
  #text = '';
  readonly #ended: Promise<void>;

  constructor(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NODE_OPTIONS: '', ...env },
    });
    running.add(this.child);
    this.#ended = new Promise((resolve) => {
      this.child.once('error', (error) => {
        this.#text += `${error.message}\n`;
        running.delete(this.child);
        resolve();
      });
      this.child.once('close', () => {
        running.delete(this.child);
        resolve();
      });
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on('data', (text: Buffer) => {
        this.#text = (this.#text + text.toString('utf8')).slice(-20_000);
      });
    }
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }
  get isRunning(): boolean {
    return running.has(this.child);
  }
  /** The last of what it said. */
  get said(): string {
    return this.#text;
  }

  /** Waits until it has said `text`. */
  async until(text: string): Promise<void> {
    await waitFor(`"${text}"`, () => {
      if (!this.isRunning) throw new Error(`the server ended: ${this.#text}`);
      return this.#text.includes(text);
    });
  }

  signal(signal: NodeJS.Signals): void {
    if (this.isRunning) this.child.kill(signal);
  }

  /** kill -9, and gone. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.#ended;
  }

  /** Ends it in good order, or after a while by force. */
  async stop(): Promise<void> {
    this.signal('SIGTERM');
    const late = setTimeout(() => this.signal('SIGKILL'), STOP_MS);
    await this.#ended;
    clearTimeout(late);
  }
}

/** Looks again every few milliseconds until `look` says true. */
export async function waitFor(what: string, look: () => boolean | Promise<boolean>, mostMs = READY_MS): Promise<void> {
  const begunMs = performance.now();
  while (!(await look())) {
    if (performance.now() - begunMs > mostMs) throw new Error(`waited ${mostMs} ms in vain for ${what}`);
    await sleep(10);
  }
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until something listens on the port. */
export async function listens(port: number): Promise<void> {
  await waitFor(`something that listens on port ${port}`, async () => {
    return new Promise<boolean>((resolve) => {
      const socket = net.connect({ host: HOST, port });
      socket.once('connect', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
  });
}

/** Ports on which nothing listens now, below the range from which the system picks its own. */
export async function freePorts(number: number): Promise<number[]> {
  const found = new Set<number>();
  while (found.size < number) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const isFree = await new Promise<boolean>((resolve) => {
      const server = net.createServer().once('error', () => resolve(false));
      server.listen(port, HOST, () => server.close(() => resolve(true)));
    });
    if (isFree) found.add(port);
  }
  return [...found];
}

/** The full path of a program; null when it is not installed. */
export function findProgram(program: string): Promise<string | null> {
  return new Promise((resolve) => {
    execFile('/bin/sh', ['-c', `command -v ${program}`], (error, out) => resolve(error === null ? out.trim() : null));
  });
}

/**
 * Runs a program to its end and returns what it printed; throws with what it complained of. It ends with the benchmark:
 * a client whose servers are gone may wait for them for ever.
 */
export function output(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { maxBuffer: 16 << 20, timeout: 180_000, env: { ...process.env, ...env } };
    const child = execFile(command, args, options, (error, out, err) => {
      running.delete(child);
      if (error === null) resolve(out);
      else reject(new Error(`${path.basename(command)} ${args.join(' ')}: ${err || out || error.message}`));
    });
    running.add(child);
  });
}

/** How busy others keep the machine: all processes that do not descend from this one. */
export class Noise {
  #ticks = othersTicks();
  #atMs = performance.now();

  /** Share of all processors that others took since the last call, 0..1. */
  share(): number {
    const ticks = othersTicks();
    const nowMs = performance.now();
    const seconds = (nowMs - this.#atMs) / 1_000;
    const share = Math.max(0, ticks - this.#ticks) / TICKS_PER_SECOND / seconds / os.cpus().length;
    this.#ticks = ticks;
    this.#atMs = nowMs;
    return share;
  }
}

interface Usage {
  readonly parent: number;
  readonly ticks: number;
}

/** All processes, by id. */
function allProcesses(): Map<number, Usage> {
  const usages = new Map<number, Usage>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const text = readFileSync(`/proc/${name}/stat`, 'latin1');
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
      const ticks = [11, 12, 13, 14].reduce((sum, at) => sum + Number(fields[at]), 0);
      usages.set(Number(name), { parent: Number(fields[1]), ticks });
    } catch {
      // it ended meanwhile
    }
  }
  return usages;
}

/** Whether `pid` is `ancestor` or a process below it. */
function isBelow(usages: ReadonlyMap<number, Usage>, pid: number, ancestor: number): boolean {
  for (let at = pid; at > 1; at = usages.get(at)?.parent ?? 0) if (at === ancestor) return true;
  return false;
}

/** User and system time of all processes that are neither this one nor below it, their ended children included. */
function othersTicks(): number {
  const usages = allProcesses();
  // Whatever waits for this process holds the time of nothing but what ended: its own share is small.
  let sum = 0;
  for (const [pid, { ticks }] of usages) if (!isBelow(usages, pid, process.pid)) sum += ticks;
  return sum;
}

/** A process and all that descend from it. */
export function familyOf(pid: number): number[] {
  const usages = allProcesses();
  return [...usages.keys()].filter((one) => isBelow(usages, one, pid));
}

/** User and system time of one process so far, in seconds. */
export function secondsOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Resident memory of one process, in bytes, and the most it ever was. */
export function memoryOf(pid: number): { readonly now: number; readonly peak: number } {
  const text = readFileSync(`/proc/${pid}/status`, 'latin1');
  const kib = (key: string): number => Number(new RegExp(`${key}:\\s+(\\d+) kB`).exec(text)?.[1] ?? 0);
  return { now: kib('VmRSS') * 1024, peak: kib('VmHWM') * 1024 };
}

/** The machine in one line. */
export function machineLine(): string {
  const cpus = os.cpus();
  const memory = Math.round(os.totalmem() / 2 ** 30);
  return `${cpus.length} x ${cpus[0]?.model.trim() ?? 'unknown processor'}, ${memory} GiB, Linux ${os.release()}, Node ${process.version}`;
}

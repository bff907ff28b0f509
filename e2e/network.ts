/**
 * Machines of a test's own: network namespaces on one bridge, and programs in them. Nothing of this machine's network is
 * touched, and everything is gone with the test.
 */
import { execFileSync, spawn } from 'node:child_process';
import type { TestContext } from 'node:test';
import { needs } from './programs.ts';

let networks = 0;
const TAG = `hf${process.pid}`;

const ip = (...words: string[]): string => execFileSync('ip', words, { encoding: 'utf8', stdio: 'pipe' });

/** Whether this machine lets us make network namespaces; else the reason why the test is not run. */
export function networkReason(): string | false {
  const missing = needs(['ip'], { root: true });
  if (missing !== false) return missing;
  try {
    ip('netns', 'add', `${TAG}-probe`);
    ip('netns', 'del', `${TAG}-probe`);
    return false;
  } catch (error) {
    return `needs network namespaces, which this machine does not give: ${(error as Error).message.split('\n')[1] ?? ''}`;
  }
}

export interface Machine {
  readonly name: string;
  readonly namespace: string;
  readonly host: string;
}

/** A bridge with machines around it, gone with the test. */
export class Network {
  readonly #tag = `${TAG}${(networks += 1)}`;
  readonly #bridge = 'lan';
  readonly #machines: Machine[] = [];

  constructor(t: TestContext) {
    t.after(() => this.#remove());
    // The bridge has a namespace of its own, so that nothing of this machine's network is touched.
    ip('netns', 'add', `${this.#tag}-lan`);
    this.#lan('link', 'add', this.#bridge, 'type', 'bridge', 'forward_delay', '0');
    this.#lan('link', 'set', this.#bridge, 'up');
  }

  /** `host` is its IPv4 address, `six` an IPv6 one if it is to have one. */
  machine(name: string, host: string, six?: string): Machine {
    const namespace = `${this.#tag}-${name}`;
    const machine = { name, namespace, host };
    this.#machines.push(machine);
    ip('netns', 'add', namespace);
    ip(
      '-n',
      namespace,
      'link',
      'add',
      'eth0',
      'type',
      'veth',
      'peer',
      'name',
      `port-${name}`,
      'netns',
      `${this.#tag}-lan`,
    );
    ip('-n', namespace, 'addr', 'add', `${host}/24`, 'dev', 'eth0');
    if (six !== undefined) ip('-n', namespace, 'addr', 'add', `${six}/64`, 'dev', 'eth0', 'nodad');
    ip('-n', namespace, 'link', 'set', 'lo', 'up');
    ip('-n', namespace, 'link', 'set', 'eth0', 'up');
    this.#lan('link', 'set', `port-${name}`, 'master', this.#bridge, 'up');
    return machine;
  }

  /** Pulls the machine's cable, or plugs it in again. */
  cable({ name }: Machine, state: 'up' | 'down'): void {
    this.#lan('link', 'set', `port-${name}`, state);
  }

  /** What the machine knows of who has `address` on the network. */
  neighbour({ namespace }: Machine, address: string): string {
    return ip('-n', namespace, 'neigh', 'show', 'to', address, 'dev', 'eth0');
  }

  hardware({ namespace }: Machine): string {
    return /link\/ether ([0-9a-f:]+)/.exec(ip('-n', namespace, 'link', 'show', 'dev', 'eth0'))?.[1] ?? '';
  }

  addresses({ namespace }: Machine): string {
    return ip('-n', namespace, '-o', 'addr', 'show', 'dev', 'eth0');
  }

  #lan(...words: string[]): void {
    ip('-n', `${this.#tag}-lan`, ...words);
  }

  #remove(): void {
    for (const namespace of [...this.#machines.map((machine) => machine.namespace), `${this.#tag}-lan`]) {
      try {
        ip('netns', 'del', namespace);
      } catch {
        // It was never made.
      }
    }
  }
}

/** A program in a machine, and what it says. */
export class Program {
  readonly child;
  out = '';
  readonly ended: Promise<number | NodeJS.Signals>;

  constructor(machine: Machine, args: readonly string[]) {
    this.child = spawn('ip', ['netns', 'exec', machine.namespace, process.execPath, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    this.child.stdout.setEncoding('utf8').on('data', (text: string) => (this.out += text));
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => (this.out += text));
    this.ended = new Promise((resolve) => this.child.once('close', (code, signal) => resolve(signal ?? code ?? -1)));
  }

  /** The newest server process that its supervisor told of. */
  get server(): number {
    const pids = [...this.out.matchAll(/"process":(\d+),"msg":"supervisor\.started"/g)];
    return Number(pids.at(-1)?.[1] ?? 0);
  }

  signalServer(signal: NodeJS.Signals): void {
    try {
      if (this.server > 0) process.kill(this.server, signal);
    } catch {
      // It has ended already.
    }
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    this.signalServer('SIGKILL');
    await this.ended;
  }
}

/**
 * A client that trusts nobody: several NBD connections that write, zero, trim and read overlapping ranges of one volume
 * at once, reconnect when they are cut off, and hand everything they saw to a judge (history.ts). It shares no code with
 * the server but the numbers of the protocol document.
 *
 * A write that was not answered when its connection ended is abandoned, or sent again under a new number: to the server
 * it is the same. What was abandoned because the server closed the connection cannot take effect any more once a
 * connection that was opened later has been answered; what was abandoned by this client only when the test says so.
 */
import { readFile } from 'node:fs/promises';
import { connect, type NbdClient, NbdReplyError } from '../suites/nbd-client.ts';
import type { Cluster } from './cluster.ts';
import { History, SECTOR_BYTES, type Write } from './history.ts';
import { Line, type Place, sleep } from './line.ts';
import { Prng } from './prng.ts';

export interface OracleOptions extends Place {
  readonly seed: number;
  /** NBD connections. Defaults to 3. */
  readonly connections?: number;
  /** Requests in flight over all connections. Defaults to 32. */
  readonly depth?: number;
  /** Requests per second over all connections, about. Defaults to 3000. */
  readonly pace?: number;
  /** "No space left" is an answer that clients may get: the medium is filled. */
  readonly mayBeFull?: boolean;
  /** An I/O error is an answer that clients may get: every way to the medium fails. */
  readonly mayFail?: boolean;
  /** A connection on which nothing was answered for so long is given up by the client. Defaults to never. */
  readonly patienceMs?: number;
}

/** Largest request of the workload, in sectors. */
const MOST_SECTORS = 64;
/** The first sectors, on which a third of all requests fall. */
const HOT_SECTORS = 48;
const READ_BYTES = 1 << 20;
/** The protocol's numbers of "no space left" and of an I/O error. */
const ENOSPC = 28;
const EIO = 5;
/** Longest wait for everything under way to be answered. */
const SETTLE_MS = 60_000;
/** A load that fell behind by so much does not try to make up for it. */
const BEHIND_MS = 200;

export class Oracle {
  readonly history: History;
  /** Errors that the server answered with. A client that reconnects must never see one. */
  readonly errors: string[] = [];
  readonly counts = { written: 0, read: 0, abandoned: 0, resent: 0, full: 0, failed: 0 };
  readonly #options: Required<OracleOptions>;
  readonly #chance: Prng;
  readonly #lines: Line[];
  readonly #lanes: Promise<void>[] = [];
  readonly #patience: NodeJS.Timeout | null;
  #running = false;
  #closed = false;
  #acknowledgedMs = performance.now();
  #pauseMs = 0;
  #paceStartMs = 0;
  #paced = 0;
  #waiters: { readonly count: number; readonly resolve: () => void }[] = [];

  private constructor(options: Required<OracleOptions>, sizeBytes: number) {
    this.#options = options;
    this.#chance = new Prng(options.seed);
    this.history = new History(sizeBytes / SECTOR_BYTES, options.seed);
    const settled = (writes: readonly Write[]): void => {
      const moment = this.history.now();
      for (const write of writes) this.history.bounded(write, moment);
    };
    this.#lines = Array.from({ length: options.connections }, () => new Line(options, settled));
    const { patienceMs } = options;
    this.#patience =
      patienceMs === Infinity
        ? null
        : setInterval(() => this.#lines.forEach((line) => line.lookForSilence(patienceMs)), patienceMs / 8);
  }

  /** Connects to a volume that holds only zeroes; nothing is sent before `run`. */
  static async open(options: OracleOptions): Promise<Oracle> {
    const all = {
      connections: 3,
      depth: 32,
      pace: 3_000,
      patienceMs: Infinity,
      mayBeFull: false,
      mayFail: false,
      ...options,
    };
    const first = await connectAny(all);
    await first.disconnect();
    return new Oracle(all, first.sizeBytes);
  }

  /** Writes and reads answered since the beginning. */
  get answered(): number {
    return this.counts.written + this.counts.read;
  }

  /** Connections made since the beginning. */
  get connects(): number {
    return this.#lines.reduce((sum, line) => sum + line.connects, 0);
  }

  /** Starts the load, or goes on with it. */
  run(): void {
    if (this.#running) return;
    this.#running = true;
    this.#acknowledgedMs = performance.now();
    this.#pauseMs = 0;
    this.#paceStartMs = performance.now();
    this.#paced = 0;
    for (let lane = 0; lane < this.#options.depth; lane += 1) {
      this.#lanes.push(this.#lane(this.#lines[lane % this.#lines.length] as Line));
    }
  }

  /** Resolves when `count` more requests have been answered. */
  more(count: number): Promise<void> {
    return new Promise((resolve) => this.#waiters.push({ count: this.answered + count, resolve }));
  }

  /** The longest time without an acknowledged write since `run` or the last call, ms: what clients felt of a failover. */
  takePauseMs(): number {
    const longest = Math.max(this.#pauseMs, this.#running ? performance.now() - this.#acknowledgedMs : 0);
    this.#pauseMs = 0;
    return Math.round(longest);
  }

  /** From now on nothing that this client itself gave up can take effect: a later owner has answered. */
  nothingIsLate(): void {
    const moment = this.history.now();
    for (const line of this.#lines) for (const write of line.givenUp.splice(0)) this.history.bounded(write, moment);
  }

  /** Sends nothing new; resolves when all that is under way is answered or abandoned. */
  async pause(): Promise<void> {
    this.#running = false;
    await within(Promise.all(this.#lanes.splice(0)), SETTLE_MS, 'requests under way were not all answered');
  }

  /** Pauses the load, reads the whole volume, judges everything since the last verification. Gives what it read. */
  async verify(): Promise<Buffer> {
    await this.pause();
    const content = Buffer.alloc(this.history.sectors * SECTOR_BYTES);
    for (let at = 0; at < content.length; at += READ_BYTES) {
      const piece = await this.#readAgain(at / SECTOR_BYTES, Math.min(READ_BYTES, content.length - at) / SECTOR_BYTES);
      piece.copy(content, at);
    }
    this.history.conclude(content);
    const wrong = [...this.errors, this.history.report()].filter((text) => text !== null);
    if (wrong.length > 0)
      throw new Error(`seed ${this.#options.seed}: clients saw what must not be:\n${wrong.join('\n')}`);
    return content;
  }

  /** Ends every connection. */
  async close(): Promise<void> {
    this.#running = false;
    this.#closed = true;
    if (this.#patience !== null) clearInterval(this.#patience);
    for (const line of this.#lines) line.close();
    await Promise.allSettled(this.#lanes.splice(0));
  }

  // ---- the load ---------------------------------------------------------------------------------------------------------

  async #lane(line: Line): Promise<void> {
    while (this.#running) {
      await this.#turn();
      if (!this.#running) return;
      const roll = this.#chance.below(100);
      const [first, count] = this.#range();
      if (roll < 60) await this.#modify(line, first, count, 'write');
      else if (roll < 64) await this.#modify(line, first, count, 'zero');
      else if (roll < 67) await this.#modify(line, first, count, 'trim');
      else if (roll < 70) await this.#ask(line, (client) => client.flush(), null);
      else await this.#read(line, first, count);
    }
  }

  #range(): readonly [number, number] {
    const count = this.#chance.chance(70) ? this.#chance.between(1, 8) : this.#chance.between(1, MOST_SECTORS);
    const room = this.#chance.chance(33) ? HOT_SECTORS + MOST_SECTORS : this.history.sectors;
    return [this.#chance.below(room - count + 1), count];
  }

  /** Waits for one's turn in the pace. */
  async #turn(): Promise<void> {
    const waitMs = this.#paceStartMs + (this.#paced * 1_000) / this.#options.pace - performance.now();
    this.#paced += 1;
    if (waitMs > 1) await sleep(waitMs);
    else if (waitMs < -BEHIND_MS) this.#paceStartMs -= waitMs;
  }

  async #modify(line: Line, first: number, count: number, kind: 'write' | 'zero' | 'trim'): Promise<void> {
    const offset = first * SECTOR_BYTES;
    const length = count * SECTOR_BYTES;
    for (let again = false; !this.#closed; again = true) {
      const write = this.history.begin(first, count, kind !== 'write');
      const fua = this.#chance.chance(10);
      const request = (client: NbdClient): Promise<void> => {
        if (kind === 'write') return client.write(offset, this.history.data(write, first, count), { fua });
        if (kind === 'trim') return client.trim(offset, length, { fua });
        return client.writeZeroes(offset, length, { fua });
      };
      if (await this.#ask(line, request, write)) {
        this.#acknowledged(write);
        if (again) this.counts.resent += 1;
        return;
      }
      this.counts.abandoned += 1;
      if (this.#chance.chance(50)) return;
    }
  }

  #acknowledged(write: Write): void {
    this.history.acknowledged(write);
    const now = performance.now();
    this.#pauseMs = Math.max(this.#pauseMs, now - this.#acknowledgedMs);
    this.#acknowledgedMs = now;
    this.counts.written += 1;
    this.#wake();
  }

  async #read(line: Line, first: number, count: number): Promise<Buffer | null> {
    const begin = this.history.now();
    let data: Buffer | null = null;
    await this.#ask(
      line,
      async (client) => {
        data = await client.read(first * SECTOR_BYTES, count * SECTOR_BYTES);
        this.history.read(first, data, begin);
        this.counts.read += 1;
        this.#wake();
      },
      null,
    );
    return data;
  }

  async #readAgain(first: number, count: number): Promise<Buffer> {
    while (!this.#closed && this.errors.length === 0) {
      const data = await this.#read(this.#lines[0] as Line, first, count);
      if (data !== null) return data;
    }
    throw new Error(`the volume could not be read: ${this.errors.join('\n')}`);
  }

  async #ask(line: Line, request: (client: NbdClient) => Promise<void>, write: Write | null): Promise<boolean> {
    try {
      return await line.ask(request, write);
    } catch (error) {
      if (!(error instanceof NbdReplyError)) throw error;
      if (this.#options.mayBeFull && error.error === ENOSPC) this.counts.full += 1;
      else if (this.#options.mayFail && error.error === EIO) this.counts.failed += 1;
      else this.errors.push(error.message);
      return false;
    }
  }

  #wake(): void {
    while (this.#waiters[0] !== undefined && this.#waiters[0].count <= this.answered) this.#waiters.shift()?.resolve();
  }
}

/** A verifying client of one of the cluster's volumes, once that is served; ended with the cluster. */
export async function oracleOn(
  cluster: Cluster,
  seed: number,
  volume = 'disk',
  more: Partial<OracleOptions> = {},
): Promise<Oracle> {
  await cluster.untilServed(volume);
  const { host, ports, name } = cluster.volume(volume);
  const oracle = await Oracle.open({ host, ports, exportName: name, seed, ...more });
  cluster.onEnd(() => oracle.close());
  return oracle;
}

/** Compares a volume's drained image with what `verify` read, byte for byte. */
export async function compareImage(content: Buffer, image: string): Promise<void> {
  const kept = await readFile(image);
  if (kept.length !== content.length) throw new Error(`${image} has ${kept.length} bytes, not ${content.length}`);
  for (let at = 0; at < content.length; at += SECTOR_BYTES) {
    if (kept.compare(content, at, at + SECTOR_BYTES, at, at + SECTOR_BYTES) === 0) continue;
    throw new Error(`${image} differs from what the volume answers, first in sector ${at / SECTOR_BYTES}`);
  }
}

/** Where each server has an address of its own, one of them serves. */
async function connectAny({ host, ports, exportName }: Place): Promise<NbdClient> {
  let refused: unknown = new Error('there is no port to connect to');
  for (const port of ports) {
    try {
      return await connect(host, port, exportName);
    } catch (error) {
      refused = error;
    }
  }
  throw refused;
}

async function within<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

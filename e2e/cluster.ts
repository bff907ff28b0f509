/**
 * A real cluster for tests: a configuration in a temporary directory, volumes made by the real command, `holdfast serve`
 * processes that can be killed, frozen, stopped and started again, and links that can be cut. Waiting is looking again
 * whenever a server logs something, with a deadline. Whatever happens, nothing of it is left; when a test fails, the last
 * lines of every server are printed.
 *
 *     clusterTest('...', {}, async (cluster) => { await cluster.startAll(); await cluster.untilInSync(); ... });
 */
import { execFile } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { chownSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { AdminClient } from '../src/app/admin/client.ts';
import type { ServerStatus, VolumeStatus } from '../src/core/status.ts';
import { type ClusterOptions, HOST, must, type Plan, planOf, type Volume } from './cluster-config.ts';
import { PROGRAM, ServerProcess } from './server-process.ts';
import type { Wire } from './wire.ts';

export interface TestOptions extends ClusterOptions {
  /** Longest time the test may take, ms. Defaults to 90 s. */
  readonly deadlineMs?: number;
  readonly skip?: string | false;
  /** Done before the volumes are made, such as mounting what the configuration names. */
  readonly prepare?: () => Promise<unknown>;
  /** It runs, and is known to fail: why. */
  readonly todo?: string;
}

/** How a command ended. */
export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const WAIT_MS = 30_000;
const LOOK_MS = 100;
const ROUND_MS = 30_000;
const KEEP = process.env['HOLDFAST_E2E_KEEP'] === '1';

/** A test with a cluster of its own that has its volumes and no running server. */
export function clusterTest(
  name: string,
  options: TestOptions,
  body: (cluster: Cluster, t: TestContext) => Promise<void>,
): void {
  // A long run has more rounds, and time for them.
  const deadlineMs = (options.deadlineMs ?? 90_000) + rounds(0) * ROUND_MS;
  test(name, { skip: options.skip ?? false, todo: options.todo ?? false, timeout: deadlineMs + 30_000 }, async (t) => {
    const cluster = await Cluster.make(options);
    let late: NodeJS.Timeout | undefined;
    try {
      const deadline = new Promise<never>((_resolve, reject) => {
        late = setTimeout(() => reject(new Error(`the test did not end within ${deadlineMs} ms`)), deadlineMs);
      });
      const whole = async (): Promise<void> => {
        await options.prepare?.();
        await cluster.createVolumes();
        await body(cluster, t);
      };
      await Promise.race([whole(), deadline]);
      cluster.mustBeFreeOfBugs();
    } catch (error) {
      for (const line of cluster.tails().split('\n')) t.diagnostic(line);
      throw error;
    } finally {
      clearTimeout(late);
      await cluster.end();
    }
  });
}

export class Cluster {
  readonly directory: string;
  readonly volumes: ReadonlyMap<string, Volume>;
  readonly servers: ReadonlyMap<string, ServerProcess>;
  /** The link's wires from one server to another, by path, when the test asked for wires. */
  readonly wires: readonly Wire[];
  readonly #clients: ReadonlyMap<string, AdminClient>;
  readonly #configs: ReadonlyMap<string, string>;
  readonly #ownCoordinator: boolean;
  /** Who servers and commands run as. */
  readonly #user: { readonly uid?: number; readonly gid?: number };
  readonly #cleanups: (() => Promise<void>)[] = [];
  #changed: (() => void)[] = [];

  private constructor(directory: string, plan: Plan, wires: readonly Wire[], options: ClusterOptions) {
    const supervised = options.supervised === true;
    this.#ownCoordinator = options.medium?.coordinator !== undefined;
    const user = options.user === undefined ? {} : { uid: options.user, gid: options.user };
    this.#user = user;
    this.directory = directory;
    this.wires = wires;
    this.volumes = plan.volumes;
    this.#configs = plan.configs;
    const key = Buffer.from(readFileSync(path.join(directory, 'cluster.key'), 'utf8').trim());
    this.#clients = new Map(
      [...plan.adminPorts].map(([name, port]) => [name, new AdminClient({ host: HOST, port }, key, 2_000)]),
    );
    const changed = (): void => {
      const waiting = this.#changed;
      this.#changed = [];
      for (const wake of waiting) wake();
    };
    this.servers = new Map(
      [...plan.configs].map(([name, config]) => [
        name,
        new ServerProcess(name, config, path.join(directory, `${name}.log`), changed, supervised, user),
      ]),
    );
  }

  static async make(options: ClusterOptions = {}): Promise<Cluster> {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'holdfast-e2e-'));
    const { plan, wires } = await planOf(directory, options);
    const { user } = options;
    if (user !== undefined) {
      for (const name of ['', ...readdirSync(directory)]) chownSync(path.join(directory, name), user, user);
    }
    return new Cluster(directory, plan, wires, options);
  }

  server(name: string): ServerProcess {
    return must(this.servers.get(name), `server ${name}`);
  }

  volume(name = 'disk'): Volume {
    return must(this.volumes.get(name), `volume ${name}`);
  }

  /** A configuration file of the cluster, for programs that are given one. */
  get configFile(): string {
    return must([...this.#configs.values()][0], 'a configuration');
  }

  /** Done when the cluster ends, before its servers do; the last one added is done first. */
  onEnd(cleanup: () => Promise<void>): void {
    this.#cleanups.unshift(cleanup);
  }

  // ---- commands -----------------------------------------------------------------------------------------------------------

  /** Runs `holdfast` to its end. */
  run(...args: string[]): Promise<Ended> {
    return new Promise((resolve) => {
      execFile(
        process.execPath,
        [PROGRAM, ...args, '--config', this.configFile],
        { timeout: 60_000, maxBuffer: 16 << 20, ...this.#user },
        (error, out, err) =>
          resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, out, err }),
      );
    });
  }

  /** Runs `holdfast`, which must end with 0. */
  async command(...args: string[]): Promise<string> {
    const ended = await this.run(...args);
    if (ended.code !== 0)
      throw new Error(`holdfast ${args.join(' ')} ended with ${ended.code}: ${ended.out}${ended.err}`);
    return ended.out;
  }

  async createVolumes(): Promise<void> {
    const coordinator = this.#ownCoordinator ? ['--create-coordinator'] : [];
    for (const name of this.volumes.keys())
      await this.command('volume', 'create', name, '--create-medium', ...coordinator);
  }

  // ---- waiting ------------------------------------------------------------------------------------------------------------

  async startAll(): Promise<void> {
    for (const server of this.servers.values()) server.start();
    for (const name of this.servers.keys()) await this.untilUp(name);
  }

  /** What a server says of itself; null while it does not answer. */
  async status(name: string): Promise<ServerStatus | null> {
    if (!this.server(name).running || this.server(name).frozen) return null;
    try {
      return (await must(this.#clients.get(name), name).status()).status;
    } catch {
      return null;
    }
  }

  /** What each server that answers says of a volume. */
  async views(volume = 'disk'): Promise<Map<string, VolumeStatus>> {
    const views = new Map<string, VolumeStatus>();
    await Promise.all(
      [...this.servers.keys()].map(async (name) => {
        const found = (await this.status(name))?.volumes.find((one) => one.volume === volume);
        if (found !== undefined) views.set(name, found);
      }),
    );
    return views;
  }

  /** Looks again whenever a server has logged something until `look` gives a value; fails after `deadlineMs`. */
  async until<T>(what: string, look: () => T | Promise<T>, deadlineMs = WAIT_MS): Promise<NonNullable<T>> {
    const startedMs = performance.now();
    for (;;) {
      const found = await look();
      if (found !== null && found !== undefined && found !== false) return found;
      for (const server of this.servers.values()) {
        if (server.bug !== null) throw new Error(`while waiting until ${what}: a bug ended ${server.name}`);
      }
      const restMs = deadlineMs - (performance.now() - startedMs);
      if (restMs <= 0) throw new Error(`waited ${deadlineMs} ms in vain until ${what}; now: ${await this.#nowText()}`);
      await this.#change(Math.min(restMs, LOOK_MS));
    }
  }

  #change(atMostMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, atMostMs);
      this.#changed.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  async untilUp(name: string): Promise<void> {
    const server = this.server(name);
    await this.until(`${name} is up`, () => {
      if (!server.running) throw new Error(`${name} ended instead of starting`);
      return server.has('server.started');
    });
  }

  /** The server that serves the volume, once there is one; `only` when it has to be that one. */
  async untilServed(volume = 'disk', only?: string): Promise<string> {
    return this.until(`${only ?? 'somebody'} serves ${volume}`, async () => {
      for (const [name, view] of await this.views(volume)) {
        if (view.serving && (only === undefined || only === name)) return name;
      }
      return null;
    });
  }

  /** The owner's view once the volume is served and the mirror in sync; `owner` when it has to be that one. */
  async untilInSync(
    volume = 'disk',
    owner?: string,
    deadlineMs = WAIT_MS,
  ): Promise<{ readonly owner: string; readonly partner: string }> {
    const what = `${volume} is in sync${owner === undefined ? '' : ` with ${owner} as its owner`}`;
    const look = async (): Promise<{ readonly owner: string; readonly partner: string } | null> => {
      for (const [name, view] of await this.views(volume)) {
        if (!view.serving || view.mirror !== 'in-sync' || view.partner === null) continue;
        if (owner === undefined || owner === name) return { owner: name, partner: view.partner };
      }
      return null;
    };
    return this.until(what, look, deadlineMs);
  }

  /** Everything accepted is on the synced medium. */
  async untilDrained(volume = 'disk'): Promise<void> {
    await this.until(`${volume} is drained`, async () => {
      return [...(await this.views(volume)).values()].some((view) => view.serving && view.undestagedBytes === 0);
    });
  }

  async #nowText(): Promise<string> {
    const volumes = [...this.volumes.keys()].map(async (volume) => {
      const views = [...(await this.views(volume))].map(([name, view]) => {
        const { role, serving, mirror, epoch, why, waitingRequests, undestagedBytes, loss } = view;
        return `${name} ${JSON.stringify({ role, serving, mirror, epoch, why, waitingRequests, undestagedBytes, loss })}`;
      });
      return `${volume}: ${views.join(', ')}`;
    });
    return (await Promise.all(volumes)).join('; ');
  }

  // ---- the end ------------------------------------------------------------------------------------------------------------

  /** An assertion that failed in any server, at any time, fails the test. */
  mustBeFreeOfBugs(): void {
    for (const server of this.servers.values()) {
      if (server.bug !== null) throw new Error(`a bug ended ${server.name}: ${server.bug}`);
    }
  }

  /** The last lines of every server. */
  tails(): string {
    return [...this.servers.values()].map((server) => server.tail()).join('\n');
  }

  async end(): Promise<void> {
    for (const cleanup of this.#cleanups) {
      await cleanup().catch((error: unknown) => process.stderr.write(`cleaning up: ${String(error)}\n`));
    }
    await Promise.all([...this.servers.values()].map((server) => server.kill()));
    for (const wire of this.wires) wire.close();
    if (KEEP) process.stderr.write(`kept: ${this.directory}\n`);
    else rmSync(this.directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}

/** Rounds of the tests that repeat themselves: HOLDFAST_E2E_ROUNDS, or `usual`. */
export function rounds(usual: number): number {
  const wanted = Number(process.env['HOLDFAST_E2E_ROUNDS'] ?? usual);
  return Number.isInteger(wanted) && wanted > 0 ? wanted : usual;
}

/** The seed of a test: HOLDFAST_E2E_SEED, or a new one; it is printed. */
export function seedFor(t: TestContext): number {
  const given = process.env['HOLDFAST_E2E_SEED'];
  const seed = given === undefined ? randomInt(2 ** 32) : Number(given) >>> 0;
  t.diagnostic(`seed ${seed} (HOLDFAST_E2E_SEED=${seed} repeats the choices)`);
  return seed;
}

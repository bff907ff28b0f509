/**
 * A medium that can fail under real servers. An image is shown to each server by a chain of its own (nbdkit with the error
 * filter, nbdfuse over the image's file), so that one server's way to it can fail (EIO) or hang (a stopped nbdkit) while
 * the other's works; the data behind both is the same.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Cluster, clusterTest, seedFor, type TestOptions } from './cluster.ts';
import { type ClusterOptions, must } from './cluster-config.ts';
import { sleep } from './line.ts';
import { needs } from './programs.ts';
import { type Running, start } from './run.ts';

const MIB = 1 << 20;
const SIZE = 16 * MIB;
/** Why ways cannot be laid here, or false. */
export const WAYS_SKIP = needs(['nbdkit', 'nbdfuse', 'fusermount3', 'umount'], { root: true, devices: ['/dev/fuse'] });

/** How often it is looked whether a way was torn down. */
const KEEP_MS = 300;

/** One server's way to the image. While the file `broken` is there, what goes this way fails with EIO. */
export class Way {
  /** As the server sees it. */
  readonly image: string;
  readonly #data: string;
  readonly #broken: string;
  readonly #socket: string;
  readonly #pidFile: string;
  #nbdkit: Running | null = null;
  #nbdfuse: Running | null = null;

  /** `data` is the image's file, `shown` the file over which this server sees it. */
  constructor(data: string, shown: string) {
    this.image = shown;
    this.#data = data;
    const folder = path.dirname(shown);
    this.#broken = path.join(folder, 'broken');
    this.#socket = path.join(folder, 'socket');
    this.#pidFile = pidFileOf(shown);
  }

  async open(): Promise<void> {
    rmSync(this.#socket, { force: true });
    writeFileSync(this.image, '');
    const errors = ['error=EIO', 'error-rate=100%', `error-file=${this.#broken}`];
    const kit = start('nbdkit', '-f', '-U', this.#socket, '--filter=error', 'file', this.#data, ...errors);
    this.#nbdkit = kit;
    writeFileSync(this.#pidFile, String(kit.child.pid));
    let fuse: Running | null = null;
    for (let look = 0; look < 500; look += 1) {
      if (!kit.running) throw new Error(`nbdkit ended: ${kit.text}`);
      if (existsSync(this.#socket)) fuse ??= start('nbdfuse', this.image, `nbd+unix:///?socket=${this.#socket}`);
      this.#nbdfuse = fuse;
      if (fuse?.running === false) throw new Error(`nbdfuse ended: ${fuse.text}`);
      if (statSync(this.image).size === SIZE) return;
      await sleep(20);
    }
    throw new Error('the image is not shown');
  }

  fail(): void {
    writeFileSync(this.#broken, '');
  }

  hang(): void {
    this.#nbdkit?.child.kill('SIGSTOP');
  }

  /** Something has ended it: a fence. */
  get isDown(): boolean {
    return this.#nbdkit?.running !== true || this.#nbdfuse?.running !== true;
  }

  heal(): void {
    rmSync(this.#broken, { force: true });
    this.#nbdkit?.child.kill('SIGCONT');
  }

  async end(): Promise<void> {
    try {
      execFileSync('umount', ['-l', this.image], { stdio: 'ignore' });
    } catch {
      // It was never mounted.
    }
    await this.#nbdfuse?.stop();
    await this.#nbdkit?.stop();
  }

  /** Shown anew, after something has torn it down. */
  async reopen(): Promise<void> {
    await this.end();
    await this.open();
  }
}

/** Where a way keeps the number of the process that a fence has to end: beside what the server sees. */
const pidFileOf = (shown: string): string => path.join(path.dirname(shown), 'nbdkit.pid');

/** Each server's way to one image. */
export class Ways {
  /** The image's own file. */
  readonly image: string;
  readonly #directory: string;
  readonly #ways: ReadonlyMap<string, Way>;

  /** `directory` is empty, and removed by whoever made it. */
  constructor(directory: string, servers: readonly string[]) {
    this.#directory = directory;
    this.image = path.join(directory, 'disk.img');
    for (const server of servers) mkdirSync(path.join(directory, server));
    this.#ways = new Map(servers.map((server) => [server, new Way(this.image, this.#at(server))]));
  }

  #at(server: string): string {
    return path.join(this.#directory, server, 'disk.img');
  }

  /** What the cluster's configuration says of it. `fenced`: commands that take a server's way from it. */
  options(fenced: boolean, lines: readonly string[] = []): ClusterOptions {
    const fence = (server: string): readonly string[] => [`fence = "kill -9 $(cat ${pidFileOf(this.#at(server))})"`];
    const servers = [...this.#ways.keys()];
    return {
      servers,
      ...(fenced ? { serverLines: fence } : {}),
      medium: {
        driver: 'image',
        coordinator: path.join(this.#directory, 'records'),
        path: (server) => this.#at(server),
        lines,
      },
      volumes: [{ name: 'disk', servers, sizeMib: SIZE / MIB }],
    };
  }

  get(server: string): Way {
    return must(this.#ways.get(server), `way of ${server}`);
  }

  get all(): readonly Way[] {
    return [...this.#ways.values()];
  }

  /** Once the volume was created, as a plain file where the first server looks for it: puts it behind the ways. */
  async lay(cluster: Cluster): Promise<void> {
    const [first = '', ...others] = this.#ways.keys();
    renameSync(this.#at(first), this.image);
    for (const server of others) copyFileSync(`${this.#at(first)}.holdfast.json`, `${this.#at(server)}.holdfast.json`);
    cluster.onEnd(async () => {
      for (const way of this.all) way.heal();
      await Promise.all([...cluster.servers.values()].map((server) => server.kill()));
      for (const way of this.all) await way.end();
    });
    for (const way of this.all) await way.open();
  }

  /** From now on what a fence has torn down is shown anew, as an administrator lets a fenced server in again. */
  keepOpen(cluster: Cluster): void {
    let over = false;
    const keep = async (): Promise<void> => {
      while (!over) {
        for (const way of this.all) if (way.isDown) await way.reopen();
        await sleep(KEEP_MS);
      }
    };
    const keeping = keep();
    cluster.onEnd(async () => {
      over = true;
      await keeping;
    });
  }
}

export interface Shown {
  readonly cluster: Cluster;
  readonly ways: Ways;
  /** The image's own file. */
  readonly image: string;
  readonly seed: number;
  readonly say: (text: string) => void;
}

export interface WayOptions extends Omit<TestOptions, 'medium' | 'volumes' | 'servers'> {
  /** More lines for the medium's table. */
  readonly mediumLines?: readonly string[];
  /** Fence commands that take a server's way from it: what it had in hand never reaches the image. */
  readonly fenced?: boolean;
}

/** A pair whose two ways to the image can fail, in sync. */
export function wayTest(name: string, options: WayOptions, body: (shown: Shown) => Promise<void>): void {
  const { mediumLines = [], fenced = false, ...more } = options;
  const directory = mkdtempSync(path.join(os.tmpdir(), 'holdfast-media-'));
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  const ways = new Ways(directory, ['a', 'b']);
  clusterTest(
    name,
    { skip: WAYS_SKIP, deadlineMs: 120_000, supervised: true, ...more, ...ways.options(fenced, mediumLines) },
    async (cluster, t) => {
      await ways.lay(cluster);
      await cluster.startAll();
      await cluster.untilInSync();
      await body({ cluster, ways, image: ways.image, seed: seedFor(t), say: (text) => t.diagnostic(text) });
    },
  );
}

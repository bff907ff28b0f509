/**
 * A medium that fails under real servers. An image is shown to each server by a chain of its own (nbdkit with the error
 * filter, nbdfuse over the image's file), so that one server's way to it can fail (EIO) or hang (a stopped nbdkit) while
 * the other's works; the data behind both is the same. And a medium, or a journal's disk, that is full.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Cluster, clusterTest, seedFor } from './cluster.ts';
import { compareImage, oracleOn } from './oracle.ts';
import { needs } from './programs.ts';
import { type Running, start } from './run.ts';
import { sleep } from './line.ts';

const MIB = 1 << 20;
const SIZE = 16 * MIB;
const SKIP = needs(['nbdkit', 'nbdfuse', 'fusermount3', 'umount'], { root: true, devices: ['/dev/fuse'] });

/** One server's way to the image. While the file `broken` is there, what goes this way fails with EIO. */
class Way {
  readonly image: string;
  readonly #broken: string;
  readonly #socket: string;
  readonly #nbdkit: Running;
  #nbdfuse: Running | null = null;

  /** `image` is the data, `shown` the file over which this server sees it. */
  constructor(image: string, shown: string) {
    this.image = shown;
    this.#broken = path.join(path.dirname(shown), 'broken');
    this.#socket = path.join(path.dirname(shown), 'socket');
    writeFileSync(shown, '');
    const errors = ['error=EIO', 'error-rate=100%', `error-file=${this.#broken}`];
    this.#nbdkit = start('nbdkit', '-f', '-U', this.#socket, '--filter=error', 'file', image, ...errors);
  }

  async ready(): Promise<void> {
    for (let look = 0; look < 500; look += 1) {
      if (!this.#nbdkit.running) throw new Error(`nbdkit ended: ${this.#nbdkit.text}`);
      if (existsSync(this.#socket))
        this.#nbdfuse ??= start('nbdfuse', this.image, `nbd+unix:///?socket=${this.#socket}`);
      if (this.#nbdfuse?.running === false) throw new Error(`nbdfuse ended: ${this.#nbdfuse.text}`);
      if (statSync(this.image).size === SIZE) return;
      await sleep(20);
    }
    throw new Error('the image is not shown');
  }

  fail(): void {
    writeFileSync(this.#broken, '');
  }

  hang(): void {
    this.#nbdkit.child.kill('SIGSTOP');
  }

  heal(): void {
    rmSync(this.#broken, { force: true });
    this.#nbdkit.child.kill('SIGCONT');
  }

  async end(): Promise<void> {
    try {
      execFileSync('umount', ['-l', this.image], { stdio: 'ignore' });
    } catch {
      // It was never mounted.
    }
    await this.#nbdfuse?.stop();
    await this.#nbdkit.stop();
  }
}

interface Shown {
  readonly cluster: Cluster;
  readonly ways: ReadonlyMap<string, Way>;
  readonly image: string;
}

/** A pair whose two ways to the image can fail. */
function mediumTest(
  name: string,
  body: (shown: Shown, seed: number, say: (text: string) => void) => Promise<void>,
  todo?: string,
): void {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'holdfast-media-'));
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  for (const server of ['a', 'b']) mkdirSync(path.join(directory, server));
  const at = (server: string): string => path.join(directory, server, 'disk.img');
  clusterTest(
    name,
    {
      skip: SKIP,
      ...(todo === undefined ? {} : { todo }),
      deadlineMs: 120_000,
      supervised: true,
      medium: { driver: 'image', coordinator: path.join(directory, 'records'), path: at },
      volumes: [{ name: 'disk', servers: ['a', 'b'], sizeMib: SIZE / MIB }],
    },
    async (cluster, t) => {
      // It was created as a plain file where a looks for it. Now it lies behind both ways.
      const image = path.join(directory, 'disk.img');
      renameSync(at('a'), image);
      copyFileSync(`${at('a')}.holdfast.json`, `${at('b')}.holdfast.json`);
      const ways = new Map<string, Way>();
      cluster.onEnd(async () => {
        for (const way of ways.values()) way.heal();
        await Promise.all([...cluster.servers.values()].map((server) => server.kill()));
        for (const way of ways.values()) await way.end();
      });
      for (const server of ['a', 'b']) ways.set(server, new Way(image, at(server)));
      for (const way of ways.values()) await way.ready();
      await cluster.startAll();
      await cluster.untilInSync();
      await body({ cluster, ways, image }, seedFor(t), (text) => t.diagnostic(text));
    },
  );
}

mediumTest(
  'EIO on the owner: it declares itself unfit, its partner writes what it mirrored',
  async (shown, seed, say) => {
    const { cluster, ways, image } = shown;
    const oracle = await oracleOn(cluster, seed);
    const { owner, partner } = await cluster.untilInSync();
    oracle.run();
    await oracle.more(300);
    oracle.takePauseMs();
    const since = cluster.server(owner).mark;
    const heardSince = cluster.server(partner).mark;
    ways.get(owner)?.fail();
    await cluster.untilServed('disk', partner);
    const [heard] = cluster.server(partner).all('peer.unfit', heardSince);
    const unfit = String(heard?.fields['why']);
    await oracle.more(200);
    say(`unfit: ${unfit}; clients waited ${oracle.takePauseMs()} ms`);
    assert.match(unfit, /medium/);
    assert.ok(cluster.server(owner).has('medium.failed', since), 'the log has the evidence');
    ways.get(owner)?.heal();
    await cluster.until('it is fit again', async () => (await cluster.status(owner))?.unfit === null);
    await cluster.untilInSync('disk', partner);
    const content = await oracle.verify();
    assert.deepEqual(oracle.errors, [], 'no client saw an error');
    await cluster.untilDrained();
    await compareImage(content, image);
  },
);

mediumTest(
  'a medium that hangs for the owner alone: its partner takes over',
  async (shown, seed, say) => {
    const { cluster, ways, image } = shown;
    const oracle = await oracleOn(cluster, seed, 'disk', { patienceMs: 8_000 });
    const { owner, partner } = await cluster.untilInSync();
    oracle.run();
    await oracle.more(300);
    oracle.takePauseMs();
    ways.get(owner)?.hang();
    await cluster.untilServed('disk', partner);
    await oracle.more(100);
    const unfit = (await cluster.status(owner))?.unfit ?? null;
    say(`unfit: ${String(unfit)}; clients waited ${oracle.takePauseMs()} ms`);
    assert.match(String(unfit), /medium|record/);
    ways.get(owner)?.heal();
    await cluster.untilInSync('disk', partner);
    const content = await oracle.verify();
    await cluster.untilDrained();
    await compareImage(content, image);
  },
  'an unfit owner whose I/O never returns is not claimed from yet',
);

mediumTest(
  'a medium that hangs for both: nobody plays ping-pong, and all goes on when it is back',
  async (shown, seed, say) => {
    const { cluster, ways, image } = shown;
    const oracle = await oracleOn(cluster, seed);
    await cluster.untilInSync();
    oracle.run();
    await oracle.more(300);
    const marks = [...cluster.servers.values()].map((server) => [server, server.mark] as const);
    for (const way of ways.values()) way.hang();
    await sleep(12_000);
    const claims = marks.flatMap(([server, mark]) => server.all('claim.begin', mark)).length;
    const unfit = await Promise.all(
      [...cluster.servers.keys()].map(async (name) => (await cluster.status(name))?.unfit),
    );
    say(`${claims} claims in 12 s; unfit: ${unfit.join(' | ')}`);
    assert.ok(claims <= 2, `${claims} claims while nobody reaches the medium`);
    for (const way of ways.values()) way.heal();
    await oracle.more(100);
    await cluster.untilInSync();
    const content = await oracle.verify();
    assert.deepEqual(oracle.errors, []);
    await cluster.untilDrained();
    await compareImage(content, image);
  },
);

/** A small file system of its own, gone with the process. */
function smallDisk(megabytes: number): string {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'holdfast-small-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'holdfast-test', directory]);
  process.once('exit', () => {
    execFileSync('umount', ['-l', directory], { stdio: 'ignore' });
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}

const ROOT = needs(['mount', 'umount'], { root: true });
const small = ROOT === false ? smallDisk(24) : os.tmpdir();

clusterTest(
  'a medium without room: writes are refused with a clear error, nothing acknowledged is lost, and it recovers',
  {
    skip: ROOT,
    deadlineMs: 120_000,
    medium: { path: () => small },
    volumes: [{ name: 'disk', servers: ['a', 'b'], sizeMib: 32 }],
  },
  async (cluster, t) => {
    await cluster.startAll();
    await cluster.untilInSync();
    const oracle = await oracleOn(cluster, seedFor(t), 'disk', { mayBeFull: true });
    oracle.run();
    await oracle.more(300);
    const filler = path.join(small, 'filler');
    try {
      execFileSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=64k'], { stdio: 'ignore' });
    } catch {
      // Until there is no room: that is how it ends.
    }
    await cluster.until('a client is told', () => oracle.counts.full > 0);
    await oracle.more(200);
    rmSync(filler);
    await oracle.more(500);
    await cluster.untilInSync();
    const content = await oracle.verify();
    await cluster.untilDrained();
    await compareImage(content, path.join(small, 'volumes', 'disk', 'disk.img'));
    t.diagnostic(`${oracle.counts.full} writes were refused as full, ${oracle.counts.written} acknowledged`);
  },
);

/**
 * A real file system on a volume whose owner is killed under load: everything that a program has synced is there
 * afterwards, and fsck finds nothing wrong.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Cluster, clusterTest } from './cluster.ts';
import { sleep } from './line.ts';
import { MOUNT_PRIVILEGES, MOUNT_PROGRAMS, ShownDisk } from './mounts.ts';
import { needs } from './programs.ts';
import { Running } from './run.ts';

const WORKLOAD = fileURLToPath(
  new URL(`disk-workload.fixture${path.extname(fileURLToPath(import.meta.url))}`, import.meta.url),
);
const OPTIONS = { volumes: [{ name: 'disk', servers: ['a', 'b'], sizeMib: 128 }], deadlineMs: 120_000 };

/** The workload on a folder; `done` counts what it has synced. */
function work(cluster: Cluster, folder: string): { running: Running; done: () => number } {
  const running = new Running(process.execPath, [...process.execArgv, WORKLOAD, folder]);
  cluster.onEnd(async () => void (await running.stop('SIGKILL')));
  return { running, done: () => running.text.match(/^done /gm)?.length ?? 0 };
}

/** Every file has the content that was synced last, or one that was on its way then. Gives how many there are. */
function checkFiles(said: string, folder: string): number {
  const allowed = new Map<string, { synced: boolean; shas: string[] }>();
  for (const line of said.split('\n')) {
    const [word, name, sha] = line.split(' ');
    if (name === undefined || sha === undefined) continue;
    const file = allowed.get(name) ?? { synced: false, shas: [] };
    if (word === 'done') allowed.set(name, { synced: true, shas: [sha] });
    else if (word === 'try') allowed.set(name, { synced: file.synced, shas: [...file.shas, sha] });
  }
  let found = 0;
  for (const [name, { synced, shas }] of allowed) {
    const file = path.join(folder, name);
    if (!existsSync(file)) assert.ok(!synced, `${name} was synced and is gone`);
    else {
      const sha = createHash('sha256').update(readFileSync(file)).digest('hex');
      assert.ok(shas.includes(sha), `${name} has a content that it never had, or had before`);
      found += 1;
    }
  }
  return found;
}

async function killOwner(cluster: Cluster): Promise<string> {
  const { owner, partner } = await cluster.untilInSync();
  await cluster.server(owner).kill();
  await cluster.untilServed('disk', partner);
  cluster.server(owner).start();
  return owner;
}

clusterTest(
  'ext4 on nbdfuse: the owner is killed under load, then mounted again',
  { ...OPTIONS, skip: needs(['nbdfuse', ...MOUNT_PROGRAMS], MOUNT_PRIVILEGES) },
  async (cluster, t) => {
    await cluster.startAll();
    await cluster.untilInSync();
    const first = await ShownDisk.byNbdfuse(cluster, 'first');
    await first.format();
    const load = work(cluster, await first.mount());
    await cluster.until('some files are synced', () => load.done() >= 30);
    await sleep(Math.random() * 500);
    const owner = await killOwner(cluster);
    // nbdfuse does not reconnect: the file system fails, as a disk does that was pulled out.
    const { code } = await load.running.ended;
    assert.equal(code, 1, load.running.text.slice(-500));
    await first.abandon();

    const second = await ShownDisk.byNbdfuse(cluster, 'second');
    const found = checkFiles(load.running.text, await second.mount());
    t.diagnostic(`${owner} killed after ${load.done()} files were synced; ${found} files are there`);
    await second.unmount();
    await second.check();
    const again = work(cluster, await second.mount());
    await cluster.until('it can be written again', () => again.done() >= 5);
    again.running.child.stdin?.end();
    assert.equal((await again.running.ended).code, 0);
    await second.unmount();
    await second.check();
    await second.abandon();
  },
);

clusterTest(
  'ext4 on a client that reconnects: mounted all the time, nothing fails while owners are killed',
  { ...OPTIONS, skip: needs(['qemu-storage-daemon', ...MOUNT_PROGRAMS], MOUNT_PRIVILEGES) },
  async (cluster, t) => {
    await cluster.startAll();
    await cluster.untilInSync();
    const disk = await ShownDisk.byQemu(cluster, 'shown');
    await disk.format();
    const folder = await disk.mount();
    const load = work(cluster, folder);
    for (let round = 1; round <= 2; round += 1) {
      const before = load.done();
      await cluster.until('some files are synced', () => load.done() >= before + 30);
      await sleep(Math.random() * 300);
      const owner = await killOwner(cluster);
      t.diagnostic(`round ${round}: ${owner} killed after ${load.done()} files were synced`);
      await cluster.untilInSync();
    }
    await cluster.command('takeover', 'disk');
    const before = load.done();
    await cluster.until('it goes on after a planned takeover', () => load.done() >= before + 10);
    load.running.child.stdin?.end();
    assert.equal((await load.running.ended).code, 0, load.running.text.slice(-500));
    assert.ok(checkFiles(load.running.text, folder) > 0);
    await disk.unmount();
    await disk.check();
    assert.ok(checkFiles(load.running.text, await disk.mount()) > 0);
    await disk.unmount();
    await disk.abandon();
  },
);

/**
 * Disks with a file system on them that fail: ext4 on a loop device on nbdfuse, over nbdkit's error and delay filters. Once as
 * the medium of both servers, with the records on it, and once under the journals of one server.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { type Cluster, clusterTest, seedFor } from './cluster.ts';
import { sleep } from './line.ts';
import { LOOP_SKIP, LoopDisk, type LoopOptions } from './loop-disk.ts';
import { compareImage, oracleOn } from './oracle.ts';

const OPTIONS = { skip: LOOP_SKIP, deadlineMs: 150_000, supervised: true } as const;
const imageOn = (disk: LoopDisk): string => path.join(disk.folder, 'volumes', 'disk', 'disk.img');

/** A disk whose place is known before the cluster is made, for its configuration names it. */
const diskFor = (options: LoopOptions): LoopDisk | null => (LOOP_SKIP === false ? new LoopDisk(options) : null);

/** The disk outlives the servers, and goes with the cluster. */
function handOver(cluster: Cluster, made: LoopDisk | null): LoopDisk {
  assert.ok(made !== null);
  cluster.onEnd(async () => {
    made.heal();
    await Promise.all([...cluster.servers.values()].map((server) => server.kill()));
    await made.end();
  });
  return made;
}

const slow = diskFor({ megabytes: 96, delayMs: 5 });

clusterTest(
  'a medium that is slow: what is acknowledged is there after the owner was killed',
  { ...OPTIONS, ...(slow === null ? {} : { prepare: () => slow.open(), medium: { path: () => slow.folder } }) },
  async (cluster, t) => {
    const disk = handOver(cluster, slow);
    await cluster.startAll();
    await cluster.untilInSync('disk', undefined, 60_000);
    const oracle = await oracleOn(cluster, seedFor(t), 'disk', { pace: 500 });
    oracle.run();
    await oracle.more(200);
    const { owner } = await cluster.untilInSync('disk', undefined, 60_000);
    oracle.takePauseMs();
    cluster.server(owner).signalServer('SIGKILL');
    await cluster.untilInSync('disk', undefined, 60_000);
    await oracle.more(50);
    t.diagnostic(`clients waited ${oracle.takePauseMs()} ms`);
    const content = await oracle.verify();
    assert.deepEqual(oracle.errors, []);
    await cluster.untilDrained();
    await compareImage(content, imageOn(disk));
  },
);

const broken = diskFor({ megabytes: 96 });

clusterTest(
  'a medium with the records on it that hangs, then fails: nothing acknowledged is lost',
  { ...OPTIONS, ...(broken === null ? {} : { prepare: () => broken.open(), medium: { path: () => broken.folder } }) },
  async (cluster, t) => {
    const disk = handOver(cluster, broken);
    await cluster.startAll();
    await cluster.untilInSync();
    const oracle = await oracleOn(cluster, seedFor(t), 'disk', { mayFail: true });
    oracle.run();
    await oracle.more(300);
    // It hangs: nobody has authority, nobody claims, and it goes on by itself.
    const marks = [...cluster.servers.values()].map((server) => [server, server.mark] as const);
    oracle.takePauseMs();
    disk.hang();
    await sleep(7_000);
    const unfit = await Promise.all(
      [...cluster.servers.keys()].map(async (name) => (await cluster.status(name))?.unfit),
    );
    t.diagnostic(`while it hangs: ${unfit.map(String).join(' | ')}`);
    disk.heal();
    await oracle.more(100);
    await cluster.untilInSync('disk', undefined, 60_000);
    // A server that a busy machine holds up while its entry cannot be written looks dead, and is claimed from once at most.
    const claims = marks.flatMap(([server, mark]) => server.all('claim.begin', mark)).length;
    assert.ok(claims <= 1, `${claims} claims while nobody reaches the medium`);
    t.diagnostic(`hung for 7 s, clients waited ${oracle.takePauseMs()} ms`);
    // It fails: ext4 gives up, as it would on a real disk. An administrator repairs it.
    await oracle.more(300);
    disk.fail();
    await sleep(4_000);
    const text = await cluster.command('status').catch((error: unknown) => String(error));
    t.diagnostic(`while it fails: ${/unfit: .*/.exec(text)?.[0] ?? 'nobody says that it is unfit'}`);
    await Promise.all([...cluster.servers.values()].map((server) => server.kill()));
    disk.heal();
    await disk.repair();
    for (const server of cluster.servers.values()) server.start();
    await cluster.untilInSync('disk', undefined, 60_000);
    await oracle.more(300);
    const content = await oracle.verify();
    t.diagnostic(`${oracle.counts.written} writes acknowledged, ${oracle.counts.failed} requests failed`);
    await cluster.untilDrained();
    await compareImage(content, imageOn(disk));
  },
);

const journals = diskFor({ megabytes: 160 });

clusterTest(
  "the disk of a server's journals hangs, then dies: its partner takes over, and it comes back when the disk does",
  {
    ...OPTIONS,
    ...(journals === null
      ? {}
      : {
          prepare: () => journals.open(),
          statePath: (n) => (n === 'a' ? path.join(journals.folder, 'a') : `state-${n}`),
        }),
  },
  async (cluster, t) => {
    const disk = handOver(cluster, journals);
    await cluster.startAll();
    await cluster.untilInSync();
    if ((await cluster.untilInSync()).owner !== 'a') await cluster.command('takeover', 'disk', '--to', 'a');
    await cluster.untilInSync('disk', 'a');
    const oracle = await oracleOn(cluster, seedFor(t));
    oracle.run();
    await oracle.more(300);
    oracle.takePauseMs();
    let since = cluster.server('b').mark;
    disk.hang();
    await cluster.untilServed('disk', 'b');
    await oracle.more(100);
    const [heard] = cluster.server('b').all('peer.unfit', since);
    t.diagnostic(`it hangs: ${String(heard?.fields['why'])}; clients waited ${oracle.takePauseMs()} ms`);
    disk.heal();
    await cluster.untilInSync('disk', 'b', 60_000);
    await oracle.verify();

    await cluster.command('takeover', 'disk', '--to', 'a');
    await cluster.untilInSync('disk', 'a', 60_000);
    oracle.run();
    await oracle.more(300);
    oracle.takePauseMs();
    since = cluster.server('b').mark;
    disk.fail();
    await cluster.untilServed('disk', 'b');
    await oracle.more(100);
    const [dead] = cluster.server('a').all('store.failed');
    t.diagnostic(`it dies: ${String(dead?.fields['why'])}; clients waited ${oracle.takePauseMs()} ms`);
    await oracle.verify();
    // Nobody can use it any more; then it is repaired.
    await cluster.server('a').kill();
    disk.heal();
    await disk.repair();
    cluster.server('a').start();
    await cluster.untilInSync('disk', 'b', 60_000);
    oracle.run();
    await oracle.more(200);
    const content = await oracle.verify();
    assert.deepEqual(oracle.errors, []);
    await cluster.untilDrained();
    await compareImage(content, cluster.volume().image);
  },
);

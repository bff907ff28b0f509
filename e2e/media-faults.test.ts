/**
 * A medium that fails (EIO) for the owner, or has no room. What hangs is in media-hangs.test.ts.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { clusterTest, seedFor } from './cluster.ts';
import { compareImage, oracleOn } from './oracle.ts';
import { needs } from './programs.ts';
import { wayTest } from './ways.ts';

wayTest(
  'EIO on the owner: it declares itself unfit, its partner writes what it mirrored',
  {},
  async ({ cluster, ways, image, seed, say }) => {
    const oracle = await oracleOn(cluster, seed);
    const { owner, partner } = await cluster.untilInSync();
    oracle.run();
    await oracle.more(300);
    oracle.takePauseMs();
    const since = cluster.server(owner).mark;
    const heardSince = cluster.server(partner).mark;
    ways.get(owner).fail();
    await cluster.untilServed('disk', partner);
    const [heard] = cluster.server(partner).all('peer.unfit', heardSince);
    const unfit = String(heard?.fields['why']);
    await oracle.more(200);
    say(`unfit: ${unfit}; clients waited ${oracle.takePauseMs()} ms`);
    assert.match(unfit, /medium/);
    assert.ok(cluster.server(owner).has('medium.failed', since), 'the log has the evidence');
    ways.get(owner).heal();
    await cluster.until('it is fit again', async () => (await cluster.status(owner))?.unfit === null);
    await cluster.untilInSync('disk', partner);
    const content = await oracle.verify();
    assert.deepEqual(oracle.errors, [], 'no client saw an error');
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

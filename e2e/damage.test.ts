/**
 * Journals that were damaged while their servers were down. A damaged store counts as lost: the other copy is used and
 * status says so; without another copy the volume stays down and says what is lost. Damage is never served.
 */
import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { type Cluster, clusterTest, seedFor } from './cluster.ts';
import { compareImage, type Oracle, oracleOn } from './oracle.ts';
import { Prng } from './prng.ts';

const BLOCK_BYTES = 4_096;
/** How a group of the journal begins (docs/durability.md); groups begin at multiples of a block. */
const GROUP_BEGINS = Buffer.from('HFgroup1');
/** Writes stay in the journals for a while, and whoever needs the other copy waits for it. */
const TIMINGS = { destage: '10m', source: '20s' };

/** Runs a load and kills both servers in the middle of it. */
async function killBothUnderLoad(cluster: Cluster, oracle: Oracle): Promise<{ owner: string; partner: string }> {
  const roles = await cluster.untilInSync();
  oracle.run();
  await oracle.more(300);
  for (const server of cluster.servers.values()) server.signal('SIGKILL');
  await Promise.all([...cluster.servers.values()].map((server) => server.kill()));
  return roles;
}

/** Flips one bit in the journal of a stopped server: in its newest group, or in the one before, which was once synced. */
async function flipBit(cluster: Cluster, server: string, which: 'newest' | 'synced', chance: Prng): Promise<string> {
  const file = await open(path.join(cluster.directory, `state-${server}`, 'journals', 'disk', 'ring'), 'r+');
  try {
    const { size } = await file.stat();
    const ring = Buffer.alloc(size);
    await file.read(ring, 0, size, 0);
    const groups: number[] = [];
    let end = 0;
    for (let at = BLOCK_BYTES; at < size; at += BLOCK_BYTES) {
      if (ring.compare(GROUP_BEGINS, 0, GROUP_BEGINS.length, at, at + GROUP_BEGINS.length) === 0) groups.push(at);
      if (ring.readUInt32LE(at) !== 0) end = at + BLOCK_BYTES;
    }
    const newest = groups.at(-1) ?? 0;
    const [from, to] = which === 'newest' ? [newest, end] : [groups.at(-2) ?? 0, newest];
    assert.ok(from > 0 && to > from, 'the journal holds two groups at least');
    const at = chance.between(from, to - 1);
    await file.write(Buffer.from([(ring[at] ?? 0) ^ (1 << chance.below(8))]), 0, 1, at);
    await file.sync();
    return `byte ${at}, in the group from ${from} to ${to}; ${groups.length} groups`;
  } finally {
    await file.close();
  }
}

const title = 'a journal with a flipped bit counts as lost, and the other copy is used';

clusterTest(title, { timings: TIMINGS }, async (cluster, t) => {
  const seed = seedFor(t);
  const chance = new Prng(seed);
  await cluster.startAll();
  const oracle = await oracleOn(cluster, seed);
  for (const whose of ['owner', 'partner'] as const) {
    const roles = await killBothUnderLoad(cluster, oracle);
    const victim = cluster.server(roles[whose]);
    const other = cluster.server(roles[whose === 'owner' ? 'partner' : 'owner']);
    const where = await flipBit(cluster, victim.name, 'synced', chance);
    victim.start();
    await cluster.untilUp(victim.name);
    const reason = victim.all('store.damaged')[0]?.fields['reason'];
    assert.equal(typeof reason, 'string', 'the damage was found');
    t.diagnostic(`${victim.name} (${whose}), ${where}: ${String(reason)}`);
    assert.equal(
      [...(await cluster.views()).values()].some((view) => view.serving),
      false,
    );
    other.start();
    await cluster.untilServed('disk', other.name);
    await oracle.more(50);
    await oracle.verify();
    await cluster.untilInSync('disk', other.name);
    const said = await cluster.command('status');
    t.diagnostic(/set aside.*/.exec(said)?.[0] ?? 'status says nothing of it');
    assert.match(said, /set aside .*damaged/);
  }
});

clusterTest('a journal whose newest group is damaged loses nothing', { timings: TIMINGS }, async (cluster, t) => {
  const seed = seedFor(t);
  const chance = new Prng(seed);
  await cluster.startAll();
  const oracle = await oracleOn(cluster, seed);
  const { owner } = await killBothUnderLoad(cluster, oracle);
  t.diagnostic(`${owner}: ${await flipBit(cluster, owner, 'newest', chance)}`);
  cluster.server(owner).start();
  await cluster.untilUp(owner);
  const opened = cluster.server(owner).all('store.opened')[0]?.fields;
  t.diagnostic(`damaged: ${cluster.server(owner).has('store.damaged')}, torn: ${String(opened?.['tornBytes'])} bytes`);
  for (const server of cluster.servers.values()) if (!server.running) server.start();
  await oracle.more(50);
  await oracle.verify();
  await cluster.untilInSync();
});

clusterTest(
  'both journals damaged: the loss is named, and nothing is served',
  { timings: TIMINGS },
  async (cluster, t) => {
    const seed = seedFor(t);
    const chance = new Prng(seed);
    await cluster.startAll();
    const oracle = await oracleOn(cluster, seed);
    await killBothUnderLoad(cluster, oracle);
    await oracle.close();
    for (const name of cluster.servers.keys()) await flipBit(cluster, name, 'synced', chance);
    await cluster.startAll();
    const loss = await cluster.until('the loss is named', async () => {
      return [...(await cluster.views()).values()].find((view) => view.loss !== null)?.loss ?? null;
    });
    t.diagnostic(loss);
    assert.equal(
      [...(await cluster.views()).values()].some((view) => view.serving),
      false,
    );
    assert.equal((await cluster.run('accept-loss', 'disk')).code, 4, 'nothing is given up unless it is said');
    await cluster.command('accept-loss', 'disk', '--yes');
    await cluster.untilInSync();
    const after = await oracleOn(cluster, seed);
    await after.close();
  },
);

clusterTest('what is on the medium is not touched by a damaged journal', {}, async (cluster, t) => {
  const seed = seedFor(t);
  await cluster.startAll();
  const { owner, partner } = await cluster.untilInSync();
  const oracle = await oracleOn(cluster, seed);
  oracle.run();
  await oracle.more(300);
  const content = await oracle.verify();
  await cluster.untilDrained();
  await compareImage(content, cluster.volume().image);
  await cluster.server(partner).kill();
  await flipBit(cluster, partner, 'synced', new Prng(seed));
  cluster.server(partner).start();
  await cluster.untilInSync('disk', owner);
  await oracle.verify();
});

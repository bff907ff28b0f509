/**
 * Journals that were damaged while their servers were down. A damaged store counts as lost: the other copy is used and
 * status says so; without another copy the volume stays down and says what is lost. Damage is never served.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { type Cluster, clusterTest, seedFor } from './cluster.ts';
import { compareImage, type Oracle, oracleOn } from './oracle.ts';
import { Prng } from './prng.ts';

const BLOCK_BYTES = 4_096;
/** How a group of the journal begins (docs/durability.md); groups begin at multiples of a block. */
const GROUP_BEGINS = Buffer.from('HFgroup1');
/** Where each group says which one is the oldest that is still needed: its distance from the first one. */
const NEEDED_AT = 64;
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

/** Where a bit flips: the journal's own head, its oldest group, one that was once synced, or the newest. */
type Where = 'header' | 'oldest' | 'synced' | 'newest';
/** The part of the head in which every bit counts. */
const HEADER_BYTES = 32;

/** Flips one bit in the journal of a stopped server. */
async function flipBit(cluster: Cluster, server: string, which: Where, chance: Prng): Promise<string> {
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
    const next = (first: number, other: number): readonly [number, number] => [
      groups.at(first) ?? 0,
      groups.at(other) ?? 0,
    ];
    const needed = BLOCK_BYTES + Number(ring.readBigUInt64LE((groups.at(-1) ?? 0) + NEEDED_AT));
    const oldest = groups.indexOf(needed);
    const parts: Record<Where, readonly [number, number]> = {
      header: [0, HEADER_BYTES],
      oldest: next(oldest, oldest + 1),
      synced: next(-2, -1),
      newest: [groups.at(-1) ?? 0, end],
    };
    const [from, to] = parts[which];
    assert.ok(groups.length >= 2 && to > from, 'the journal holds two groups at least');
    const at = chance.between(from, to - 1);
    await file.write(Buffer.from([(ring[at] ?? 0) ^ (1 << chance.below(8))]), 0, 1, at);
    await file.sync();
    return `byte ${at}, in the ${which} part from ${from} to ${to}; ${groups.length} groups`;
  } finally {
    await file.close();
  }
}

/** Flips a bit in a journal of a pair that was killed: it has to be found, and the other copy to be used. */
async function damageOne(
  cluster: Cluster,
  oracle: Oracle,
  name: string,
  which: Where,
  chance: Prng,
): Promise<string[]> {
  const victim = cluster.server(name);
  const [other] = [...cluster.servers.values()].filter((server) => server !== victim);
  assert.ok(other !== undefined);
  const where = await flipBit(cluster, name, which, chance);
  victim.start();
  await cluster.untilUp(name);
  const reason = victim.all('store.damaged')[0]?.fields['reason'];
  assert.equal(typeof reason, 'string', `the damage was found: ${where}`);
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
  assert.match(said, /set aside .*damaged/);
  return [`${name}, ${where}: ${String(reason)}`, /set aside.*/.exec(said)?.[0] ?? ''];
}

const title = 'a journal with a flipped bit counts as lost, and the other copy is used';

clusterTest(title, { timings: TIMINGS }, async (cluster, t) => {
  const seed = seedFor(t);
  const chance = new Prng(seed);
  await cluster.startAll();
  const oracle = await oracleOn(cluster, seed);
  for (const whose of ['owner', 'partner'] as const) {
    const roles = await killBothUnderLoad(cluster, oracle);
    for (const line of await damageOne(cluster, oracle, roles[whose], 'synced', chance))
      t.diagnostic(`${whose} ${line}`);
  }
});

clusterTest('the same in its oldest group and in its head', { timings: TIMINGS }, async (cluster, t) => {
  const seed = seedFor(t);
  const chance = new Prng(seed);
  await cluster.startAll();
  const oracle = await oracleOn(cluster, seed);
  const { owner } = await cluster.untilInSync();
  // The same server again: its journal is a new one then, and begins at its beginning.
  for (const which of ['oldest', 'header'] as const) {
    await killBothUnderLoad(cluster, oracle);
    for (const line of await damageOne(cluster, oracle, owner, which, chance)) t.diagnostic(line);
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

clusterTest('a record with a flipped bit is refused, and says which file it is', {}, async (cluster, t) => {
  const seed = seedFor(t);
  const chance = new Prng(seed);
  await cluster.startAll();
  const oracle = await oracleOn(cluster, seed);
  await killBothUnderLoad(cluster, oracle);
  const records = path.join(cluster.directory, 'medium', 'volumes', 'disk', 'record');
  const newest = readdirSync(records).toSorted().at(-1) ?? '';
  const file = path.join(records, newest);
  const whole = readFileSync(file);
  const from = whole.indexOf('"content"');
  const flipped = Buffer.from(whole);
  // A letter or a digit, so that it stays what a person would take for a record.
  let at = from;
  while (!/[0-9a-f]/.test(String.fromCharCode(whole[at] ?? 0))) at = chance.between(from, whole.length - 1);
  flipped[at] = (whole[at] ?? 0) ^ 1;
  writeFileSync(file, flipped);
  for (const server of cluster.servers.values()) server.start();
  for (const server of cluster.servers.values()) assert.notEqual(await server.ended, 0);
  const [refused] = cluster.server('a').all('server.refused');
  t.diagnostic(String(refused?.fields['reason']));
  assert.match(String(refused?.fields['reason']), new RegExp(newest));
  writeFileSync(file, whole);
  await cluster.startAll();
  await cluster.untilServed();
  await oracle.more(50);
  await oracle.verify();
  await cluster.untilInSync();
});

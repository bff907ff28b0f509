/**
 * A server that is frozen (SIGSTOP) and goes on later (SIGCONT): it does not know that it was away. Writes to the medium
 * that it had in hand go on when it does. On one machine its partner therefore kills it, by the claim's fence, and does
 * not wait for the lease. Between machines the lease is waited for; the old owner answers nothing from before and steps down.
 */
import assert from 'node:assert/strict';
import { connect } from '../suites/nbd-client.ts';
import { type Cluster, clusterTest, rounds, seedFor } from './cluster.ts';
import { sleep } from './line.ts';
import { compareImage, type Oracle, oracleOn } from './oracle.ts';
import { Prng } from './prng.ts';

/** A client of a frozen server has to give up by itself. */
const PATIENCE = { patienceMs: 800 };

/** Freezes the owner until its partner serves, and tells how long that took. */
async function freezeOwner(cluster: Cluster, oracle: Oracle) {
  const { owner, partner } = await cluster.untilInSync();
  const since = cluster.server(partner).mark;
  oracle.takePauseMs();
  const frozenMs = performance.now();
  cluster.server(owner).freeze();
  await cluster.untilServed('disk', partner);
  const tookMs = Math.round(performance.now() - frozenMs);
  oracle.nothingIsLate();
  return { owner, partner, since, tookMs };
}

/**
 * Small batches to the medium all the time, so that a freeze at a random moment finds some in hand. Without the fence,
 * one freeze in 20 to 40 put old data over acknowledged ones when the server went on.
 */
clusterTest(
  'what a frozen owner had in hand never lands on what its successor has written',
  { ownAddresses: true, timings: { destage: '5ms' }, deadlineMs: 90_000 + rounds(6) * 20_000 },
  async (cluster, t) => {
    const seed = seedFor(t);
    const chance = new Prng(seed);
    await cluster.startAll();
    await cluster.untilInSync();
    const oracle = await oracleOn(cluster, seed, 'disk', PATIENCE);
    const tookMs: number[] = [];
    const pausesMs: number[] = [];
    for (let round = 1; round <= rounds(6); round += 1) {
      await cluster.untilInSync();
      oracle.run();
      await oracle.more(300);
      await sleep(chance.below(200));
      const froze = await freezeOwner(cluster, oracle);
      const { owner, partner, since } = froze;
      const taker = cluster.server(partner);
      assert.equal(taker.all('fence.killed', since).length, 1, 'the frozen process was killed');
      assert.ok(taker.has('claim.proof', since), 'its lock is proof of its end');
      tookMs.push(froze.tookMs);
      await oracle.more(800);
      pausesMs.push(oracle.takePauseMs());
      cluster.server(owner).thaw();
      assert.equal(await cluster.server(owner).ended, 'SIGKILL');
      await oracle.more(100);
      cluster.server(owner).start();
      await cluster.untilInSync('disk', partner);
      await oracle.verify();
    }
    t.diagnostic(`served ${tookMs.join(', ')} ms after the freeze; clients waited ${pausesMs.join(', ')} ms`);
    const content = await oracle.verify();
    await cluster.untilDrained();
    await compareImage(content, cluster.volume().image);
  },
);

/**
 * As between machines: nobody can kill it. The medium is left alone meanwhile, because the risk that a fence hook would
 * remove is accepted here: what the frozen server had in hand could land.
 */
clusterTest(
  'a frozen owner on another machine loses its volume, and answers nothing stale when it goes on',
  {
    ownAddresses: true,
    machines: true,
    medium: { lines: ['accept-risk = "late-io"'] },
    timings: { destage: '10m' },
  },
  async (cluster, t) => {
    const seed = seedFor(t);
    const chance = new Prng(seed);
    await cluster.startAll();
    await cluster.untilInSync();
    const oracle = await oracleOn(cluster, seed, 'disk', PATIENCE);
    const { host, ports } = cluster.volume();
    for (let round = 1; round <= rounds(2); round += 1) {
      const { owner } = await cluster.untilInSync();
      const old = cluster.server(owner);
      // Reads that arrive while it is frozen lie in its buffers when it goes on: any answer to them would be stale.
      const witness = await connect(host, ports[[...cluster.servers.keys()].indexOf(owner)] ?? 0, 'disk');
      cluster.onEnd(async () => witness.destroy());
      oracle.run();
      await oracle.more(100 + chance.below(500));
      const since = old.mark;
      const frozen = freezeOwner(cluster, oracle);
      let answers = 0;
      await cluster.until('it is frozen', () => old.frozen);
      for (let at = 0; at < 64; at += 1) witness.read(at * 4_096, 4_096).then(() => (answers += 1), ignore);
      const { partner, tookMs } = await frozen;
      assert.ok(tookMs >= 1_000, `the lease of a second was waited for: ${tookMs} ms`);
      await oracle.more(100);
      const pauseMs = oracle.takePauseMs();
      await sleep(chance.below(500));
      old.thaw();
      await cluster.until('the old owner steps down', () => old.has('deposed', since));
      await witness.closed;
      assert.equal(answers, 0, 'nothing that arrived during the freeze was answered');
      await cluster.untilInSync('disk', partner);
      await oracle.more(100);
      await oracle.verify();
      t.diagnostic(
        `round ${round}: ${owner} frozen, ${partner} served after ${tookMs} ms, clients waited ${pauseMs} ms`,
      );
    }
  },
);

/** The killed process no longer holds the address that both have on one machine. */
clusterTest('the address of a frozen owner goes with its volume', {}, async (cluster, t) => {
  const seed = seedFor(t);
  await cluster.startAll();
  await cluster.untilInSync();
  const oracle = await oracleOn(cluster, seed, 'disk', PATIENCE);
  oracle.run();
  await oracle.more(300);
  const { owner, partner, tookMs } = await freezeOwner(cluster, oracle);
  await oracle.more(200);
  t.diagnostic(`served ${tookMs} ms after the freeze, clients waited ${oracle.takePauseMs()} ms`);
  assert.equal(await cluster.server(owner).ended, 'SIGKILL');
  cluster.server(owner).start();
  await cluster.untilInSync('disk', partner);
  await oracle.verify();
});

/** Within the lease nobody is killed; beyond it the supervisor starts again what was. */
clusterTest('a freeze of owner or partner, short or long, harms nobody', { supervised: true }, async (cluster, t) => {
  const seed = seedFor(t);
  const chance = new Prng(seed);
  await cluster.startAll();
  await cluster.untilInSync();
  const oracle = await oracleOn(cluster, seed, 'disk', { patienceMs: 4_000 });
  oracle.run();
  for (let round = 1; round <= rounds(3); round += 1) {
    const { owner, partner } = await cluster.untilInSync();
    const victim = chance.pick([owner, partner]);
    const ms = chance.chance(50) ? chance.between(50, 450) : chance.between(900, 2_500);
    await oracle.more(100);
    cluster.server(victim).freeze();
    await sleep(ms);
    cluster.server(victim).thaw();
    await oracle.more(200);
    const now = await cluster.untilInSync();
    t.diagnostic(
      `round ${round}: ${victim} (${victim === owner ? 'owner' : 'partner'}) frozen for ${ms} ms; ${now.owner} owns it`,
    );
  }
  const content = await oracle.verify();
  await cluster.untilDrained();
  await compareImage(content, cluster.volume().image);
});

function ignore(): void {
  // Whether a read that nobody answers is refused or cut off is all the same.
}

/**
 * A server that is frozen (SIGSTOP) and goes on later (SIGCONT): it does not know that it was away. Its partner takes over
 * once the lease has run out; the old owner answers nothing from before, steps down and becomes the partner.
 */
import assert from 'node:assert/strict';
import { connect } from '../suites/nbd-client.ts';
import { clusterTest, rounds, seedFor } from './cluster.ts';
import { sleep } from './line.ts';
import { compareImage, oracleOn } from './oracle.ts';
import { Prng } from './prng.ts';

const title = 'a frozen owner loses its volume, and answers nothing stale when it goes on';

clusterTest(title, { ownAddresses: true }, async (cluster, t) => {
  const seed = seedFor(t);
  const chance = new Prng(seed);
  await cluster.startAll();
  await cluster.untilInSync();
  // A client of a frozen server has to give up by itself.
  const oracle = await oracleOn(cluster, seed, 'disk', { patienceMs: 800 });
  const { host, ports } = cluster.volume();
  for (let round = 1; round <= rounds(2); round += 1) {
    const { owner, partner } = await cluster.untilInSync();
    const old = cluster.server(owner);
    // Reads that arrive while it is frozen lie in its buffers when it goes on: any answer to them would be stale.
    const witness = await connect(host, ports[[...cluster.servers.keys()].indexOf(owner)] ?? 0, 'disk');
    cluster.onEnd(async () => witness.destroy());
    oracle.run();
    await oracle.more(100 + chance.below(500));
    oracle.takePauseMs();
    const since = old.mark;
    const frozenMs = performance.now();
    old.freeze();
    let answers = 0;
    for (let at = 0; at < 64; at += 1) witness.read(at * 4_096, 4_096).then(() => (answers += 1), ignore);
    await cluster.untilServed('disk', partner);
    const tookMs = Math.round(performance.now() - frozenMs);
    assert.ok(tookMs >= 1_000, `the lease of a second was waited for: ${tookMs} ms`);
    oracle.nothingIsLate();
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
    t.diagnostic(`round ${round}: ${owner} frozen, ${partner} served after ${tookMs} ms, clients waited ${pauseMs} ms`);
  }
  const content = await oracle.verify();
  await cluster.untilDrained();
  await compareImage(content, cluster.volume().image);
});

/** On one machine a frozen process goes on listening: the new owner gets the address only when the old one is back. */
clusterTest('at a shared address clients wait until the frozen owner lets go of it', {}, async (cluster, t) => {
  const seed = seedFor(t);
  await cluster.startAll();
  await cluster.untilInSync();
  const oracle = await oracleOn(cluster, seed, 'disk', { patienceMs: 800 });
  const { owner, partner } = await cluster.untilInSync();
  oracle.run();
  await oracle.more(300);
  cluster.server(owner).freeze();
  await cluster.until(`${partner} owns the volume and says that it waits for the address`, async () => {
    const disk = (await cluster.status(partner))?.volumes.find((one) => one.volume === 'disk');
    return disk?.role === 'owner' && !disk.serving && disk.why === 'waits for the service address to be free';
  });
  oracle.nothingIsLate();
  cluster.server(owner).thaw();
  await oracle.more(200);
  await cluster.untilInSync('disk', partner);
  await oracle.verify();
});

clusterTest('a short freeze of owner or partner harms nobody', {}, async (cluster, t) => {
  const seed = seedFor(t);
  const chance = new Prng(seed);
  await cluster.startAll();
  await cluster.untilInSync();
  const oracle = await oracleOn(cluster, seed, 'disk', { patienceMs: 4_000 });
  oracle.run();
  for (let round = 1; round <= rounds(3); round += 1) {
    const { owner, partner } = await cluster.untilInSync();
    const victim = chance.pick([owner, partner]);
    const ms = chance.between(50, 1_400);
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

/**
 * kill -9 at random moments under load, again and again: of the owner, of the partner, of both. Every acknowledged write
 * is there afterwards, no read was stale, and the mirror is in sync again without an administrator.
 */
import assert from 'node:assert/strict';
import { clusterTest, rounds, seedFor } from './cluster.ts';
import { sleep } from './line.ts';
import { compareImage, oracleOn } from './oracle.ts';
import { Prng } from './prng.ts';

clusterTest(
  'kill -9 of the owner: the partner goes on, nothing is lost',
  { deadlineMs: 120_000 },
  async (cluster, t) => {
    const seed = seedFor(t);
    const chance = new Prng(seed);
    await cluster.startAll();
    await cluster.untilInSync();
    const oracle = await oracleOn(cluster, seed);
    for (let round = 1; round <= rounds(3); round += 1) {
      const { owner, partner } = await cluster.untilInSync();
      oracle.run();
      await oracle.more(50);
      await sleep(chance.below(700));
      oracle.takePauseMs();
      await cluster.server(owner).kill();
      await cluster.untilServed('disk', partner);
      await oracle.more(50);
      const pauseMs = oracle.takePauseMs();
      // Sometimes it is back while the load goes on, sometimes after the check.
      const early = chance.chance(50);
      if (early) cluster.server(owner).start();
      await oracle.verify();
      if (!early) cluster.server(owner).start();
      await cluster.untilInSync('disk', partner);
      t.diagnostic(`round ${round}: ${owner} killed, clients waited ${pauseMs} ms; ${oracle.answered} answers so far`);
    }
    const content = await oracle.verify();
    await cluster.untilDrained();
    await compareImage(content, cluster.volume().image);
    t.diagnostic(JSON.stringify(oracle.counts));
    assert.equal(oracle.errors.length, 0);
  },
);

clusterTest('kill -9 of the partner: the owner goes on, nothing is lost', {}, async (cluster, t) => {
  const seed = seedFor(t);
  const chance = new Prng(seed);
  await cluster.startAll();
  await cluster.untilInSync();
  const oracle = await oracleOn(cluster, seed);
  for (let round = 1; round <= rounds(2); round += 1) {
    const { owner, partner } = await cluster.untilInSync();
    oracle.run();
    await oracle.more(50);
    await sleep(chance.below(500));
    oracle.takePauseMs();
    const { connects } = oracle;
    await cluster.server(partner).kill();
    await cluster.until('the owner goes on alone', async () => {
      const view = (await cluster.views()).get(owner);
      return view?.serving === true && view.mirror === 'suspended';
    });
    await oracle.more(50);
    const pauseMs = oracle.takePauseMs();
    const early = chance.chance(50);
    if (early) cluster.server(partner).start();
    await oracle.more(chance.below(200));
    await oracle.verify();
    if (!early) cluster.server(partner).start();
    await cluster.untilInSync('disk', owner);
    assert.equal(oracle.connects, connects, 'no connection was lost');
    t.diagnostic(`round ${round}: ${partner} killed, clients waited ${pauseMs} ms; ${oracle.answered} answers so far`);
  }
  const content = await oracle.verify();
  await cluster.untilDrained();
  await compareImage(content, cluster.volume().image);
});

clusterTest('kill -9 of both: with journals nothing is lost, whichever returns first', {}, async (cluster, t) => {
  const seed = seedFor(t);
  const chance = new Prng(seed);
  await cluster.startAll();
  await cluster.untilInSync();
  const oracle = await oracleOn(cluster, seed);
  for (let round = 1; round <= rounds(3); round += 1) {
    const { owner, partner } = await cluster.untilInSync();
    oracle.run();
    await oracle.more(50);
    await sleep(chance.below(700));
    const together = [cluster.server(owner), cluster.server(partner)];
    if (chance.chance(50)) together.reverse();
    for (const server of together) server.signal('SIGKILL');
    await Promise.all(together.map((server) => server.kill()));
    const first = round % 2 === 1 ? owner : partner;
    const second = first === owner ? partner : owner;
    cluster.server(first).start();
    // Sometimes the second one is there from the start, sometimes only once the first has decided what it can do alone.
    if (chance.chance(50)) await cluster.untilUp(first);
    if (chance.chance(50)) await sleep(chance.below(1_500));
    cluster.server(second).start();
    await oracle.more(50);
    await oracle.verify();
    const now = await cluster.untilInSync();
    t.diagnostic(`round ${round}: ${owner} (owner) and ${partner} killed, ${first} first, ${now.owner} serves`);
  }
  const content = await oracle.verify();
  await cluster.untilDrained();
  await compareImage(content, cluster.volume().image);
});

clusterTest(
  'kill -9 of both with memory stores: the loss is refused and named, and one command accepts it',
  { volumes: [{ name: 'disk', servers: ['a', 'b'], store: 'memory' }] },
  async (cluster, t) => {
    const seed = seedFor(t);
    await cluster.startAll();
    const { owner, partner } = await cluster.untilInSync();
    const oracle = await oracleOn(cluster, seed);
    oracle.run();
    await oracle.more(300);
    for (const name of [owner, partner]) cluster.server(name).signal('SIGKILL');
    await Promise.all([owner, partner].map((name) => cluster.server(name).kill()));
    await oracle.close();
    await cluster.startAll();
    const loss = await cluster.until('the loss is named', async () => {
      const found = [...(await cluster.views()).values()].find((view) => view.loss !== null);
      return found?.loss ?? null;
    });
    t.diagnostic(loss);
    for (const view of (await cluster.views()).values()) assert.equal(view.serving, false);
    const shown = await cluster.run('accept-loss', 'disk');
    assert.equal(shown.code, 4, shown.err);
    const text = await cluster.command('status');
    assert.match(text, /accept-loss disk/);
    assert.equal((await cluster.run('accept-loss', 'disk', '--yes')).code, 0);
    await cluster.untilServed();
    assert.match(await cluster.command('status'), /accepted loss/);
    await cluster.untilInSync();
  },
);

clusterTest(
  'kill -9 of one with memory stores: nothing is lost',
  { volumes: [{ name: 'disk', servers: ['a', 'b'], store: 'memory' }] },
  async (cluster, t) => {
    const seed = seedFor(t);
    const chance = new Prng(seed);
    await cluster.startAll();
    await cluster.untilInSync();
    const oracle = await oracleOn(cluster, seed);
    for (let round = 1; round <= rounds(2); round += 1) {
      const { owner, partner } = await cluster.untilInSync();
      const victim = round % 2 === 1 ? owner : partner;
      oracle.run();
      await oracle.more(50);
      await sleep(chance.below(500));
      await cluster.server(victim).kill();
      await oracle.more(100);
      cluster.server(victim).start();
      await oracle.more(50);
      await oracle.verify();
      await cluster.untilInSync();
      t.diagnostic(`round ${round}: ${victim} killed (${owner} was the owner)`);
    }
    const content = await oracle.verify();
    await cluster.untilDrained();
    await compareImage(content, cluster.volume().image);
  },
);

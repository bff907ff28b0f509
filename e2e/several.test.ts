/** Several volumes, several servers: each volume has its own owner, and a third server steps in for a lost partner. */
import assert from 'node:assert/strict';
import { connect } from '../suites/nbd-client.ts';
import { clusterTest, rounds, seedFor } from './cluster.ts';
import { sleep } from './line.ts';
import { compareImage, oracleOn } from './oracle.ts';
import { Prng } from './prng.ts';

const CROSSED = [
  { name: 'one', servers: ['a', 'b'] },
  { name: 'two', servers: ['b', 'a'] },
];

clusterTest(
  'two volumes, each owned by another server, both under load, one server killed',
  { volumes: CROSSED },
  async (cluster, t) => {
    const seed = seedFor(t);
    const chance = new Prng(seed);
    await cluster.startAll();
    await cluster.untilInSync('one', 'a');
    await cluster.untilInSync('two', 'b');
    const oracles = new Map([
      ['one', await oracleOn(cluster, seed, 'one', { pace: 1_500 })],
      ['two', await oracleOn(cluster, seed + 1, 'two', { pace: 1_500 })],
    ]);
    const all = [...oracles.values()];
    for (let round = 1; round <= rounds(2); round += 1) {
      const victim = round % 2 === 1 ? 'a' : 'b';
      const other = victim === 'a' ? 'b' : 'a';
      for (const oracle of all) oracle.run();
      await Promise.all(all.map((oracle) => oracle.more(100)));
      await sleep(chance.below(500));
      for (const oracle of all) oracle.takePauseMs();
      await cluster.server(victim).kill();
      await cluster.untilServed('one', other);
      await cluster.untilServed('two', other);
      await Promise.all(all.map((oracle) => oracle.more(50)));
      const pauses = [...oracles].map(([name, oracle]) => `${name} ${oracle.takePauseMs()} ms`);
      for (const oracle of all) await oracle.verify();
      cluster.server(victim).start();
      for (const name of oracles.keys()) await cluster.untilInSync(name, other);
      // Nothing is given back by itself; the command does it.
      for (const oracle of all) oracle.run();
      await cluster.command('giveback', victim === 'a' ? 'one' : 'two');
      await cluster.untilInSync('one', 'a');
      await cluster.untilInSync('two', 'b');
      t.diagnostic(`round ${round}: ${victim} killed, clients waited: ${pauses.join(', ')}`);
    }
    for (const [name, oracle] of oracles) {
      const content = await oracle.verify();
      await cluster.untilDrained(name);
      await compareImage(content, cluster.volume(name).image);
    }
  },
);

clusterTest(
  'a third server becomes the partner in place of a lost one',
  { servers: ['a', 'b', 'c'] },
  async (cluster, t) => {
    const seed = seedFor(t);
    await cluster.startAll();
    const { owner, partner } = await cluster.untilInSync();
    const third = [...cluster.servers.keys()].find((name) => name !== owner && name !== partner);
    const oracle = await oracleOn(cluster, seed);
    oracle.run();
    await oracle.more(100);
    oracle.takePauseMs();
    await cluster.server(partner).kill();
    await cluster.until('the third server is the partner', async () => {
      const view = (await cluster.views()).get(owner);
      return view?.mirror === 'in-sync' && view.partner === third;
    });
    await oracle.more(100);
    t.diagnostic(`${partner} killed, ${third} became ${owner}'s partner, clients waited ${oracle.takePauseMs()} ms`);
    // What the third holds is a whole copy: it can go on alone.
    await cluster.server(owner).kill();
    await cluster.untilServed('disk', third);
    await oracle.more(50);
    await oracle.verify();
    cluster.server(owner).start();
    cluster.server(partner).start();
    await cluster.untilInSync('disk', third);
    const content = await oracle.verify();
    await cluster.untilDrained();
    await compareImage(content, cluster.volume().image);
    assert.equal(oracle.errors.length, 0);
  },
);

clusterTest(
  'five servers: one owner after the other dies, and the volume is in sync until one is left',
  { servers: ['a', 'b', 'c', 'd', 'e'] },
  async (cluster, t) => {
    await cluster.startAll();
    await cluster.untilInSync();
    const oracle = await oracleOn(cluster, seedFor(t), 'disk', { pace: 1_500 });
    oracle.run();
    const dead: string[] = [];
    while (dead.length < 4) {
      const { owner } = await cluster.untilInSync();
      await oracle.more(50);
      oracle.takePauseMs();
      await cluster.server(owner).kill();
      dead.push(owner);
      await oracle.more(50);
      t.diagnostic(`${owner} killed, clients waited ${oracle.takePauseMs()} ms`);
    }
    for (const name of dead) cluster.server(name).start();
    await cluster.untilInSync();
    const content = await oracle.verify();
    await cluster.untilDrained();
    await compareImage(content, cluster.volume().image);
    assert.equal(oracle.errors.length, 0);
  },
);

clusterTest(
  'degraded = "journal": alone, the owner\'s journal is enough, and nobody else claims',
  { volumes: [{ name: 'disk', servers: ['a', 'b'], degraded: 'journal' }] },
  async (cluster, t) => {
    const seed = seedFor(t);
    await cluster.startAll();
    const { owner, partner } = await cluster.untilInSync();
    const oracle = await oracleOn(cluster, seed);
    oracle.run();
    await oracle.more(100);
    await cluster.server(partner).kill();
    await cluster.until('the owner goes on alone', async () => (await cluster.views()).get(owner)?.mirror === 'sole');
    await oracle.more(100);
    await cluster.server(owner).kill();
    cluster.server(partner).start();
    await cluster.untilUp(partner);
    const refusal = await cluster.until('the partner says why it cannot', async () => {
      const view = (await cluster.views()).get(partner);
      return view !== undefined && !view.serving ? view.takeoverRefusal : null;
    });
    t.diagnostic(refusal);
    cluster.server(owner).start();
    await oracle.more(50);
    await oracle.verify();
    await cluster.untilInSync();
  },
);

clusterTest(
  'degraded = "stop": without a partner writes wait and reads are answered',
  { volumes: [{ name: 'disk', servers: ['a', 'b'], degraded: 'stop' }] },
  async (cluster, t) => {
    const seed = seedFor(t);
    await cluster.startAll();
    const { owner, partner } = await cluster.untilInSync();
    const oracle = await oracleOn(cluster, seed, 'disk', { connections: 1 });
    const { host, ports } = cluster.volume();
    oracle.run();
    await oracle.more(100);
    await cluster.server(partner).kill();
    await cluster.until('writes wait', async () => {
      const view = (await cluster.views()).get(owner);
      return view?.mirror === 'suspended' && view.waitingRequests > 0;
    });
    const reader = await connect(host, ports[0] ?? 0, 'disk');
    await reader.read(8 << 20, 4_096);
    await reader.disconnect();
    const { written } = oracle.counts;
    cluster.server(partner).start();
    await cluster.untilInSync('disk', owner);
    await oracle.more(100);
    assert.ok(oracle.counts.written > written);
    await oracle.verify();
  },
);

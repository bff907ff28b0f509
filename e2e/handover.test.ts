/**
 * Planned changes of owner under load: takeover, giveback, SIGTERM. Clients that reconnect see no error, nothing is lost,
 * and the pause is short.
 */
import assert from 'node:assert/strict';
import { clusterTest, rounds, seedFor } from './cluster.ts';
import { compareImage, oracleOn } from './oracle.ts';
import { Prng } from './prng.ts';

clusterTest('takeover and giveback under load', {}, async (cluster, t) => {
  const seed = seedFor(t);
  const chance = new Prng(seed);
  await cluster.startAll();
  await cluster.untilInSync('disk', 'a');
  const oracle = await oracleOn(cluster, seed);
  oracle.run();
  for (let round = 1; round <= rounds(2); round += 1) {
    for (const [command, owner] of [
      ['takeover', 'b'],
      ['giveback', 'a'],
    ] as const) {
      await oracle.more(100 + chance.below(400));
      oracle.takePauseMs();
      // On a busy machine a probe before the leap may take too long: then it is refused, and asked for again.
      const said = await cluster.until(`${command} is done`, async () => {
        const { code, out, err } = await cluster.run(command, 'disk');
        if (code === 0) return out;
        assert.match(out + err, /has not come back|did not come back/);
        return null;
      });
      await oracle.more(50);
      const pauseMs = oracle.takePauseMs();
      assert.match(said, new RegExp(`done: ${owner} serves it; clients waited [\\d.]+ m?s`));
      t.diagnostic(
        `${command}: ${/clients waited .*/.exec(said)?.[0]} by its own word, ${pauseMs} ms seen by the clients`,
      );
      await cluster.untilInSync('disk', owner);
    }
  }
  const content = await oracle.verify();
  assert.deepEqual(oracle.errors, []);
  await cluster.untilDrained();
  await compareImage(content, cluster.volume().image);
});

clusterTest('SIGTERM hands the volumes over and ends with 0', {}, async (cluster, t) => {
  const seed = seedFor(t);
  await cluster.startAll();
  await cluster.untilInSync('disk', 'a');
  const oracle = await oracleOn(cluster, seed);
  for (let round = 1; round <= rounds(2); round += 1) {
    const { owner, partner } = await cluster.untilInSync();
    oracle.run();
    await oracle.more(200);
    oracle.takePauseMs();
    assert.equal(await cluster.server(owner).stop(), 0);
    await oracle.more(100);
    t.diagnostic(`round ${round}: ${owner} stopped, clients waited ${oracle.takePauseMs()} ms`);
    assert.equal(await cluster.untilServed(), partner);
    await oracle.verify();
    cluster.server(owner).start();
    await cluster.untilInSync('disk', partner);
  }
  const { owner, partner } = await cluster.untilInSync();

  await t.test('the partner stops too, and the owner goes on without a pause worth the name', async () => {
    oracle.run();
    await oracle.more(100);
    const { connects } = oracle;
    assert.equal(await cluster.server(partner).stop(), 0);
    await oracle.more(200);
    assert.equal(oracle.connects, connects);
    await oracle.verify();
  });

  await t.test('the last one drains, ends with 0, and everything is on the medium', async () => {
    oracle.run();
    await oracle.more(200);
    const content = await oracle.verify();
    assert.equal(await cluster.server(owner).stop(), 0);
    await compareImage(content, cluster.volume().image);
    assert.match(await cluster.command('volume', 'list'), /suspended/);
  });

  await t.test('and both come back', async () => {
    await cluster.startAll();
    await cluster.untilInSync();
    oracle.run();
    await oracle.more(100);
    await oracle.verify();
  });
});

clusterTest(
  'a partner that has stopped in order is missed by nobody: its owner may be killed at once, memory stores or not',
  { volumes: [{ name: 'disk', servers: ['a', 'b'], store: 'memory' }] },
  async (cluster, t) => {
    await cluster.startAll();
    await cluster.untilInSync();
    const oracle = await oracleOn(cluster, seedFor(t));
    for (let round = 1; round <= rounds(2); round += 1) {
      const { owner, partner } = await cluster.untilInSync();
      oracle.run();
      await oracle.more(200);
      assert.equal(await cluster.server(partner).stop(), 0);
      await cluster.server(owner).kill();
      cluster.server(owner).start();
      cluster.server(partner).start();
      await oracle.more(50);
      await oracle.verify();
    }
    await cluster.untilInSync();
  },
);

clusterTest('a second SIGTERM ends a server at once', {}, async (cluster, t) => {
  const seed = seedFor(t);
  await cluster.startAll();
  const { owner } = await cluster.untilInSync();
  const oracle = await oracleOn(cluster, seed);
  oracle.run();
  await oracle.more(200);
  const server = cluster.server(owner);
  const since = server.mark;
  server.signal('SIGTERM');
  await cluster.until('the first signal is heard', () => server.has('server.stopping', since));
  const startedMs = performance.now();
  const end = await server.stop();
  const tookMs = Math.round(performance.now() - startedMs);
  // An orderly stop may have been done first.
  if (server.has('server.stopped', since)) assert.equal(end, 0);
  else assert.equal(end, 130);
  assert.ok(tookMs < 2_000, `it took ${tookMs} ms`);
  t.diagnostic(`ended with ${end} after ${tookMs} ms`);
  await oracle.more(50);
  await oracle.verify();
  server.start();
  await cluster.untilInSync();
});

clusterTest('the same server does not start twice', {}, async (cluster) => {
  await cluster.startAll();
  const { owner } = await cluster.untilInSync();
  const twin = await cluster.run('serve', '--server', owner);
  assert.equal(twin.code, 4, twin.out);
  assert.match(twin.out, /server\.refused/);
  assert.match(twin.out, /lock|runs|running/i);
  await cluster.untilInSync('disk', owner);
});

/**
 * Servers under their supervisors: a server that dies is started again, and its partner, here on "another machine" whose
 * lock says nothing, has proof of its death by the supervisor's word and does not wait for the lease. Without the
 * supervisor, or cut off from it, the lease is waited for.
 */
import assert from 'node:assert/strict';
import { type Cluster, clusterTest, seedFor } from './cluster.ts';
import { compareImage, type Oracle, oracleOn } from './oracle.ts';

const ACCEPTED = { lines: ['accept-risk = "late-io"'] };

/** Kills the owner's process under load and tells how the partner came to serve. */
async function killOwner(cluster: Cluster, oracle: Oracle, how: (owner: string) => Promise<void>) {
  const { owner, partner } = await cluster.untilInSync();
  oracle.run();
  await oracle.more(200);
  oracle.takePauseMs();
  const taker = cluster.server(partner);
  const since = taker.mark;
  await how(owner);
  await cluster.untilServed('disk', partner);
  await oracle.more(100);
  const waited = (event: string): number => taker.all(event, since)[0]?.atMs ?? Number.NaN;
  const waitMs = waited('claim.replaying') - waited('claim.waiting');
  return { owner, partner, since, taker, waitMs, pauseMs: oracle.takePauseMs() };
}

clusterTest(
  'a killed server is reported, its partner on another machine does not wait, and it comes back by itself',
  { supervised: true, machines: true, medium: ACCEPTED },
  async (cluster, t) => {
    await cluster.startAll();
    await cluster.untilInSync();
    const oracle = await oracleOn(cluster, seedFor(t));
    for (let round = 1; round <= 3; round += 1) {
      const kill = async (name: string): Promise<void> => cluster.server(name).signalServer('SIGKILL');
      const { owner, taker, since, waitMs, pauseMs } = await killOwner(cluster, oracle, kill);
      assert.ok(taker.has('peer.ended', since), 'the supervisor has reported it');
      assert.ok(taker.has('claim.proof', since), 'that is proof');
      assert.ok(waitMs < 700, `the lease of a second was not waited for: ${waitMs} ms`);
      // Nobody starts it but its supervisor.
      await cluster.untilInSync();
      await oracle.verify();
      t.diagnostic(`round ${round}: ${owner} killed, proof after ${waitMs} ms, clients waited ${pauseMs} ms`);
    }
    const content = await oracle.verify();
    await cluster.untilDrained();
    await compareImage(content, cluster.volume().image);
    for (const server of cluster.servers.values()) assert.equal(await server.stop(), 0);
  },
);

clusterTest(
  'without the supervisor the partner on another machine waits for the lease',
  { supervised: true, machines: true, medium: ACCEPTED },
  async (cluster, t) => {
    await cluster.startAll();
    await cluster.untilInSync();
    const oracle = await oracleOn(cluster, seedFor(t));
    const both = async (name: string): Promise<void> => {
      cluster.server(name).signal('SIGKILL');
      await cluster.server(name).kill();
    };
    const { owner, taker, since, waitMs } = await killOwner(cluster, oracle, both);
    assert.ok(!taker.has('claim.proof', since), 'nobody proved anything');
    assert.ok(waitMs >= 1_000, `the lease of a second was waited for: ${waitMs} ms`);
    t.diagnostic(`${owner} and its supervisor killed: waited ${waitMs} ms`);
    cluster.server(owner).start();
    await cluster.untilInSync();
    await oracle.verify();
  },
);

clusterTest(
  'a supervisor that is cut off cannot report: the lease is waited for, and its report does no harm when it comes',
  { supervised: true, machines: true, medium: ACCEPTED },
  async (cluster, t) => {
    await cluster.startAll();
    await cluster.untilInSync();
    const oracle = await oracleOn(cluster, seedFor(t));
    const alone = async (name: string): Promise<void> => {
      // The supervisor sees nothing and says nothing for a while.
      cluster.server(name).signal('SIGSTOP');
      cluster.server(name).signalServer('SIGKILL');
    };
    const { owner, partner, taker, since, waitMs, pauseMs } = await killOwner(cluster, oracle, alone);
    assert.ok(!taker.has('peer.ended', since) && !taker.has('claim.proof', since), 'nobody proved anything');
    assert.ok(waitMs >= 1_000, `the lease of a second was waited for: ${waitMs} ms`);
    t.diagnostic(`${owner} killed, its supervisor silent: waited ${waitMs} ms, clients waited ${pauseMs} ms`);
    cluster.server(owner).signal('SIGCONT');
    await cluster.until('the report arrives late', () => taker.has('peer.ended', since));
    // It starts the server again, which becomes the partner.
    await cluster.untilInSync('disk', partner);
    await oracle.verify();
  },
);

// Whatever a frozen server has in hand for the medium may land when it goes on: accepted here, so there is nothing in hand.
clusterTest(
  'a frozen server is nothing that a supervisor reports',
  { supervised: true, machines: true, medium: ACCEPTED, ownAddresses: true, timings: { destage: '10m' } },
  async (cluster, t) => {
    await cluster.startAll();
    await cluster.untilInSync();
    const oracle = await oracleOn(cluster, seedFor(t), 'disk', { patienceMs: 800 });
    const freeze = async (name: string): Promise<void> => cluster.server(name).freeze();
    const { owner, partner, taker, since, waitMs } = await killOwner(cluster, oracle, freeze);
    assert.ok(!taker.has('peer.ended', since));
    assert.ok(waitMs >= 1_000, `the lease of a second was waited for: ${waitMs} ms`);
    oracle.nothingIsLate();
    cluster.server(owner).thaw();
    await cluster.untilInSync('disk', partner);
    await oracle.verify();
  },
);

clusterTest(
  'SIGTERM stops in order, a second one at once; a crash loop backs off',
  { supervised: true },
  async (cluster) => {
    await cluster.startAll();
    const { owner, partner } = await cluster.untilInSync();
    const server = cluster.server(owner);
    let since = server.mark;
    assert.equal(await server.stop(), 0);
    assert.ok(server.has('server.stopped', since), 'in order');
    assert.equal(await cluster.untilServed(), partner);

    server.start();
    await cluster.untilUp(owner);
    // A server that cannot end in order: both are gone at the second signal all the same.
    server.freeze();
    since = server.mark;
    server.signal('SIGTERM');
    await cluster.until('the first signal is heard', () => server.has('supervisor.stopping', since));
    const startedMs = performance.now();
    server.signal('SIGTERM');
    assert.equal(await server.ended, 130);
    assert.ok(performance.now() - startedMs < 2_000, 'at once');
    server.frozen = false;

    server.start();
    await cluster.untilUp(owner);
    since = server.mark;
    const pauses: string[] = [];
    for (let end = 1; end <= 3; end += 1) {
      const { pid } = server;
      server.signalServer('SIGKILL');
      await cluster.until(`end ${end} is seen`, () => server.all('supervisor.ended', since).length === end);
      pauses.push(String(server.all('supervisor.ended', since).at(-1)?.fields['again']));
      await cluster.until('it is started again', () => server.pid !== pid);
    }
    assert.deepEqual(pauses, ['in 500 ms', 'in 1000 ms', 'in 2000 ms']);
    await cluster.untilInSync();
  },
);

clusterTest('a start that is refused is refused once, with its exit code', { supervised: true }, async (cluster) => {
  await cluster.startAll();
  const twin = await cluster.run('serve', '--server', 'a');
  assert.equal(twin.code, 4, twin.out);
  assert.match(twin.out, /server\.refused/);
  assert.equal(twin.out.match(/supervisor\.started/g)?.length, 1);
});

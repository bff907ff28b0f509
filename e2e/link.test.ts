/** Wires of the link are cut and mended: one path, all paths. Mirroring goes on while it can, and heals by itself. */
import assert from 'node:assert/strict';
import { clusterTest, seedFor } from './cluster.ts';
import { compareImage, oracleOn } from './oracle.ts';

clusterTest('one path of the link is cut: mirroring goes on', { wires: true }, async (cluster, t) => {
  const seed = seedFor(t);
  await cluster.startAll();
  const { owner, partner } = await cluster.untilInSync();
  const oracle = await oracleOn(cluster, seed);
  const { connects } = oracle;
  oracle.run();
  const before = (await cluster.views()).get(owner);
  for (const path of [0, 1]) {
    await oracle.more(200);
    oracle.takePauseMs();
    const cut = cluster.wires.filter((wire) => wire.path === path);
    for (const wire of cut) wire.cut();
    await cluster.until(`path ${path + 1} is seen to be down`, async () => {
      const peer = (await cluster.status(owner))?.peers.find((one) => one.server === partner);
      return peer?.paths.find((one) => one.path === path)?.up === false;
    });
    await oracle.more(300);
    const during = (await cluster.views()).get(owner);
    assert.equal(during?.mirror, 'in-sync');
    assert.equal(during?.generation, before?.generation, 'the mirror was never lost');
    t.diagnostic(`path ${path + 1} cut: clients waited ${oracle.takePauseMs()} ms at most`);
    for (const wire of cut) wire.mend();
    await cluster.until(`path ${path + 1} is up again`, async () => {
      const peer = (await cluster.status(owner))?.peers.find((one) => one.server === partner);
      return peer?.paths.every((one) => one.up);
    });
  }
  const content = await oracle.verify();
  assert.equal(oracle.connects - connects, 3, 'no connection was lost');
  assert.equal((await cluster.views()).get(owner)?.epoch, before?.epoch);
  await cluster.untilDrained();
  await compareImage(content, cluster.volume().image);
});

clusterTest(
  'all paths are cut: exactly one goes on, nothing is lost, and it heals',
  { wires: true },
  async (cluster, t) => {
    const seed = seedFor(t);
    await cluster.startAll();
    await cluster.untilInSync();
    const oracle = await oracleOn(cluster, seed, 'disk', { patienceMs: 2_500 });
    for (const half of [false, true]) {
      oracle.run();
      await oracle.more(200);
      oracle.takePauseMs();
      const marks = [...cluster.servers.values()].map((server) => [server, server.mark] as const);
      const { owner } = await cluster.untilInSync();
      // The second time only one direction of every path dies.
      const cut = cluster.wires.filter((wire) => !half || wire.from === owner);
      for (const wire of cut) wire.cut();
      await cluster.until('one goes on alone', async () => {
        const serving = [...(await cluster.views()).values()].filter((view) => view.serving);
        assert.ok(serving.length <= 1, 'two servers serve');
        if (half) return true;
        return serving.length === 1 && serving[0]?.mirror === 'suspended';
      });
      await oracle.more(300);
      const serving = [...(await cluster.views())].filter(([, view]) => view.serving).map(([name]) => name);
      assert.equal(serving.length, 1);
      const pauseMs = oracle.takePauseMs();
      for (const wire of cut) wire.mend();
      await oracle.more(100);
      await cluster.untilInSync();
      await oracle.verify();
      const swaps = marks.flatMap(([server, mark]) => [
        ...server.all('swap.suspended', mark),
        ...server.all('claim.begin', mark),
      ]);
      t.diagnostic(
        `${half ? "the owner's wires" : 'all wires'} cut: ${serving[0]} went on after ${pauseMs} ms; ${swaps.length} swap(s)`,
      );
    }
    const content = await oracle.verify();
    await cluster.untilDrained();
    await compareImage(content, cluster.volume().image);
  },
);

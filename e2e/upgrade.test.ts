/**
 * A rolling upgrade: one server is held to the older version of the link's protocol, so that the pair speaks that; it
 * mirrors, takes over, gives back and survives a kill like any other. Then the hold is lifted, one restart at a time.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { MAX_VERSION } from '../src/wire/link-conversation.ts';
import { clusterTest, seedFor } from './cluster.ts';
import type { Cluster } from './cluster.ts';
import { compareImage, oracleOn } from './oracle.ts';

const OLDER = MAX_VERSION - 1;

/** The version of the newest session of a server, by its log. */
function spoken(cluster: Cluster, name: string): unknown {
  return cluster.server(name).all('link.up').at(-1)?.fields['version'];
}

clusterTest(
  'a pair is upgraded one server at a time',
  { serverLines: (name) => (name === 'b' ? [`link-version = ${OLDER}`] : []), deadlineMs: 120_000 },
  async (cluster, t) => {
    const seed = seedFor(t);
    cluster.server('a').start();
    await cluster.untilServed('disk', 'a');
    cluster.server('b').start();
    await cluster.untilInSync('disk', 'a');
    assert.deepEqual(
      [spoken(cluster, 'a'), spoken(cluster, 'b')],
      [OLDER, OLDER],
      'mixed, they speak the older version',
    );
    const oracle = await oracleOn(cluster, seed);
    oracle.run();
    await oracle.more(200);

    await t.test('the held one takes over, and the other takes it back', async () => {
      await cluster.command('takeover', 'disk', '--to', 'b');
      await oracle.more(200);
      await cluster.untilInSync('disk', 'b');
      await cluster.command('giveback', 'disk');
      await oracle.more(200);
      await cluster.untilInSync('disk', 'a');
    });

    await t.test('each of them is killed, and the other carries on', async () => {
      for (const [victim, heir] of [
        ['a', 'b'],
        ['b', 'a'],
      ] as const) {
        await cluster.server(victim).kill();
        await oracle.more(200);
        assert.equal(await cluster.untilServed(), heir);
        cluster.server(victim).start();
        await cluster.untilInSync('disk', heir);
      }
      assert.equal(spoken(cluster, 'b'), OLDER, 'still the older version');
    });

    await t.test('the hold is lifted: after a restart in order they speak the newer version', async () => {
      const text = readFileSync(cluster.configFile, 'utf8');
      writeFileSync(cluster.configFile, text.replace(/^link-version = .*\n/m, ''));
      assert.equal(await cluster.server('b').stop(), 0);
      await oracle.more(100);
      cluster.server('b').start();
      await cluster.untilInSync('disk', 'a');
      assert.deepEqual([spoken(cluster, 'a'), spoken(cluster, 'b')], [MAX_VERSION, MAX_VERSION]);
      await cluster.command('takeover', 'disk', '--to', 'b');
      await oracle.more(200);
      await cluster.untilInSync('disk', 'b');
    });

    const content = await oracle.verify();
    assert.deepEqual(oracle.errors, []);
    await cluster.untilDrained();
    await compareImage(content, cluster.volume().image);
  },
);

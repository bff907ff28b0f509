/**
 * A medium that hangs: for the owner alone, and for both. The owner's calls hang in the kernel, where no signal reaches
 * them: a killed process is not gone before they return. So on one machine the volume waits for that, or for a fence
 * that takes the owner's way to the medium from it, or goes on by an accepted risk.
 */
import assert from 'node:assert/strict';
import type { Cluster } from './cluster.ts';
import { sleep } from './line.ts';
import { compareImage, type Oracle, oracleOn } from './oracle.ts';
import { type Shown, wayTest } from './ways.ts';

/** Longest time from the hang to a partner that serves: the probe, time to hand over, the fence; ms. */
const TAKEN_MS = 30_000;
/** A client of a server that hangs gives up after this. */
const PATIENCE = { patienceMs: 8_000 };

/** Lets the owner's way hang under load. */
async function hangOwner({ cluster, ways, seed }: Shown) {
  const oracle = await oracleOn(cluster, seed, 'disk', PATIENCE);
  const { owner, partner } = await cluster.untilInSync();
  oracle.run();
  await oracle.more(300);
  oracle.takePauseMs();
  const since = cluster.server(partner).mark;
  const startedMs = performance.now();
  ways.get(owner).hang();
  return { oracle, owner, partner, since, startedMs };
}

async function serves(cluster: Cluster, name: string, oracle: Oracle, startedMs: number): Promise<string> {
  await cluster.until(`${name} serves`, async () => (await cluster.views()).get(name)?.serving === true, TAKEN_MS);
  const tookMs = Math.round(performance.now() - startedMs);
  await oracle.more(100);
  return `served ${tookMs} ms after the hang began, clients waited ${oracle.takePauseMs()} ms`;
}

wayTest(
  'it hangs for the owner alone, and a fence takes the medium from it: its partner serves',
  { fenced: true },
  async (shown) => {
    const { cluster, ways, image, say } = shown;
    const { oracle, owner, partner, since, startedMs } = await hangOwner(shown);
    say(await serves(cluster, partner, oracle, startedMs));
    const taker = cluster.server(partner);
    assert.match(String(taker.all('peer.unfit', since)[0]?.fields['why']), /medium/);
    assert.match(String(taker.all('claim.begin', since)[0]?.fields['why']), /is unfit and has not handed over/);
    oracle.nothingIsLate();
    await oracle.more(300);
    await ways.get(owner).reopen();
    await cluster.untilInSync('disk', partner, 60_000);
    const content = await oracle.verify();
    assert.deepEqual(oracle.errors, []);
    await cluster.untilDrained();
    await compareImage(content, image);
  },
);

/** Whether the killed process is gone at once is the kernel's to say: calls that the medium has begun cannot be ended. */
wayTest(
  'it hangs for the owner alone, on one machine without a fence: killed, and not served before nothing of it is left',
  {},
  async (shown) => {
    const { cluster, ways, image, say } = shown;
    const { oracle, owner, partner, since, startedMs } = await hangOwner(shown);
    const taker = cluster.server(partner);
    const fenced = (): boolean => taker.has('claim.fence-failed', since) || taker.has('claim.waiting', since);
    await cluster.until('it is fenced, or cannot be', fenced, TAKEN_MS);
    assert.equal(taker.all('fence.killed', since).length, 1);
    if (taker.has('claim.fence-failed', since)) {
      const said = await cluster.until('status says why', async () => {
        const why = String((await cluster.views()).get(partner)?.why);
        return /could not be fenced: process \d+ of \w was killed and is not gone: it hangs/.test(why) ? why : null;
      });
      say(`status: ${said}`);
      assert.match(said, /accept-risk = "late-io"/);
      assert.equal((await cluster.views()).get(partner)?.serving, false);
      assert.ok(!taker.has('claim.replaying', since), 'nothing is replayed before');
      ways.get(owner).heal();
    } else say('the killed process was gone at once');
    say(await serves(cluster, partner, oracle, startedMs));
    ways.get(owner).heal();
    oracle.nothingIsLate();
    await cluster.untilInSync('disk', partner, 60_000);
    const content = await oracle.verify();
    assert.deepEqual(oracle.errors, []);
    await cluster.untilDrained();
    await compareImage(content, image);
  },
);

wayTest(
  'it hangs for the owner alone, and late I/O is accepted by name: its partner serves, and says so',
  { mediumLines: ['accept-risk = "late-io"'] },
  async (shown) => {
    const { cluster, say } = shown;
    const { oracle, partner, since, startedMs } = await hangOwner(shown);
    say(await serves(cluster, partner, oracle, startedMs));
    const [risked] = cluster.server(partner).all('fence.risked', since);
    if (risked !== undefined) assert.match(String(risked.fields['why']), /was killed and is not gone/);
    else assert.ok(cluster.server(partner).has('claim.proof', since), 'the killed process was gone at once');
    assert.match(await cluster.command('status'), /late I\/O of a frozen server after a takeover is accepted/);
    // While it hangs: what the old owner had in hand lands when that ends, which is the risk.
    oracle.nothingIsLate();
    await oracle.more(300);
    await oracle.verify();
    assert.deepEqual(oracle.errors, []);
  },
);

/** Trap T25: what hangs stays outstanding, and nothing that overlaps it is issued before it has returned. */
wayTest(
  'writes that hang for a while, and later ones to the same places: the last one is there in the end',
  { timings: { destage: '20ms' } },
  async ({ cluster, ways, image, seed, say }) => {
    const oracle = await oracleOn(cluster, seed);
    const { owner } = await cluster.untilInSync();
    const marks = [...cluster.servers.values()].map((server) => [server, server.mark] as const);
    oracle.run();
    for (let round = 1; round <= 3; round += 1) {
      await oracle.more(200);
      ways.get(owner).hang();
      // A third of all requests fall on the same few sectors: they are accepted, mirrored, and wait behind what hangs.
      const before = oracle.counts.written;
      await sleep(1_800);
      say(`round ${round}: ${oracle.counts.written - before} writes acknowledged while the medium hung`);
      ways.get(owner).heal();
      await oracle.more(200);
      await cluster.untilInSync('disk', owner);
    }
    const content = await oracle.verify();
    assert.deepEqual(oracle.errors, []);
    await cluster.untilDrained();
    await compareImage(content, image);
    for (const [server, mark] of marks)
      for (const event of ['claim.begin', 'server.unfit', 'partner.lost'])
        assert.ok(!server.has(event, mark), `${event} of ${server.name}: a hang so short moves nothing`);
  },
);

wayTest(
  'a medium that hangs for both: nobody plays ping-pong, and all goes on when it is back',
  { supervised: false },
  async ({ cluster, ways, image, seed, say }) => {
    const oracle = await oracleOn(cluster, seed);
    await cluster.untilInSync();
    oracle.run();
    await oracle.more(300);
    const marks = [...cluster.servers.values()].map((server) => [server, server.mark] as const);
    for (const way of ways.all) way.hang();
    await sleep(12_000);
    const claims = marks.flatMap(([server, mark]) => server.all('claim.begin', mark)).length;
    const unfit = await Promise.all(
      [...cluster.servers.keys()].map(async (name) => String((await cluster.status(name))?.unfit)),
    );
    const text = await cluster.command('status');
    say(`${claims} claims in 12 s; unfit: ${unfit.join(' | ')}`);
    for (const why of unfit) assert.match(why, /medium/, 'both say that they are unfit');
    assert.equal(text.match(/^server \w +unfit: .*medium/gm)?.length, 2, text);
    assert.equal(claims, 0, 'nobody claims while nobody reaches the medium');
    for (const way of ways.all) way.heal();
    await oracle.more(100);
    await cluster.untilInSync();
    const content = await oracle.verify();
    assert.deepEqual(oracle.errors, []);
    await cluster.untilDrained();
    await compareImage(content, image);
  },
);

/**
 * What an administrator has in hand, on running servers: asking before doing, whole servers at once, drains, rehearsals, what
 * was noticed, and volumes that are created while servers run.
 */
import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { clusterTest, seedFor } from './cluster.ts';
import { freePorts, HOST } from './cluster-config.ts';
import { oracleOn } from './oracle.ts';

const TWO = [
  { name: 'disk', servers: ['a', 'b'] },
  { name: 'more', servers: ['a', 'b'] },
] as const;

clusterTest('asking before doing, and whole servers', { volumes: TWO }, async (cluster, t) => {
  const nobody = await cluster.run('takeover', 'disk', '--dry-run');
  assert.equal(nobody.code, 3, 'nobody runs');
  cluster.server('a').start();
  for (const volume of ['disk', 'more']) await cluster.untilServed(volume, 'a');
  cluster.server('b').start();
  for (const volume of ['disk', 'more']) await cluster.untilInSync(volume, 'a');

  await t.test('a dry run changes nothing', async () => {
    const said = await cluster.command('takeover', '--server', 'a', '--dry-run');
    assert.match(said, /disk: a -> b {2}possible\nmore: a -> b {2}possible\nnothing was changed/);
    assert.equal(await cluster.untilServed(), 'a');
    assert.match(await cluster.command('giveback', 'disk', '--dry-run'), /disk: a owns it already, nothing to do/);
  });

  await t.test('all volumes of a server, one after the other, and back', async () => {
    const oracle = await oracleOn(cluster, seedFor(t));
    oracle.run();
    await oracle.more(50);
    const there = await cluster.command('takeover', '--server', 'a');
    assert.match(
      there,
      /volume 1 of 2\ndisk: a -> b[^]*done: b serves it; clients waited [^]*volume 2 of 2\nmore: a -> b[^]*done: b/,
    );
    await oracle.more(50);
    for (const volume of ['disk', 'more']) await cluster.untilInSync(volume, 'b');
    assert.match(await cluster.command('takeover', '--server', 'a'), /^a owns no volume: nothing to do/);
    const back = await cluster.command('giveback', '--server', 'a');
    assert.equal(back.match(/done: a serves it/g)?.length, 2);
    for (const volume of ['disk', 'more']) await cluster.untilInSync(volume, 'a');

    const drained = await cluster.command('drain', '--server', 'a');
    assert.match(drained, /disk of a: drained, [^\n]*\n[^]*more of a: drained, nothing was left/);
    await oracle.verify();
    assert.deepEqual(oracle.errors, []);
  });

  await t.test('a rehearsal takes over, gives back and says how long clients waited', async () => {
    const said = await cluster.command('rehearse', 'disk');
    assert.match(said, /there, a to b: the servers say [\d.]+ m?s, a reading client waited [\d.]+ m?s at most/);
    assert.match(said, /back, {2}b to a: the servers say/);
    t.diagnostic(said.trim().split('\n').slice(-2).join('; '));
    assert.equal(await cluster.untilServed(), 'a');
  });

  await t.test('a brake that holds is told with when it ends, and a command goes on', async () => {
    const { out } = await cluster.run('status');
    assert.match(out, /brake +on for another (9|10) min {2}the owner changed 3 times within 10 minutes/);
    assert.match(await cluster.command('takeover', 'disk', '--dry-run'), /possible\n {2}the brake is on for another/);
    await cluster.untilInSync('disk', 'a');
    await cluster.command('takeover', 'disk');
    await cluster.untilInSync('disk', 'b');
    await cluster.command('giveback', 'disk');
    await cluster.untilInSync('disk', 'a');
  });

  await t.test('with a dead partner every reason is named, and what was noticed on what evidence', async () => {
    await cluster.server('b').kill();
    await cluster.until('a goes on alone', async () => (await cluster.views()).get('a')?.mirror === 'suspended');
    const refused = await cluster.run('takeover', '--server', 'a', '--dry-run');
    assert.equal(refused.code, 4);
    assert.match(refused.out, /disk: a -> b {2}not possible\n {2}- b does not answer: .*the server is not running\n/);
    assert.match(refused.err, /2 volumes cannot change the owner now; nothing was changed/);
    for (const command of ['takeover', 'rehearse']) assert.equal((await cluster.run(command, 'disk')).code, 4, command);
    assert.equal((await cluster.run('takeover', 'disk', '--to', 'nobody')).code, 2);
    assert.equal((await cluster.run('drain')).code, 2);

    const shown = await cluster.run('status');
    assert.match(
      shown.out,
      /noticed +by a [\d.]+ m?s ago: its process \(detector a\), no path of the link to b carries/,
    );
    assert.match(shown.out, /no partner +write-through is in force/);
    const events = await cluster.run('events', '--json', '--volume', 'disk', '--server', 'a');
    const told = events.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const lost = told.findLast(({ msg }) => msg === 'partner.lost');
    assert.deepEqual([lost?.['detector'], lost?.['why']], ['process', 'no path of the link to b carries']);
  });

  await t.test('what a server told before it was killed is in the history of its next start', async () => {
    await cluster.server('a').kill();
    cluster.server('a').start();
    await cluster.untilServed('disk', 'a');
    const { out, err } = await cluster.run('events', '--last', '1000', '--volume', 'disk');
    assert.match(
      out,
      / a {2}partner\.lost +disk {2}epoch=\d+ partner=b detector=process why="no path of the link to b carries"/,
    );
    assert.match(err, /^b: no answer from /m);
  });
});

clusterTest('a volume that is created while servers run is served at once', {}, async (cluster) => {
  await cluster.startAll();
  await cluster.untilInSync();
  const [port] = await freePorts(1);
  const table = `[[volume]]\nname = "late"\nmedium = "shared"\nsize = "16MiB"\naddress = "${HOST}:${port}"\nservers = ["b", "a"]\nstore-capacity = "16MiB"\n`;
  appendFileSync(cluster.configFile, table);
  const said = await cluster.command('volume', 'create', 'late');
  assert.match(said, /b takes part for it now\n {2}a takes part for it now/);
  const { partner } = await cluster.untilInSync('late');
  assert.match(await cluster.command('takeover', 'late'), new RegExp(`done: ${partner} serves it`));

  // What cannot be taken up is said, and changes nothing.
  appendFileSync(cluster.configFile, `[timings]\nlease = "2s"\n`);
  cluster.server('a').signal('SIGHUP');
  await cluster.until('a says what waits for its next start', () =>
    cluster
      .server('a')
      .all('config.reloaded')
      .some(({ fields }) => fields['remarks'] === 'a timing changed: this takes effect when a is started anew'),
  );
  appendFileSync(cluster.configFile, 'nonsense\n');
  cluster.server('a').signal('SIGHUP');
  const refused = await cluster.until('a refuses it', () => cluster.server('a').all('config.refused').at(-1));
  assert.match(String(refused.fields['why']), /nothing was changed: line \d+: not TOML/);
});

/**
 * Two guests work on one files volume, each through its kernel's own NFS client, while whoever owns it is killed with -9
 * again and again, and handed over in between: no program sees an error, and what they made is there, as they made it.
 */
import assert from 'node:assert/strict';
import { chmodSync, linkSync, lutimesSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Cluster, clusterTest, rounds, seedFor } from '../cluster.ts';
import { Prng } from '../prng.ts';
import { run } from '../run.ts';
import { bootMounted, FILES, needsMount } from './mounted.ts';

/** .ci/run has it run by name. */
const LONG = process.env['HOLDFAST_E2E_LONG'] === '1';

/** A tree with everything that tar keeps: contents of many sizes, modes, times to the nanosecond, links, odd names. */
async function packTree(cluster: Cluster, seed: number): Promise<string> {
  const random = new Prng(seed);
  const root = path.join(cluster.directory, 'tree');
  mkdirSync(root);
  const times: (() => void)[] = [];
  for (let d = 0; d < 8; d += 1) {
    const folder = path.join(root, `folder ${d}`, ...(d % 2 === 0 ? [] : ['below', 'below that']));
    mkdirSync(folder, { recursive: true });
    for (let f = 0; f < 12; f += 1) {
      const file = path.join(folder, f === 3 ? 'n'.repeat(200) : `file-${f}`);
      const bytes = random.below(f === 0 ? 400_000 : 20_000);
      writeFileSync(file, Buffer.from(Array.from({ length: bytes }, () => random.below(256))));
      chmodSync(file, [0o644, 0o600, 0o755, 0o4711, 0o444][f % 5] ?? 0o644);
      utimesSync(file, 1e9, 1_000_000_000 + random.below(500_000_000) + f / 7);
    }
    linkSync(path.join(folder, 'file-1'), path.join(folder, 'linked'));
    symlinkSync('../nowhere', path.join(folder, 'symbolic'));
    lutimesSync(path.join(folder, 'symbolic'), 1e9, 1.1e9 + d);
    times.unshift(() => utimesSync(folder, 1e9, 1.2e9 + d));
  }
  for (const set of times) set();
  const archive = path.join(cluster.directory, 'tree.tar');
  await run('tar', '--format=posix', '-c', '-f', archive, '-C', root, '.');
  return archive;
}

clusterTest(
  'two kernels work on one files volume while its owner is killed again and again',
  { volumes: [FILES], deadlineMs: 560_000, skip: LONG ? needsMount() : 'takes minutes: HOLDFAST_E2E_LONG=1 runs it' },
  async (cluster, t) => {
    const seed = seedFor(t);
    const archive = await packTree(cluster, seed);
    const volume = cluster.volume('files');
    await cluster.startAll();
    await cluster.untilInSync('files');
    const more = [['tree.tar', archive]] as const;
    const [one, two] = [await bootMounted(cluster, volume, more), await bootMounted(cluster, volume, more)];
    const guests = [one, two];
    for (const [index, guest] of guests.entries()) {
      await guest.run(
        'export HOME=/tmp; rows() { i=0; while [ ! -e /tmp/stop ]; do i=$((i+1)); sqlite3 $1 "insert into t values($i, randomblob(3000));" || { echo "failed row $i"; break; }; echo "row $i kept"; done; echo "over rows"; }',
      );
      await guest.run(`sqlite3 /mnt/files/db-${index} "create table t(i integer primary key, b blob);"`);
      await guest.run(`sh /bin/unpack.sh /tree.tar /mnt/files/tree-${index} &`);
      await guest.run(`rows /mnt/files/db-${index} &`);
      await guest.run(`(exercise /mnt/files/exercised-${index} ${seed + index} 20; echo "over exercise") &`);
    }
    const times = rounds(3);
    for (let round = 0; round < times; round += 1) {
      const { owner, partner } = await cluster.untilInSync('files');
      const said = guests.map((guest) => guest.text.length);
      await cluster.server(owner).kill();
      await cluster.untilServed('files', partner);
      await cluster.until('both guests go on', () =>
        guests.every((guest, index) => /kept|unpacked/.test(guest.text.slice(said[index]))),
      );
      cluster.server(owner).start();
      await cluster.untilInSync('files', partner, 60_000);
      if (round % 2 === 1) await cluster.command('takeover', 'files');
    }
    for (const guest of guests) await guest.run('touch /tmp/stop');
    await cluster.until(
      'all are over',
      () => guests.every(({ text }) => /over rows/.test(text) && /over \/mnt/.test(text) && /over exercise/.test(text)),
      180_000,
    );
    for (const [index, guest] of guests.entries()) {
      assert.doesNotMatch(guest.text, /failed|FAIL|error|Stale/i);
      const rows = [...guest.text.matchAll(/row (\d+) kept/g)].length;
      const found = await guest.run(
        `sqlite3 /mnt/files/db-${index} "pragma integrity_check; select count(*) from t;"`,
        120_000,
      );
      assert.match(found, new RegExp(`ok\\s+${rows}\\s`));
      t.diagnostic(`guest ${index}: ${rows} rows, ${[...guest.text.matchAll(/unpacked/g)].length} trees`);
    }
    // Each finds what the other one made, and nothing of it comes from a cache.
    for (const [index, guest] of guests.entries()) {
      const other = guests[1 - index];
      await guest.run('echo 3 > /proc/sys/vm/drop_caches');
      for (const [, tree] of other?.text.matchAll(/unpacked (\S+)/g) ?? [])
        await guest.run(`/sbin/tar -d -f /tree.tar -C ${tree}`, 120_000);
      await guest.run('umount /mnt/files', 60_000);
    }
    await cluster.untilDrained('files');
    for (const server of cluster.servers.values()) await server.stop();
    for (const guest of guests) {
      for (const [, tree = ''] of guest.text.matchAll(/unpacked (\S+)/g))
        await run('tar', '-d', '-f', archive, '-C', path.join(volume.tree, path.relative('/mnt/files', tree)));
    }
  },
);

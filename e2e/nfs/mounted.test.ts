/**
 * What programs do on a files volume that the Linux kernel has mounted: what POSIX says of files and names, one file under
 * everything that changes it, sqlite, git, a directory of 100,000 entries. In the end the medium holds an ordinary tree.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { clusterTest, seedFor } from '../cluster.ts';
import { run } from '../run.ts';
import { bootMounted, FILES, needsMount } from './mounted.ts';

const ENTRIES = 100_000;

clusterTest(
  'the kernel mounts a files volume: programs find what POSIX promises, the medium holds an ordinary tree',
  { volumes: [FILES], deadlineMs: 540_000, skip: needsMount() },
  async (cluster, t) => {
    const volume = cluster.volume('files');
    // Not through the server: what lies on the medium when it starts is the volume's tree.
    mkdirSync(path.join(volume.tree, 'many'));
    for (let i = 0; i < ENTRIES; i += 1) writeFileSync(path.join(volume.tree, 'many', `entry-${i}`), '');
    await cluster.startAll();
    const { owner, partner } = await cluster.untilInSync('files');
    const guest = await bootMounted(cluster, volume);

    let sinceMs = performance.now();
    const took = (what: string): void => {
      t.diagnostic(`${what}: ${((performance.now() - sinceMs) / 1_000).toFixed(1)} s`);
      sinceMs = performance.now();
    };
    const told = await guest.attempt('mkdir /mnt/files/posix && posix /mnt/files/posix', 120_000);
    assert.deepEqual(told.match(/^FAIL.*/gm), null);
    assert.match(told, /^0 failures/m);

    took('posix');
    const seed = seedFor(t);
    // The owner dies in the middle of it.
    await guest.run(`(exercise /mnt/files/exercised ${seed} 8; echo "exercise is over: $?") &`);
    await cluster.server(owner).kill();
    await cluster.untilServed('files', partner);
    cluster.server(owner).start();
    const exercised = await guest.until(/exercise is over: \d+/, 120_000);
    assert.match(exercised, /is over: 0$/);
    t.diagnostic(/exercised \d+ steps/.exec(exercised)?.[0] ?? '');
    await cluster.untilInSync('files', partner, 60_000);
    took('exercise');
    await guest.run('sh /bin/sqlite.sh /mnt/files', 120_000);
    took('sqlite');
    await guest.run('sh /bin/git.sh /mnt/files', 180_000);
    took('git');

    // Listed whole, then while names come and go beside those that stay.
    await guest.run(`test $(/sbin/ls -f /mnt/files/many | sort -u | wc -l) = ${ENTRIES + 2}`, 120_000);
    await guest.run('echo 3 > /proc/sys/vm/drop_caches');
    await guest.run(
      '(i=0; while [ ! -e /tmp/listed ]; do i=$((i+1)); : > /mnt/files/many/comes-$i; rm /mnt/files/many/comes-$i; done) &',
    );
    await guest.run(
      `test $(/sbin/ls -f /mnt/files/many | grep -c entry-) = ${ENTRIES}; r=$?; touch /tmp/listed; wait; test $r = 0`,
      180_000,
    );
    await guest.run(`test $(/sbin/ls -f /mnt/files/many | sort -u | wc -l) = ${ENTRIES + 2}`, 120_000);

    took('listing');
    const sum = /^([0-9a-f]{32}) /m.exec(await guest.run('md5sum /mnt/files/exercised'))?.[1];
    await guest.run('cd / && umount /mnt/files', 60_000);
    await cluster.untilDrained('files');
    for (const server of cluster.servers.values()) assert.equal(await server.stop(), 0);

    // Whoever reads the medium without Holdfast finds files.
    assert.equal(statSync(path.join(volume.tree, 'posix/c')).isFile(), true);
    assert.equal(readdirSync(path.join(volume.tree, 'many')).length, ENTRIES);
    await run('git', '-c', 'safe.directory=*', '-C', path.join(volume.tree, 'clone'), 'fsck', '--full', '--strict');
    assert.match(await run('sqlite3', path.join(volume.tree, 'db'), 'pragma integrity_check;'), /^ok/);
    const { createHash } = await import('node:crypto');
    assert.equal(
      createHash('md5')
        .update(readFileSync(path.join(volume.tree, 'exercised')))
        .digest('hex'),
      sum,
    );
  },
);

/**
 * libnfs's own tools on a files volume: copied in and out, listed, by two programs at once and across the death of the owner;
 * what they made lies on the medium as plain files.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { clusterTest, seedFor } from '../cluster.ts';
import { Prng } from '../prng.ts';
import { needs } from '../programs.ts';
import { run } from '../run.ts';
import { FILES } from './mounted.ts';

clusterTest(
  'nfs-cp, nfs-ls and nfs-cat work on a files volume, before and after its owner dies',
  { volumes: [FILES], skip: needs(['nfs-cp', 'nfs-ls', 'nfs-cat']) },
  async (cluster, t) => {
    const volume = cluster.volume('files');
    const random = new Prng(seedFor(t));
    await cluster.startAll();
    const { owner, partner } = await cluster.untilInSync('files');
    const url = (name: string): string =>
      `nfs://${volume.host}/files/${name}?nfsport=${volume.port}&mountport=${volume.port}`;
    const made = new Map<string, Buffer>();
    const copyIn = async (name: string, bytes: number): Promise<void> => {
      const here = path.join(cluster.directory, name);
      made.set(name, Buffer.from(Array.from({ length: bytes }, () => random.below(256))));
      writeFileSync(here, made.get(name) ?? '');
      await run('nfs-cp', here, url(name));
    };
    const copyOut = async (name: string): Promise<void> => {
      const there = path.join(cluster.directory, `copy-of-${name}`);
      await run('nfs-cp', url(name), there);
      assert.deepEqual(readFileSync(there), made.get(name));
    };
    await Promise.all([copyIn('one', 3_000_001), copyIn('two', 70_000), copyIn('empty', 0)]);
    await cluster.server(owner).kill();
    await cluster.untilServed('files', partner);
    await Promise.all([copyOut('one'), copyOut('two'), copyIn('three', 200_000)]);
    const text = Buffer.from('as text, for nfs-cat\n');
    writeFileSync(path.join(cluster.directory, 'text'), text);
    made.set('text', text);
    await run('nfs-cp', path.join(cluster.directory, 'text'), url('text'));
    assert.equal(await run('nfs-cat', url('text')), text.toString());
    const listed = await run('nfs-ls', url(''));
    for (const [name, bytes] of made) assert.match(listed, new RegExp(`\\s${bytes.length} ${name}\n`));
    await cluster.untilDrained('files');
    assert.deepEqual(readdirSync(volume.tree).toSorted(), [...made.keys()].toSorted());
    for (const [name, bytes] of made) assert.deepEqual(readFileSync(path.join(volume.tree, name)), bytes);
  },
);

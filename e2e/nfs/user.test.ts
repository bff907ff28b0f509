/** Servers that an ordinary user runs: files volumes work without root, by an index in place of the kernel's handles. */
import assert from 'node:assert/strict';
import { lstatSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { NfsStatus, Stable } from '../../src/wire/nfs/types.ts';
import { clusterTest } from '../cluster.ts';
import { needs } from '../programs.ts';
import { name, NOTHING, PatientClient } from './client.ts';
import { FILES } from './mounted.ts';

const USER = 65_534;

clusterTest(
  'an ordinary user serves files: handles outlive takeovers, everything belongs to that user',
  { volumes: [FILES], user: USER, skip: needs([], { root: true }) },
  async (cluster) => {
    const volume = cluster.volume('files');
    await cluster.startAll();
    const { owner, partner } = await cluster.untilInSync('files');
    const client = await PatientClient.mount(volume);
    const here = (text: string) => ({ directory: client.root, name: name(text) });
    const made = await client.call({
      procedure: 'create',
      ...here('file'),
      how: { mode: 'guarded', attributes: { ...NOTHING, mode: 0o640 } },
    });
    assert.ok(made.status === NfsStatus.ok && made.handle !== null);
    const { handle } = made;
    const data = Buffer.from('written for an ordinary user');
    await client.call({ procedure: 'write', handle, offset: 0, stable: Stable.fileSync, data });
    const chown = await client.call({ procedure: 'setattr', handle, change: { ...NOTHING, uid: 1 }, guardNs: null });
    assert.equal(chown.status, NfsStatus.perm);
    const directory = await client.call({
      procedure: 'mkdir',
      ...here('directory'),
      attributes: { ...NOTHING, mode: 0o755 },
    });
    assert.ok(directory.status === NfsStatus.ok && directory.handle !== null);
    const to = { directory: directory.handle, name: name('moved') };
    assert.equal((await client.call({ procedure: 'rename', from: here('file'), to })).status, NfsStatus.ok);
    const check = async (where: string): Promise<void> => {
      const read = await client.call({ procedure: 'read', handle, offset: 0, count: 100 });
      assert.ok(read.status === NfsStatus.ok, where);
      assert.equal(read.count, data.length, where);
    };
    await check('at first');
    await cluster.server(owner).kill();
    await cluster.untilServed('files', partner);
    await check('after the takeover');
    cluster.server(owner).start();
    await cluster.untilInSync('files', partner);
    await cluster.command('takeover', 'files', '--to', owner);
    await check('after the giveback');
    assert.equal((await client.call({ procedure: 'remove', ...to })).status, NfsStatus.ok);
    assert.equal((await client.call({ procedure: 'getattr', handle })).status, NfsStatus.stale);
    const last = await client.call({
      procedure: 'create',
      ...here('last'),
      how: { mode: 'unchecked', attributes: { ...NOTHING, mode: 0o600 } },
    });
    assert.ok(last.status === NfsStatus.ok && last.handle !== null);
    await client.call({ procedure: 'write', handle: last.handle, offset: 3, stable: Stable.unstable, data });
    await cluster.untilDrained('files');
    const file = path.join(volume.tree, 'last');
    assert.equal(lstatSync(file).uid, USER);
    assert.equal(lstatSync(file).mode & 0o7777, 0o600);
    assert.deepEqual(readFileSync(file), Buffer.concat([Buffer.alloc(3), data]));
  },
);

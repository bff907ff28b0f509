/**
 * Exactly once: a client that sends a request again, on purpose or because it heard no answer, gets the first answer, from
 * the survivor too and from a new port. And handles that live as long as their file.
 */
import assert from 'node:assert/strict';
import { NfsClient, nextXid } from '../../suites/nfs-client.ts';
import { encodeArguments, procedureNumber } from '../../src/wire/nfs/table.ts';
import { NFS_PROGRAM, NFS_VERSION, type NfsArguments, NfsStatus, Stable } from '../../src/wire/nfs/types.ts';
import { clusterTest, seedFor } from '../cluster.ts';
import { Prng } from '../prng.ts';
import { name, NOTHING, PatientClient } from './client.ts';
import { FILES } from './mounted.ts';

const MODE = { ...NOTHING, mode: 0o644 };

/** Sends one call under its own xid; the bytes of its result. */
const send = (client: NfsClient, args: NfsArguments, xid: number): Promise<Buffer> =>
  client.result(NFS_PROGRAM, NFS_VERSION, procedureNumber(args.procedure), encodeArguments(args), { xid });

clusterTest(
  'what cannot be repeated is answered as before, by the survivor, to a new port',
  { volumes: [FILES] },
  async (cluster) => {
    const volume = cluster.volume('files');
    await cluster.startAll();
    const { owner, partner } = await cluster.untilInSync('files');
    const client = await NfsClient.connect(volume.port);
    const root = await client.root('/files');
    const here = (text: string) => ({ directory: root, name: name(text) });
    const made = async (text: string): Promise<Buffer> => {
      const answer = await client.call({
        procedure: 'create',
        ...here(text),
        how: { mode: 'guarded', attributes: MODE },
      });
      assert.ok(answer.status === NfsStatus.ok && answer.handle !== null);
      return answer.handle;
    };
    const handle = await made('guarded');
    await made('to-remove');
    await made('to-rename');
    await client.call({ procedure: 'mkdir', ...here('to-rmdir'), attributes: MODE });
    const got = await client.call({ procedure: 'getattr', handle });
    assert.ok(got.status === NfsStatus.ok);
    const guard = got.attributes.ctimeNs;
    const calls: readonly NfsArguments[] = [
      { procedure: 'create', ...here('created'), how: { mode: 'guarded', attributes: MODE } },
      { procedure: 'create', ...here('exclusive'), how: { mode: 'exclusive', verifier: 77n } },
      { procedure: 'mkdir', ...here('directory'), attributes: MODE },
      { procedure: 'symlink', ...here('symlink'), attributes: NOTHING, to: name('anywhere') },
      { procedure: 'mknod', ...here('fifo'), what: { type: 'fifo', attributes: MODE } },
      { procedure: 'remove', ...here('to-remove') },
      { procedure: 'rmdir', ...here('to-rmdir') },
      { procedure: 'rename', from: here('to-rename'), to: here('renamed') },
      { procedure: 'link', handle, ...here('linked') },
      { procedure: 'remove', ...here('was never there') },
    ];
    const guarded: NfsArguments = { procedure: 'setattr', handle, change: { ...NOTHING, mode: 0o600 }, guardNs: guard };
    const answers: { args: NfsArguments; xid: number; bytes: Buffer }[] = [];
    for (const args of [guarded, ...calls]) {
      const xid = nextXid();
      answers.push({ args, xid, bytes: await send(client, args, xid) });
    }
    const statuses = answers.map(({ bytes }) => bytes.readUInt32BE(0));
    assert.deepEqual(statuses, [...new Array<number>(10).fill(NfsStatus.ok), NfsStatus.noent]);
    const again = async (where: string): Promise<void> => {
      const other = await NfsClient.connect(volume.port);
      for (const { args, xid, bytes } of answers) {
        assert.deepEqual(await send(other, args, xid), bytes, `${args.procedure} ${where}`);
      }
      // The same request under another xid is another request.
      const fresh = await send(other, calls[0] ?? guarded, nextXid());
      assert.equal(fresh.readUInt32BE(0), NfsStatus.exist);
      other.destroy();
    };
    await again('from another port');
    await cluster.server(owner).kill();
    await cluster.untilServed('files', partner);
    await again('after the takeover');
    cluster.server(owner).start();
    await cluster.untilInSync('files', partner);
    await cluster.command('takeover', 'files', '--to', owner);
    await again('after the giveback');
    for (const server of cluster.servers.values()) await server.kill();
    await cluster.startAll();
    await cluster.untilServed('files');
    await again('after both were killed and started');
  },
);

clusterTest(
  'a stream of changes goes on through kills as if there were none',
  { volumes: [FILES], deadlineMs: 150_000 },
  async (cluster, t) => {
    const random = new Prng(seedFor(t));
    await cluster.startAll();
    await cluster.untilInSync('files');
    const client = await PatientClient.mount(cluster.volume('files'));
    const top = { directory: client.root };
    let stop = false;
    let changes = 0;
    // Each lane works on names of its own, so that every status is known in advance.
    const lane = async (own: number): Promise<void> => {
      const must = async (args: NfsArguments, status: number = NfsStatus.ok): Promise<Buffer> => {
        const bytes = await client.bytes(args);
        assert.equal(bytes.readUInt32BE(0), status, `${args.procedure} of lane ${own} after ${changes} changes`);
        changes += 1;
        return bytes;
      };
      const home = { ...top, name: name(`lane-${own}`) };
      await must({ procedure: 'mkdir', ...home, attributes: { ...NOTHING, mode: 0o755 } });
      const found = await client.call({ procedure: 'lookup', ...home });
      assert.ok(found.status === NfsStatus.ok);
      const at = (text: string) => ({ directory: found.handle, name: name(text) });
      while (!stop) {
        const made = await client.call({ procedure: 'create', ...at('f'), how: { mode: 'guarded', attributes: MODE } });
        assert.equal(made.status, NfsStatus.ok);
        const looked = await client.call({ procedure: 'lookup', ...at('f') });
        assert.ok(looked.status === NfsStatus.ok);
        const data = Buffer.alloc(1 + random.below(5_000), own);
        await must({ procedure: 'write', handle: looked.handle, offset: 0, stable: Stable.unstable, data });
        await must({ procedure: 'link', handle: looked.handle, ...at('l') });
        await must({ procedure: 'rename', from: at('f'), to: at('g') });
        await must({ procedure: 'remove', ...at('l') });
        await must({ procedure: 'remove', ...at('l') }, NfsStatus.noent);
        const read = await client.call({ procedure: 'read', handle: looked.handle, offset: 0, count: 8_192 });
        assert.ok(read.status === NfsStatus.ok && read.count === data.length);
        await must({ procedure: 'remove', ...at('g') });
        await must({ procedure: 'getattr', handle: looked.handle }, NfsStatus.stale);
        await must({ procedure: 'mkdir', ...at('d'), attributes: { ...NOTHING, mode: 0o755 } });
        await must({ procedure: 'mkdir', ...at('d'), attributes: NOTHING }, NfsStatus.exist);
        await must({ procedure: 'rmdir', ...at('d') });
      }
    };
    const lanes = Array.from({ length: 8 }, (_, index) => lane(index));
    const all = Promise.all(lanes);
    all.catch(() => (stop = true));
    for (let round = 0; round < 4 && !stop; round += 1) {
      const { owner, partner } = await cluster.untilInSync('files');
      const before = changes;
      await cluster.until('changes are made', () => stop || changes >= before + 50);
      if (round === 2) await cluster.command('takeover', 'files');
      else {
        await cluster.server(owner).kill();
        await cluster.untilServed('files', partner);
        cluster.server(owner).start();
      }
    }
    const last = changes;
    await cluster.until('changes go on', () => stop || changes >= last + 50);
    stop = true;
    await all;
    t.diagnostic(`${changes} changes over ${client.connections} connections`);
    assert.ok(client.connections > 3);
  },
);

clusterTest('handles live as long as their file', { volumes: [FILES] }, async (cluster) => {
  const volume = cluster.volume('files');
  await cluster.startAll();
  const { owner, partner } = await cluster.untilInSync('files');
  const client = await PatientClient.mount(volume);
  const here = (text: string) => ({ directory: client.root, name: name(text) });
  const create = async (text: string): Promise<Buffer> => {
    const made = await client.call({ procedure: 'create', ...here(text), how: { mode: 'guarded', attributes: MODE } });
    assert.ok(made.status === NfsStatus.ok && made.handle !== null);
    return made.handle;
  };
  const file = await create('file');
  const directory = await client.call({ procedure: 'mkdir', ...here('directory'), attributes: MODE });
  assert.ok(directory.status === NfsStatus.ok && directory.handle !== null);
  const gone = await create('gone');
  const data = Buffer.from('what was written through this handle');
  await client.call({ procedure: 'write', handle: file, offset: 0, stable: Stable.fileSync, data });
  const number = await client.call({ procedure: 'getattr', handle: file });
  assert.ok(number.status === NfsStatus.ok);
  await client.call({
    procedure: 'rename',
    from: here('file'),
    to: { directory: directory.handle, name: name('moved') },
  });
  await client.call({ procedure: 'remove', ...here('gone') });
  // Whoever comes next may be given the same inode.
  for (let i = 0; i < 20; i += 1) await create(`next-${i}`);
  const check = async (where: string): Promise<void> => {
    const root = await client.call({ procedure: 'getattr', handle: client.root });
    assert.equal(root.status, NfsStatus.ok, where);
    const got = await client.call({ procedure: 'getattr', handle: file });
    assert.ok(got.status === NfsStatus.ok, where);
    assert.equal(got.attributes.fileNumber, number.attributes.fileNumber, where);
    const read = await client.call({ procedure: 'read', handle: file, offset: 0, count: 100 });
    assert.ok(read.status === NfsStatus.ok, where);
    const bytes = Buffer.concat(read.pieces.map((piece) => piece.data ?? Buffer.alloc(piece.length)));
    assert.deepEqual(bytes, data, where);
    assert.equal((await client.call({ procedure: 'getattr', handle: gone })).status, NfsStatus.stale, where);
    const forged = Buffer.from(file);
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1;
    assert.ok(
      [NfsStatus.badhandle, NfsStatus.stale].includes(
        (await client.call({ procedure: 'getattr', handle: forged })).status as 70,
      ),
    );
  };
  await check('at first');
  await cluster.server(owner).kill();
  await cluster.untilServed('files', partner);
  await check('after the takeover');
  cluster.server(owner).start();
  await cluster.untilInSync('files', partner);
  await cluster.command('takeover', 'files', '--to', owner);
  await check('after the giveback');
  for (const server of cluster.servers.values()) await server.stop();
  await cluster.startAll();
  await cluster.untilServed('files');
  await check('after a restart of both');
});

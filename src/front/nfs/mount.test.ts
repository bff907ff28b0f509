/** MOUNT as clients meet it, and who is let in. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { MountStatus } from '../../wire/mount.ts';
import { AuthStatus } from '../../wire/rpc.ts';
import { NfsStatus } from '../../wire/nfs/types.ts';
import type { Fattr3 } from '../../wire/nfs/types.ts';
import { NfsCallRefused, NfsConnectionLost } from '../../../suites/nfs-client.ts';
import { ROOT_HANDLE, type TakenCall } from '../../../suites/nfs-program.ts';
import { TestDoor, VOLUME } from '../../../suites/nfs-door.ts';
import { Fault } from '../../base/fault.ts';
import { addressBytes, allowed, networkText, plainAddress } from './networks.ts';
import type { Network, NfsExport } from './program.ts';

async function opened(t: TestContext, exported: Partial<NfsExport> = {}, limits = {}): Promise<TestDoor> {
  const door = new TestDoor(exported, limits);
  t.after(() => door.close());
  assert.equal(await door.open(), null);
  return door;
}

const network = (address: string, prefix: number): Network => {
  const bytes = addressBytes(address);
  assert.ok(bytes !== null);
  return { family: bytes.length === 4 ? 4 : 6, bytes, prefix };
};

const DIRECTORY: Fattr3 = {
  type: 'directory',
  mode: 0o755,
  links: 2,
  uid: 0,
  gid: 0,
  sizeBytes: 0,
  usedBytes: 0,
  major: 0,
  minor: 0,
  fsid: 1n,
  fileNumber: 2n,
  atimeNs: 0n,
  mtimeNs: 0n,
  ctimeNs: 0n,
};

/** A tree: /sub is a directory, /sub/file a file, /link a symbolic link, /locked nobody may enter. */
function tree({ call, reply }: TakenCall): void {
  const args = call.arguments;
  if (args.procedure === 'getattr') {
    const types = { sub: 'directory', deep: 'directory', file: 'file', link: 'symlink' } as const;
    const type = types[args.handle.toString() as keyof typeof types];
    return reply.send({ procedure: 'getattr', status: NfsStatus.ok, attributes: { ...DIRECTORY, type } });
  }
  assert.ok(args.procedure === 'lookup');
  const key = `${args.directory.equals(ROOT_HANDLE) ? '' : args.directory.toString()}/${args.name.toString()}`;
  const found = new Map([
    ['/sub', 'sub'],
    ['sub/file', 'file'],
    ['sub/deep', 'deep'],
    ['/link', 'link'],
  ]).get(key);
  const fail = (status: 2 | 13): void => reply.send({ procedure: 'lookup', status, directory: null });
  if (found === undefined) return fail(key === '/locked' ? NfsStatus.acces : NfsStatus.noent);
  const handle = Buffer.from(found);
  reply.send({ procedure: 'lookup', status: NfsStatus.ok, handle, attributes: null, directory: null });
}

test('the root is mounted by the volume’s name, however it is written', async (t) => {
  const door = await opened(t);
  const client = await door.connect();
  for (const path of ['/files', '/files/', '//files//', '/files/.', 'files', '/', '']) {
    assert.deepEqual(await client.mnt(path), { status: MountStatus.ok, handle: ROOT_HANDLE, flavors: [1] }, path);
  }
  for (const path of ['/other', '/file', '/filess', '/files/..', '/files/../files', '/../files', '..']) {
    assert.deepEqual(await client.mnt(path), { status: MountStatus.noent }, path);
  }
  const named = await client.mnt(Buffer.from([0x2f, 0xff, 0xfe, 0]));
  assert.equal(named.status, MountStatus.noent);
});

test('directories below the root are mounted as the client’s user, and nothing else is', async (t) => {
  const door = await opened(t);
  const users = new Set<number | undefined>();
  door.program.answer = (taken) => {
    users.add(taken.call.credential?.uid);
    tree(taken);
  };
  const client = await door.connect({ credential: { uid: 1000, gid: 1000, gids: [] } });
  assert.deepEqual(await client.mnt('/files/sub'), { status: 0, handle: Buffer.from('sub'), flavors: [1] });
  assert.deepEqual(await client.mnt('/files/sub/deep/'), { status: 0, handle: Buffer.from('deep'), flavors: [1] });
  assert.deepEqual(await client.mnt('/files/sub/file'), { status: MountStatus.notdir });
  assert.deepEqual(await client.mnt('/files/link'), { status: MountStatus.notdir });
  assert.deepEqual(await client.mnt('/files/nothing'), { status: MountStatus.noent });
  assert.deepEqual(await client.mnt('/files/locked'), { status: MountStatus.acces });
  assert.deepEqual(await client.mnt(`/files${'/sub'.repeat(200)}`), { status: MountStatus.nametoolong });
  assert.deepEqual([...users], [1000]);
});

test('a server that cannot tell does not answer, one that fails says so', async (t) => {
  const door = await opened(t);
  const lost = await door.connect();
  door.program.rootHandle = (done) => void setImmediate(() => done(new Fault('moved', 'not the owner'), null));
  await assert.rejects(lost.mnt('/files'), NfsConnectionLost);
  const told = await door.connect();
  door.program.rootHandle = (done) => void setImmediate(() => done(new Fault('io', 'the medium failed'), null));
  assert.deepEqual(await told.mnt('/files'), { status: MountStatus.io });
});

test('DUMP lists who mounted what, UMNT and UMNTALL take it back, and the list has a bound', async (t) => {
  const door = await opened(t, {}, { maxMounts: 3 });
  door.program.answer = tree;
  const client = await door.connect();
  const paths = async (): Promise<string[]> => (await client.dump()).map(({ directory }) => directory.toString());
  assert.deepEqual(await paths(), []);
  for (const path of ['/files', '/files/sub', '/files']) await client.mnt(path);
  assert.deepEqual(await paths(), ['/files/sub', '/files']);
  assert.equal((await client.dump())[0]?.host.toString(), '127.0.0.1');
  await client.umnt('/files');
  assert.deepEqual(await paths(), ['/files/sub']);
  await client.umnt('/never');
  for (const path of ['/', '/files/', '/files/sub/deep']) await client.mnt(path);
  assert.deepEqual(await paths(), ['/', '/files/', '/files/sub/deep']);
  await client.umntall();
  assert.deepEqual(await paths(), []);
  assert.equal(door.told('nfs.unmount').length, 1);
});

test('EXPORT lists the volume and its networks', async (t) => {
  const door = await opened(t, { clients: [network('127.0.0.0', 8), network('2001:db8::', 32)] });
  const client = await door.connect();
  assert.deepEqual(await client.exports(), [
    {
      directory: Buffer.from('/files'),
      groups: [Buffer.from('127.0.0.0/8'), Buffer.from('2001:db8:0:0:0:0:0:0/32')],
    },
  ]);
});

test('who is not among the clients may ask what there is, and nothing more', async (t) => {
  const door = await opened(t, { clients: [network('192.0.2.0', 24)] });
  const client = await door.connect();
  await client.ping();
  assert.equal((await client.exports()).length, 1);
  assert.deepEqual(await client.mnt('/files'), { status: MountStatus.acces });
  assert.deepEqual(await client.mnt('/other'), { status: MountStatus.acces });
  await assert.rejects(client.call({ procedure: 'getattr', handle: ROOT_HANDLE }), (error) => {
    assert.ok(error instanceof NfsCallRefused && error.header.kind === 'auth-error');
    return error.header.status === AuthStatus.tooWeak;
  });
  assert.equal(door.program.calls.length, 0);
  assert.equal(door.program.roots, 0);
  assert.equal(door.doors.usedBytes(VOLUME), 0);
});

test('addresses lie in networks bit by bit, IPv4 in IPv6 clothes included', () => {
  const lies = (address: string, ...networks: readonly Network[]): boolean => allowed(address, networks);
  assert.equal(lies('203.0.113.9'), true);
  assert.equal(lies('10.1.2.3', network('10.0.0.0', 8)), true);
  assert.equal(lies('11.1.2.3', network('10.0.0.0', 8)), false);
  assert.equal(lies('::ffff:10.1.2.3', network('10.0.0.0', 8)), true);
  assert.equal(lies('::FFFF:10.1.2.3', network('10.0.0.0', 8)), true);
  assert.equal(lies('192.0.2.63', network('192.0.2.0', 26)), true);
  assert.equal(lies('192.0.2.64', network('192.0.2.0', 26)), false);
  assert.equal(lies('192.0.2.64', network('192.0.2.0', 26), network('192.0.2.64', 32)), true);
  assert.equal(lies('192.0.2.65', network('192.0.2.64', 32)), false);
  assert.equal(lies('8.8.8.8', network('0.0.0.0', 0)), true);
  assert.equal(lies('::1', network('0.0.0.0', 0)), false);
  assert.equal(lies('2001:db8::5', network('2001:db8::', 32)), true);
  assert.equal(lies('2001:db9::5', network('2001:db8::', 32)), false);
  assert.equal(lies('fe80::1%eth0', network('fe80::', 10)), true);
  assert.equal(lies('nonsense', network('::', 0)), false);
  assert.equal(plainAddress('::ffff:127.0.0.1'), '127.0.0.1');
  assert.equal(networkText(network('10.0.0.0', 8)), '10.0.0.0/8');
  assert.deepEqual(addressBytes('::ffff:1:2'), Buffer.from('00000000000000000000ffff00010002', 'hex'));
  assert.deepEqual(addressBytes('1:2:3:4:5:6:7:8'), Buffer.from('00010002000300040005000600070008', 'hex'));
  assert.deepEqual(addressBytes('64:ff9b::192.0.2.33'), Buffer.from('0064ff9b0000000000000000c0000221', 'hex'));
  assert.equal(addressBytes(''), null);
});

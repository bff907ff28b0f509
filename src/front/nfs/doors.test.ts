/** The door: RPC by the book on a real socket, and open, hold, close as the port `Doors` wants them. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { Fault } from '../../base/fault.ts';
import type { Epoch, VolumeName } from '../../base/names.ts';
import { AuthStatus } from '../../wire/rpc.ts';
import { encodeArguments, encodeResult } from '../../wire/nfs/table.ts';
import { NFS_PROGRAM, NfsStatus } from '../../wire/nfs/types.ts';
import { MOUNT_PROGRAM } from '../../wire/mount.ts';
import { encodeCall, nextXid, NfsCallRefused, NfsConnectionLost } from '../../../suites/nfs-client.ts';
import { answerPlainly } from '../../../suites/nfs-program.ts';
import { TestDoor, VOLUME } from '../../../suites/nfs-door.ts';

async function opened(t: TestContext, ...parts: ConstructorParameters<typeof TestDoor>): Promise<TestDoor> {
  const door = new TestDoor(...parts);
  t.after(() => door.close());
  assert.equal(await door.open(), null);
  return door;
}

const HANDLE = Buffer.from('handle');
const getattr = encodeArguments({ procedure: 'getattr', handle: HANDLE });

test('a call reaches the program as it was sent, and its answer the client', async (t) => {
  const door = await opened(t);
  const client = await door.connect({ credential: { uid: 7, gid: 8, gids: [9, 10] } });
  const data = Buffer.from('some bytes, odd in number');
  const answer = client.call<'write'>({ procedure: 'write', handle: HANDLE, offset: 4096, stable: 0, data });
  const [taken] = await door.program.waiting(1);
  assert.ok(taken !== undefined);
  const { call, reply } = taken;
  assert.deepEqual(call.arguments, { procedure: 'write', handle: HANDLE, offset: 4096, stable: 0, data });
  assert.deepEqual(call.credential, { uid: 7, gid: 8, gids: [9, 10] });
  assert.deepEqual(call.client, { address: '127.0.0.1', port: client.socket.localPort });
  assert.deepEqual(call.argumentBytes, encodeArguments(call.arguments));
  assert.equal(call.gone, false);
  const result = {
    procedure: 'write',
    status: NfsStatus.ok,
    wcc: { before: { sizeBytes: 1, mtimeNs: 2n, ctimeNs: 3n }, after: null },
    count: data.length,
    committed: 2,
    verifier: 77n,
  } as const;
  reply.send(result);
  assert.deepEqual(await answer, result);
});

test('AUTH_NONE has no credential', async (t) => {
  const door = await opened(t);
  const client = await door.connect({ credential: null });
  void client.call({ procedure: 'getattr', handle: HANDLE }).catch(() => {});
  const [taken] = await door.program.waiting(1);
  assert.equal(taken?.call.credential, null);
});

test('calls of one connection are answered in the order in which they end', async (t) => {
  const door = await opened(t);
  const client = await door.connect();
  const xids = [nextXid(), nextXid(), nextXid()];
  const answers = xids.map((xid) => client.call({ procedure: 'access', handle: HANDLE, access: xid & 63 }, { xid }));
  const calls = await door.program.waiting(3);
  for (const at of [2, 0, 1]) answerPlainly(calls[at]!);
  const results = await Promise.all(answers);
  assert.deepEqual(
    results.map((result) => (result.procedure === 'access' && result.status === NfsStatus.ok ? result.access : null)),
    xids.map((xid) => xid & 63),
  );
  assert.deepEqual(client.answered, [xids[2], xids[0], xids[1]]);
});

test('what is answered in one turn arrives in one piece', async (t) => {
  const door = await opened(t);
  const client = await door.connect();
  const pieces: number[] = [];
  client.socket.on('data', (piece: Buffer) => pieces.push(piece.length));
  const answers = Array.from({ length: 50 }, () => client.call({ procedure: 'access', handle: HANDLE, access: 1 }));
  const calls = await door.program.waiting(50);
  for (const taken of calls) answerPlainly(taken);
  await Promise.all(answers);
  assert.deepEqual(pieces, [50 * (4 + 24 + 12)]);
});

test('reads come back whole, whatever pieces they are made of', async (t) => {
  const door = await opened(t);
  const client = await door.connect();
  const data = Buffer.from(Array.from({ length: 30_001 }, (_, i) => (i * 31) & 0xff));
  const pieces = [
    { length: 5, data: data.subarray(0, 5) },
    { length: 100_003, data: null },
    { length: 29_996, data: data.subarray(5) },
    { length: 3, data: null },
  ];
  const count = pieces.reduce((sum, { length }) => sum + length, 0);
  const answer = client.call<'read'>({ procedure: 'read', handle: HANDLE, offset: 0, count });
  const [taken] = await door.program.waiting(1);
  const result = { procedure: 'read', status: NfsStatus.ok, attributes: null, count, eof: true } as const;
  taken?.reply.send({ ...result, pieces });
  const expected = Buffer.concat(pieces.map(({ length, data: part }) => part ?? Buffer.alloc(length)));
  assert.deepEqual(await answer, { ...result, pieces: [{ length: count, data: expected }] });
});

test('a kept answer leaves under the xid of the call that asks again', async (t) => {
  const door = await opened(t);
  const kept = { procedure: 'remove', status: NfsStatus.noent, directory: { before: null, after: null } } as const;
  door.program.answer = ({ reply }) => reply.sendEncoded(encodeResult(kept));
  const client = await door.connect();
  const args = { procedure: 'remove', directory: HANDLE, name: Buffer.from('x') } as const;
  assert.deepEqual(await client.call(args), kept);
  const elsewhere = await door.connect();
  assert.deepEqual(await elsewhere.call(args, { xid: 5 }), kept);
});

test('a listing larger than any page arrives whole', async (t) => {
  const door = await opened(t);
  const entries = Array.from({ length: 20_000 }, (_, i) => ({
    fileNumber: BigInt(i),
    name: Buffer.from(`entry ${i}`),
    cookie: BigInt(i + 1),
  }));
  const result = { procedure: 'readdir', status: 0, attributes: null, verifier: 1n, entries, eof: true } as const;
  door.program.answer = ({ reply }) => reply.send(result);
  const client = await door.connect();
  const args = { procedure: 'readdir', handle: HANDLE, cookie: 0n, verifier: 0n, count: 1 << 20 } as const;
  assert.deepEqual(await client.call(args), result);
});

test('every mistake of RPC has its answer, and the connection goes on', async (t) => {
  const door = await opened(t);
  door.program.answer = answerPlainly;
  const client = await door.connect();
  const none = Buffer.alloc(0);
  const answers: readonly (readonly [string, Promise<unknown>, unknown])[] = [
    ['NULL of NFS', client.raw(NFS_PROGRAM, 3, 0, none), { kind: 'success' }],
    ['NULL of MOUNT', client.raw(MOUNT_PROGRAM, 3, 0, none), { kind: 'success' }],
    ['NULL with AUTH_NONE', client.raw(NFS_PROGRAM, 3, 0, none, { credential: null }), { kind: 'success' }],
    ['NFS 2', client.raw(NFS_PROGRAM, 2, 0, none), { kind: 'program-mismatch', lowest: 3, highest: 3 }],
    ['NFS 4', client.raw(NFS_PROGRAM, 4, 0, none), { kind: 'program-mismatch', lowest: 3, highest: 3 }],
    ['MOUNT 1', client.raw(MOUNT_PROGRAM, 1, 1, none), { kind: 'program-mismatch', lowest: 3, highest: 3 }],
    ['MOUNT 2', client.raw(MOUNT_PROGRAM, 2, 1, none), { kind: 'program-mismatch', lowest: 3, highest: 3 }],
    ['NLM', client.raw(100_021, 4, 0, none), { kind: 'program-unavailable' }],
    ['ACLs', client.raw(100_227, 3, 0, none), { kind: 'program-unavailable' }],
    ['NFS 22', client.raw(NFS_PROGRAM, 3, 22, none), { kind: 'procedure-unavailable' }],
    ['NFS 4294967295', client.raw(NFS_PROGRAM, 3, 0xffff_ffff, none), { kind: 'procedure-unavailable' }],
    ['MOUNT 6', client.raw(MOUNT_PROGRAM, 3, 6, none), { kind: 'procedure-unavailable' }],
    ['no arguments', client.raw(NFS_PROGRAM, 3, 1, none), { kind: 'garbage-arguments' }],
    ['a handle of 4 GiB', client.raw(NFS_PROGRAM, 3, 1, Buffer.alloc(4, 0xff)), { kind: 'garbage-arguments' }],
    ['a handle of 65 bytes', client.raw(NFS_PROGRAM, 3, 1, handleOf(65)), { kind: 'garbage-arguments' }],
    [
      'more than arguments',
      client.raw(NFS_PROGRAM, 3, 1, Buffer.concat([getattr, getattr])),
      { kind: 'garbage-arguments' },
    ],
    ['a path of 1025 bytes', client.raw(MOUNT_PROGRAM, 3, 1, handleOf(1025)), { kind: 'garbage-arguments' }],
    ['a good call', client.raw(NFS_PROGRAM, 3, 1, getattr), { kind: 'success' }],
  ];
  for (const [name, reply, expected] of answers) {
    const { header } = (await reply) as { header: { xid: number } };
    assert.deepEqual({ ...header, xid: 0 }, { xid: 0, ...(expected as object) }, name);
  }
  assert.equal(door.doors.usedBytes(VOLUME), 0);
});

/** Opaque data of so many bytes. */
function handleOf(length: number): Buffer {
  const bytes = Buffer.alloc(4 + Math.ceil(length / 4) * 4);
  bytes.writeUInt32BE(length);
  return bytes;
}

test('wrong versions of RPC and wrong credentials are denied', async (t) => {
  const door = await opened(t);
  const client = await door.connect();
  const denied = async (change: (record: Buffer) => void): Promise<unknown> => {
    const xid = nextXid();
    const record = encodeCall({ xid, program: NFS_PROGRAM, version: 3, procedure: 1 }, null, getattr);
    change(record);
    const { header } = await client.record(xid, record);
    return { ...header, xid: 0 };
  };
  const mismatch = { xid: 0, kind: 'rpc-mismatch', lowest: 2, highest: 2 };
  assert.deepEqual(await denied((record) => record.writeUInt32BE(3, 12)), mismatch);
  const auth = (status: number): unknown => ({ xid: 0, kind: 'auth-error', status });
  assert.deepEqual(await denied((record) => record.writeUInt32BE(6, 28)), auth(AuthStatus.tooWeak));
  assert.deepEqual(await denied((record) => record.writeUInt32BE(1, 28)), auth(AuthStatus.badCredential));
  assert.deepEqual(await denied((record) => record.writeUInt32BE(1, 36)), auth(AuthStatus.badVerifier));
});

test('what is no record and what is no call ends the connection, with a reason', async (t) => {
  const door = await opened(t);
  const word = (...values: readonly number[]): Buffer => {
    const bytes = Buffer.alloc(values.length * 4);
    values.forEach((value, i) => bytes.writeUInt32BE(value, i * 4));
    return bytes;
  };
  const cases: readonly (readonly [Buffer, RegExp])[] = [
    [word(0xffff_ffff), /longer than/],
    [word(0x7fff_ffff), /longer than/],
    [word(0x8000_0000), /no RPC call/],
    [word(0x8000_0004, 1), /no RPC call/],
    [word(0x8000_0018, 1, 1, 0, 0, 0, 0), /no RPC call/],
    [Buffer.from('GET / HTTP/1.1\r\n\r\n'), /longer than/],
    [Buffer.alloc(8192), /fragments/],
  ];
  for (const [bytes] of cases) {
    const client = await door.connect();
    client.send(bytes);
    await client.closed;
  }
  const good = await door.connect();
  await good.ping();
  const reasons = door.told('nfs.disconnect').map(({ fields }) => String(fields['why']));
  // A client whose first record is no record at all was never heard of.
  const spoke = cases.filter(([, reason]) => reason.source === 'no RPC call');
  assert.equal(reasons.length, spoke.length);
  for (const reason of reasons) assert.match(reason, /no RPC call/);
});

test('the end of a connection is told to its calls, and what they count for stays until they are answered', async (t) => {
  const door = await opened(t);
  const client = await door.connect();
  const answer = client.call({ procedure: 'write', handle: HANDLE, offset: 0, stable: 2, data: Buffer.alloc(9000) });
  const [taken] = await door.program.waiting(1);
  client.destroy();
  await assert.rejects(answer, NfsConnectionLost);
  while (door.doors.connections(VOLUME) > 0) await new Promise((resolve) => void setImmediate(resolve));
  assert.equal(taken?.call.gone, true);
  assert.ok(door.doors.usedBytes(VOLUME) >= 9000);
  answerPlainly(taken);
  assert.equal(door.doors.usedBytes(VOLUME), 0);
});

test('a dropped call closes its connection; while held it says nothing', async (t) => {
  const door = await opened(t);
  const client = await door.connect();
  const answer = client.call({ procedure: 'getattr', handle: HANDLE });
  const [first] = await door.program.waiting(1);
  first?.reply.drop('this server does not own the volume');
  await assert.rejects(answer, NfsConnectionLost);
  assert.match(String(door.told('nfs.disconnect')[0]?.fields['why']), /does not own/);

  const other = await door.connect();
  void other.call({ procedure: 'getattr', handle: HANDLE }).catch(() => {});
  const [, second] = await door.program.waiting(2);
  await door.hold();
  second?.reply.drop('this server does not own the volume');
  await new Promise((resolve) => void setTimeout(resolve, 20));
  assert.equal(door.doors.connections(VOLUME), 1);
});

test('a held door takes no new requests, answers those on their way, and frees its address', async (t) => {
  const door = await opened(t);
  const { port } = door;
  const client = await door.connect();
  const early = client.call({ procedure: 'access', handle: HANDLE, access: 5 });
  const [taken] = await door.program.waiting(1);
  await door.hold();
  let lateAnswered = false;
  const late = client.ping().then(() => (lateAnswered = true));
  late.catch(() => {});
  answerPlainly(taken!);
  const result = await early;
  assert.equal(result.status, NfsStatus.ok);
  const next = net.createServer();
  await new Promise<void>((resolve) => void next.listen(port, '127.0.0.1', resolve));
  next.close();
  assert.equal(lateAnswered, false);
  assert.equal(door.program.calls.length, 1);
  assert.equal(door.doors.connections(VOLUME), 1);
  door.doors.close(VOLUME, 'the next owner is there');
  await client.closed;
  await assert.rejects(late, NfsConnectionLost);
  assert.equal(door.program.ended, 'the next owner is there');
});

test('clients may come while the program gets ready, and are served when it is', async (t) => {
  const door = new TestDoor();
  t.after(() => door.close());
  door.program.opens = undefined;
  let isOpen = false;
  const open = door.open().then((fault) => ((isOpen = true), fault));
  while (door.told('nfs.listen').length === 0) await new Promise((resolve) => void setImmediate(resolve));
  const client = await door.connect();
  const answer = client.call({ procedure: 'access', handle: HANDLE, access: 3 });
  const second = client.ping();
  await new Promise((resolve) => void setTimeout(resolve, 10));
  assert.equal(door.program.calls.length, 0);
  assert.equal(isOpen, false);
  door.program.answer = answerPlainly;
  door.program.opening?.(null);
  assert.equal(await open, null);
  assert.equal((await answer).status, NfsStatus.ok);
  await second;
  assert.deepEqual(door.doors.clients(VOLUME), [`127.0.0.1 ${client.socket.localPort}`]);
});

test('a program that cannot get ready is a fault, and sends those away who came', async (t) => {
  const door = new TestDoor();
  t.after(() => door.close());
  door.program.opens = undefined;
  const open = door.open();
  while (door.told('nfs.listen').length === 0) await new Promise((resolve) => void setImmediate(resolve));
  const client = await door.connect();
  door.program.opening?.(new Fault('io', 'the replies cannot be read'));
  const fault = await open;
  assert.equal(fault?.message, 'the replies cannot be read');
  assert.equal(door.doors.port(VOLUME), null);
  await client.closed;
});

test('a door that is closed while its program gets ready never opens', async () => {
  const door = new TestDoor();
  door.program.opens = undefined;
  let told = false;
  void door.open().then(() => (told = true));
  const opening = door.program.opening;
  assert.ok(opening !== null);
  door.doors.close(VOLUME, 'not after all');
  opening(null);
  await new Promise((resolve) => void setTimeout(resolve, 20));
  assert.equal(told, false);
  assert.equal(door.doors.port(VOLUME), null);
  assert.equal(door.program.ended, 'not after all');
  door.close();
});

test('an address that somebody else holds is taken over when it is free', async (t) => {
  const holder = net.createServer();
  await new Promise<void>((resolve) => void holder.listen(0, '127.0.0.1', resolve));
  const { port } = holder.address() as net.AddressInfo;
  const door = new TestDoor({ address: { host: '127.0.0.1', port } });
  t.after(() => door.close());
  const open = door.open();
  while (door.told('nfs.listen-wait').length === 0) await new Promise((resolve) => void setImmediate(resolve));
  holder.close();
  assert.equal(await open, null);
  const client = await door.connect();
  await client.ping();
});

test('a volume that is not exported is refused', async () => {
  const door = new TestDoor();
  const fault = await new Promise<Fault | null>((resolve) => {
    const service = { maxRequestBytes: 1, sizeBytes: () => 0, pending: () => null, submit: () => {} };
    door.doors.open('other' as VolumeName, 1 as Epoch, service, resolve);
  });
  assert.equal(fault?.kind, 'refused');
});

test('an address that is not this host’s is a fault', async (t) => {
  const door = new TestDoor({ address: { host: '192.0.2.1', port: 0 } });
  t.after(() => door.close());
  assert.equal((await door.open())?.kind, 'io');
});

test('a call that is refused says so to the caller', async (t) => {
  const door = await opened(t);
  const client = await door.connect();
  await assert.rejects(client.result(NFS_PROGRAM, 2, 0, Buffer.alloc(0)), NfsCallRefused);
});

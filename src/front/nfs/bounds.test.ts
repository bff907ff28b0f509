/** Whatever clients do, the door holds a bounded amount of memory and goes on serving those who behave. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { encodeArguments, procedureNumber } from '../../wire/nfs/table.ts';
import { NFS_PROGRAM } from '../../wire/nfs/types.ts';
import { encodeCall, type NfsClient, nextXid } from '../../../suites/nfs-client.ts';
import { answerPlainly } from '../../../suites/nfs-program.ts';
import { TestDoor, VOLUME } from '../../../suites/nfs-door.ts';
import { DEFAULT_NFS_LIMITS, maxRecordBytes, type NfsLimits } from './limits.ts';

const HANDLE = Buffer.from('handle');

async function opened(t: TestContext, limits: Partial<NfsLimits>): Promise<TestDoor> {
  const door = new TestDoor({}, limits);
  t.after(() => door.close());
  assert.equal(await door.open(), null);
  return door;
}

/** A bare socket, paused or not. */
async function socketTo(t: TestContext, door: TestDoor): Promise<net.Socket> {
  const socket = net.connect(door.port, '127.0.0.1');
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

function write(bytes: number): Buffer {
  const args = encodeArguments({ procedure: 'write', handle: HANDLE, offset: 0, stable: 2, data: Buffer.alloc(bytes) });
  return encodeCall(
    { xid: nextXid(), program: NFS_PROGRAM, version: 3, procedure: procedureNumber('write') },
    null,
    args,
  );
}

function read(count: number): Buffer {
  const args = encodeArguments({ procedure: 'read', handle: HANDLE, offset: 0, count });
  return encodeCall(
    { xid: nextXid(), program: NFS_PROGRAM, version: 3, procedure: procedureNumber('read') },
    null,
    args,
  );
}

const nullCall = (): Buffer =>
  encodeCall({ xid: nextXid(), program: NFS_PROGRAM, version: 3, procedure: 0 }, null, Buffer.alloc(0));

/** Until nothing has changed for a while of turns: what was sent over loopback has arrived. */
async function quiet(value: () => number): Promise<number> {
  let last = value();
  for (let same = 0; same < 200; same++) {
    await turn();
    if (value() !== last) same = 0;
    last = value();
  }
  return last;
}

test('a connection has so many requests on their way, and no more; they go on when some end', async (t) => {
  const door = await opened(t, { maxRequests: 3 });
  const client = await door.connect();
  const answers = Array.from({ length: 10 }, () => client.call({ procedure: 'access', handle: HANDLE, access: 1 }));
  assert.equal(await quiet(() => door.program.calls.length), 3);
  answerPlainly(door.program.calls.shift()!);
  assert.equal(await quiet(() => door.program.calls.length), 3);
  door.program.answer = answerPlainly;
  for (const taken of door.program.calls.splice(0)) answerPlainly(taken);
  await Promise.all(answers);
});

test('bytes on their way are bounded for a connection and for all of them together', async (t) => {
  const door = await opened(t, { maxInFlightBytes: 100_000, maxVolumeBytes: 250_000, lookaheadBytes: 65_536 });
  const clients = await Promise.all(Array.from({ length: 8 }, () => door.connect()));
  const answers = clients.flatMap((client) =>
    Array.from({ length: 20 }, () => {
      const data = Buffer.alloc(30_000);
      return client.call<'write'>({ procedure: 'write', handle: HANDLE, offset: 0, stable: 2, data });
    }),
  );
  await quiet(() => door.program.calls.length);
  const used = door.doors.usedBytes(VOLUME);
  assert.ok(used >= 250_000 && used < 250_000 + 35_000, `${used} bytes`);
  const perClient = new Map<number, number>();
  for (const { call } of door.program.calls) {
    perClient.set(call.client.port, (perClient.get(call.client.port) ?? 0) + 1);
  }
  assert.ok(Math.max(...perClient.values()) <= 4);
  // everybody gets through when answers come
  door.program.answer = answerPlainly;
  while (clients.some(({ inFlight }) => inFlight > 0)) {
    for (const taken of door.program.calls.splice(0)) answerPlainly(taken);
    await turn();
  }
  await Promise.all(answers);
  assert.equal(await quiet(() => door.doors.usedBytes(VOLUME)), 0);
});

test('a client that does not read is not read from either: answers wait in bounds', async (t) => {
  const door = await opened(t, { maxInFlightBytes: 1 << 20, maxVolumeBytes: 4 << 20 });
  door.program.answer = answerPlainly;
  const socket = await socketTo(t, door);
  socket.pause();
  // 2000 answers of 64 KiB: 125 MiB, if they were all made
  for (let i = 0; i < 2000; i++) socket.write(read(65_536));
  const used = await quiet(() => door.doors.usedBytes(VOLUME));
  assert.ok(used >= 1 << 20 && used < (1 << 20) + 70_000, `${used} bytes`);
  // others are served meanwhile
  const other = await door.connect();
  await other.call({ procedure: 'access', handle: HANDLE, access: 1 });
  let got = 0;
  socket.on('data', (piece: Buffer) => (got += piece.length));
  socket.resume();
  const whole = 2000 * (4 + 24 + 8 + 12 + 65_536);
  while (got < whole) await turn();
  assert.equal(got, whole);
});

test('answers without results wait in bounds too', async (t) => {
  const door = await opened(t, { maxInFlightBytes: 64 << 10 });
  const socket = await socketTo(t, door);
  socket.pause();
  const many = Buffer.concat(Array.from({ length: 2000 }, nullCall));
  let sent = 0;
  for (; sent < 400 && socket.writableLength < 8 << 20; sent++) {
    socket.write(many);
    await turn();
  }
  const used = await quiet(() => door.doors.usedBytes(VOLUME));
  assert.ok(used >= 64 << 10 && used < (64 << 10) + 1024, `${used} bytes`);
  let got = 0;
  socket.on('data', (piece: Buffer) => (got += piece.length));
  socket.resume();
  while (got < sent * 2000 * 28) await turn();
  assert.equal(await quiet(() => got), sent * 2000 * 28);
});

test('connections that never say anything make room for newer ones', async (t) => {
  const door = await opened(t, { maxConnections: 20, maxAddressConnections: 20 });
  const speaker = await door.connect();
  await speaker.ping();
  const idle = await Promise.all(Array.from({ length: 100 }, () => socketTo(t, door)));
  const ends = idle.map((socket) => once(socket.resume(), 'close'));
  await Promise.all(ends.slice(0, 81));
  assert.equal(await quiet(() => door.doors.connections(VOLUME)), 20);
  await speaker.ping();
  const late = await door.connect();
  await late.ping();
  // they left as silently as they came
  assert.equal(door.told('nfs.disconnect').length, 0);
  assert.equal(door.told('nfs.connect').length, 2);
});

test('where everybody has spoken, a newcomer is refused, with one line a second', async (t) => {
  const door = await opened(t, { maxConnections: 5, maxAddressConnections: 5 });
  const clients = await Promise.all(Array.from({ length: 5 }, () => door.connect()));
  await Promise.all(clients.map((client) => client.ping()));
  for (let i = 0; i < 30; i++) await once((await socketTo(t, door)).resume(), 'close');
  await Promise.all(clients.map((client) => client.ping()));
  assert.equal(door.told('nfs.refuse').length, 1);
  clients[0]?.destroy();
  while (door.doors.connections(VOLUME) > 4) await turn();
  await (await door.connect()).ping();
});

test('half-open connections without end cost bounded memory, and others are served', async (t) => {
  const door = await opened(t, {});
  const before = process.memoryUsage().rss;
  const speaker = await door.connect();
  await speaker.ping();
  const mark = Buffer.from([0x80, 0x10, 0, 0]);
  for (let round = 0; round < 12; round++) {
    const sockets = await Promise.all(Array.from({ length: 250 }, () => socketTo(t, door)));
    // each announces a record of 1 MiB and sends a little of it
    for (const socket of sockets) socket.write(Buffer.concat([mark, Buffer.alloc(60)]));
    await speaker.ping();
    assert.ok(door.doors.connections(VOLUME) <= DEFAULT_NFS_LIMITS.maxAddressConnections);
    for (const socket of sockets.slice(0, 125)) socket.destroy();
  }
  const newcomer = await door.connect();
  await newcomer.ping();
  const grown = process.memoryUsage().rss - before;
  assert.ok(grown < 150 << 20, `${grown >> 20} MiB for 3,000 connections, the test's ends included`);
});

/** The door's clock stands still unless the test moves it. */
function second(t: TestContext): void {
  t.mock.timers.tick(1000);
}

test('what makes no progress is ended: silence, half a record, answers that nobody takes', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const door = await opened(t, { firstRecordSeconds: 5, recordSeconds: 3, stallSeconds: 3 });
  door.program.answer = answerPlainly;
  const silent = await socketTo(t, door);
  const half = await socketTo(t, door);
  half.write(nullCall());
  half.write(write(1000).subarray(0, 500));
  const deaf = await socketTo(t, door);
  deaf.pause();
  for (let i = 0; i < 200; i++) deaf.write(read(1 << 20));
  const idle: NfsClient = await door.connect();
  await idle.ping();
  await quiet(() => door.doors.usedBytes(VOLUME));
  const closed = new Set<string>();
  silent.resume().on('close', () => closed.add('silent'));
  half.resume().on('close', () => closed.add('half'));
  for (let i = 0; i < 5; i++) second(t);
  while (closed.size < 1 || door.doors.connections(VOLUME) > 2) await turn();
  assert.deepEqual([...closed], ['half']);
  second(t);
  while (closed.size < 2) await turn();
  assert.equal(await quiet(() => door.doors.connections(VOLUME)), 1);
  assert.equal(door.doors.usedBytes(VOLUME), 0);
  await idle.ping();
  const reasons = door.told('nfs.disconnect').map(({ fields }) => String(fields['why']));
  assert.deepEqual(reasons.toSorted(), ['a request did not come to its end', 'it does not take its answers']);
});

test('a record that is fed a byte at a time is ended too', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const door = await opened(t, { firstRecordSeconds: 1000, recordSeconds: 3 });
  door.program.answer = answerPlainly;
  const slow = await door.connect();
  const bytes = write(10);
  let ended = false;
  void slow.closed.then(() => (ended = true));
  for (let at = 0; at < bytes.length && !ended; at++) {
    slow.socket.write(bytes.subarray(at, at + 1));
    await quiet(() => door.doors.connections(VOLUME));
    if (at % 10 === 9) second(t);
  }
  assert.equal(await slow.closed, 'the server closed it');
});

test('the longest record is taken whole, one byte more is not', async (t) => {
  const door = await opened(t, {});
  door.program.answer = answerPlainly;
  const client = await door.connect();
  const data = Buffer.alloc(DEFAULT_NFS_LIMITS.maxPayloadBytes);
  await client.call<'write'>({ procedure: 'write', handle: HANDLE, offset: 0, stable: 2, data });
  const mark = Buffer.alloc(4);
  mark.writeUInt32BE(0x8000_0000 + maxRecordBytes(DEFAULT_NFS_LIMITS) + 1);
  client.send(mark);
  await client.closed;
});

test('the lines about clients are bounded, and say how many were left out', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const door = await opened(t, {});
  const client = await door.connect();
  for (let i = 0; i < 500; i++) await client.mnt('/nowhere');
  assert.equal(door.lines.length, 1 + 100);
  second(t);
  assert.match(String(door.lines.at(-1)?.fields['reason']), /401 lines were left out/);
  await client.mnt('/nowhere');
  assert.equal(door.lines.length, 1 + 100 + 2);
});

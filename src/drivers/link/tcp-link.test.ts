import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { connect, createServer, Socket } from 'node:net';
import { test } from 'node:test';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { A, B, linkSuite, Listening, say } from '../../../suites/link.ts';
import { clock, freePorts, TcpWorld } from '../../../suites/tcp-link-world.ts';
import { until } from '../../../suites/until.ts';
import { Fault } from '../../base/fault.ts';
import type { Incarnation, ServerId } from '../../base/names.ts';
import type { SocketMaker } from './sockets.ts';
import { TcpLink, type TcpLinkOptions } from './tcp-link.ts';

linkSuite('tcp', () => TcpWorld.make());

async function inWorld(world: TcpWorld, run: (world: TcpWorld) => Promise<void>): Promise<void> {
  try {
    await run(world);
  } finally {
    await world.end();
  }
}

test('both dial at once, a hundred times: one session each time, the same at both ends', async () => {
  // Every session counts as a good one: both ends dial again in the very turn in which they learn of the end.
  await inWorld(await TcpWorld.make({ limits: { stableMs: 0 } }), async (world) => {
    const a = new Listening(world.make(A), B);
    const b = new Listening(world.make(B), A);
    const up = (): boolean => a.upTo(0) !== null && b.upTo(0) !== null;
    await until('up', up);
    for (let round = 1; round <= 100; round += 1) {
      if (round % 3 !== 0) a.drop(0, 'both');
      if (round % 3 !== 1) b.drop(0, 'both');
      await until('both were told', () => a.count('down', 0) >= round && b.count('down', 0) >= round);
      await until('up', up);
      assert(a.send(0, say(round)) && b.send(0, say(round)));
      await until('they speak', () => a.messages(0).length === round && b.messages(0).length === round);
    }
    assert.deepEqual([a.count('up', 0), b.count('up', 0)], [101, 101]);
  });
});

test('the address is taken: it is tried again, and meanwhile the other side is dialed', async () => {
  await inWorld(await TcpWorld.make({ limits: { listenRetryMs: 10 } }), async (world) => {
    const squatter = createServer();
    await new Promise<void>((listening) => squatter.listen(world.port(A, 0), '127.0.0.1', listening));
    const a = new Listening(world.make(A), B);
    await until('it is logged', () => world.lines(A, 'link.listen-failed').length > 0);
    assert.match(world.lines(A, 'link.listen-failed')[0]!, /EADDRINUSE/);
    await new Promise((closed) => squatter.close(closed));
    await until('it listens', () =>
      world.lines(A, 'link.listening').some((line) => line.includes(`:${world.port(A, 0)}`)),
    );
    new Listening(world.make(B), A);
    await until('up', () => a.upTo(0) !== null && a.upTo(1) !== null);
  });
});

test('a socket that connects to itself has found nobody; one that does not connect in time has found nothing', async () => {
  const sockets: SocketMaker = {
    connect: (to, ready) => {
      if (to.port % 2 === 0) return new Socket();
      return connect({ ...to, localAddress: to.host, localPort: to.port }, ready);
    },
    server: (accept) => createServer(accept),
  };
  const ports = await freePorts(20);
  const [even, odd] = [0, 1].map((rest) => ports.find((port) => port % 2 === rest));
  assert(even !== undefined && odd !== undefined);
  const link = new TcpLink({
    self: A,
    incarnation: 'i' as Incarnation,
    clusterId: 'c',
    key: Buffer.alloc(16),
    listen: [0, 0].map((port) => ({ host: '127.0.0.1', port })),
    peers: new Map([[B, { paths: [odd, even].map((port) => ({ host: '127.0.0.1', port })) }]]),
    clock,
    log: () => {},
    sockets,
    limits: { connectMs: 20 },
  });
  const a = new Listening({ link, incarnation: 'i' as Incarnation }, B);
  await until('both have failed', () => a.count('down', 0) > 0 && a.count('down', 1) > 0);
  const [itself, nothing] = [0, 1].map((path) => a.told.find((one) => one.path === path));
  assert(itself?.kind === 'down' && itself.reason === 'refused', JSON.stringify(itself));
  assert(nothing?.kind === 'down' && nothing.reason === 'unreachable' && nothing.detail.includes('within 20 ms'));
  assert.equal(link.listening.length, 2);
  assert(link.listening.every((address) => address !== null && address.port > 0));
  await new Promise<void>((done) => link.close(done));
});

test('TLS is another way to make sockets', async () => {
  const psk = createHash('sha256').update('a key for the transport').digest();
  const ciphers = 'PSK-AES128-GCM-SHA256';
  const sockets: SocketMaker = {
    connect: (to, ready) => {
      const checkServerIdentity = (): undefined => undefined;
      const options = {
        ...to,
        ciphers,
        maxVersion: 'TLSv1.2' as const,
        checkServerIdentity,
        minVersion: 'TLSv1.2' as const,
      };
      return connectTls({ ...options, pskCallback: () => ({ psk, identity: 'link' }) }, ready);
    },
    server: (accept) =>
      createTlsServer({ ciphers, maxVersion: 'TLSv1.2', pskCallback: () => psk, pskIdentityHint: '' }, accept),
  };
  await inWorld(await TcpWorld.make({ sockets }), async (world) => {
    const a = new Listening(world.make(A), B);
    const b = new Listening(world.make(B), A);
    await until('up', () => [0, 1].every((path) => a.upTo(path) !== null && b.upTo(path) !== null));
    assert(a.send(0, say(1)) && b.send(1, say(2)));
    await until('they speak', () => b.count('message', 0) === 1 && a.count('message', 1) === 1);
    await world.kill(B);
    await until('refused', () => a.told.some((one) => one.kind === 'down' && one.reason === 'refused'));
  });
});

test('options that make no sense together are refused before anything is opened', () => {
  const address = { host: '127.0.0.1', port: 1 };
  const right: TcpLinkOptions = {
    self: A,
    incarnation: 'i' as Incarnation,
    clusterId: 'c',
    key: Buffer.alloc(16),
    listen: [address],
    clock,
    peers: new Map([[B, { paths: [address] }]]),
    log: () => {},
  };
  assert.deepEqual([...new TcpLink(right).peers], [[B, { paths: 1 }]]);
  const wrong: readonly (readonly [RegExp, Partial<TcpLinkOptions>])[] = [
    [/key has 15 bytes/, { key: Buffer.alloc(15) }],
    [/cluster id '' has 0 bytes/, { clusterId: '' }],
    [/server id 'x+' has 256 bytes/, { self: 'x'.repeat(256) as ServerId }],
    [/its own peer/, { peers: new Map([[A, { paths: [address] }]]) }],
    [/no path to server 'b'/, { peers: new Map([[B, { paths: [] }]]) }],
    [/'b' has 2 paths, 'a' listens on 1/, { peers: new Map([[B, { paths: [address, address] }]]) }],
    [/incarnation/, { incarnation: '' as Incarnation }],
  ];
  for (const [reason, change] of wrong) {
    assert.throws(
      () => new TcpLink({ ...right, ...change }),
      (thrown) => thrown instanceof Fault && thrown.kind === 'refused' && reason.test(thrown.message),
    );
  }
});

/** Which of several connections becomes the session, seen from the server that decides: `a`; `b` is the test. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { A, B, Listening, say } from '../../../suites/link.ts';
import { HandPeer, HandServer, TcpWorld, type TcpWorldOptions } from '../../../suites/tcp-link-world.ts';
import { until } from '../../../suites/until.ts';
import type { HandshakeSelf } from '../../wire/link-conversation.ts';

async function inWorld(options: TcpWorldOptions, run: (world: TcpWorld) => Promise<void>): Promise<void> {
  const world = await TcpWorld.make(options);
  try {
    await run(world);
  } finally {
    await world.end();
  }
}

/** `a`, with a session that it has dialed itself. */
async function dialed(world: TcpWorld): Promise<{ a: Listening; self: HandshakeSelf; server: HandServer }> {
  const self = world.identity(B);
  const server = await HandServer.make(world, self);
  const a = new Listening(world.make(A), B);
  await until('a has dialed', () => a.upTo(0) === self.incarnation && server.sessions.length === 1);
  return { a, self, server };
}

test('b dials before it has heard of the session that a has just made: its connection is one too many', async () => {
  await inWorld({ limits: { handshakeMs: 60_000 } }, async (world) => {
    const { a, self, server } = await dialed(world);
    const late = new HandPeer(world, A);
    late.shake(self, A);
    await until('it is refused', () => late.closed && late.outcome !== null);
    assert(late.outcome !== null && 'why' in late.outcome);
    assert.equal(late.outcome.why, 'duplicate');
    assert.deepEqual([a.count('up', 0), a.count('down', 0), server.sockets.size], [1, 0, 1]);
    assert.deepEqual(world.lines(A, 'link.refused'), [], 'that is no news');
  });
});

test('b dials after it has lost that session: the new connection takes its place', async () => {
  await inWorld({ limits: { handshakeMs: 60_000 } }, async (world) => {
    const { a, self, server } = await dialed(world);
    const again = new HandPeer(world, A);
    again.shake(self, A, 0, server.sessions[0]!.session);
    const { writer } = await again.session();
    writer.write(say(1));
    again.socket.write(Buffer.concat(writer.take()));
    await until('it is heard', () => a.count('message', 0) === 1);
    await until('the old one is closed', () => server.sockets.size === 0);
    const told = a.told.filter((one) => one.path === 0);
    assert.deepEqual(
      told.map((one) => one.kind),
      ['up', 'down', 'up', 'message'],
    );
    assert(told[1]!.kind === 'down' && told[1]!.detail === 'replaced by a newer connection');
  });
});

test('b dials and never hears of a session that is long made: the new connection takes its place, too', async () => {
  await inWorld({ limits: { handshakeMs: 30 } }, async (world) => {
    const { a, self } = await dialed(world);
    await until('the session is no news any more', () => {
      const again = new HandPeer(world, A);
      again.shake(self, A);
      return a.count('up', 0) > 1;
    });
  });
});

test('b dials while a is dialing: a takes the one that is proven first and gives its own up', async () => {
  await inWorld({}, async (world) => {
    const self = world.identity(B);
    const server = await HandServer.make(world, self);
    server.answers = false;
    const a = new Listening(world.make(A), B);
    await until('a waits for an answer', () => server.dialers.length === 1);
    const peer = new HandPeer(world, A);
    peer.shake(self, A);
    await peer.session();
    await until('up', () => a.upTo(0) === self.incarnation);
    await until('its own attempt is over', () => server.sockets.size === 0);
    assert.equal(server.dialers[0]!.lastSession, '-');
  });
});

test('a dials again after a session, and says which one it was', async () => {
  await inWorld({ limits: { stableMs: 0 } }, async (world) => {
    const { a, server } = await dialed(world);
    for (const socket of server.sockets) socket.destroy();
    await until('again', () => server.sessions.length === 2 && a.upTo(0) !== null);
    assert.equal(server.dialers[1]!.lastSession, server.sessions[0]!.session);
    assert.equal(a.count('up', 0), 2);
  });
});

test('an acceptor of an earlier incarnation is not taken', async () => {
  await inWorld({}, async (world) => {
    const { a, self, server } = await dialed(world);
    const later = world.identity(B);
    const peer = new HandPeer(world, A);
    peer.shake(later, A);
    await peer.session();
    await until('replaced', () => a.upTo(0) === later.incarnation);
    peer.socket.destroy();
    await until('the old one is dialed, and left', () =>
      a.told.some(
        (one) => one.kind === 'down' && one.reason === 'protocol' && one.detail.includes('later incarnation'),
      ),
    );
    assert.equal(server.self, self);
    assert.equal(a.upTo(0), null);
  });
});

test('of two connections that b has begun, the one that it begun last counts', async () => {
  await inWorld({ limits: { handshakeMs: 60_000 } }, async (world) => {
    const a = new Listening(world.make(A), B);
    await until('it listens', () => world.lines(A, 'link.listening').length === 2);
    const self = world.identity(B);
    const first = new HandPeer(world, A);
    first.readies = false;
    first.shake(self, A);
    await until('the first is taken in', () => first.outcome !== null);
    const second = new HandPeer(world, A);
    second.shake(self, A);
    await second.session();
    await until('the first is closed', () => first.closed);
    await until('up', () => a.upTo(0) === self.incarnation);
    assert.equal(a.count('up', 0), 1);
  });
});

test('a dialer that is taken in and never gets ready is given up', async () => {
  await inWorld({ limits: { handshakeMs: 40 } }, async (world) => {
    const a = new Listening(world.make(A), B);
    await until('it listens', () => world.lines(A, 'link.listening').length === 2);
    const peer = new HandPeer(world, A);
    peer.readies = false;
    peer.shake(world.identity(B), A);
    await until('closed', () => peer.closed);
    assert.match(world.lines(A, 'link.refused')[0]!, /no handshake within 40 ms/);
    const before = a.count('down', 0);
    await until('a dials again', () => a.count('down', 0) > before);
    assert.equal(a.count('up'), 0);
  });
});

test('the one that does not decide takes what is decided first, and closes the other', async () => {
  await inWorld({ limits: { handshakeMs: 60_000 } }, async (world) => {
    const self = world.identity(A);
    const server = await HandServer.make(world, self);
    server.answers = false;
    const b = new Listening(world.make(B), A);
    await until('b waits for an answer', () => server.held.length === 1);
    const peer = new HandPeer(world, B);
    peer.readies = false;
    peer.shake(self, B);
    await until('b has accepted', () => peer.outcome !== null);
    assert.equal(server.sockets.size, 1, 'and has not given up its own attempt for it');
    server.held[0]!();
    await until('up', () => b.upTo(0) === self.incarnation && server.sessions.length === 1);
    await until('the other is closed', () => peer.closed);
    assert.equal(b.count('up', 0), 1);
  });
});

test('an attempt that was one too many is no failure of the path; any other refusal is', async () => {
  await inWorld({ limits: { handshakeMs: 60_000 } }, async (world) => {
    const self = world.identity(A);
    const server = await HandServer.make(world, self);
    server.refusal = 'duplicate';
    const b = new Listening(world.make(B), A);
    await until('b was refused, and tried again', () => server.dialers.length >= 2);
    assert.equal(b.count('down', 0), 0);
    server.refusal = 'target';
    await until('b was refused with a reason', () => b.count('down', 0) > 0);
    const down = b.told.find((one) => one.path === 0);
    assert(down?.kind === 'down' && down.reason === 'protocol');
    assert.match(down.detail, /the peer refuses: the test says so/);
  });
});

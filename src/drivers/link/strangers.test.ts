/** Whom the link lets in, what it tells those it does not, and what becomes of a peer that talks rubbish. */
import assert from 'node:assert/strict';
import { createServer, type Server, type Socket } from 'node:net';
import { test } from 'node:test';
import { A, B, Listening, say } from '../../../suites/link.ts';
import { framesOf, HandPeer, TcpWorld, type TcpWorldOptions } from '../../../suites/tcp-link-world.ts';
import { until } from '../../../suites/until.ts';
import { crc32c } from '../../base/crc32c.ts';
import { Fault } from '../../base/fault.ts';
import type { Epoch, Generation, Sequence, ServerId, VolumeName } from '../../base/names.ts';
import { dataCrcOf, OperationKind, NO_TIME } from '../../base/operation.ts';
import type { LinkMessage, MirrorMessage } from '../../ports/link.ts';
import type { HandshakeSelf } from '../../wire/link-conversation.ts';
import { FLAG_IGNORABLE, FrameWriter } from '../../wire/link-frame.ts';

/** Server `b` alone, so that `a` is the test; `a` sorts lower and decides, `b` follows. */
function linkTest(
  name: string,
  run: (world: TcpWorld, b: Listening) => Promise<void>,
  options: TcpWorldOptions = {},
): void {
  test(name, async () => {
    const world = await TcpWorld.make(options);
    try {
      const b = new Listening(world.make(B), A);
      await until('it listens', () => world.lines(B, 'link.listening').length === 2);
      await run(world, b);
    } finally {
      await world.end();
    }
  });
}

linkTest('who does not hold the key gets 40 bytes and a closed connection; the reason is logged', async (world, b) => {
  const stranger = new HandPeer(world, B);
  stranger.shake(world.identity(A, { key: Buffer.alloc(32, 1) }), B);
  await until('closed', () => stranger.closed);
  assert.equal(stranger.bytesReceived, 40);
  assert.equal(stranger.outcome, null);
  assert.match(world.lines(B, 'link.refused')[0]!, /does not hold the cluster key/);
  assert.equal(b.count('up'), 0);
});

linkTest('who speaks something else gets nothing', async (world) => {
  const browser = new HandPeer(world, B);
  browser.socket.write('GET / HTTP/1.1\r\n\r\n');
  await until('closed', () => browser.closed);
  assert.equal(browser.bytesReceived, 0);
  assert.match(world.lines(B, 'link.refused')[0]!, /does not speak the link protocol/);
});

linkTest(
  'who says nothing, or stops half way, is closed after the deadline',
  async (world) => {
    const silent = new HandPeer(world, B);
    const slow = new HandPeer(world, B);
    slow.socket.write(Buffer.from([0x48, 0x46, 0x68]));
    await until('closed', () => silent.closed && slow.closed);
    assert.equal(silent.bytesReceived + slow.bytesReceived, 0);
    assert.match(world.lines(B, 'link.refused')[0]!, /no handshake within 40 ms/);
  },
  { limits: { handshakeMs: 40 } },
);

const misfits: readonly (readonly [string, Partial<HandshakeSelf>, { target?: ServerId; path?: number }, RegExp])[] = [
  ['cluster', { clusterId: 'other' }, {}, /this is cluster 'test', not 'other'/],
  ['self', { server: B }, {}, /'b' is this server's own id/],
  ['stranger', { server: 'c' as ServerId }, {}, /'c' is not in the configuration of 'b'/],
  ['target', {}, { target: 'd' as ServerId }, /this is 'b', not 'd'/],
  ['path', {}, { path: 1 }, /this is path 0, not 1/],
  ['version', { minVersion: 3, maxVersion: 4 }, {}, /'b' speaks protocol versions 1 to 2, 'a' 3 to 4/],
];
for (const [why, change, { target = B, path = 0 }, reason] of misfits) {
  linkTest(`who holds the key and does not fit is told why, and so is the log: ${why}`, async (world, b) => {
    const peer = new HandPeer(world, B);
    peer.shake(world.identity(A, change), target, path);
    await until('closed', () => peer.closed && peer.outcome !== null);
    assert(peer.outcome !== null && !(peer.outcome instanceof Fault) && peer.outcome.kind === 'refused');
    assert.equal(peer.outcome.why, why);
    assert.match(peer.outcome.text, reason);
    assert.match(world.lines(B, 'link.refused')[0]!, reason);
    assert.equal(b.count('up'), 0);
  });
}

linkTest(
  'a later incarnation replaces an earlier one on every path, and the earlier one stays out',
  async (world, b) => {
    const [first, second] = [world.identity(A), world.identity(A)];
    const old = [0, 1].map((path) => new HandPeer(world, B, path));
    for (const [path, peer] of old.entries()) {
      peer.shake(first, B, path);
      await peer.session();
    }
    await until('up', () => b.upTo(0) === first.incarnation && b.upTo(1) === first.incarnation);
    const next = new HandPeer(world, B, 0);
    next.shake(second, B, 0);
    await until('replaced', () => b.upTo(0) === second.incarnation && old.every((peer) => peer.closed));
    assert.equal(b.upTo(1), null, 'the path on which it has not come yet is down');
    const down = b.told.findLast((one) => one.kind === 'down' && one.path === 1 && one.reason === 'closed');
    assert(down?.kind === 'down' && down.detail === 'the peer has restarted');
    const late = new HandPeer(world, B, 1);
    late.shake(first, B, 1);
    await until('refused', () => late.outcome !== null);
    assert(late.outcome !== null && !(late.outcome instanceof Fault) && late.outcome.kind === 'refused');
    assert.equal(late.outcome.why, 'stale');
    assert.equal(b.upTo(0), second.incarnation);
  },
);

linkTest('a peer that lost its connection without our knowing is let in again at once', async (world, b) => {
  const self = world.identity(A);
  const first = new HandPeer(world, B);
  first.shake(self, B);
  const { terms } = await first.session();
  await until('up', () => b.upTo(0) === self.incarnation);
  const second = new HandPeer(world, B);
  second.shake(self, B, 0, terms.session);
  const { writer } = await second.session();
  await until('the old one is closed', () => first.closed);
  writer.write(say(5));
  second.socket.write(Buffer.concat(writer.take()));
  await until('heard', () => b.count('message') === 1);
  const kinds = b.told.filter((one) => one.path === 0 && !(one.kind === 'down' && one.reason === 'refused'));
  assert.deepEqual(
    kinds.map((one) => one.kind),
    ['up', 'down', 'up', 'message'],
  );
});

/** A frame like the writer's, changed, with its header's checksum made right again. */
function changed(writer: FrameWriter, change: (header: Buffer) => void): Buffer {
  writer.write(say(1));
  const bytes = Buffer.concat(writer.take());
  change(bytes);
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, 28)), 28);
  return bytes;
}

function damagedMirror(writer: FrameWriter): Buffer {
  const data = Buffer.alloc(4096, 1);
  const operation = {
    epoch: 1 as Epoch,
    sequence: 1 as Sequence,
    kind: OperationKind.write,
    target: '',
    offset: 0,
    length: 4096,
  };
  const life = { volume: 'v' as VolumeName, epoch: 1 as Epoch, generation: 1 as Generation };
  const marks = { acknowledged: 0 as Sequence, released: 0 as Sequence };
  const operations = [{ ...operation, data, dataCrc: dataCrcOf(data), timeNs: NO_TIME }];
  writer.write({ type: 'mirror', ...life, ...marks, operations } satisfies MirrorMessage);
  const bytes = Buffer.concat(writer.take());
  bytes[bytes.length - 1]! ^= 1;
  return bytes;
}

/** A mirror message with one operation of 1 MiB. */
function largeMirror(): MirrorMessage {
  const data = Buffer.alloc(1 << 20, 1);
  const operation = { epoch: 1 as Epoch, sequence: 1 as Sequence, kind: OperationKind.write, target: '', offset: 0 };
  const operations = [{ ...operation, length: data.length, data, dataCrc: dataCrcOf(data), timeNs: NO_TIME }];
  const life = { volume: 'v' as VolumeName, epoch: 1 as Epoch, generation: 1 as Generation };
  return { type: 'mirror', ...life, operations, acknowledged: 0 as Sequence, released: 0 as Sequence };
}

const rubbish: readonly (readonly [string, RegExp, (writer: FrameWriter) => Buffer])[] = [
  ['no frame at all', /magic number/, () => Buffer.alloc(64, 0x55)],
  ['a damaged header', /header does not match/, (writer) => changed(writer, () => {}).fill(9, 20, 24)],
  ['a damaged control part', /control part does not match/, (writer) => changed(writer, (bytes) => (bytes[40]! ^= 1))],
  ['a damaged operation', /operation 1 of 1: the data of operation \(1, 1\) do not match/, damagedMirror],
  [
    'an oversized frame',
    /operations have \d+ bytes/,
    (writer) => changed(writer, (bytes) => bytes.writeUInt32LE(2 ** 31, 20)),
  ],
  [
    'an unknown type',
    /type 99, which this version does not know/,
    (writer) => changed(writer, (bytes) => (bytes[4] = 99)),
  ],
  ['the wrong fields', /A resync-seal message is malformed/, (writer) => changed(writer, (bytes) => (bytes[4] = 8))],
  [
    'a frame twice',
    /counter is -1 off/,
    (writer) => {
      const once = changed(writer, () => {});
      return Buffer.concat([once, once]);
    },
  ],
];
for (const [what, reason, make] of rubbish) {
  linkTest(`a peer that sends ${what} is disconnected, with the reason told and logged`, async (world, b) => {
    const self = world.identity(A);
    const peer = new HandPeer(world, B);
    peer.shake(self, B);
    const { writer } = await peer.session();
    peer.socket.write(make(writer));
    await until('closed', () => peer.closed);
    const down = b.told.findLast((one) => one.kind === 'down' && one.reason === 'protocol');
    assert(down?.kind === 'down');
    assert.match(down.detail, reason);
    assert.match(world.lines(B, 'link.down').join('\n'), reason);
    const again = new HandPeer(world, B);
    again.shake(self, B);
    await again.session();
    await until('it may come again', () => b.upTo(0) === self.incarnation);
  });
}

linkTest('a newer peer is spoken to in our version, and what it marks as ignorable is skipped', async (world, b) => {
  const self = world.identity(A, { maxVersion: 9, features: 2 ** 40 + 5 });
  const peer = new HandPeer(world, B);
  peer.shake(self, B);
  const { terms, writer } = await peer.session();
  assert.deepEqual([terms.version, terms.features], [2, 0]);
  writer.writeRaw(200, FLAG_IGNORABLE, Buffer.from('something new'));
  writer.write(say(7));
  peer.socket.write(Buffer.concat(writer.take()));
  await until('the one behind it is heard', () => b.count('message') === 1);
  assert.match(world.lines(B, 'link.skipped')[0]!, /"type":200/);
});

linkTest('an older peer is spoken to in its version, and is not sent what it does not have', async (world, b) => {
  const self = world.identity(A, { maxVersion: 1 });
  const peer = new HandPeer(world, B);
  peer.shake(self, B);
  const { terms, reader, writer } = await peer.session();
  assert.equal(terms.version, 1);
  await until('up', () => b.upTo(0) === self.incarnation);
  const newer: LinkMessage = { type: 'clients', volume: 'v' as VolumeName, epoch: 1 as Epoch, clients: ['10.0.0.1 5'] };
  assert.equal(b.send(0, newer), false);
  assert.equal(b.send(0, say(7)), true);
  const heard: unknown[] = [];
  await until('one came', () => heard.push(...framesOf(peer, reader)) > 0);
  assert.equal(heard.length, 1);
  // Nor does it know what it has no business to say.
  writer.writeRaw(16, FLAG_IGNORABLE, Buffer.from('a newer one'));
  writer.write(say(8));
  peer.socket.write(Buffer.concat(writer.take()));
  await until('the one behind it is heard', () => b.count('message') === 1);
  assert.match(world.lines(B, 'link.skipped')[0]!, /"type":16/);
});

linkTest('what is sent in one turn arrives in one piece', async (world, b) => {
  const self = world.identity(A);
  const peer = new HandPeer(world, B);
  peer.shake(self, B);
  const { reader } = await peer.session();
  await until('up', () => b.upTo(0) === self.incarnation);
  const before = peer.chunks;
  for (let number = 0; number < 200; number += 1) assert(b.send(0, say(number)));
  await until('something came', () => peer.chunks > before);
  assert.equal(framesOf(peer, reader).length, 200);
  assert.equal(peer.chunks, before + 1);
});

linkTest(
  'a link that is closing while a peer neither reads nor stops talking still closes, in its time',
  async (world, b) => {
    const self = world.identity(A);
    const peer = new HandPeer(world, B);
    peer.shake(self, B);
    const { writer } = await peer.session();
    peer.socket.pause();
    await until('up', () => b.upTo(0) === self.incarnation);
    const message = largeMirror();
    for (let count = 0; count < 16; count += 1) assert(b.send(0, message));
    const told = b.told.length;
    let closed = false;
    b.link.close(() => (closed = true));
    await until('closed', () => {
      writer.write(say(1));
      peer.socket.write(Buffer.concat(writer.take()));
      return closed;
    });
    assert.equal(b.told.length, told);
  },
);

linkTest(
  'a peer that does not read is dropped when its backlog is full, and memory does not grow',
  async (world, b) => {
    const self = world.identity(A);
    const peer = new HandPeer(world, B);
    peer.shake(self, B);
    await peer.session();
    peer.socket.pause();
    await until('up', () => b.upTo(0) === self.incarnation);
    const message = largeMirror();
    let sent = 0;
    while (b.send(0, message)) {
      sent += 1;
      assert(sent < 200, 'there is a bound');
      // What the kernel takes does not count.
      await new Promise((run) => setImmediate(run));
    }
    assert(sent >= 4);
    assert.equal(b.upTo(0), self.incarnation, 'not told from within');
    await until('told', () => b.told.some((one) => one.kind === 'down' && one.reason === 'silent'));
    const down = b.told.findLast((one) => one.kind === 'down' && one.reason === 'silent');
    assert(down?.kind === 'down');
    assert.match(down.detail, /more than 4194304 bytes are waiting/);
    assert.equal(b.send(0, message), false);
  },
  { limits: { backlogBytes: 4 << 20 } },
);

linkTest('a crowd of strangers does not keep a peer out, nor fill the log', async (world, b) => {
  const crowd = Array.from({ length: 200 }, () => new HandPeer(world, B));
  await until('the crowd is in', () => crowd.filter((one) => one.closed).length >= 72);
  assert.equal(crowd.filter((one) => one.closed).length, 72, '64 a path may be shaking hands');
  const self = world.identity(A);
  const peer = new HandPeer(world, B);
  peer.shake(self, B);
  await until('up', () => b.upTo(0) === self.incarnation);
  assert(world.lines(B, 'link.refused').length <= 2, `${world.lines(B, 'link.refused').length} lines`);
});

/** Somebody who has taken the address of `a`. */
async function impostor(world: TcpWorld, onConnection: (socket: Socket) => void): Promise<Server> {
  const server = createServer((socket) => {
    world.own(socket);
    socket.on('error', () => {});
    onConnection(socket);
  });
  await new Promise<void>((listening) => server.listen(world.port(A, 0), '127.0.0.1', listening));
  world.own({ destroy: () => server.close() });
  return server;
}

linkTest(
  "what answers at a peer's address must be the peer: the attempt fails, with the reason told",
  async (world, b) => {
    const told = (reason: string, detail: RegExp) => (): boolean =>
      b.told.some((one) => one.kind === 'down' && one.path === 0 && one.reason === reason && detail.test(one.detail));
    let answer: (socket: Socket) => void = () => {};
    await impostor(world, (socket) => answer(socket));
    await until('silence', told('silent', /no handshake within 40 ms/));
    answer = (socket) => socket.end('220 mail.example.org ESMTP\r\n');
    await until('something else', told('protocol', /does not speak the link protocol/));
    answer = (socket) => socket.destroy();
    await until('closed', told('closed', /./));
    answer = (socket) =>
      socket.once('data', () => {
        socket.write(Buffer.concat([Buffer.from([0x48, 0x46, 0x68, 0x73, 2, 0, 32, 0]), Buffer.alloc(32)]));
        socket.once('data', () => socket.end());
      });
    await until(
      'a refusal without words',
      told('protocol', /closed the connection during the handshake; its own log says why/),
    );
    assert.equal(b.count('up'), 0);
  },
  { limits: { handshakeMs: 40, retryMaxMs: 20 } },
);

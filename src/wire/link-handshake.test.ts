import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { Fault } from '../base/fault.ts';
import type { Incarnation, ServerId } from '../base/names.ts';
import type { DialerIdentity, HandshakeSelf, HandshakeStep, SessionTerms } from './link-conversation.ts';
import { chooseVersion, commonFeatures, KIND } from './link-conversation.ts';
import { AcceptorHandshake, DialerHandshake } from './link-handshake.ts';

const A = 'a' as ServerId;
const B = 'b' as ServerId;
const KEY = Buffer.from('the shared key of this cluster');

function server(id: ServerId, change: Partial<HandshakeSelf> = {}): HandshakeSelf {
  const incarnation = id.repeat(32).slice(0, 32) as Incarnation;
  return { clusterId: 'main', server: id, incarnation, key: KEY, minVersion: 1, maxVersion: 1, features: 0, ...change };
}

const nonce = (byte: number): Buffer => Buffer.alloc(32, byte);
const dial = (self: HandshakeSelf, target = B, path = 1): DialerHandshake =>
  new DialerHandshake(self, target, path, '-', nonce(1));
const take = (self: HandshakeSelf): AcceptorHandshake => new AcceptorHandshake(self, nonce(2));

interface Meeting {
  readonly dialer: SessionTerms | Fault | { readonly why: string; readonly text: string } | null;
  readonly acceptor: SessionTerms | Fault | null;
  readonly identity: DialerIdentity | null;
  /** Everything each side sent. */
  readonly said: { readonly dialer: Buffer[]; readonly acceptor: Buffer[] };
}

/** Lets two sides speak until neither has anything to say; `cut` splits what is sent, `tamper` changes it. */
function meet(
  dialer: DialerHandshake,
  acceptor: AcceptorHandshake,
  options: { cut?: number; refuse?: string; tamper?: (from: 'dialer' | 'acceptor', bytes: Buffer) => Buffer } = {},
): Meeting {
  const said = { dialer: [] as Buffer[], acceptor: [] as Buffer[] };
  const result: { dialer: Meeting['dialer']; acceptor: Meeting['acceptor']; identity: DialerIdentity | null } = {
    dialer: null,
    acceptor: null,
    identity: null,
  };
  const queue: { from: 'dialer' | 'acceptor'; bytes: Buffer }[] = [];
  const say = (from: 'dialer' | 'acceptor', bytes: Buffer): void => {
    said[from].push(bytes);
    const sent = options.tamper?.(from, Buffer.from(bytes)) ?? bytes;
    const size = options.cut ?? sent.length;
    for (let at = 0; at < sent.length; at += size) queue.push({ from, bytes: sent.subarray(at, at + size) });
  };
  const onStep = (side: 'dialer' | 'acceptor', step: HandshakeStep): boolean => {
    if (step instanceof Fault) {
      result[side] = step;
      return false;
    }
    switch (step.kind) {
      case 'more':
        return false;
      case 'send':
        say(side, step.bytes);
        return true;
      case 'identified':
        result.identity = step.dialer;
        say(side, options.refuse === undefined ? acceptor.accept() : acceptor.refuse('path', options.refuse));
        return true;
      case 'accepted':
        result.dialer = step.terms;
        say(side, step.ready);
        return false;
      case 'established':
        result.acceptor = step.terms;
        return false;
      case 'refused':
        result.dialer = { why: step.why, text: step.text };
        return false;
    }
  };
  say('dialer', dialer.start);
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const [side, hears] = next.from === 'dialer' ? (['acceptor', acceptor] as const) : (['dialer', dialer] as const);
    if (result[side] instanceof Fault) continue;
    hears.feed(next.bytes);
    while (onStep(side, hears.step()));
  }
  return { ...result, said };
}

test('two servers of one cluster agree, however the bytes are cut', () => {
  for (const cut of [1, 7, 10_000]) {
    const { dialer, acceptor, identity } = meet(dial(server(A)), take(server(B)), { cut });
    assert(dialer !== null && 'session' in dialer && acceptor !== null && 'session' in acceptor);
    assert.deepEqual([dialer.peer, dialer.incarnation, dialer.path, dialer.version], [B, 'b'.repeat(32), 1, 1]);
    assert.deepEqual([acceptor.peer, acceptor.incarnation, acceptor.path, acceptor.version], [A, 'a'.repeat(32), 1, 1]);
    assert.match(dialer.session, /^[0-9a-f]{32}$/);
    assert.equal(acceptor.session, dialer.session);
    assert.equal(acceptor.sendCounter, dialer.receiveCounter);
    assert.equal(acceptor.receiveCounter, dialer.sendCounter);
    assert.notEqual(acceptor.sendCounter, acceptor.receiveCounter);
    assert.deepEqual(identity, {
      clusterId: 'main',
      server: A,
      incarnation: 'a'.repeat(32),
      target: B,
      path: 1,
      lastSession: '-',
      minVersion: 1,
      maxVersion: 1,
      features: 0,
    });
  }
});

test('the proofs are those of docs/link-protocol.md', () => {
  const { said } = meet(dial(server(A)), take(server(B)));
  const [hello, identify, ready] = said.dialer as [Buffer, Buffer, Buffer];
  const [challenge, accept] = said.acceptor as [Buffer, Buffer];
  assert.equal(
    hello.toString('hex'),
    '48466873' + '01' + '00' + '3800' + '01'.repeat(32) + '0100000000000000'.repeat(2) + '00'.repeat(8),
  );
  assert.equal(challenge.toString('hex'), '48466873' + '02' + '00' + '2000' + '02'.repeat(32));
  const hmac = (label: string, ...parts: Buffer[]): string =>
    createHmac('sha256', KEY)
      .update(Buffer.concat([Buffer.from(`holdfast link, ${label}\0`), ...parts]))
      .digest('hex');
  assert.equal(identify.toString('hex', 8, 40), hmac('proof of the dialer', hello, challenge, identify.subarray(40)));
  assert.equal(
    accept.toString('hex', 8, 40),
    hmac('proof of the acceptor', hello, challenge, identify, accept.subarray(40)),
  );
  assert.equal(ready.toString('hex', 8), hmac('the dialer is ready', hello, challenge, identify, accept));
});

test('a stranger without the key learns nothing but a nonce', () => {
  const { dialer, acceptor, identity, said } = meet(dial(server(A, { key: Buffer.alloc(32) })), take(server(B)));
  assert(acceptor instanceof Fault);
  assert.match(acceptor.message, /does not hold the cluster key/);
  assert.equal(identity, null);
  assert.equal(dialer, null);
  assert.deepEqual(
    said.acceptor.map((bytes) => bytes.length),
    [40],
  );
});

test('an acceptor without the key is found out', () => {
  // It cannot check the dialer's proof, so it must be made to skip that: it answers with what it has seen elsewhere.
  const elsewhere = meet(dial(server(A)), take(server(B))).said.acceptor;
  const dialer = new DialerHandshake(server(A), B, 1, '-', nonce(9));
  dialer.feed(elsewhere[0]!);
  assert.equal((dialer.step() as { kind: string }).kind, 'send');
  dialer.feed(elsewhere[1]!);
  const step = dialer.step();
  assert(step instanceof Fault);
  assert.match(step.message, /the acceptor does not hold the cluster key/);
});

test('an old conversation cannot be played again', () => {
  const { said } = meet(dial(server(A)), take(server(B)));
  const acceptor = new AcceptorHandshake(server(B), nonce(77));
  for (const bytes of said.dialer.slice(0, 2)) acceptor.feed(bytes);
  assert.equal((acceptor.step() as { kind: string }).kind, 'send');
  const step = acceptor.step();
  assert(step instanceof Fault);
  assert.match(step.message, /does not hold the cluster key/);
});

test("a server's own words do not open its door: proofs cannot be reflected", () => {
  // Somebody connects to A's listener and hands A's own dialing to it, and A's answers back to A's dialer.
  const dialer = dial(server(A), B);
  const acceptor = take(server(A));
  const { identity, said } = meet(dialer, acceptor, { refuse: 'own id' });
  assert.equal(identity?.server, A, 'the acceptor sees its own id, and refuses it');
  assert.equal(identity.target, B);
  // Nor does a dialer's proof pass as an acceptor's.
  const second = dial(server(A), B);
  second.feed(said.acceptor[0]!);
  second.step();
  second.feed(
    Buffer.concat([
      Buffer.from(said.dialer[1]!.subarray(0, 4)),
      Buffer.from([KIND.accept]),
      said.dialer[1]!.subarray(5),
    ]),
  );
  assert(second.step() instanceof Fault);
});

test('whoever changes anything on the way breaks the handshake', () => {
  const flips = fc.tuple(
    fc.constantFrom('dialer' as const, 'acceptor' as const),
    fc.nat(2),
    fc.nat(300),
    fc.integer({ min: 1, max: 255 }),
  );
  fc.assert(
    fc.property(flips, ([who, which, at, bits]) => {
      const seen = { dialer: 0, acceptor: 0 };
      let changed = false;
      const { dialer, acceptor } = meet(dial(server(A, { maxVersion: 3 })), take(server(B, { maxVersion: 2 })), {
        tamper: (from, bytes) => {
          if (from === who && seen[from]++ === which) {
            bytes[at % bytes.length]! ^= bits;
            changed = true;
          }
          return bytes;
        },
      });
      if (!changed) return;
      assert(acceptor === null || acceptor instanceof Fault, 'the acceptor never has a session');
      if (dialer !== null && 'session' in dialer) assert.deepEqual([who, which], ['dialer', 2]);
    }),
    { numRuns: 500 },
  );
});

test('garbage and requests of other protocols are refused at once, bounded, without an answer', () => {
  for (const text of ['GET / HTTP/1.1\r\n', 'X', 'HFlk', 'SSH-2.0-OpenSSH\r\n']) {
    const acceptor = take(server(B));
    acceptor.feed(Buffer.from(text));
    const step = acceptor.step();
    assert(step instanceof Fault);
    assert.match(step.message, /does not speak the link protocol/);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(6), fc.boolean(), (garbage, kind, dialing) => {
      const head = Buffer.from([0x48, 0x46, 0x68, 0x73, kind, 0, garbage.length & 0xff, 0]);
      const side = dialing ? dial(server(A)) : take(server(B));
      side.feed(Buffer.concat([head, Buffer.from(garbage)]));
      const step = side.step();
      assert(step instanceof Fault || step.kind === 'more' || step.kind === 'send');
    }),
  );
  const acceptor = take(server(B));
  acceptor.feed(Buffer.from([0x48, 0x46, 0x68, 0x73, KIND.hello, 0, 0xff, 0xff]));
  const step = acceptor.step();
  assert(step instanceof Fault);
  assert.match(step.message, /65535 bytes/);
});

test('a refusal is proven too, and says why', () => {
  const { dialer, acceptor } = meet(dial(server(A)), take(server(B)), { refuse: 'this is path 0, not 1' });
  assert.deepEqual(dialer, { why: 'path', text: 'this is path 0, not 1' });
  assert.equal(acceptor, null);
  const forged = meet(dial(server(A)), take(server(B)), {
    refuse: 'no',
    tamper: (from, bytes) => {
      if (from === 'acceptor' && bytes[4] === KIND.refuse) bytes[bytes.length - 1]! ^= 1;
      return bytes;
    },
  });
  assert(forged.dialer instanceof Fault);
});

test('the highest common version and the common features are used, one server upgraded at a time', () => {
  const old = { minVersion: 1, maxVersion: 1, features: 0b0011 };
  const now = { minVersion: 1, maxVersion: 2, features: 0b0110 };
  const next = { minVersion: 2, maxVersion: 3, features: 2 ** 52 + 0b1100 };
  const expected = [
    [old, now, 1, 0b0010],
    [now, old, 1, 0b0010],
    [now, now, 2, 0b0110],
    [now, next, 2, 0b0100],
    [next, now, 2, 0b0100],
    [next, next, 3, 2 ** 52 + 0b1100],
  ] as const;
  for (const [a, b, version, features] of expected) {
    const { dialer, acceptor } = meet(dial(server(A, a)), take(server(B, b)));
    assert(dialer !== null && 'session' in dialer && acceptor !== null && 'session' in acceptor);
    assert.deepEqual([dialer.version, dialer.features], [version, features]);
    assert.deepEqual([acceptor.version, acceptor.features], [version, features]);
  }
  assert.equal(chooseVersion(old, next), null);
  assert.equal(chooseVersion(next, old), null);
  assert.equal(commonFeatures(2 ** 52 + 1, 2 ** 52), 2 ** 52);
});

test('a newer peer may say more than this version understands', () => {
  // Appended bytes are ignored, and covered by the proofs all the same: the newer side sends and hashes them.
  const longer = (bytes: Buffer): Buffer => {
    const grown = Buffer.concat([bytes, Buffer.from('more')]);
    grown.writeUInt16LE(grown.length - 8, 6);
    return grown;
  };
  const acceptor = take(server(B));
  const hello = longer(dial(server(A)).start);
  acceptor.feed(hello);
  const challenge = acceptor.step();
  assert(!(challenge instanceof Fault) && challenge.kind === 'send');
  const plain = meet(dial(server(A)), take(server(B))).said.dialer[1]!;
  const body = Buffer.concat([plain.subarray(40), Buffer.from('even more')]);
  const proof = createHmac('sha256', KEY)
    .update(Buffer.concat([Buffer.from('holdfast link, proof of the dialer\0'), hello, challenge.bytes, body]))
    .digest();
  const identify = Buffer.concat([plain.subarray(0, 8), proof, body]);
  identify.writeUInt16LE(identify.length - 8, 6);
  acceptor.feed(identify);
  const step = acceptor.step();
  assert(!(step instanceof Fault) && step.kind === 'identified');
  assert.equal(step.dialer.server, A);
});

test('what follows the handshake in the same chunk is not lost', () => {
  const dialer = dial(server(A));
  const acceptor = take(server(B));
  const terms = meet(dialer, acceptor, {
    tamper: (from, bytes) =>
      from === 'dialer' && bytes[4] === KIND.ready ? Buffer.concat([bytes, Buffer.from('frames')]) : bytes,
  });
  assert(terms.acceptor !== null && 'session' in terms.acceptor);
  assert.equal(acceptor.rest().toString(), 'frames');
});

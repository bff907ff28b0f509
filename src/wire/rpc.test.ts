/** RPC headers: every verdict, every reply, and no surprise in any bytes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  AcceptStatus,
  AuthStatus,
  CallHeader,
  type CallVerdict,
  putAccepted,
  putAuthError,
  putCall,
  putProgramMismatch,
  putRpcMismatch,
  readReply,
  type SysCredential,
} from './rpc.ts';
import { encodePortmapCall, PortmapProcedure, readPortmapAnswer } from './portmap.ts';
import { XdrReader, XdrWriter } from './xdr.ts';

function bytesOf(write: (xdr: XdrWriter) => void): Buffer {
  const xdr = new XdrWriter().reset(Buffer.alloc(2048));
  write(xdr);
  return xdr.done();
}

const words = (...values: readonly number[]): Buffer => bytesOf((xdr) => values.forEach((value) => xdr.u32(value)));

function verdictOf(bytes: Buffer): { verdict: CallVerdict; header: CallHeader; left: number } {
  const header = new CallHeader();
  const xdr = new XdrReader().reset(bytes);
  const verdict = header.read(xdr);
  return { verdict, header, left: xdr.left };
}

const u32 = fc.nat(0xffff_ffff);
const credential = fc.record({ uid: u32, gid: u32, gids: fc.array(u32, { maxLength: 16 }) }, { noNullPrototype: true });
const call = fc.record({ xid: u32, program: u32, version: u32, procedure: u32 }, { noNullPrototype: true });

test('a call says what was sent, with and without a credential, again and again', () => {
  const header = new CallHeader();
  const xdr = new XdrReader();
  fc.assert(
    fc.property(call, fc.option(credential), fc.string({ maxLength: 300 }), (fields, cred, machine) => {
      const bytes = bytesOf((out) => putCall(out, fields, cred, machine));
      for (let again = 0; again < 2; again++) {
        assert.equal(header.read(xdr.reset(bytes)), 'call');
        const { xid, program, version, procedure } = header;
        assert.deepEqual({ xid, program, version, procedure }, fields);
        assert.deepEqual(header.credential, cred);
        assert.equal(xdr.left, 0);
      }
    }),
  );
});

test('a credential that differs in one byte is not taken for the last one', () => {
  const header = new CallHeader();
  const read = (uid: number): SysCredential | null => {
    const fields = { xid: 1, program: 2, version: 3, procedure: 4 };
    const bytes = bytesOf((out) => putCall(out, fields, { uid, gid: 5, gids: [1, 2] }));
    assert.equal(header.read(new XdrReader().reset(bytes)), 'call');
    return header.credential;
  };
  const first = read(1000);
  assert.equal(read(1000), first, 'the same bytes are the same object');
  assert.equal(read(1001)?.uid, 1001);
  assert.equal(read(1000)?.uid, 1000);
});

test('what is no call is garbage', () => {
  for (const bytes of [
    words(),
    words(7),
    words(7, 0),
    words(7, 1, 0, 0, 0, 0),
    words(7, 2, 2, 3, 4, 5),
    words(7, 0, 2, 3, 4),
    words(7, 0, 2, 3, 4, 5),
    words(7, 0, 2).subarray(0, 11),
  ]) {
    assert.equal(verdictOf(bytes).verdict, 'garbage', bytes.toString('hex'));
  }
});

test('another version of RPC is a mismatch, however short the rest', () => {
  const { verdict, header } = verdictOf(words(7, 0, 3));
  assert.equal(verdict, 'mismatch');
  assert.equal(header.xid, 7);
});

test('each wrong credential has its status', () => {
  const head = [7, 0, 2, 100_003, 3, 1];
  const none = [0, 0];
  const cases: readonly (readonly [string, number, readonly number[]])[] = [
    ['AUTH_NONE with a body', AuthStatus.badCredential, [0, 4, 0, ...none]],
    ['a body of 404 bytes', AuthStatus.badCredential, [1, 404, ...new Array<number>(101).fill(0), ...none]],
    ['a body of 4 GiB', AuthStatus.badCredential, [1, 0xffff_ffff]],
    ['a body that ends early', AuthStatus.badCredential, [1, 20, 0, 0]],
    ['a body of no whole words', AuthStatus.badCredential, [1, 22, 0, 0, 0, 0, 0, 0, ...none]],
    ['17 groups', AuthStatus.badCredential, [1, 20 + 68, 0, 0, 1, 1, 17, ...new Array<number>(17).fill(9), ...none]],
    ['fewer groups than announced', AuthStatus.badCredential, [1, 24, 0, 0, 1, 1, 2, 9, ...none]],
    ['more groups than announced', AuthStatus.badCredential, [1, 28, 0, 0, 1, 1, 1, 9, 9, ...none]],
    [
      'a machine name of 256 bytes',
      AuthStatus.badCredential,
      [1, 276, 0, 256, ...new Array<number>(67).fill(0), ...none],
    ],
    ['AUTH_SHORT', AuthStatus.tooWeak, [2, 0, ...none]],
    ['RPCSEC_GSS', AuthStatus.tooWeak, [6, 4, 0, ...none]],
    ['a flavor nobody knows', AuthStatus.tooWeak, [0xffff_ffff, 0, ...none]],
    ['no verifier', AuthStatus.badVerifier, [0, 0]],
    ['a verifier with a body', AuthStatus.badVerifier, [0, 0, 0, 4, 1]],
    ['a verifier of another flavor', AuthStatus.badVerifier, [0, 0, 1, 0]],
  ];
  for (const [name, status, rest] of cases) {
    const { verdict, header } = verdictOf(words(...head, ...rest));
    assert.equal(verdict, 'auth', name);
    assert.equal(header.authStatus, status, name);
    assert.equal(header.xid, 7, name);
  }
});

test('any bytes have a verdict', () => {
  const anything = fc.uint8Array({ maxLength: 200 });
  const almost = fc.tuple(call, fc.option(credential), fc.nat(150), fc.nat(255)).map(([fields, cred, at, byte]) => {
    const bytes = bytesOf((out) => putCall(out, fields, cred));
    bytes[at % bytes.length] = byte;
    return bytes;
  });
  fc.assert(
    fc.property(fc.oneof(anything, almost), fc.nat(200), (bytes, cut) => {
      const { verdict, left } = verdictOf(Buffer.from(bytes).subarray(0, cut));
      assert.ok(['call', 'mismatch', 'auth', 'garbage'].includes(verdict));
      assert.ok(left >= 0);
    }),
    { numRuns: 1000 },
  );
});

test('every reply is read as what it is', () => {
  const read = (write: (xdr: XdrWriter) => void): unknown => readReply(new XdrReader().reset(bytesOf(write)));
  const { success, programUnavailable, procedureUnavailable, garbageArguments, systemError } = AcceptStatus;
  const kinds = ['success', 'program-unavailable', 'procedure-unavailable', 'garbage-arguments', 'system-error'];
  [success, programUnavailable, procedureUnavailable, garbageArguments, systemError].forEach((status, i) => {
    assert.deepEqual(
      read((xdr) => putAccepted(xdr, 9, status)),
      { xid: 9, kind: kinds[i] },
    );
  });
  assert.deepEqual(
    read((xdr) => putProgramMismatch(xdr, 9, 3, 4)),
    {
      xid: 9,
      kind: 'program-mismatch',
      lowest: 3,
      highest: 4,
    },
  );
  assert.deepEqual(
    read((xdr) => putRpcMismatch(xdr, 9)),
    { xid: 9, kind: 'rpc-mismatch', lowest: 2, highest: 2 },
  );
  assert.deepEqual(
    read((xdr) => putAuthError(xdr, 9, 5)),
    { xid: 9, kind: 'auth-error', status: 5 },
  );
});

test('any bytes are a reply or none', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      const reply = Buffer.from(bytes);
      if (reply.length >= 8) reply.writeUInt32BE(1, 4);
      const header = readReply(new XdrReader().reset(reply));
      assert.ok(header === null || typeof header.kind === 'string');
    }),
    { numRuns: 500 },
  );
});

test('a call to the port mapper is what RFC 1833 says', () => {
  const bytes = encodePortmapCall(5, PortmapProcedure.set, { program: 100_003, version: 3, port: 2049 });
  const expected = words(0x8000_0038, 5, 0, 2, 100_000, 2, 1, 0, 0, 0, 0, 100_003, 3, 6, 2049);
  assert.deepEqual(bytes, expected);
  assert.equal(readPortmapAnswer(new XdrReader().reset(words(1))), 1);
  assert.equal(readPortmapAnswer(new XdrReader().reset(words(1, 1))), null);
  assert.equal(readPortmapAnswer(new XdrReader().reset(words())), null);
});

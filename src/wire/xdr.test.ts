/** XDR: exact at the edges of its numbers, and never beyond the end of the bytes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { opaqueBytes, padded, XdrReader, XdrWriter } from './xdr.ts';

const reader = (bytes: Buffer): XdrReader => new XdrReader().reset(bytes);

function written(room: number, write: (xdr: XdrWriter) => void): Buffer {
  const xdr = new XdrWriter().reset(Buffer.alloc(room));
  write(xdr);
  return xdr.done();
}

const EDGES = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1_0000_0000, 0x1f_ffff_ffff_ffff];

test('numbers of 64 bits are exact up to 2^53 - 1 and clamped beyond', () => {
  for (const value of EDGES) {
    const bytes = written(8, (xdr) => xdr.u64(value));
    assert.equal(bytes.readBigUInt64BE(0), BigInt(value));
    assert.equal(reader(bytes).u64(), value);
  }
  for (const beyond of [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
    const bytes = written(8, (xdr) => xdr.big64(beyond));
    assert.equal(reader(bytes).u64(), Number.MAX_SAFE_INTEGER);
    assert.equal(reader(bytes).big64(), beyond);
  }
});

test('times are what division says, and stay within 32 bits of seconds', () => {
  const time = (ns: bigint): [number, number] => {
    const bytes = written(8, (xdr) => xdr.timeNs(ns));
    return [bytes.readUInt32BE(0), bytes.readUInt32BE(4)];
  };
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: (2n ** 32n - 1n) * 1_000_000_000n + 999_999_999n }), (ns) => {
      assert.deepEqual(time(ns), [Number(ns / 1_000_000_000n), Number(ns % 1_000_000_000n)]);
      assert.equal(reader(written(8, (xdr) => xdr.timeNs(ns))).timeNs(), ns);
    }),
    { numRuns: 2000 },
  );
  assert.deepEqual(time(0n), [0, 0]);
  assert.deepEqual(time(-1n), [0, 0]);
  assert.deepEqual(time(2n ** 32n * 1_000_000_000n - 1n), [0xffff_ffff, 999_999_999]);
  assert.deepEqual(time(2n ** 32n * 1_000_000_000n), [0xffff_ffff, 999_999_999]);
  assert.deepEqual(time(2n ** 70n), [0xffff_ffff, 999_999_999]);
});

test('opaque data come back, with their padding and nothing else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const data = Buffer.from(bytes);
      const out = written(opaqueBytes(data.length), (xdr) => xdr.opaque(data));
      assert.equal(out.length, 4 + padded(data.length));
      const xdr = reader(out);
      assert.deepEqual(xdr.opaque(40), data);
      assert.equal(xdr.left, 0);
      assert.equal(xdr.bad, false);
    }),
  );
});

test('padding that is not zero is wrong', () => {
  for (const at of [5, 6, 7]) {
    const bytes = written(8, (xdr) => xdr.opaque(Buffer.from('x')));
    bytes[at] = 1;
    const xdr = reader(bytes);
    assert.equal(xdr.opaque(10).length, 0);
    assert.equal(xdr.bad, true);
  }
});

test('a boolean is 0 or 1', () => {
  assert.equal(reader(Buffer.from([0, 0, 0, 1])).bool(), true);
  for (const wrong of [
    [0, 0, 0, 2],
    [1, 0, 0, 0],
    [255, 255, 255, 255],
  ]) {
    const xdr = reader(Buffer.from(wrong));
    xdr.bool();
    assert.equal(xdr.bad, true);
  }
});

test('a length of 4 GiB reads nothing, and everything after it is nothing', () => {
  for (const length of [0xffff_ffff, 0x8000_0000, 0x7fff_fffd, 9]) {
    const xdr = reader(written(12, (out) => [length, 0, 0].forEach((word) => out.u32(word))));
    assert.equal(xdr.opaque(0xffff_ffff).length, 0);
    assert.equal(xdr.bad, true);
    assert.deepEqual([xdr.u32(), xdr.u64(), xdr.big64(), xdr.timeNs(), xdr.left], [0, 0, 0n, 0n, 0]);
  }
});

test('nothing is read beyond the end, whatever is asked for', () => {
  const ask = fc.constantFrom('u32', 'bool', 'u64', 'big64', 'timeNs', 'opaque', 'fixed');
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(60), fc.array(ask, { maxLength: 20 }), (bytes, cut, asked) => {
      const end = Math.min(cut, bytes.length);
      const whole = Buffer.concat([Buffer.from(bytes), Buffer.alloc(64, 0xff)]);
      const xdr = new XdrReader().reset(whole, 0, end);
      for (const what of asked) {
        if (what === 'opaque') assert.ok(xdr.opaque(1000).length <= end);
        else if (what === 'fixed') assert.ok(xdr.fixed(7).length <= end);
        else xdr[what]();
        assert.ok(xdr.at <= end && xdr.left >= 0);
      }
    }),
    { numRuns: 500 },
  );
});

test('a writer whose room was measured wrongly says so and writes nowhere else', () => {
  const room = Buffer.alloc(16);
  const xdr = new XdrWriter().reset(room.subarray(0, 8));
  xdr.opaque(Buffer.from('12345678'));
  assert.throws(() => xdr.done(), /fits the room/);
  assert.equal(room.readBigUInt64BE(8), 0n);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { crc32c, crc32cIsNative, crc32cPlain, crc32cWithin } from './crc32c.ts';

/** RFC 3720, appendix B.4; it prints the four bytes in the order of transmission, least significant first. */
const VECTORS: readonly (readonly [string, Uint8Array, number])[] = [
  ['32 zeroes', new Uint8Array(32), 0x8a91_36aa],
  ['32 ones', new Uint8Array(32).fill(0xff), 0x62a8_ab43],
  ['32 ascending', Uint8Array.from({ length: 32 }, (_, at) => at), 0x46dd_794e],
  ['32 descending', Uint8Array.from({ length: 32 }, (_, at) => 31 - at), 0x113f_db5c],
  [
    'an iSCSI read command',
    Buffer.from(
      '01c0'.padEnd(32, '0') +
        '14000000' +
        '00000400' +
        '00000014' +
        '00000018' +
        '28'.padEnd(16, '0') +
        '02'.padEnd(16, '0'),
      'hex',
    ),
    0xd996_3a56,
  ],
  ['123456789', Buffer.from('123456789'), 0xe306_9283],
  ['nothing', new Uint8Array(0), 0],
];

for (const [name, data, expected] of VECTORS) {
  test(`known answer: ${name}`, () => {
    assert.equal(crc32cPlain(data), expected);
    assert.equal(crc32c(data), expected);
  });
}

test(
  'the package has a native build for this machine',
  { skip: crc32cIsNative() ? false : 'it has none: the plain twin is used' },
  () => {
    assert.equal(crc32cIsNative(), true);
  },
);

test('both give the same, from any offset of a larger buffer, small and large', () => {
  const large = Buffer.alloc(20_000, 'an unremarkable sentence of odd length');
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 700 }), fc.nat(9000), fc.nat(9000), (bytes, from, length) => {
      bytes.forEach((byte, at) => (large[at * 13] = byte));
      const part = large.subarray(from, from + length);
      assert.equal(crc32c(part), crc32cPlain(part));
      assert.equal(crc32cWithin(large, from, from + part.length), crc32cPlain(part));
      assert.equal(crc32c(bytes), crc32cPlain(bytes));
    }),
    { numRuns: 200 },
  );
});

test('crcs chain over pieces', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1000 }), fc.uint8Array({ maxLength: 1000 }), (a, b) => {
      const whole = crc32cPlain(Buffer.concat([a, b]));
      assert.equal(crc32c(b, crc32c(a)), whole);
      assert.equal(crc32cPlain(b, crc32cPlain(a)), whole);
    }),
  );
});

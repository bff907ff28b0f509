import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { crc32c, crc32cPlain, crc32cWithin } from '../../base/crc32c.ts';
import { speedUpCrc32c } from './crc32c.ts';

test('whether the machine has the faster one or not, crc32c computes CRC-32C', () => {
  speedUpCrc32c();
  const shared = Buffer.from(new SharedArrayBuffer(20_000)).fill('an unremarkable sentence of odd length');
  const own = Buffer.from(shared);
  fc.assert(
    fc.property(fc.nat(9000), fc.nat(9000), fc.nat(9000), (from, length, cut) => {
      for (const memory of [shared, own, Buffer.allocUnsafeSlow(20_000).fill(own), Uint8Array.from(own)]) {
        const part = memory.subarray(from, from + length);
        assert.equal(crc32c(part), crc32cPlain(part));
        assert.equal(crc32cWithin(memory, from, from + part.length), crc32cPlain(part));
        assert.equal(crc32c(part.subarray(cut), crc32c(part.subarray(0, cut))), crc32cPlain(part));
      }
    }),
    { numRuns: 200 },
  );
});

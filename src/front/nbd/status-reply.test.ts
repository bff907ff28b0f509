/** Block status answers against a slow, obvious version. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Extent } from '../../ports/medium.ts';
import { stretchesOf } from './status-reply.ts';

test('stretches are the extents, cut to the range and joined', () => {
  const lengths = fc.array(fc.record({ length: fc.integer({ min: 1, max: 9 }), hole: fc.boolean() }), { minLength: 1 });
  fc.assert(
    fc.property(lengths, fc.nat(), fc.nat(), fc.integer({ min: 1, max: 5 }), (pieces, from, span, most) => {
      const extents: Extent[] = [];
      const bytes: boolean[] = [];
      for (const { length, hole } of pieces) {
        extents.push({ offset: bytes.length, length, hole });
        for (let i = 0; i < length; i++) bytes.push(hole);
      }
      const offset = from % bytes.length;
      const length = 1 + (span % (bytes.length - offset));
      const expected: { length: number; hole: boolean }[] = [];
      for (const hole of bytes.slice(offset, offset + length)) {
        const last = expected.at(-1);
        if (last?.hole === hole) last.length++;
        else expected.push({ length: 1, hole });
      }
      assert.deepEqual(stretchesOf(extents, offset, length, most), expected.slice(0, most));
    }),
  );
});

test('extents that leave a gap or cover nothing are a bug', () => {
  assert.throws(() => stretchesOf([], 0, 1, 1), /cover the range/);
  assert.throws(() => stretchesOf([{ offset: 5, length: 5, hole: true }], 0, 10, 1), /contiguous/);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ascending } from './ascending.ts';

const expected = (keys: readonly number[]): number[] =>
  keys.map((_, index) => index).toSorted((a, b) => (keys[a] as number) - (keys[b] as number));

/** Keys of all magnitudes, dense ones, and blocks: many of them equal, or the same in some of their digits. */
const keys = fc.oneof(
  fc.array(fc.nat(Number.MAX_SAFE_INTEGER), { maxLength: 300, size: 'max' }),
  fc.array(fc.nat(50), { maxLength: 300, size: 'max' }),
  fc.array(
    fc.nat(2 ** 20).map((block) => block * 4096),
    { maxLength: 300, size: 'max' },
  ),
  fc.array(
    fc.nat(3).map((high) => high * 2 ** 40 + 5),
    { maxLength: 300, size: 'max' },
  ),
);

test('indices come in the order of their keys, equal ones in their own', () => {
  fc.assert(
    fc.property(keys, (some) => {
      assert.deepEqual([...ascending(Float64Array.from(some))], expected(some));
    }),
  );
});

test('the largest and the smallest keys, and none', () => {
  assert.deepEqual([...ascending(new Float64Array(0))], []);
  const some = Array.from({ length: 100 }, (_, i) =>
    i % 3 === 0 ? Number.MAX_SAFE_INTEGER - i : i % 3 === 1 ? i : 2 ** 32,
  );
  assert.deepEqual([...ascending(Float64Array.from(some))], expected(some));
});

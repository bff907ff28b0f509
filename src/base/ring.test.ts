import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Ring } from './ring.ts';

test('first in, first out, across growth and wrapping', () => {
  const ring = new Ring<number>();
  let pushed = 0;
  let shifted = 0;
  for (let round = 0; round < 50; round += 1) {
    for (let count = 0; count < 40; count += 1) ring.push(pushed++);
    for (let count = 0; count < 30; count += 1) assert.equal(ring.shift(), shifted++);
    ring.invariants();
  }
  while (ring.length > 0) assert.equal(ring.shift(), shifted++);
  assert.equal(shifted, pushed);
  assert.equal(ring.shift(), undefined);
  assert.equal(ring.pop(), undefined);
  ring.invariants();
});

test('undefined is a value like any other', () => {
  const ring = new Ring<number | undefined>();
  ring.push(undefined);
  ring.push(1);
  assert.equal(ring.length, 2);
  assert.equal(ring.shift(), undefined);
  assert.equal(ring.shift(), 1);
});

test('it does what an array does', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('push' as const), count: fc.integer({ min: 1, max: 60 }) }),
    fc.record({ do: fc.constant('shift' as const), count: fc.integer({ min: 1, max: 50 }) }),
    fc.record({ do: fc.constant('pop' as const), count: fc.integer({ min: 1, max: 20 }) }),
    fc.record({ do: fc.constant('clear' as const), count: fc.constant(1) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const ring = new Ring<number>();
      const array: number[] = [];
      let value = 0;
      for (const { do: what, count } of steps) {
        for (let time = 0; time < count; time += 1) {
          switch (what) {
            case 'push':
              ring.push(value);
              array.push(value);
              value += 1;
              break;
            case 'shift':
              assert.equal(ring.shift(), array.shift());
              break;
            case 'pop':
              assert.equal(ring.pop(), array.pop());
              break;
            case 'clear':
              ring.clear();
              array.length = 0;
              break;
            default:
              what satisfies never;
          }
          ring.invariants();
        }
        assert.equal(ring.length, array.length);
        for (let index = -1; index <= array.length; index += 1) assert.equal(ring.at(index), array[index]);
      }
    }),
    { numRuns: 100 },
  );
});

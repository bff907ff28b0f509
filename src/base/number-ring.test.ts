import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NumberRing } from './number-ring.ts';

test('a ring of numbers does what an array does, through growth and shrinking', () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ push: fc.integer({ min: 1, max: 40 }) }) },
    { weight: 4, arbitrary: fc.record({ shift: fc.integer({ min: 1, max: 40 }) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.maxSafeNat(), (steps, seed) => {
      const ring = new NumberRing();
      const model: number[] = [];
      for (const done of steps) {
        if ('push' in done)
          for (let i = 0; i < done.push; i += 1) {
            ring.push(seed - i);
            model.push(seed - i);
          }
        else for (let i = 0; i < done.shift; i += 1) assert.equal(ring.shift(), model.shift());
        assert.equal(ring.length, model.length);
        assert.equal(ring.at(-1), undefined);
        for (let i = 0; i <= model.length; i += 1) assert.equal(ring.at(i), model[i]);
      }
    }),
  );
});

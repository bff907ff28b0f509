import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MinHeap } from './heap.ts';

test('an empty heap has no lowest key and nothing to give', () => {
  const heap = new MinHeap<string>();
  assert.equal(heap.size, 0);
  assert.equal(heap.lowest(), undefined);
  assert.equal(heap.pop(), undefined);
});

test('values come out by ascending key, whatever the order they went in', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 200 }), (keys) => {
      const heap = new MinHeap<{ key: number }>();
      for (const key of keys) heap.push(key, { key });
      const out: number[] = [];
      for (let lowest = heap.lowest(); lowest !== undefined; lowest = heap.lowest()) {
        const value = heap.pop();
        assert.equal(value?.key, lowest);
        out.push(lowest);
      }
      assert.deepEqual(
        out,
        keys.toSorted((a, b) => a - b),
      );
      assert.equal(heap.size, 0);
    }),
  );
});

test('pushing and popping in turn does what a sorted list does', () => {
  const step = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.constant(null));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const heap = new MinHeap<number>();
      const model: number[] = [];
      for (const key of steps) {
        if (key !== null) {
          heap.push(key, key);
          model.push(key);
          model.sort((a, b) => a - b);
        } else assert.equal(heap.pop(), model.shift());
        assert.equal(heap.size, model.length);
        assert.equal(heap.lowest(), model[0]);
      }
    }),
  );
});

test('clear lets go of everything', () => {
  const heap = new MinHeap<string>();
  heap.push(2, 'b');
  heap.push(1, 'a');
  heap.clear();
  assert.equal(heap.size, 0);
  assert.equal(heap.pop(), undefined);
  heap.push(3, 'c');
  assert.equal(heap.pop(), 'c');
});

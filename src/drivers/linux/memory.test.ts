import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressOf, PAGE_BYTES, PageMemory } from './memory.ts';

test('pieces of every kind of memory are gathered in order, at the beginning of a page', () => {
  const memory = new PageMemory(2 * PAGE_BYTES);
  assert.equal(addressOf(memory.bytes) % PAGE_BYTES, 0);
  assert.equal(memory.bytes.length, 2 * PAGE_BYTES);
  const shared = Buffer.from(new SharedArrayBuffer(3000)).fill(1);
  const slice = Buffer.from(new SharedArrayBuffer(100)).fill(2).subarray(7, 50);
  const pieces = [shared, Buffer.alloc(0), slice, Buffer.from('pooled'), Buffer.alloc(4000, 3)];
  for (let round = 0; round < 2; round += 1) {
    const expected = Buffer.concat(pieces);
    assert.equal(memory.gather(pieces), expected.length);
    assert.deepEqual(memory.bytes.subarray(0, expected.length), expected);
    pieces.reverse();
  }
});

test('exactly what fits is gathered, and not a byte more', () => {
  const memory = new PageMemory(PAGE_BYTES);
  assert.equal(memory.gather([Buffer.alloc(PAGE_BYTES, 9)]), PAGE_BYTES);
  assert.throws(() => memory.gather([Buffer.alloc(PAGE_BYTES), Buffer.alloc(1)]), /broken invariant/);
  assert.throws(() => new PageMemory(100), /broken invariant/);
});

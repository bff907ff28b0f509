import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pieces } from './pieces.ts';

test('what is behind any number of bytes is the rest of the whole', () => {
  const pieces = new Pieces();
  for (let round = 0; round < 2; round += 1) {
    const memory = Buffer.from('0123456789');
    pieces.add(memory, 2, 5);
    pieces.add(memory, 5, 5);
    pieces.add(memory, 0, 1);
    pieces.add(Buffer.from('abc'), 0, 3);
    const whole = '2340abc';
    for (let skip = 0; skip <= whole.length; skip += 1)
      assert.equal(Buffer.concat(pieces.behind(skip)).toString(), whole.slice(skip));
    assert.deepEqual(pieces.behind(whole.length), []);
    pieces.clear();
    assert.deepEqual(pieces.behind(0), []);
  }
});

test('nothing of a batch is kept, nor the lists of an unusually long one', () => {
  const pieces = new Pieces();
  const memory = Buffer.alloc(10);
  for (let i = 0; i < 5000; i += 1) pieces.add(memory, 0, 1);
  pieces.clear();
  assert.equal(pieces.buffers.length, 0);
  pieces.add(memory, 0, 1);
  pieces.clear();
  assert.notEqual(pieces.buffers[0], memory);
});

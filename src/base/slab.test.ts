import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { test } from 'node:test';
import v8 from 'node:v8';
import vm from 'node:vm';
import { joined, makeRoomInSlabs, newSlab, SLAB_BYTES, slabBytes } from './slab.ts';

v8.setFlagsFromString('--expose-gc');
const collect = vm.runInNewContext('gc') as () => void;

test('memory is used again once no view of it is left, and never before', async () => {
  makeRoomInSlabs(64 << 20);
  const kept: Buffer[] = [];
  for (let round = 0; round < 40; round += 1) {
    for (let i = 0; i < 16; i += 1) {
      const slab = newSlab(SLAB_BYTES);
      // Of every slab a view of some bytes is kept for a while, nothing else.
      kept.push(slab.subarray(i * 1000, i * 1000 + 100).fill(round + 1));
      slab.fill(0, SLAB_BYTES - 100);
    }
    if (round % 4 === 3) {
      collect();
      await turn();
      await turn();
    }
    while (kept.length > 32) {
      const view = kept.shift()!;
      assert.ok(view.every((byte) => byte === view[0]) && (view[0] ?? 0) > 0, 'nobody wrote into what is kept');
    }
  }
  assert.ok(slabBytes() <= 128 << 20, `${slabBytes()} bytes for 640 slabs of 1 MiB, of which 32 are kept`);
});

test('beyond the limit, memory is ordinary memory', () => {
  const slabs = Array.from({ length: 300 }, () => newSlab(SLAB_BYTES));
  assert.ok(slabs.some((slab) => slab.buffer instanceof ArrayBuffer));
  assert.ok(slabs.every((slab) => slab.length === SLAB_BYTES));
});

test('neighbours in memory are joined, and only they', () => {
  const memory = Buffer.from('abcdef');
  assert.equal(joined(memory.subarray(0, 2), memory.subarray(2, 5))?.toString(), 'abcde');
  assert.equal(joined(memory.subarray(0, 2), memory.subarray(3, 5)), null);
  assert.equal(joined(memory.subarray(0, 2), Buffer.from(memory)), null);
});

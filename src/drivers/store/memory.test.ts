import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { test } from 'node:test';
import { storeSuite } from '../../../suites/store.ts';
import { headOf, writesOf } from '../../../suites/store-world.ts';
import { MemoryStore } from './memory.ts';

function memoryStore(capacityBytes: number): MemoryStore {
  return new MemoryStore({
    capacityBytes,
    clock: { soon: (run) => setImmediate(run) },
    ids: { draw: () => randomBytes(16).toString('hex') },
  });
}

storeSuite('memory store', { kind: 'memory', asserts: true }, async () => ({
  open: async (capacityBytes) => memoryStore(capacityBytes),
  crash: async () => {},
  step: async () => turn(),
  end: async () => {},
}));

test('memory store: the operations of a log put aside are kept', async () => {
  const store = memoryStore(1 << 20);
  store.begin(headOf(1), () => {});
  store.append(writesOf(1, 1, 3), 0 as never);
  await new Promise<void>((resolve) => store.setAside(() => resolve()));
  assert.equal(store.asideOperations(store.aside[0]?.name ?? '')?.length, 3);
});

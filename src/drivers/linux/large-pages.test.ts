import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { test } from 'node:test';
import { until } from '../../../suites/until.ts';
import { newSlab, SLAB_BYTES } from '../../base/slab.ts';
import { backSlabs } from './large-pages.ts';
import { addressOf } from './memory.ts';

/** Pages that this process has touched and that the system had to find for it, as it counts them. */
const faults = (): number => Number(readFileSync('/proc/self/stat', 'latin1').split(') ')[1]?.split(' ')[7]);

const [major = 0, minor = 0] = release().split('.').map(Number);
const old = major < 5 || (major === 5 && minor < 14) ? `Linux ${release()} backs no memory ahead; 5.14 does` : false;

test('slabs are backed before they are used, and nobody waits for that', { skip: old }, async () => {
  backSlabs();
  assert.ok(newSlab(SLAB_BYTES).buffer instanceof ArrayBuffer, 'ordinary memory, until the first region is ready');
  let slab = newSlab(SLAB_BYTES);
  await until('a region is ready', () => (slab = newSlab(SLAB_BYTES)).buffer instanceof SharedArrayBuffer);
  assert.equal(addressOf(slab) % SLAB_BYTES, 0, 'where large pages begin, or their middle');
  const slabs = Array.from({ length: 8 }, () => newSlab(SLAB_BYTES));
  const before = faults();
  for (const one of slabs) one.fill(1);
  // 2,048 pages of 4 KiB; a few of what the test itself needs.
  assert.ok(faults() - before < 200, `${faults() - before} pages were found at the first touch`);
});

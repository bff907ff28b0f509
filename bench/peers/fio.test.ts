/**
 * What fio prints is read into the benchmark's figures.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toldBy } from './fio.ts';

const idle = { iops: 0, bw_bytes: 0, total_ios: 0, clat_ns: {} };
const busy = {
  iops: 2_437.6,
  bw_bytes: 9_984_409,
  total_ios: 7_313,
  clat_ns: { percentile: { '50.000000': 12_386_304, '99.000000': 42_205_184, '99.900000': 63_700_992 } },
};
const printed = (job: object): string =>
  `the async interface is still very experimental...\n${JSON.stringify({ 'fio version': 'fio-3.33', jobs: [job] }, null, 2)}\n`;

test('operations, megabytes and latencies of one direction, whatever is printed before them', () => {
  assert.deepEqual(toldBy(printed({ error: 0, read: idle, write: busy }), 'write'), {
    opsPerSecond: 2_438,
    mbPerSecond: 9.98,
    p50Us: 12_386.3,
    p99Us: 42_205.2,
    p999Us: 63_701,
  });
});

test('a run that did nothing, or failed, is no measurement', () => {
  assert.throws(() => toldBy(printed({ error: 0, read: idle, write: busy }), 'read'), /measured nothing/);
  assert.throws(() => toldBy(printed({ error: 5, read: idle, write: busy }), 'write'), /measured nothing/);
});

/** The event loop's thread has a short slice, threads that it starts have not, and the nice value stays what it was. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { shortenSlice } from './time-slice.ts';

const SCHED = '/proc/thread-self/sched';
const TELL = `require('node:worker_threads').parentPort.postMessage(require('node:fs').readFileSync('${SCHED}', 'latin1'))`;

const sliceIn = (text: string): number => Number(/se\.slice\s*:\s*(\d+)/.exec(text)?.[1] ?? Number.NaN);

test("the main thread's slice is short, other threads' are not, and niceness stays", async (t) => {
  const [major = 0, minor = 0] = os.release().split('.').map(Number);
  if (major < 6 || (major === 6 && minor < 12)) return t.skip('Linux before 6.12 has one slice for all');
  const before = sliceIn(readFileSync(SCHED, 'latin1'));
  if (Number.isNaN(before)) return t.skip('this kernel does not tell slices (CONFIG_SCHED_DEBUG)');
  os.setPriority(12);
  assert.equal(shortenSlice(), true);
  assert.equal(sliceIn(readFileSync(SCHED, 'latin1')), 100_000);
  assert.equal(os.getPriority(), 12);
  const other = await new Promise<string>((resolve) => new Worker(TELL, { eval: true }).once('message', resolve));
  assert.ok(sliceIn(other) >= before, `a thread started later has a slice of ${sliceIn(other)} ns`);
});

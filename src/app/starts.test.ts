/** The number of starts grows with every start, whatever part of its memory was lost. */
import { strict as assert } from 'node:assert';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { incarnationOf } from '../base/names.ts';
import { countStart, startOf } from './starts.ts';

test('it grows, also when the directory or the coordinator forgot', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-starts-'));
  t.after(() => rmSync(directory, { recursive: true }));
  assert.equal(countStart(directory, 0), 1);
  assert.equal(countStart(directory, 0), 2);
  assert.equal(countStart(directory, 9), 10);
  assert.equal(countStart(directory, 3), 11);
  rmSync(join(directory, 'starts'));
  assert.equal(countStart(directory, 11), 12);
  writeFileSync(join(directory, 'starts'), 'rubbish');
  assert.throws(() => countStart(directory, 0), /does not hold the number of starts/);
  assert.throws(() => countStart(join(directory, 'none'), 0), /none/);
});

test('an incarnation tells its start', () => {
  assert.equal(startOf(incarnationOf(300, 'ab'.repeat(16))), 300);
  assert.ok(incarnationOf(300, '00'.repeat(16)) > incarnationOf(299, 'ff'.repeat(16)));
  assert.equal(startOf(''), 0);
});

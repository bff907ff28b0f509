/** The configuration reference is current, and the example in it is right. */
import { strict as assert } from 'node:assert';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { configurationReference } from './reference.ts';
import { loadConfig } from './load.ts';
import { findRoot } from '../root.ts';

const root = findRoot();

test('docs/configuration.md is what the schema says', () => {
  const file = `${root}/docs/configuration.md`;
  const wanted = configurationReference();
  const page = readFileSync(file, 'utf8');
  if (page === wanted) return;
  if (process.env['HOLDFAST_REWRITE'] === '1') return writeFileSync(file, wanted);
  assert.equal(page, wanted, 'run `HOLDFAST_REWRITE=1 npm test` to write it anew');
});

test('every key is described', () => {
  const page = configurationReference();
  assert.doesNotMatch(page, /\| +\|/, 'no cell is empty');
});

test('the example configuration has no mistake', () => {
  assert.deepEqual(loadConfig(`${root}/examples/pair.toml`).mistakes, null);
});

/** docs/simulator.md lists the mutations as they are; `HOLDFAST_REWRITE=1 npm test -- sim/mutations-page` writes it anew. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { mutationsTable } from './mutations-page.ts';
import { MUTATIONS } from './mutations.ts';

/** The folder of package.json, from the sources and from dist/ alike. */
function root(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  return dirname(here).endsWith('dist') ? dirname(dirname(here)) : dirname(here);
}

test('the list of mutations in docs/simulator.md is current', () => {
  const file = join(root(), 'docs', 'simulator.md');
  const page = readFileSync(file, 'utf8');
  const list = /\| mutation \|[^\n]*(?:\n\|[^\n]*)*/;
  assert.match(page, list, 'the page has the list');
  const wanted = page.replace(list, () => mutationsTable(MUTATIONS));
  if (process.env['HOLDFAST_REWRITE'] === '1') return writeFileSync(file, wanted);
  assert.equal(page, wanted, 'run `HOLDFAST_REWRITE=1 npm test -- sim/mutations-page` to write it anew');
});

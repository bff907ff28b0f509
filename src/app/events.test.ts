/** Every event that the program tells of is in the table, and docs/operating.md shows the table as it is. */
import { strict as assert } from 'node:assert';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventTable, EVENTS } from './events.ts';
import { findRoot } from './root.ts';

const root = findRoot();

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !/\.(test|fixture)\.ts$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
}

test('every event in the sources has a meaning', () => {
  const known = new Set(EVENTS.map(({ event }) => event));
  const told =
    /(?:note|[lL]og)\(\s*(?:'(?:info|warn)',\s*)?(?:[^'`(),]+\? )?'([a-z]+(?:[.-][a-z]+)*)'(?: : '([a-z]+(?:[.-][a-z]+)*)')?/g;
  const missing = new Set<string>();
  let found = 0;
  for (const folder of ['src/core', 'src/front', 'src/drivers', 'src/app']) {
    for (const file of sources(folder)) {
      for (const [, ...names] of readFileSync(file, 'utf8').matchAll(told)) {
        for (const name of names) {
          if (name === undefined) continue;
          found += 1;
          if (!known.has(name)) missing.add(`${name} in ${file}`);
        }
      }
    }
  }
  assert.ok(found > 30, `the search finds events (${found})`);
  assert.deepEqual([...missing], []);
});

test('no event is listed twice', () => {
  assert.equal(new Set(EVENTS.map(({ event }) => event)).size, EVENTS.length);
});

test('docs/operating.md shows the table as it is', () => {
  const file = join(root, 'docs', 'operating.md');
  const page = readFileSync(file, 'utf8');
  const [before, rest] = page.split('<!-- events -->\n');
  const after = rest?.split('<!-- /events -->')[1];
  assert.ok(before !== undefined && after !== undefined, 'the page has the marks of the table');
  const wanted = `${before}<!-- events -->\n\n${eventTable()}\n\n<!-- /events -->${after}`;
  if (page === wanted) return;
  if (process.env['HOLDFAST_REWRITE'] === '1') return writeFileSync(file, wanted);
  assert.equal(page, wanted, 'run `HOLDFAST_REWRITE=1 npm test` to write it anew');
});

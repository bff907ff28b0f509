/** One seed is one world: the same seed gives the same digest, in one process and in another, whatever else runs. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { extname } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { planOf } from './draw.ts';
import { run } from './run.ts';

const SEEDS = [1, 2, 3, 17, 42, 99];

async function digests(story = false): Promise<string[]> {
  const found: string[] = [];
  for (const seed of SEEDS) found.push((await run(planOf(seed), { story })).digest);
  return found;
}

test('the same seed is the same world, twice in one process', async () => {
  assert.deepEqual(await digests(), await digests(), 'the digests of the second run are those of the first');
});

test('telling the story changes nothing of it', async () => {
  assert.deepEqual(await digests(true), await digests(), 'the digests with a timeline are those without');
});

test('another process sees the same worlds', async () => {
  // From the sources or compiled, as this file is; with the loader of this process, if it has one.
  const main = fileURLToPath(new URL(`main${extname(import.meta.url)}`, import.meta.url));
  const loader = process.execArgv.filter((argument) => !argument.startsWith('--test'));
  for (const seed of SEEDS.slice(0, 3)) {
    const { stdout } = spawnSync(process.execPath, [...loader, main, '--seed', String(seed)], { encoding: 'utf8' });
    const { digest } = await run(planOf(seed));
    assert.ok(stdout.includes(`digest ${digest};`), `seed ${seed} has the digest ${digest} in a process of its own`);
  }
});

test('different seeds are different worlds', async () => {
  assert.equal(new Set(await digests()).size, SEEDS.length);
});

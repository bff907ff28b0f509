/**
 * The simulator is tested itself: naive variants of the core must be caught. Each is run for a moderate number of seeds;
 * one that shows only in more says so and is skipped, unless HOLDFAST_MUTATIONS=all asks for every seed it is allowed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_OPTIONS, planOf } from './draw.ts';
import { MUTATIONS } from './mutations.ts';
import { mutated } from './mutate.ts';
import { run } from './run.ts';

const ALL = process.env['HOLDFAST_MUTATIONS'] === 'all';
/** Seeds of a moderate run. */
const SEEDS = 120;

for (const mutation of MUTATIONS)
  test(`${mutation.id}: ${mutation.what}`, async (t) => {
    const options = await mutated(mutation);
    const limit = ALL ? mutation.within : Math.min(mutation.within, SEEDS);
    for (let seed = 1; seed <= limit; seed += 1) {
      const { failure } = run(planOf(seed, { ...DEFAULT_OPTIONS, ...mutation.worlds }), options);
      if (failure === null) continue;
      t.diagnostic(`caught by seed ${seed}: ${failure.rule}`);
      return;
    }
    if (limit < mutation.within) return t.skip('shows only in more seeds: HOLDFAST_MUTATIONS=all runs them');
    assert.fail(`not caught in ${limit} seeds`);
  });

/** The simulator is tested itself: every naive variant of the core is caught, in worlds in which the core breaks nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hunt } from './hunt.ts';
import { MUTATIONS } from './mutations.ts';

for (const mutation of MUTATIONS)
  test(`${mutation.id}: ${mutation.what}`, async (t) => {
    const caught = await hunt(mutation);
    assert.ok(caught !== null, `caught within ${mutation.within} seeds`);
    assert.equal(caught.unchanged, null, `seed ${caught.seed} breaks nothing without the mutation`);
    t.diagnostic(`caught by seed ${caught.seed}: ${caught.failure.rule}`);
  });

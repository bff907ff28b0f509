/** Waiting in tests for what other threads, processes or the kernel bring about: by looking, with an end. */
import assert from 'node:assert/strict';

/** Longer than anything that is waited for here takes on a machine that has much else to do. */
const LONGEST_MS = 10_000;

/** Looks until it `holds`; fails, by the name of `what`, when that takes too long. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  const startedMs = performance.now();
  while (!holds()) {
    assert(performance.now() - startedMs < LONGEST_MS, `within ${LONGEST_MS / 1_000} s: ${what}`);
    await new Promise((run) => setTimeout(run, 1));
  }
}

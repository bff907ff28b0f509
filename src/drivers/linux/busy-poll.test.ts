/** While an answer is expected the event loop does not sleep; afterwards it does. */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BusyPoll } from './busy-poll.ts';

/** Ms that the event loop slept within `ms`: one timer, and whatever `during` does. */
async function asleep(ms: number, during: () => void): Promise<number> {
  const before = performance.eventLoopUtilization();
  during();
  await sleep(ms);
  return performance.eventLoopUtilization(before).idle;
}

test('nobody sleeps while an answer is expected, and everybody afterwards', async () => {
  const poll = new BusyPoll(200, 2);
  assert.ok((await asleep(100, () => poll.expect())) < 50, 'the loop was awake');
  // What is left of the 200 ms passes; behind them there is nothing to stay awake for.
  await sleep(150);
  assert.ok((await asleep(100, () => undefined)) > 50, 'the loop slept');
});

test('nobody polls with one processor, or when told not to', async () => {
  for (const poll of [new BusyPoll(200, 1), new BusyPoll(0, 8)])
    assert.ok((await asleep(100, () => poll.expect())) > 50, 'the loop slept');
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../../ports/clock.ts';
import { type LogFields, ThrottledLog } from './throttle.ts';

function world(): { log: ThrottledLog; lines: [string, LogFields][]; clock: { now: number } } {
  const clock = { now: 1_000_000 };
  const lines: [string, LogFields][] = [];
  const port: Clock = {
    nowMs: () => clock.now,
    after: () => ({ cancel: () => {} }),
    soon: () => {},
    together: () => {},
    later: () => {},
  };
  return { log: new ThrottledLog((_level, event, fields) => lines.push([event, fields]), port), lines, clock };
}

test('the same finding is written once in a window, and counted', () => {
  const { log, lines, clock } = world();
  for (let count = 0; count < 10; count += 1) log.throttled('x', 'warn', 'event', { count });
  log.throttled('y', 'info', 'other', {});
  assert.deepEqual(lines, [
    ['event', { count: 0 }],
    ['other', {}],
  ]);
  clock.now += 5_000;
  log.throttled('x', 'warn', 'event', {});
  log.throttled('y', 'info', 'other', {});
  assert.deepEqual(lines.slice(2), [
    ['event', { suppressed: 9 }],
    ['other', {}],
  ]);
});

test('after a quiet window nothing old is counted', () => {
  const { log, lines, clock } = world();
  for (let count = 0; count < 10; count += 1) log.throttled('x', 'warn', 'event', {});
  clock.now += 10_000;
  log.throttled('x', 'warn', 'event', {});
  assert.deepEqual(lines[1], ['event', {}]);
});

test('ever new findings do not fill the log either', () => {
  const { log, lines, clock } = world();
  for (let count = 0; count < 1_000; count += 1) log.throttled(`finding ${count}`, 'warn', 'event', {});
  assert.equal(lines.length, 35);
  clock.now += 5_000;
  log.throttled('x', 'warn', 'event', {});
  assert.deepEqual(lines[35], ['event', { suppressedOthers: 965 }]);
  log.always('info', 'rare', {});
  assert.deepEqual(lines[36], ['rare', {}]);
});

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { BootClock, RandomIds } from './boot-clock.ts';

test('the clock is the boot-time clock, never goes back and moves within a turn', () => {
  const clock = new BootClock();
  const uptimeMs = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1e3;
  assert.ok(Math.abs(clock.nowMs() - uptimeMs) < 1_000);
  let last = clock.nowMs();
  const first = last;
  for (let i = 0; i < 10_000; i++) {
    const now = clock.nowMs();
    assert.ok(now >= last);
    last = now;
  }
  assert.ok(last > first, 'not cached per turn');
});

test('after() never calls early by its own clock, and a cancelled call never comes', async () => {
  const clock = new BootClock();
  const cancelled = clock.after(1, () => assert.fail('cancelled'));
  cancelled.cancel();
  cancelled.cancel();
  const start = clock.nowMs();
  await Promise.all(
    [0, -5, 0.3, 1.5, 2, 7.7, 20].map(
      (delayMs) =>
        new Promise<void>((resolve) => {
          clock.after(delayMs, () => {
            assert.ok(clock.nowMs() - start >= delayMs, `${delayMs} ms have passed`);
            resolve();
          });
        }),
    ),
  );
});

test('after() takes delays beyond what setTimeout takes', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const clock = new BootClock();
  let called = false;
  const timer = clock.after(2 ** 33, () => (called = true));
  t.mock.timers.tick(2 ** 31 - 1);
  t.mock.timers.tick(2 ** 31 - 1);
  assert.equal(called, false, 'the boot clock has not passed: armed again');
  timer.cancel();
});

test('soon() runs after what is running and before I/O and timers', async () => {
  const clock = new BootClock();
  const order: string[] = [];
  await new Promise<void>((resolve) => {
    setImmediate(() => {
      order.push('immediate');
      resolve();
    });
    clock.soon(() => order.push('soon'));
    order.push('running');
  });
  assert.deepEqual(order, ['running', 'soon', 'immediate']);
});

test('identities are 32 hexadecimal digits and differ; spread stays in [0, 1)', () => {
  const ids = new RandomIds();
  const drawn = new Set(Array.from({ length: 1000 }, () => ids.draw()));
  assert.equal(drawn.size, 1000);
  for (const id of drawn) assert.match(id, /^[0-9a-f]{32}$/);
  for (let i = 0; i < 1000; i++) {
    const spread = ids.spread();
    assert.ok(spread >= 0 && spread < 1);
  }
});

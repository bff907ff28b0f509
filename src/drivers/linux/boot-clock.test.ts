import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
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

/** Two connections over loopback, which the kernel delivers at once: both are readable when `write` returns. */
async function twoConnections(): Promise<{ near: Socket[]; far: Socket[]; end: () => void }> {
  const near: Socket[] = [];
  const server = createServer((socket) => near.push(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const far = [0, 1].map(() => connect({ port, host: '127.0.0.1', noDelay: true }));
  await Promise.all(far.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
  while (near.length < 2) await new Promise((resolve) => setImmediate(resolve));
  return {
    near,
    far,
    end: () => {
      for (const socket of [...near, ...far]) socket.destroy();
      server.close();
    },
  };
}

test('together() runs once, when everything that had arrived has been read, whoever sent it', async () => {
  const clock = new BootClock();
  const { near, far, end } = await twoConnections();
  const order: string[] = [];
  const left = new Promise<void>((resolve) => {
    for (const socket of near)
      socket.on('data', () => {
        order.push('read');
        if (order.length === 1)
          clock.together(() => {
            order.push('left');
            resolve();
          });
      });
  });
  // Both read handlers have had a round to begin before anything is sent.
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  for (const socket of far) socket.write('x');
  await left;
  end();
  assert.deepEqual(order, ['read', 'read', 'left']);
});

test('later() runs one piece a round, and lets what leaves together go first, but not for ever', async () => {
  const clock = new BootClock();
  const order: string[] = [];
  const leaveAgain = (times: number): void =>
    clock.together(() => {
      order.push('left');
      if (times > 1) leaveAgain(times - 1);
    });
  await new Promise<void>((resolve) => {
    for (const piece of ['first', 'second', 'third'])
      clock.later(() => {
        order.push(piece);
        if (piece === 'third') resolve();
      });
    leaveAgain(100);
  });
  assert.equal(order[0], 'left', 'what leaves was asked for after the pieces, and goes first');
  assert.deepEqual(
    order.filter((what) => what !== 'left'),
    ['first', 'second', 'third'],
  );
  const between = order.indexOf('second') - order.indexOf('first') - 1;
  assert.ok(between >= 1 && between <= 2, `${between} rounds between two pieces`);
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

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '../../base/fault.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import { Deadline } from './deadline.ts';

/** A clock that is moved by hand. */
class HandClock implements Clock {
  #nowMs = 0;
  readonly #pending = new Set<{ readonly dueMs: number; readonly run: () => void }>();

  nowMs(): number {
    return this.#nowMs;
  }
  after(delayMs: number, run: () => void): Timer {
    const call = { dueMs: this.#nowMs + delayMs, run };
    this.#pending.add(call);
    return { cancel: () => void this.#pending.delete(call) };
  }
  soon(run: () => void): void {
    process.nextTick(run);
  }
  together(run: () => void): void {
    setImmediate(run);
  }
  later(run: () => void): void {
    setImmediate(run);
  }
  move(ms: number): void {
    this.#nowMs += ms;
    this.#pending.forEach((call) => {
      if (call.dueMs > this.#nowMs) return;
      this.#pending.delete(call);
      call.run();
    });
  }
  get pending(): number {
    return this.#pending.size;
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('who asks while the work runs shares its outcome; the next one begins anew', async () => {
  const clock = new HandClock();
  const deadline = new Deadline(clock, 100, 'the disk');
  const told: string[] = [];
  let runs = 0;
  let end = (): void => {};
  const work = (): Promise<void> => {
    runs += 1;
    return new Promise((resolve) => (end = resolve));
  };
  const done = (name: string) => (fault: Fault | null) => told.push(`${name} ${fault?.kind ?? 'fine'}`);
  deadline.run(work, done('first'));
  clock.move(60);
  deadline.run(work, done('second'));
  assert.deepEqual(told, [], 'never from within');
  end();
  await turn();
  assert.deepEqual(told, ['first fine', 'second fine']);
  assert.equal(clock.pending, 0);
  deadline.run(work, done('third'));
  end();
  await turn();
  assert.equal(runs, 2);
  assert.equal(told.at(-1), 'third fine');
});

test('work that hangs is answered at its deadline, later callers at once, and nothing is piled up', async () => {
  const clock = new HandClock();
  const deadline = new Deadline(clock, 100, 'the disk');
  const told: string[] = [];
  let runs = 0;
  let end = (): void => {};
  const work = (): Promise<void> => {
    runs += 1;
    return new Promise((resolve) => (end = resolve));
  };
  const done = (fault: Fault | null): void => void told.push(fault?.message ?? 'fine');
  deadline.run(work, done);
  clock.move(99);
  deadline.run(work, done);
  await turn();
  assert.deepEqual(told, []);
  clock.move(1);
  await turn();
  assert.deepEqual(told, ['A probe of the disk has not come back within 100 ms.']);
  deadline.run(work, done);
  await turn();
  assert.equal(told[1], 'A probe of the disk has not come back for 100 ms.');
  end();
  await turn();
  assert.deepEqual(told.slice(2), ['fine'], 'who asked in time still has his answer, the others theirs only once');
  assert.equal(runs, 1);
  deadline.run(work, done);
  end();
  await turn();
  assert.equal(runs, 2, 'it came back: it is probed again');
  assert.equal(clock.pending, 0);
});

test('work that fails is a fault', async () => {
  const deadline = new Deadline(new HandClock(), 100, 'the disk');
  const fault = await new Promise<Fault | null>((resolve) =>
    deadline.run(() => Promise.reject(Object.assign(new Error('x'), { code: 'EIO' })), resolve),
  );
  assert.equal(fault?.kind, 'io');
  assert.equal(fault?.message, 'The probe of the disk failed: EIO.');
});

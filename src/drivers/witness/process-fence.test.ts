import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Fault } from '../../base/fault.ts';
import type { Incarnation, ServerId } from '../../base/names.ts';
import { BootClock } from '../linux/boot-clock.ts';
import { ProcessFence } from './process-fence.ts';
import { lockFileOf, ServerLock } from './server-lock.ts';

const clock = new BootClock();
const b = 'b' as ServerId;
const GONE_MS = 1_000;
const incarnation = (number: number): Incarnation => number.toString(16).padStart(32, '0') as Incarnation;

function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-fence-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

async function live(t: TestContext, directory: string, as: Incarnation): Promise<ChildProcess> {
  const fixture = fileURLToPath(import.meta.url).replace('process-fence.test.', 'hold-life.fixture.');
  const child = spawn(process.execPath, [...process.execArgv, fixture, directory, b, as], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  return child;
}

/** Fences a life; the processes that were killed for it. */
async function fence(directory: string, of: Incarnation): Promise<readonly number[]> {
  const killed: number[] = [];
  const options = { stateDirectories: new Map([[b, directory]]), clock, goneMs: GONE_MS };
  const fencing = new ProcessFence({ ...options, killed: (server, pid) => killed.push(server === b ? pid : 0) });
  assert.equal(fencing.covers(b), true);
  assert.equal(fencing.covers('c' as ServerId), false);
  await new Promise<void>((resolve, reject) => {
    fencing.run({ server: b, incarnation: of }, (fault) => (fault === null ? resolve() : reject(fault)));
  });
  return killed;
}

const isLive = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null;

test('a frozen process is killed, and is gone when the fence has succeeded', async (t) => {
  const directory = scratch(t);
  const child = await live(t, directory, incarnation(1));
  child.kill('SIGSTOP');
  const exited = once(child, 'exit');
  assert.deepEqual(await fence(directory, incarnation(1)), [child.pid]);
  const lock = await ServerLock.acquire(directory, b, incarnation(2), clock);
  lock.release();
  assert.equal((await exited)[1], 'SIGKILL');
});

test('a process that has ended, and one that a later life followed, are fenced already', async (t) => {
  const directory = scratch(t);
  const first = await live(t, directory, incarnation(1));
  first.kill('SIGKILL');
  await once(first, 'exit');
  assert.deepEqual(await fence(directory, incarnation(1)), []);
  const second = await live(t, directory, incarnation(2));
  assert.deepEqual(await fence(directory, incarnation(1)), [], 'the later life is not the victim');
  assert.ok(isLive(second));
});

test('where no server ever lived, there is nobody to kill', async (t) => {
  assert.deepEqual(await fence(scratch(t), incarnation(1)), []);
  assert.deepEqual(await fence('/nowhere', incarnation(1)), []);
});

test('nobody is killed on a word that is not whole, of another boot, or about somebody else', async (t) => {
  const directory = scratch(t);
  const child = await live(t, directory, incarnation(5));
  const path = lockFileOf(directory);
  const whole = readFileSync(path, 'utf8');
  const refused = (error: unknown): boolean => error instanceof Fault && error.kind === 'refused';
  const other = await live(t, scratch(t), incarnation(5));
  for (const content of [
    '',
    whole.slice(0, 40),
    whole.replace(/"boot": "[^"]*"/, '"boot": "00000000-0000-4000-8000-000000000000"'),
    whole.replace(`"process": ${child.pid}`, `"process": ${other.pid}`),
    whole.replace(`"process": ${child.pid}`, `"process": ${process.pid}`),
    whole.replace('"server": "b"', '"server": "c"'),
  ]) {
    writeFileSync(path, content);
    await assert.rejects(fence(directory, incarnation(5)), refused, content);
  }
  writeFileSync(path, whole);
  await assert.rejects(fence(directory, incarnation(6)), refused, 'a life that never began');
  assert.ok(isLive(child) && isLive(other));
});

test('a process that others look at, and one that only has the file open, are told apart from the holder', async (t) => {
  const directory = scratch(t);
  const child = await live(t, directory, incarnation(1));
  const path = lockFileOf(directory);
  const fd = openSync(path, 'r+');
  t.after(() => closeSync(fd));
  const whole = readFileSync(path, 'utf8');
  writeFileSync(path, whole.replace(`"process": ${child.pid}`, `"process": ${process.pid}`));
  await assert.rejects(fence(directory, incarnation(1)), /not by a process/, 'this process lives');
  assert.ok(isLive(child));
});

test('a holder that cannot be found keeps the fence from succeeding, until it has ended', async (t) => {
  const directory = scratch(t);
  const child = await live(t, directory, incarnation(1));
  const path = lockFileOf(directory);
  // As in a container of its own, in which processes have other numbers; this one is nobody's here.
  const whole = readFileSync(path, 'utf8');
  writeFileSync(path, whole.replace(`"process": ${child.pid}`, '"process": 4194303'));
  await assert.rejects(fence(directory, incarnation(1)), /no process that can be seen from here/);
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.deepEqual(await fence(directory, incarnation(1)), []);
});

test('many fences at a time kill once, and all succeed', async (t) => {
  const directory = scratch(t);
  const child = await live(t, directory, incarnation(1));
  child.kill('SIGSTOP');
  const killed: number[] = [];
  const fencing = new ProcessFence({
    stateDirectories: new Map([[b, directory]]),
    clock,
    killed: (_server, pid) => killed.push(pid),
  });
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const victim = { server: b, incarnation: incarnation(1) };
      fencing.run(victim, (fault) => (fault === null ? resolve() : reject(fault)));
    });
  await Promise.all([one(), one(), one()]);
  assert.deepEqual(killed, [child.pid]);
});

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Fault } from '../../base/fault.ts';
import type { Incarnation, ServerId } from '../../base/names.ts';
import { BootClock } from '../linux/boot-clock.ts';
import { LockWitness, type Verdict } from './lock-witness.ts';
import { EARLIER_MAX, lockFileOf, ServerLock } from './server-lock.ts';

const clock = new BootClock();
const a = 'a' as ServerId;
const incarnation = (number: number): Incarnation => number.toString(16).padStart(32, '0') as Incarnation;

function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-witness-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

function ask(directory: string, of: Incarnation, server: ServerId = a): Promise<Verdict> {
  const witness = new LockWitness(new Map([[a, directory]]));
  let within = true;
  const answer = new Promise<Verdict>((resolve) =>
    witness.ended(server, of, (verdict) => {
      assert.equal(within, false, 'never from within the call');
      resolve(verdict);
    }),
  );
  within = false;
  return answer;
}

async function live(t: TestContext, directory: string, as: Incarnation): Promise<ChildProcess> {
  const fixture = fileURLToPath(import.meta.url).replace('lock-witness.test.', 'hold-life.fixture.');
  const child = spawn(process.execPath, [...process.execArgv, fixture, directory, a, as], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

const conflict = (error: unknown): boolean => error instanceof Fault && error.kind === 'conflict';

test('a server is alive until it is killed, also while it is stopped; then it has ended', async (t) => {
  const directory = scratch(t);
  const child = await live(t, directory, incarnation(1));
  assert.equal(await ask(directory, incarnation(1)), 'alive');
  child.kill('SIGSTOP');
  assert.equal(await ask(directory, incarnation(1)), 'alive', 'frozen is not ended');
  child.kill('SIGCONT');
  assert.equal(await ask(directory, incarnation(1)), 'alive');
  const before = readFileSync(lockFileOf(directory), 'utf8');
  await kill(child);
  assert.equal(await ask(directory, incarnation(1)), 'ended');
  assert.equal(await ask(directory, incarnation(1)), 'ended', 'the question has changed nothing');
  assert.equal(readFileSync(lockFileOf(directory), 'utf8'), before);
});

test('a later life proves that the earlier ones have ended, and nothing about others', async (t) => {
  const directory = scratch(t);
  await kill(await live(t, directory, incarnation(1)));
  await kill(await live(t, directory, incarnation(2)));
  const child = await live(t, directory, incarnation(3));
  assert.equal(await ask(directory, incarnation(1)), 'ended');
  assert.equal(await ask(directory, incarnation(2)), 'ended');
  assert.equal(await ask(directory, incarnation(3)), 'alive');
  assert.equal(await ask(directory, incarnation(4)), 'unknown');
  await kill(child);
  assert.equal(await ask(directory, incarnation(2)), 'ended');
  assert.equal(await ask(directory, incarnation(3)), 'ended');
  assert.equal(await ask(directory, incarnation(4)), 'unknown');
});

test('only one life at a time', async (t) => {
  const directory = scratch(t);
  const child = await live(t, directory, incarnation(1));
  await assert.rejects(() => ServerLock.acquire(directory, a, incarnation(2), clock), conflict);
  assert.equal(await ask(directory, incarnation(1)), 'alive', 'the one that was turned away has changed nothing');
  assert.equal(await ask(directory, incarnation(2)), 'unknown');
  await kill(child);
  const lock = await ServerLock.acquire(directory, a, incarnation(2), clock);
  assert.equal(await ask(directory, incarnation(2)), 'alive', 'also when the process asks of itself');
  lock.release();
  assert.equal(await ask(directory, incarnation(2)), 'ended');
});

test('a start is not turned away by witnesses that look at the lock all the time', async (t) => {
  const directory = scratch(t);
  (await ServerLock.acquire(directory, a, incarnation(1), clock)).release();
  let looking = true;
  let looks = 0;
  const look = async (): Promise<void> => {
    while (looking) {
      await ask(directory, incarnation(1));
      looks += 1;
    }
  };
  const lookers = Promise.all([look(), look(), look()]);
  for (let i = 2; i < 30; i++) (await ServerLock.acquire(directory, a, incarnation(i), clock)).release();
  looking = false;
  await lookers;
  assert.ok(looks > 0);
  assert.equal(await ask(directory, incarnation(1)), 'ended');
});

test('nothing is said of servers elsewhere, of other boots, or from what is not whole; nothing is created', async (t) => {
  const directory = scratch(t);
  assert.equal(await ask(directory, incarnation(1)), 'unknown');
  assert.equal(existsSync(lockFileOf(directory)), false);
  assert.equal(await ask(directory, incarnation(1), 'b' as ServerId), 'unknown');
  (await ServerLock.acquire(directory, a, incarnation(1), clock)).release();
  const path = lockFileOf(directory);
  const whole = readFileSync(path, 'utf8');
  const otherBoot = whole.replace(/"boot": "[^"]*"/, '"boot": "00000000-0000-4000-8000-000000000000"');
  for (const content of [otherBoot, whole.slice(0, 40), '', 'null', whole.replace('"server": "a"', '"server": "b"')]) {
    writeFileSync(path, content);
    assert.equal(await ask(directory, incarnation(1)), 'unknown', content);
  }
  writeFileSync(path, otherBoot);
  (await ServerLock.acquire(directory, a, incarnation(2), clock)).release();
  assert.equal(await ask(directory, incarnation(1)), 'unknown', 'a life of another boot may be one on another machine');
  assert.equal(await ask(directory, incarnation(2)), 'ended');
});

test('the state directory of another server is refused, and left as it is', async (t) => {
  const directory = scratch(t);
  (await ServerLock.acquire(directory, a, incarnation(1), clock)).release();
  await assert.rejects(
    () => ServerLock.acquire(directory, 'b' as ServerId, incarnation(9), clock),
    (error) => error instanceof Fault && error.kind === 'refused' && error.message.includes('of the server a'),
  );
  assert.equal(await ask(directory, incarnation(1)), 'ended');
  await assert.rejects(
    () => ServerLock.acquire(join(directory, 'absent'), a, incarnation(9), clock),
    (error) => error instanceof Fault && error.kind === 'missing',
  );
});

test('the list of earlier lives is bounded', async (t) => {
  const directory = scratch(t);
  for (let i = 1; i <= EARLIER_MAX + 3; i++) (await ServerLock.acquire(directory, a, incarnation(i), clock)).release();
  assert.equal(await ask(directory, incarnation(2)), 'unknown');
  assert.equal(await ask(directory, incarnation(3)), 'ended');
});

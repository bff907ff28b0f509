import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Fault } from '../../base/fault.ts';
import { tryLockExclusive, tryLockShared } from './flock.ts';

function scratch(t: { after(run: () => void): void }): string {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-flock-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

test('a lock excludes others until it is released, also in the same process', (t) => {
  const path = join(scratch(t), 'lock');
  const first = tryLockExclusive(path);
  assert.ok(first);
  assert.equal(tryLockExclusive(path), null);
  first.release();
  first.release();
  const second = tryLockExclusive(path);
  assert.ok(second);
  second.release();
});

test('shared locks go together, and with no exclusive one', async (t) => {
  const path = join(scratch(t), 'lock');
  const exclusive = tryLockExclusive(path);
  assert.equal(await tryLockShared(path), null);
  exclusive?.release();
  const [one, two] = await Promise.all([tryLockShared(path), tryLockShared(path)]);
  assert.ok(one && two);
  assert.equal(tryLockExclusive(path), null);
  one.release();
  two.release();
  tryLockExclusive(path)?.release();
});

test('taking a lock leaves the content of the file alone', (t) => {
  const path = join(scratch(t), 'lock');
  writeFileSync(path, 'mine');
  tryLockExclusive(path)?.release();
  assert.equal(readFileSync(path, 'utf8'), 'mine');
});

test('a file that was replaced is locked anew: the name counts', (t) => {
  const directory = scratch(t);
  const path = join(directory, 'lock');
  const old = tryLockExclusive(path);
  assert.ok(old);
  writeFileSync(join(directory, 'other'), '');
  renameSync(join(directory, 'other'), path);
  const fresh = tryLockExclusive(path);
  assert.ok(fresh, 'the new file is nobody’s');
  assert.equal(tryLockExclusive(path), null);
  old.release();
  assert.equal(tryLockExclusive(path), null, 'releasing the old file changes nothing for the new one');
  fresh.release();
});

test('what cannot be opened is a fault with a sentence; an absent file is never created by tryLockShared', async (t) => {
  const directory = scratch(t);
  assert.throws(() => tryLockExclusive(join(directory, 'no', 'lock')), isFault('missing'));
  await assert.rejects(tryLockShared(join(directory, 'absent')), isFault('missing'));
  assert.equal(existsSync(join(directory, 'absent')), false);
  assert.throws(() => tryLockExclusive(directory), isFault('refused'));
});

test('the lock of a killed process is free, a stopped one keeps it, and children do not inherit it', async (t) => {
  const path = join(scratch(t), 'lock');
  const fixture = fileURLToPath(import.meta.url).replace('flock.test.', 'hold-lock.fixture.');
  const holder = spawn(process.execPath, [...process.execArgv, fixture, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => holder.kill('SIGKILL'));
  const [line] = (await once(holder.stdout, 'data')) as [Buffer];
  const grandchild = Number(line.toString());
  t.after(() => process.kill(grandchild, 'SIGKILL'));
  assert.equal(tryLockExclusive(path), null);
  holder.kill('SIGSTOP');
  assert.equal(tryLockExclusive(path), null, 'frozen is not ended');
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  const lock = tryLockExclusive(path);
  assert.ok(lock, 'the surviving grandchild has not inherited the lock');
  lock.release();
});

function isFault(kind: string): (error: unknown) => boolean {
  return (error) => error instanceof Fault && error.kind === kind && error.message.endsWith('.');
}

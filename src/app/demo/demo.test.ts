/** The demo as a person starts it: it proves what it says, and leaves nothing behind, however it ends. */
import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL(`../cli/main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url));

class Demo {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  out = '';

  constructor(...args: string[]) {
    const own = process.execArgv.filter((arg) => !arg.startsWith('--test'));
    this.child = spawn(process.execPath, [...own, MAIN, 'demo', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.out += text));
    }
    this.ended = new Promise((resolve) => this.child.on('close', (code) => resolve(code)));
  }

  /** Resolves once it has said so, or has ended. */
  async says(what: RegExp): Promise<void> {
    let over = false;
    void this.ended.then(() => (over = true));
    while (!what.test(this.out) && !over) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.match(this.out, what);
  }

  /** The directory and the processes it told of. */
  get traces(): { readonly directory: string; readonly pids: readonly number[] } {
    const directory = /place +(\S+), removed/.exec(this.out)?.[1] ?? '';
    const pids = [...this.out.matchAll(/\(pid (\d+)\)/g)].map(([, pid]) => Number(pid));
    return { directory, pids };
  }

  assertNothingLeft(): void {
    const { directory, pids } = this.traces;
    assert.notEqual(directory, '');
    assert.equal(existsSync(directory), false, `${directory} is removed`);
    for (const pid of pids) assert.throws(() => process.kill(pid, 0), /ESRCH/, `process ${pid} has ended`);
  }
}

test('`demo --once` finds every acknowledged byte and leaves nothing behind', { timeout: 120_000 }, async () => {
  const demo = new Demo('--once');
  assert.equal(await demo.ended, 0, demo.out);
  assert.match(demo.out, /a is killed: \d+ writes are acknowledged/);
  assert.match(demo.out, /first answer from b/);
  assert.match(demo.out, /in sync again/);
  assert.match(demo.out, /Every acknowledged byte was there/);
  assert.equal(demo.out.match(/every byte is there/g)?.length, 4);
  assert.ok(demo.traces.pids.length === 3);
  demo.assertNothingLeft();
});

test('Ctrl-C in the middle of it leaves nothing behind', { timeout: 180_000 }, async () => {
  const demo = new Demo();
  await demo.says(/\(pid \d+\)/);
  demo.child.kill('SIGINT');
  assert.equal(await demo.ended, 130, demo.out);
  demo.assertNothingLeft();
});

test('a demo that is killed itself takes its servers with it', { timeout: 180_000 }, async () => {
  const demo = new Demo();
  await demo.says(/in sync;.*in sync/);
  demo.child.kill('SIGKILL');
  await demo.ended;
  const { directory, pids } = demo.traces;
  const alive = (pid: number): boolean => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };
  while (pids.some(alive)) await new Promise((resolve) => setTimeout(resolve, 20));
  rmSync(directory, { recursive: true, force: true });
});

/** Fencing: a command is believed, told whom it fences, and held to its deadline; a server beside is killed. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { Fault } from '../base/fault.ts';
import type { Incarnation, ServerId, VolumeName } from '../base/names.ts';
import { BootClock } from '../drivers/linux/boot-clock.ts';
import { ProcessFence } from '../drivers/witness/process-fence.ts';
import type { ServerConfig } from './config/load.ts';
import { done } from './exit.ts';
import { ServerFence } from './fence.ts';

const clock = new BootClock();
const [a, b, c] = ['a', 'b', 'c'] as unknown as readonly [ServerId, ServerId, ServerId];

const server = (name: string, command: string | null, deadlineMs = 5_000): ServerConfig => ({
  name,
  machine: name,
  stateDirectory: '/nowhere',
  admin: { host: '127.0.0.1', port: 1 },
  link: [],
  linkVersion: null,
  busyPollMs: 0,
  addresses: null,
  fence: command === null ? null : { command, deadlineMs },
});

/** Servers of the claimant's machine, of which nothing is left, or which cannot be ended. */
class Beside extends ProcessFence {
  readonly #why: string | null;
  runs = 0;

  constructor(names: readonly string[], why: string | null = null) {
    const stateDirectories = new Map(names.map((name) => [name as ServerId, '/nowhere']));
    super({ stateDirectories, clock, killed: () => undefined });
    this.#why = why;
  }

  override run(_victim: unknown, settle: (fault: Fault | null) => void): void {
    this.runs += 1;
    setImmediate(settle, this.#why === null ? null : new Fault('timeout', this.#why));
  }
}

function fenceOf(servers: readonly ServerConfig[], beside = new Beside([]), accepts = false) {
  const risked: string[] = [];
  const fence = new ServerFence({
    claimant: 'a',
    servers,
    beside,
    acceptsLateIo: () => accepts,
    risked: (victim, volume, why) => risked.push(`${victim} ${volume}: ${why}`),
  });
  return { fence, risked };
}

const run = (fence: ServerFence, victim = b): Promise<void> =>
  done((settle) => fence.run({ server: victim, incarnation: 'ff' as Incarnation }, 'one' as VolumeName, settle));

test('without a command nobody of another machine is covered, nor the claimant itself', async () => {
  const { fence } = fenceOf([server('a', 'false'), server('b', null)]);
  assert.deepEqual(
    [a, b].map((name) => fence.covers(name)),
    [false, false],
  );
  await run(fence);
  await run(fence, a);
});

test('the command learns whom to fence, for what and for whom', async () => {
  const words = '"$HOLDFAST_VICTIM $HOLDFAST_INCARNATION $HOLDFAST_VOLUME $HOLDFAST_CLAIMANT"';
  const { fence } = fenceOf([server('a', 'false'), server('b', `test ${words} = "b ff one a"`)]);
  assert.equal(fence.covers(b), true);
  await run(fence);
});

test('a failing command is a fault that tells what it said', async () => {
  const { fence } = fenceOf([server('b', 'echo no power switch >&2; exit 3')]);
  await assert.rejects(run(fence), /exit code 3: no power switch/);
});

test('a command that hangs is killed at its deadline, with its children', async () => {
  const { fence } = fenceOf([server('b', 'sleep 600 & wait', 50)]);
  await assert.rejects(run(fence), /did not end within 0.05 s/);
});

test('a server of the same machine is covered without a command, the others are not', async () => {
  const beside = new Beside(['b']);
  const { fence } = fenceOf([server('a', null), server('b', null), server('c', null)], beside);
  assert.deepEqual(
    [b, c].map((name) => fence.covers(name)),
    [true, false],
  );
  await run(fence);
  assert.equal(beside.runs, 1);
});

test('a command goes before killing', async () => {
  const beside = new Beside(['b']);
  const { fence } = fenceOf([server('a', null), server('b', 'exit 3')], beside);
  await assert.rejects(run(fence), /exit code 3/);
  assert.equal(beside.runs, 0);
});

test('a process that cannot be ended keeps the volume down, and the fault names the ways out', async () => {
  const { fence, risked } = fenceOf([server('b', null)], new Beside(['b'], 'it hangs'));
  await assert.rejects(run(fence), /it hangs; a "fence" command for it, or accept-risk = "late-io"/);
  assert.deepEqual(risked, []);
});

test('where the risk is accepted by name, the volume goes on', async () => {
  const { fence, risked } = fenceOf([server('b', null)], new Beside(['b'], 'it hangs'), true);
  await run(fence);
  assert.deepEqual(risked, ['b one: it hangs']);
});

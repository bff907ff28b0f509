/** The fence hook: what the command says is believed, its environment names the victim, its deadline holds. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import type { Incarnation, ServerId, VolumeName } from '../base/names.ts';
import type { ServerConfig } from './config/load.ts';
import { done } from './exit.ts';
import { CommandFence } from './fence.ts';

const server = (name: string, command: string | null, deadlineMs = 5_000): ServerConfig => ({
  name,
  machine: name,
  stateDirectory: '/nowhere',
  admin: { host: '127.0.0.1', port: 1 },
  link: [],
  addresses: null,
  fence: command === null ? null : { command, deadlineMs },
});

const run = (fence: CommandFence, victim = 'b'): Promise<void> =>
  done((settle) =>
    fence.run({ server: victim as ServerId, incarnation: 'ff' as Incarnation }, 'one' as VolumeName, settle),
  );

test('without commands it is not configured, and running it succeeds', async () => {
  const fence = new CommandFence('a', [server('a', null), server('b', null)]);
  assert.equal(fence.configured, false);
  await run(fence);
});

test('the command learns whom to fence, for what and for whom', async () => {
  const words = '"$HOLDFAST_VICTIM $HOLDFAST_INCARNATION $HOLDFAST_VOLUME $HOLDFAST_CLAIMANT"';
  const fence = new CommandFence('a', [server('a', 'false'), server('b', `test ${words} = "b ff one a"`)]);
  assert.equal(fence.configured, true);
  await run(fence);
});

test('a failing command is a fault that tells what it said', async () => {
  const fence = new CommandFence('a', [server('b', 'echo no power switch >&2; exit 3')]);
  await assert.rejects(run(fence), /exit code 3: no power switch/);
});

test('a command that hangs is killed at its deadline, with its children', async () => {
  const fence = new CommandFence('a', [server('b', 'sleep 600 & wait', 50)]);
  await assert.rejects(run(fence), /did not end within 0.05 s/);
});

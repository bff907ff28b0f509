/** Addresses that move: in what order commands run and doors open, whatever is wished meanwhile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Fault } from '../../base/fault.ts';
import type { Done } from '../../base/fault.ts';
import type { Epoch, VolumeName } from '../../base/names.ts';
import type { VolumeService } from '../../ports/service.ts';
import type { Doors } from '../../ports/world.ts';
import type { VolumeConfig } from '../config/load.ts';
import { MovingDoors } from './moving-doors.ts';

const name = 'one' as VolumeName;
const config = { name, address: { host: '10.0.0.9', port: 1 } } as unknown as VolumeConfig;
const service = {} as VolumeService;

function world() {
  const calls: string[] = [];
  const commands: Done[] = [];
  const command = (what: string) => (_volume: VolumeConfig, done: Done) => {
    calls.push(what);
    commands.push(done);
  };
  const inner: Doors = {
    open: (_volume, epoch, _service, done) => {
      calls.push(`open ${epoch}`);
      setImmediate(done, null);
    },
    hold: (_volume, done) => {
      calls.push('hold');
      setImmediate(done);
    },
    close: () => void calls.push('close'),
  };
  const mover = {
    up: command('up'),
    down: command('down'),
    announce: () => (calls.push('announce'), null),
    tickle: (_volume: VolumeConfig, clients: readonly { host: string; port: number }[]) => {
      calls.push(`tickle ${clients.map(({ host, port }) => `${host} ${port}`).join()}`);
      return null;
    },
  };
  const doors = new MovingDoors(inner, mover, [config], () => undefined);
  const told: (string | null)[] = [];
  return {
    doors,
    calls,
    told,
    open: (epoch: number) =>
      doors.open(name, epoch as Epoch, service, (fault) => told.push(fault === null ? `open ${epoch}` : fault.message)),
    /** The command that runs ends. */
    end: async (fault: Fault | null = null) => {
      commands.shift()?.(fault);
      await turn();
      await turn();
      await turn();
    },
  };
}

test('the address comes before the door opens, and goes after it is closed', async (t) => {
  const { doors, calls, told, open, end } = world();
  t.after(() => doors.close(name, 'the end'));
  open(1);
  assert.deepEqual(calls, ['close', 'up']);
  await end();
  assert.deepEqual(calls, ['close', 'up', 'announce', 'open 1', 'announce']);
  doors.hold(name, () => told.push('held'));
  await turn();
  assert.deepEqual(told, ['open 1', 'held']);
  assert.deepEqual(calls.slice(5), ['hold'], 'connections can still be reset');
  doors.close(name, 'handed over');
  assert.deepEqual(calls.slice(6), ['close', 'down']);
  await end();
});

test('a command that fails is told, and the address may be there or not', async () => {
  const { doors, calls, told, open, end } = world();
  open(1);
  await end(new Fault('io', 'no such device'));
  assert.deepEqual(told, ['no such device']);
  doors.close(name, 'given up');
  assert.deepEqual(calls, ['close', 'up', 'close', 'down']);
});

test('a door that is closed while its address comes never opens, and the address goes again', async () => {
  const { doors, calls, told, open, end } = world();
  open(1);
  doors.close(name, 'deposed');
  assert.deepEqual(calls, ['close', 'up', 'close'], 'one command at a time');
  await end();
  assert.deepEqual(calls, ['close', 'up', 'close', 'down']);
  await end();
  assert.deepEqual(told, []);
});

test('an address that is to go and to come again is there in the end', async (t) => {
  const { doors, calls, told, open, end } = world();
  t.after(() => doors.close(name, 'the end'));
  open(1);
  await end();
  doors.close(name, 'deposed');
  open(2);
  await end();
  await end();
  assert.deepEqual(told, ['open 1', 'open 2']);
  assert.deepEqual(calls.slice(5), ['close', 'down', 'close', 'up', 'announce', 'open 2', 'announce']);
});

test('clients of the last holder are woken up once the door is open, again and again while it is', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  const { doors, calls, open, end } = world();
  t.after(() => doors.close(name, 'the end'));
  doors.clientsElsewhere(name, 3 as Epoch, ['10.0.0.3 4444', 'fe80::1%eth0 5', 'nonsense', '10.0.0.4 99999']);
  doors.clientsElsewhere(name, 2 as Epoch, ['10.0.0.5 1']);
  open(4);
  await end();
  const woken = (): string[] => calls.filter((call) => call.startsWith('tickle'));
  assert.deepEqual(woken(), ['tickle 10.0.0.3 4444'], 'of the latest epoch, and what is a client at all');
  t.mock.timers.tick(250);
  assert.equal(woken().length, 2);
  doors.close(name, 'deposed');
  t.mock.timers.tick(5_000);
  assert.equal(woken().length, 2, 'not when the address is gone');
});

test('what a later owner says is not used by an earlier one', async (t) => {
  const { doors, calls, open, end } = world();
  t.after(() => doors.close(name, 'the end'));
  doors.clientsElsewhere(name, 9 as Epoch, ['10.0.0.3 4444']);
  open(9);
  await end();
  assert.ok(!calls.some((call) => call.startsWith('tickle')), 'nobody is woken up');
});

/** Addresses that move: in what order commands run and doors open, whatever is wished meanwhile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Fault } from '../../base/fault.ts';
import type { Done } from '../../base/fault.ts';
import type { Epoch, VolumeName } from '../../base/names.ts';
import { announcement } from '../../drivers/linux/gratuitous-arp.ts';
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
  const mover = { up: command('up'), down: command('down'), announce: () => (calls.push('announce'), null) };
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

test('an announcement is an ARP request for its own address', () => {
  const packet = announcement('10.1.2.3', '02:00:00:aa:bb:cc');
  assert.equal(packet.toString('hex'), '0001080006040001020000aabbcc0a0102030000000000000a010203');
});

/** The brake holds what nobody needs at once, says until when, and lets go. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../ports/clock.ts';
import type { VolumeRecord } from '../ports/coordinator.ts';
import { Brake } from './brake.ts';

function world() {
  let nowMs = 0;
  const brake = new Brake({ nowMs: () => nowMs } as Clock);
  const see = (epoch: number, mirror = 'in-sync'): void => brake.see({ epoch, mirror } as unknown as VolumeRecord);
  return { brake, see, after: (ms: number) => void (nowMs += ms) };
}

test('a volume is given back by itself only after a stable period', () => {
  const { brake, see, after } = world();
  see(4);
  assert.deepEqual(brake.handover(), null);
  assert.equal(brake.giveback()?.leftMs, 30_000);
  assert.match(brake.giveback()?.why ?? '', /in sync under one owner for 30 s first/);
  after(20_000);
  see(4, 'suspended');
  see(4);
  assert.equal(brake.giveback()?.leftMs, 30_000, 'every state begins it anew');
  after(30_000);
  assert.equal(brake.giveback(), null);
});

test('three changes of owner within ten minutes put it on, and it expires', () => {
  const { brake, see, after } = world();
  see(1);
  for (const epoch of [2, 3, 4]) {
    assert.equal(brake.handover(), null);
    after(60_000);
    see(epoch);
  }
  assert.equal(brake.handover()?.leftMs, 600_000 - 120_000, 'until the first of the three is ten minutes old');
  assert.match(
    brake.handover()?.why ?? '',
    /the owner changed 3 times within 10 minutes; an administrator’s command goes on/,
  );
  assert.equal(brake.giveback()?.leftMs, 480_000, 'the longer one counts');
  after(479_999);
  assert.notEqual(brake.handover(), null);
  after(1);
  assert.equal(brake.handover(), null);
  assert.equal(brake.giveback(), null);
});

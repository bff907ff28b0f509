/**
 * Room for files: the medium is asked before writes are accepted, never more is accepted than it had.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '../../base/fault.ts';
import type { MediumVolume } from '../../ports/medium.ts';
import { REPLIES } from '../../ports/tree.ts';
import { Room } from './room.ts';

const MIB = 1 << 20;

function filesWith(availableBytes: () => number, undestagedBytes: () => number) {
  let asked = 0;
  const tree = {
    usage: (done: (fault: null, usage: { availableBytes: number }) => void) => {
      asked += 1;
      done(null, { availableBytes: availableBytes() });
    },
  };
  const medium = { tree, abilities: { reserve: false } } as unknown as MediumVolume;
  return { room: new Room(medium, undestagedBytes), asked: () => asked };
}

/** Accepts a write as the tenure does; what was refused is the fault. */
function accept(room: Room, bytes: number): Fault | null {
  if (room.holds('f', 0, bytes)) return null;
  let answer: Fault | null = null;
  room.reserve('f', 0, bytes, (fault) => (answer = fault));
  return answer;
}

test('however it is asked, files never take more than the medium had; then the medium is full', () => {
  let accepted = 0;
  const { room, asked } = filesWith(
    () => 64 * MIB,
    () => accepted,
  );
  let fault: Fault | null = null;
  while (fault === null) {
    fault = accept(room, MIB / 4);
    if (fault === null) accepted += MIB / 4;
  }
  assert.equal(fault.kind, 'full');
  assert.ok(accepted <= 60 * MIB && accepted >= 50 * MIB, `${accepted} bytes were accepted`);
  assert.ok(asked() < 20, `asked ${asked()} times`);
});

test('when there is room again, writes are accepted again', () => {
  let available = 0;
  const { room } = filesWith(
    () => available,
    () => 0,
  );
  assert.equal(accept(room, 1)?.kind, 'full');
  available = 64 * MIB;
  assert.equal(accept(room, 1), null);
});

test('the replies have room of their own: what gives room back can be done on a full medium', () => {
  const { room, asked } = filesWith(
    () => 0,
    () => 0,
  );
  assert.equal(room.holds(REPLIES, 1024, 1024), true);
  assert.equal(asked(), 0);
});

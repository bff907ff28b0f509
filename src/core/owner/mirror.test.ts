import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Epoch, Generation, Sequence, ServerId, StoreId, VolumeName } from '../../base/names.ts';
import { NO_TIME, type Operation, OperationKind } from '../../base/operation.ts';
import type { MirrorMessage } from '../../ports/link.ts';
import { OperationLog } from '../log.ts';
import { Mirror } from './mirror.ts';

const NONE = 0 as Sequence;

function write(sequence: number, bytes: number): Operation {
  return {
    epoch: 1 as Epoch,
    sequence: sequence as Sequence,
    kind: OperationKind.write,
    target: '',
    offset: 0,
    length: bytes,
    data: Buffer.alloc(bytes),
    dataCrc: 0,
    timeNs: NO_TIME,
  };
}

/** A mirror that is being built after nothing; `carries` says whether the link takes one more message. */
function mirrorOver(log: OperationLog, sent: MirrorMessage[], carries: () => boolean = () => true): Mirror {
  const life = { volume: 'v' as VolumeName, epoch: 1 as Epoch, generation: 1 as Generation };
  const mirror = new Mirror('b' as ServerId, null, life, NONE, {
    log: () => log,
    acknowledged: () => NONE,
    synced: () => NONE,
    send: (message) => {
      if (!carries() || message.type !== 'mirror') return false;
      sent.push(message);
      return true;
    },
    nowMs: () => 0,
    resendMs: 100,
  });
  mirror.begin('s' as StoreId, 1 << 30, NONE);
  return mirror;
}

const numbersOf = (sent: readonly MirrorMessage[]): number[][] =>
  sent.map(({ operations }) => operations.map(({ sequence }) => sequence));

test('new operations go in messages of a moderate size, in order and without a gap', () => {
  const log = new OperationLog(NONE);
  const sent: MirrorMessage[] = [];
  const mirror = mirrorOver(log, sent);
  const large = Array.from({ length: 5 }, (_, i) => write(i + 1, 128 << 10));
  const small = Array.from({ length: 32 }, (_, i) => write(i + 6, 4096));
  for (const operation of [...large, ...small]) log.append(operation);
  mirror.forward(large);
  mirror.forward(small);
  assert.deepEqual(numbersOf(sent), [[1, 2], [3, 4], [5], small.map(({ sequence }) => sequence)]);
  assert.equal(mirror.sent, 37);
});

test('what the link did not take is sent by the next pump', () => {
  const log = new OperationLog(NONE);
  const sent: MirrorMessage[] = [];
  let room = 1;
  const mirror = mirrorOver(log, sent, () => room-- > 0);
  const large = Array.from({ length: 6 }, (_, i) => write(i + 1, 128 << 10));
  for (const operation of large) log.append(operation);
  mirror.forward(large);
  assert.deepEqual(numbersOf(sent), [[1, 2]]);
  assert.equal(mirror.sent, 2);
  room = 100;
  mirror.pump();
  assert.deepEqual(numbersOf(sent).flat(), [1, 2, 3, 4, 5, 6]);
});

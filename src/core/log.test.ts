import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Epoch, Sequence } from '../base/names.ts';
import { OperationKind, costBytes, NO_TIME } from '../base/operation.ts';
import type { Operation } from '../base/operation.ts';
import { OperationLog } from './log.ts';

const seq = (n: number): Sequence => n as Sequence;

function operation(sequence: number, bytes = 8): Operation {
  const data = Buffer.alloc(bytes, sequence);
  return {
    epoch: 1 as Epoch,
    sequence: seq(sequence),
    kind: OperationKind.write,
    target: '',
    offset: 0,
    length: bytes,
    data,
    dataCrc: 0,
    timeNs: NO_TIME,
  };
}

/** A log of `first`..`last`, whose base is `first - 1`. */
function logOf(first: number, last: number): OperationLog {
  const log = new OperationLog(seq(first - 1));
  for (let s = first; s <= last; s += 1) log.append(operation(s));
  return log;
}

const sequencesOf = (operations: readonly Operation[]): number[] => operations.map((o) => o.sequence);

test('an empty log begins and ends at its base', () => {
  const log = new OperationLog(seq(7));
  assert.deepEqual([log.base, log.last, log.length, log.bytes], [7, 7, 0, 0]);
  assert.equal(log.at(seq(7)), undefined);
  assert.equal(log.at(seq(8)), undefined);
  assert.deepEqual(log.take(seq(8), 1_000), []);
});

test('a gap or a repetition is a bug, not an input', () => {
  const log = logOf(8, 9);
  assert.throws(() => log.append(operation(11)), /no gap/);
  assert.throws(() => log.append(operation(9)), /no gap/);
  log.append(operation(10));
  assert.equal(log.last, 10);
});

test('only what is in the log can be released', () => {
  const log = logOf(1, 3);
  assert.throws(() => log.release(seq(4)), /only what is in the log/);
});

test('take gives what fits, and one operation that is larger than the limit alone', () => {
  const log = new OperationLog(seq(0));
  const large = operation(1, 5_000);
  log.append(large);
  for (const s of [2, 3, 4]) log.append(operation(s));
  assert.deepEqual(sequencesOf(log.take(seq(1), 100)), [1], 'too large for the limit, and still sent');
  const small = costBytes(operation(2));
  assert.deepEqual(sequencesOf(log.take(seq(2), 2 * small)), [2, 3]);
  assert.deepEqual(sequencesOf(log.take(seq(2), 2 * small + 1)), [2, 3]);
  assert.deepEqual(sequencesOf(log.take(seq(2), Number.POSITIVE_INFINITY)), [2, 3, 4]);
  assert.deepEqual(log.take(seq(0), 1_000), [], 'what was never in it is not taken');
});

test('it does what a list with a starting number does', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('append' as const), bytes: fc.integer({ min: 1, max: 100 }) }),
    fc.record({ do: fc.constant('release' as const), count: fc.integer({ min: 0, max: 5 }) }),
  );
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1_000 }), fc.array(step, { maxLength: 80 }), (start, steps) => {
      const log = new OperationLog(seq(start));
      let base = start;
      let model: Operation[] = [];
      for (const s of steps) {
        if (s.do === 'append') {
          const added = operation(base + model.length + 1, s.bytes);
          log.append(added);
          model.push(added);
        } else {
          const count = Math.min(s.count, model.length);
          log.release(seq(base + count));
          model = model.slice(count);
          base += count;
        }
        log.invariants();
        assert.equal(log.base, base);
        assert.equal(log.last, base + model.length);
        assert.equal(log.length, model.length);
        assert.equal(
          log.bytes,
          model.reduce((sum, o) => sum + costBytes(o), 0),
        );
        for (let i = -1; i <= model.length; i += 1)
          assert.equal(log.at(seq(base + 1 + i)), i < 0 ? undefined : model[i]);
        assert.deepEqual(log.take(seq(base + 1), Number.POSITIVE_INFINITY), model);
      }
    }),
  );
});

test('releasing backwards does nothing', () => {
  const log = logOf(5, 8);
  log.release(seq(6));
  log.release(seq(2));
  assert.deepEqual([log.base, log.last], [6, 8]);
});

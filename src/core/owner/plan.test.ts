/**
 * The plan and the overlay against the slow, obvious version: an array with one entry per byte.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Epoch, Sequence } from '../../base/names.ts';
import { NO_BYTES, OperationKind } from '../../base/operation.ts';
import type { Operation } from '../../base/operation.ts';
import type { MediumVolume } from '../../ports/medium.ts';
import { Overlay } from './overlay.ts';
import { issue, planOf } from './plan.ts';
import type { Step } from './plan.ts';

/** Bytes of the object that the properties work on. */
const SIZE = 64;

interface Draft {
  readonly kind: OperationKind;
  readonly target: string;
  readonly offset: number;
  readonly length: number;
}

/** The operation number `index` + 1; its data say which operation wrote them, and which byte of it. */
function operationOf({ kind, target, offset, length }: Draft, index: number): Operation {
  const data =
    kind === OperationKind.write ? Buffer.from(Array.from({ length }, (_, i) => (index + 1) * 31 + i)) : NO_BYTES;
  return {
    epoch: 1 as Epoch,
    sequence: (index + 1) as Sequence,
    kind,
    target,
    offset,
    length,
    data,
    dataCrc: 0,
    timeNs: BigInt(index + 1),
  };
}

const write = (offset: number, length: number, target = ''): Draft => ({
  kind: OperationKind.write,
  target,
  offset,
  length,
});
const operationsOf = (drafts: readonly Draft[]): Operation[] => drafts.map(operationOf);

const drafts = fc.array(
  fc
    .record({
      kind: fc.constantFrom(OperationKind.write, OperationKind.write, OperationKind.zero, OperationKind.trim),
      target: fc.constantFrom('', 'b'),
      offset: fc.integer({ min: 0, max: SIZE - 1 }),
      length: fc.integer({ min: 1, max: 24 }),
    })
    .map((d) => ({ ...d, length: Math.min(d.length, SIZE - d.offset) })),
  { maxLength: 40 },
);

/** What a byte holds: a value, or why it is zero. `old` is what the medium held before. */
type Cell = number | 'zero' | 'trim' | 'old';

/** Applies the operations one by one, byte by byte. */
function stateAfter(operations: readonly Operation[]): Map<string, Cell[]> {
  const state = new Map<string, Cell[]>();
  for (const o of operations) {
    const cells = state.get(o.target) ?? new Array<Cell>(SIZE).fill('old');
    state.set(o.target, cells);
    for (let i = 0; i < o.length; i += 1)
      cells[o.offset + i] =
        o.kind === OperationKind.write ? (o.data[i] as number) : o.kind === OperationKind.zero ? 'zero' : 'trim';
  }
  return state;
}

/** Carries the steps out in the given order; a byte that two steps touch is an error. */
function stateOf(steps: readonly Step[]): Map<string, Cell[]> {
  const state = new Map<string, Cell[]>();
  for (const step of steps) {
    // Of files: plan-files.test.ts.
    if (step.kind === 'resize' || step.kind === 'stamp') continue;
    const cells = state.get(step.target) ?? new Array<Cell>(SIZE).fill('old');
    state.set(step.target, cells);
    const bytes = step.kind === 'write' ? Buffer.concat(step.data) : null;
    if (bytes !== null) assert.equal(bytes.length, step.length, 'a write says how long it is');
    for (let i = 0; i < step.length; i += 1) {
      assert.equal(cells[step.offset + i], 'old', 'steps of one plan never overlap');
      cells[step.offset + i] = step.kind === 'write' ? (bytes?.[i] as number) : step.kind;
    }
  }
  return state;
}

test('a plan leads where its operations lead, and writes every byte at most once (T5)', () => {
  fc.assert(
    fc.property(drafts, (some) => {
      const operations = operationsOf(some);
      assert.deepEqual(stateOf(planOf(operations)), stateAfter(operations));
    }),
  );
});

test('the order of the steps does not matter: they may all be on their way together', () => {
  fc.assert(
    fc.property(drafts, (some) => {
      const steps = planOf(operationsOf(some));
      assert.deepEqual(sorted(stateOf(steps.toReversed())), sorted(stateOf(steps)));
    }),
  );
});

const sorted = (state: Map<string, Cell[]>): [string, Cell[]][] =>
  [...state].toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));

test('breaking off a plan and planning again from the log leads to the same end', () => {
  // What a failed sync, a crash or a claimant's death leave: any part of the steps done, then the whole plan again.
  fc.assert(
    fc.property(drafts, fc.integer({ min: 0, max: 40 }), (some, done) => {
      const operations = operationsOf(some);
      const before = planOf(operations.slice(0, done));
      const medium = new Map<string, Cell[]>();
      const carryOut = (steps: readonly Step[]): void => {
        for (const [target, cells] of stateOf(steps)) {
          const now = medium.get(target) ?? new Array<Cell>(SIZE).fill('old');
          cells.forEach((cell, at) => (cell === 'old' ? null : (now[at] = cell)));
          medium.set(target, now);
        }
      };
      carryOut(before.slice(0, Math.ceil(before.length / 2)));
      carryOut(planOf(operations));
      assert.deepEqual(sorted(medium), sorted(stateAfter(operations)));
    }),
  );
});

test('a block overwritten many times is one step with its last content', () => {
  const operations = operationsOf(Array.from({ length: 100 }, () => write(4, 8)));
  const steps = planOf(operations);
  assert.equal(steps.length, 1);
  const [step] = steps;
  assert.deepEqual([step?.kind, step?.offset, step?.length], ['write', 4, 8]);
  assert.deepEqual(step?.kind === 'write' ? Buffer.concat(step.data) : null, operations.at(-1)?.data);
});

test('neighbours become one write, up to a bound in bytes and in pieces', () => {
  const mebi = 1 << 20;
  const half = planOf(operationsOf([write(0, mebi / 2), write(mebi / 2, mebi / 2), write(mebi, 10)]));
  assert.deepEqual(
    half.map((s) => [s.offset, s.length]),
    [
      [0, mebi],
      [mebi, 10],
    ],
  );
  const pieces = planOf(operationsOf(Array.from({ length: 600 }, (_, i) => write(i * 2, 2))));
  assert.ok(pieces.length > 1, 'more than one write');
  for (const step of pieces) assert.ok(step.kind === 'write' && step.data.length <= 1_024, 'an iovec holds it');
});

test('a trim in the middle of data, a zero, and data of another target stay apart', () => {
  const steps = planOf(
    operationsOf([
      write(0, 30),
      { kind: OperationKind.trim, target: '', offset: 10, length: 5 },
      { kind: OperationKind.zero, target: '', offset: 15, length: 5 },
      write(0, 4, 'b'),
    ]),
  );
  assert.deepEqual(
    steps.map((s) => [s.kind, s.target, s.offset, s.length]),
    [
      ['write', '', 0, 10],
      ['trim', '', 10, 5],
      ['zero', '', 15, 5],
      ['write', '', 20, 10],
      ['write', 'b', 0, 4],
      ['stamp', 'b', 0, 0],
    ],
  );
});

test('only a trim punches, and only when it may', () => {
  const calls: unknown[] = [];
  const done = (): void => undefined;
  const medium: Pick<MediumVolume, 'write' | 'zero'> = {
    write: (target, offset, data) => calls.push(['write', target, offset, Buffer.concat(data).length]),
    zero: (target, offset, length, punch) => calls.push(['zero', target, offset, length, punch]),
  };
  const [trim] = planOf(operationsOf([{ kind: OperationKind.trim, target: '', offset: 1, length: 2 }]));
  const [zero] = planOf(operationsOf([{ kind: OperationKind.zero, target: '', offset: 1, length: 2 }]));
  const [data] = planOf(operationsOf([write(1, 2)]));
  assert.ok(trim !== undefined && zero !== undefined && data !== undefined, 'one step each');
  issue(medium as MediumVolume, trim, true, done);
  issue(medium as MediumVolume, trim, false, done);
  issue(medium as MediumVolume, zero, true, done);
  issue(medium as MediumVolume, data, true, done);
  assert.deepEqual(calls, [
    ['zero', '', 1, 2, true],
    ['zero', '', 1, 2, false],
    ['zero', '', 1, 2, false],
    ['write', '', 1, 2],
  ]);
});

test('the overlay shows the newest operation of every byte, and forgets what is released', () => {
  const steps = fc.array(
    fc.oneof(
      { weight: 3, arbitrary: drafts.map((d) => d[0] ?? null) },
      { weight: 1, arbitrary: fc.constant('release' as const) },
      // Somebody looks now and then, or begins to.
      { weight: 1, arbitrary: fc.integer({ min: 1, max: 9 }) },
    ),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(steps, fc.integer({ min: 0, max: SIZE - 1 }), fc.integer({ min: 1, max: SIZE }), (some, from, long) => {
      const overlay = new Overlay();
      const log: Operation[] = [];
      let next = 0;
      for (const s of some) {
        if (s === 'release') {
          const oldest = log.shift();
          if (oldest !== undefined) overlay.remove(oldest);
        } else if (typeof s === 'number') overlay.map(s);
        else if (s !== null) {
          const added = operationOf(s, next);
          next += 1;
          log.push(added);
          overlay.add(added);
        }
      }
      const length = Math.min(long, SIZE - from);
      for (const target of ['', 'b']) {
        const newest = new Array<number>(SIZE).fill(0);
        for (const o of log) if (o.target === target) newest.fill(o.sequence, o.offset, o.offset + o.length);
        const seen = new Array<number>(SIZE).fill(0);
        let at = from;
        overlay.visit(target, from, length, (a, b, o) => {
          assert.ok(a >= at && b > a && b <= from + length, 'ascending, within the range, never empty');
          at = b;
          seen.fill(o.sequence, a, b);
        });
        assert.deepEqual(seen.slice(from, from + length), newest.slice(from, from + length));
      }
    }),
  );
});

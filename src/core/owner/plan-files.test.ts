/**
 * Plans of files: sizes and times beside bytes, against files that are modified one operation after the other.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Epoch, Sequence } from '../../base/names.ts';
import { LARGEST_OBJECT_BYTES, NO_BYTES, OperationKind } from '../../base/operation.ts';
import type { Operation } from '../../base/operation.ts';
import { Overlay } from './overlay.ts';
import { planOf } from './plan.ts';
import type { Step } from './plan.ts';

const SIZE = 48;

/** A file as a medium has it. */
interface File {
  bytes: number[];
  timeNs: bigint;
}
type Files = Map<string, File>;

interface Draft {
  readonly kind: OperationKind;
  readonly target: string;
  readonly offset: number;
  readonly length: number;
}

function operationOf({ kind, target, offset, length }: Draft, index: number): Operation {
  const fields = { epoch: 1 as Epoch, sequence: (index + 1) as Sequence, kind, target, timeNs: BigInt(index + 1) };
  const clears = { ...fields, data: NO_BYTES, dataCrc: 0 };
  if (kind === OperationKind.stamp) return { ...clears, offset: 0, length: 0 };
  if (kind === OperationKind.truncate) return { ...clears, offset, length: LARGEST_OBJECT_BYTES - offset };
  const data = Buffer.alloc(length, index + 1);
  return { ...fields, offset, length, data, dataCrc: 0 };
}

const { write, truncate, stamp } = OperationKind;
const drafts = fc.array(
  fc.record({
    kind: fc.constantFrom(write, write, write, truncate, stamp),
    target: fc.constantFrom('f', 'g'),
    offset: fc.integer({ min: 0, max: SIZE }),
    length: fc.integer({ min: 1, max: 16 }),
  }),
  { maxLength: 30 },
);

function fileOf(files: Files, target: string): File {
  const file = files.get(target) ?? { bytes: [], timeNs: 0n };
  files.set(target, file);
  return file;
}

function resize(file: File, bytes: number): void {
  while (file.bytes.length > bytes) file.bytes.pop();
  while (file.bytes.length < bytes) file.bytes.push(0);
}

function writeAt(file: File, offset: number, data: Buffer): void {
  if (file.bytes.length < offset) resize(file, offset);
  data.forEach((byte, i) => (file.bytes[offset + i] = byte));
}

function apply(files: Files, operation: Operation): void {
  const file = fileOf(files, operation.target);
  if (operation.kind === write) writeAt(file, operation.offset, operation.data);
  else if (operation.kind === truncate) resize(file, operation.offset);
  file.timeNs = operation.timeNs;
}

const NOW_NS = 10_000n;

/** As a file system does it: everything but a stamp moves the time to now. */
function carryOut(files: Files, step: Step): void {
  const file = fileOf(files, step.target);
  file.timeNs = NOW_NS;
  if (step.kind === 'write') writeAt(file, step.offset, Buffer.concat(step.data));
  else if (step.kind === 'resize') resize(file, step.offset);
  else if (step.kind === 'stamp') file.timeNs = step.timeNs;
  else {
    // Zeroing never extends a file.
    for (let at = step.offset; at < Math.min(file.bytes.length, step.offset + step.length); at += 1) file.bytes[at] = 0;
  }
}

/** Some order that the writer may carry them out in: the stamps come last. */
function shuffled(steps: readonly Step[], seed: number): Step[] {
  const others = steps.filter((step) => step.kind !== 'stamp');
  const ranked = others.map((step, i) => ({ step, rank: (Math.imul(i + 1, 2654435761) ^ seed) >>> 0 }));
  ranked.sort((a, b) => a.rank - b.rank);
  return [...ranked.map(({ step }) => step), ...steps.filter((step) => step.kind === 'stamp')];
}

test('in whatever order its steps return, a plan leads where its operations lead', () => {
  fc.assert(
    fc.property(drafts, fc.integer(), fc.nat(10), (some, seed, before) => {
      const operations = some.map(operationOf);
      const expected: Files = new Map([['f', { bytes: new Array<number>(before).fill(99), timeNs: 0n }]]);
      const medium: Files = new Map([['f', { bytes: new Array<number>(before).fill(99), timeNs: 0n }]]);
      for (const operation of operations) apply(expected, operation);
      for (const step of shuffled(planOf(operations), seed)) carryOut(medium, step);
      assert.deepEqual(sorted(medium), sorted(expected));
    }),
  );
});

test('a plan that broke off, after a part that had been destaged, is repeated to the same end (T5)', () => {
  fc.assert(
    fc.property(drafts, fc.integer(), fc.nat(30), fc.nat(30), (some, seed, destaged, done) => {
      const operations = some.map(operationOf);
      const expected: Files = new Map();
      const medium: Files = new Map();
      for (const operation of operations) apply(expected, operation);
      for (const step of planOf(operations.slice(0, destaged))) carryOut(medium, step);
      const steps = shuffled(planOf(operations), seed);
      for (const step of steps.slice(0, done)) carryOut(medium, step);
      for (const step of shuffled(planOf(operations), seed + 1)) carryOut(medium, step);
      assert.deepEqual(sorted(medium), sorted(expected));
    }),
  );
});

test('what had reached the medium is never taken back by a plan that breaks off (T5)', () => {
  // Everything is destaged, the release got lost: a replay of any part of the plan changes no byte and no size.
  fc.assert(
    fc.property(drafts, fc.integer(), fc.nat(30), (some, seed, done) => {
      const operations = some.map(operationOf);
      const medium: Files = new Map();
      for (const step of planOf(operations)) carryOut(medium, step);
      const before = structuredClone(medium);
      for (const step of shuffled(planOf(operations), seed).slice(0, done)) {
        carryOut(medium, step);
        for (const [name, { bytes }] of medium) assert.deepEqual(bytes, before.get(name)?.bytes);
      }
    }),
  );
});

test('the overlay says of a file what its undestaged operations say', () => {
  fc.assert(
    fc.property(drafts, fc.nat(30), (some, removed) => {
      const operations = some.map(operationOf);
      const overlay = new Overlay();
      for (const operation of operations) overlay.add(operation);
      const onMedium: Files = new Map();
      for (const operation of operations.slice(0, removed)) {
        overlay.remove(operation);
        apply(onMedium, operation);
      }
      const expected: Files = new Map();
      for (const operation of operations) apply(expected, operation);
      for (const [name, file] of expected) {
        const pending = overlay.pending(name);
        const isLeft = operations.slice(removed).some(({ target }) => target === name);
        assert.equal(pending !== null, isLeft);
        const mediumBytes = onMedium.get(name)?.bytes.length ?? 0;
        const bytes = pending?.exactBytes ?? Math.max(mediumBytes, pending?.leastBytes ?? 0);
        assert.equal(bytes, file.bytes.length);
        if (pending !== null) assert.equal(pending.timeNs, file.timeNs);
      }
    }),
  );
});

const sorted = (files: Files): [string, File][] => [...files].toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));

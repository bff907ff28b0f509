/**
 * What a read may show, and when: the view is taken before the medium is read, nothing is shown that could not yet be
 * acknowledged, and authority is asked for after the data are gathered (design 2.5, traps T1 and T33).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '../../base/fault.ts';
import type { Epoch, Sequence } from '../../base/names.ts';
import { NO_BYTES, OperationKind, NO_TIME } from '../../base/operation.ts';
import type { Operation } from '../../base/operation.ts';
import type { Extent, MediumVolume } from '../../ports/medium.ts';
import type { ReadRequest, StatusRequest } from '../../ports/service.ts';
import { Overlay } from './overlay.ts';
import { Reads } from './reads.ts';

const RETRY_MS = 10;
const GIVE_UP_MS = 35;

interface Asked {
  readonly offset: number;
  readonly length: number;
  answer(fault: Fault | null): void;
}

interface Answer {
  request: ReadRequest;
  /** The bytes as text, zeroes as dots; null before the answer. */
  text: string | null;
  fault: Fault | null;
}

/** A medium of text whose reads wait to be answered by hand, and everything else that `Reads` asks of the world. */
class World {
  readonly overlay = new Overlay();
  medium = Buffer.from('................');
  readonly asked: Asked[] = [];
  readonly failures: Fault[] = [];
  authority = true;
  #nowMs = 0;
  #soon: (() => void)[] = [];
  #timers: { atMs: number; run: () => void }[] = [];
  #sequence = 0;

  readonly reads = new Reads({
    overlay: this.overlay,
    medium: {
      read: (_target: string, offset: number, length: number, done: (f: Fault | null, data: Buffer | null) => void) =>
        this.asked.push({
          offset,
          length,
          // What the medium holds when it answers, not when it was asked.
          answer: (fault) => done(fault, fault ? null : Buffer.from(this.medium.subarray(offset, offset + length))),
        }),
      extents: (_target: string, offset: number, length: number, done: (f: null, e: readonly Extent[]) => void) =>
        done(null, [
          { offset, length: 2, hole: true },
          { offset: offset + 2, length: length - 2, hole: false },
        ]),
    } as unknown as MediumVolume,
    clock: {
      nowMs: () => this.#nowMs,
      soon: (run) => this.#soon.push(run),
      together: (run) => this.#soon.push(run),
      later: (run) => this.#soon.push(run),
      after: (delayMs, run) => {
        this.#timers.push({ atMs: this.#nowMs + delayMs, run });
        return { cancel: () => undefined };
      },
    },
    retryMs: RETRY_MS,
    giveUpMs: GIVE_UP_MS,
    confirmedSince: () => true,
    askGrant: () => undefined,
    mayAnswer: () => this.authority,
    failed: (fault) => this.failures.push(fault),
    idle: () => undefined,
  });

  /** An operation is accepted; not yet acknowledgeable. */
  accept(offset: number, text: string, kind: OperationKind = OperationKind.write): Operation {
    this.#sequence += 1;
    const data = kind === OperationKind.write ? Buffer.from(text) : NO_BYTES;
    const operation = {
      epoch: 1 as Epoch,
      sequence: this.#sequence as Sequence,
      kind,
      target: '',
      offset,
      length: text.length,
      data,
      dataCrc: 0,
      timeNs: NO_TIME,
    };
    this.overlay.add(operation);
    return operation;
  }

  /** Its bytes are on the medium; `release` follows when they are synced and every store lets go. */
  destage(operation: Operation): void {
    operation.data.copy(this.medium, operation.offset);
  }

  submit(offset: number, length: number): Answer {
    const request: ReadRequest = {
      kind: 'read',
      target: '',
      offset,
      length,
      cancelled: false,
      done: (fault, pieces) => {
        assert.equal(answer.text ?? answer.fault, null, 'answered once');
        answer.fault = fault;
        if (pieces === null) return;
        answer.text = pieces.map((p) => p.data?.toString() ?? '.'.repeat(p.length)).join('');
        assert.equal(answer.text.length, length);
      },
    };
    const answer: Answer = { request, text: null, fault: null };
    this.reads.submit(request);
    assert.equal(answer.text, null, 'never from within submit');
    return answer;
  }

  status(offset: number, length: number): (readonly [number, number, boolean])[] {
    let extents: readonly Extent[] = [];
    const done: StatusRequest['done'] = (_fault, found) => (extents = found ?? []);
    this.reads.submit({ kind: 'status', target: '', offset, length, cancelled: false, done });
    this.turn();
    return extents.map((e) => [e.offset, e.length, e.hole]);
  }

  /** The end of this turn. */
  turn(): void {
    for (const run of this.#soon.splice(0)) run();
  }

  /** The medium answers everything asked so far. */
  answerAll(fault: Fault | null = null): void {
    for (const asked of this.asked.splice(0)) asked.answer(fault);
    this.turn();
  }

  pass(ms: number): void {
    this.#nowMs += ms;
    const due = this.#timers.filter((t) => t.atMs <= this.#nowMs);
    this.#timers = this.#timers.filter((t) => t.atMs > this.#nowMs);
    for (const { run } of due) run();
    this.turn();
  }
}

test('the store lies over the medium; only the hull of what is missing is read from it', () => {
  const world = new World();
  world.medium = Buffer.from('abcdefghijklmnop');
  world.accept(2, 'XX');
  world.accept(6, '12', OperationKind.zero);
  world.accept(12, 'YYYY');
  world.reads.wake(3 as Sequence);
  const read = world.submit(2, 14);
  assert.deepEqual(
    world.asked.map((a) => [a.offset, a.length]),
    [[4, 8]],
  );
  world.answerAll();
  assert.equal(read.text, 'XXef..ijklYYYY');
});

test('what the store determines wholly is answered without the medium, in the next turn', () => {
  const world = new World();
  world.accept(0, 'abcd');
  world.reads.wake(1 as Sequence);
  const read = world.submit(1, 2);
  assert.equal(world.asked.length, 0);
  world.turn();
  assert.equal(read.text, 'bc');
});

test('an operation that only the owner has is not shown: the read waits for it (T1)', () => {
  const world = new World();
  world.accept(0, 'new.');
  const over = world.submit(0, 4);
  const beside = world.submit(8, 4);
  world.answerAll();
  assert.equal(over.text, null);
  assert.equal(beside.text, '....', 'what it does not touch does not wait');
  assert.equal(world.reads.waiting, 1);
  world.reads.wake(1 as Sequence);
  world.turn();
  assert.equal(over.text, 'new.');
});

test('reads wait for the newest operation that they show, each for its own', () => {
  const world = new World();
  world.accept(0, 'aa');
  const first = world.submit(0, 2);
  world.accept(2, 'bb');
  const second = world.submit(0, 4);
  world.reads.wake(1 as Sequence);
  world.turn();
  assert.deepEqual([first.text, second.text], ['aa', null]);
  world.reads.wake(2 as Sequence);
  world.turn();
  assert.equal(second.text, 'aabb');
});

test('an operation may leave the store while the read waits: its view is kept', () => {
  const world = new World();
  const written = world.accept(0, 'abcd');
  const read = world.submit(0, 4);
  world.accept(0, 'later');
  world.destage(written);
  world.overlay.remove(written);
  world.reads.wake(1 as Sequence);
  world.turn();
  assert.equal(read.text, 'abcd');
});

test('behind many operations that nobody has looked at, reads wait for the map in pieces, and see what came meanwhile', () => {
  const world = new World();
  for (let i = 0; i < 3_000; i += 1) world.accept(i % 16, 'x');
  world.accept(0, 'abcd');
  const first = world.submit(0, 4);
  world.accept(2, 'ef');
  const second = world.submit(0, 6);
  assert.equal(world.reads.waiting, 2);
  world.reads.wake(3_002 as Sequence);
  let turns = 0;
  for (; first.text === null && turns < 9; turns += 1) world.turn();
  assert.deepEqual([first.text, second.text], ['abef', 'abefxx']);
  assert.ok(turns > 1, 'not at once');
  const third = world.submit(0, 4);
  world.turn();
  assert.equal(third.text, 'abef', 'all of it is mapped');
  assert.equal(world.reads.waiting, 0);
});

test('what reached the medium after the view was taken is not shown before it is acknowledgeable', () => {
  const world = new World();
  const read = world.submit(0, 4);
  // Written through: on the medium, not yet synced, so a crash may still take it back.
  world.destage(world.accept(0, 'new.'));
  world.answerAll();
  assert.equal(read.text, null);
  world.reads.wake(1 as Sequence);
  world.turn();
  assert.equal(read.text, 'new.', 'the data that were gathered, without a second read');
  assert.equal(world.asked.length, 0);
});

test('an answer leaves only with authority, and later if it comes back', () => {
  const world = new World();
  const read = world.submit(0, 4);
  world.authority = false;
  world.answerAll();
  assert.deepEqual([read.text, world.reads.waiting], [null, 1]);
  world.reads.answerWaiting();
  assert.equal(read.text, null);
  world.authority = true;
  world.reads.answerWaiting();
  assert.deepEqual([read.text, world.reads.waiting, world.reads.answered], ['....', 0, 1]);
});

test('after the end nothing is answered, whatever comes back', () => {
  const world = new World();
  world.accept(8, 'x');
  const waits = world.submit(8, 1);
  const gathered = world.submit(0, 2);
  world.asked.shift()?.answer(null);
  const out = world.submit(4, 2);
  world.reads.end();
  world.answerAll();
  world.reads.answerWaiting();
  world.pass(1_000);
  assert.deepEqual([waits.text, gathered.text, out.text, world.reads.waiting], [null, null, null, 0]);
});

test('a cancelled read is answered no more', () => {
  const world = new World();
  world.accept(0, 'x');
  const read = world.submit(0, 1);
  read.request.cancelled = true;
  world.reads.wake(1 as Sequence);
  world.turn();
  assert.equal(read.text, null);
  const gathered = world.submit(4, 2);
  world.asked.shift()?.answer(null);
  gathered.request.cancelled = true;
  world.turn();
  assert.equal(gathered.text, null, 'nor when its data had come already');
});

test('a medium that fails is asked again, then the client is told', () => {
  const world = new World();
  const fails = new Fault('io', 'the medium fails');
  const recovers = world.submit(0, 4);
  world.answerAll(fails);
  assert.equal(world.asked.length, 0, 'not at once');
  world.pass(RETRY_MS);
  world.answerAll();
  assert.deepEqual([recovers.text, recovers.fault], ['....', null]);

  const gives = world.submit(0, 4);
  for (let waited = 0; waited < GIVE_UP_MS; waited += RETRY_MS) {
    assert.equal(gives.fault, null);
    world.answerAll(fails);
    world.pass(RETRY_MS);
  }
  world.answerAll(fails);
  assert.equal(gives.fault, fails);
  assert.equal(world.failures.length, 6, 'each failure is evidence');

  const refused = world.submit(0, 4);
  world.answerAll(new Fault('refused', 'no such object'));
  assert.equal(refused.fault?.kind, 'refused', 'what will not change is not tried again');
});

test('the status of a range: trims are holes, writes and zeroes are not', () => {
  const world = new World();
  world.accept(4, 'ab');
  world.accept(6, '12', OperationKind.trim);
  world.accept(8, '12', OperationKind.zero);
  world.reads.wake(3 as Sequence);
  assert.deepEqual(world.status(0, 12), [
    [0, 2, true],
    [2, 4, false],
    [6, 2, true],
    [8, 4, false],
  ]);
});

/**
 * Calls on a files volume's tree: begun and answered with authority only.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MediumVolume } from '../../ports/medium.ts';
import type { CallRequest } from '../../ports/service.ts';
import type { MediumTree } from '../../ports/tree.ts';
import { Overlay } from './overlay.ts';
import { Reads } from './reads.ts';

class World {
  authority = true;
  idles = 0;
  readonly begun: (() => void)[] = [];
  answered: string[] = [];
  #soon: (() => void)[] = [];

  readonly reads = new Reads({
    overlay: new Overlay(),
    medium: { tree: {} as MediumTree } as unknown as MediumVolume,
    clock: {
      nowMs: () => 0,
      soon: (run) => this.#soon.push(run),
      together: (run) => this.#soon.push(run),
      later: (run) => this.#soon.push(run),
      after: () => ({ cancel: () => undefined }),
    },
    retryMs: 1,
    giveUpMs: 1,
    confirmedSince: () => true,
    askGrant: () => undefined,
    mayAnswer: () => this.authority,
    failed: () => assert.fail('nothing fails'),
    idle: () => (this.idles += 1),
  });

  call(name: string, begins = true): CallRequest {
    const request: CallRequest = {
      kind: 'call',
      begin: begins ? (_tree, returned) => this.begun.push(returned) : null,
      cancelled: false,
      done: () => this.answered.push(name),
    };
    this.reads.submit(request);
    return request;
  }

  /** The end of this turn. */
  turn(): readonly string[] {
    for (const run of this.#soon.splice(0)) run();
    return this.answered.splice(0);
  }
}

test('a call is answered when its I/O has returned, in a later turn', () => {
  const world = new World();
  world.call('one');
  assert.deepEqual(world.turn(), []);
  assert.equal(world.reads.calling, 1);
  world.begun.shift()?.();
  assert.equal(world.reads.calling, 0);
  assert.deepEqual(world.answered, []);
  assert.deepEqual(world.turn(), ['one']);
});

test('without authority no call begins; with it, it does', () => {
  const world = new World();
  world.authority = false;
  world.call('one');
  assert.equal(world.begun.length, 0);
  world.reads.answerWaiting();
  assert.equal(world.begun.length, 0);
  world.authority = true;
  world.reads.answerWaiting();
  assert.equal(world.begun.length, 1);
});

test('authority that ran out meanwhile holds the answer back', () => {
  const world = new World();
  world.call('of the tree');
  world.call('of memory', false);
  world.authority = false;
  world.begun.shift()?.();
  assert.deepEqual(world.turn(), []);
  world.authority = true;
  world.reads.answerWaiting();
  assert.deepEqual(world.turn(), ['of memory', 'of the tree']);
});

test('who waits for the last call to return is told', () => {
  const world = new World();
  world.call('one');
  world.call('two');
  world.begun.shift()?.();
  assert.equal(world.idles, 0);
  world.begun.shift()?.();
  assert.equal(world.idles, 1);
});

test('a cancelled call is not answered, and after the end none is', () => {
  const world = new World();
  world.call('cancelled').cancelled = true;
  world.call('too late');
  world.begun.shift()?.();
  assert.deepEqual(world.turn(), []);
  world.reads.end();
  world.begun.shift()?.();
  assert.deepEqual(world.turn(), []);
  assert.equal(world.idles, 0, 'nobody waits any more');
});

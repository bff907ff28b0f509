/** The supervisor's parts: the pause before a start, what is remembered of reports, what several witnesses say. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { incarnationOf } from '../../base/names.ts';
import type { Incarnation, ServerId } from '../../base/names.ts';
import type { Witness } from '../../ports/world.ts';
import { BackOff } from './back-off.ts';
import { readChildMessage } from './channel.ts';
import { AnyWitness, ReportedEnds } from './reported-ends.ts';

const b = 'b' as ServerId;
const life = (start: number): Incarnation => incarnationOf(start, 'f'.repeat(32));
const ask = (witness: Witness, server: ServerId, incarnation: Incarnation): Promise<string> =>
  new Promise((resolve) => witness.ended(server, incarnation, resolve));
const says = (verdict: 'ended' | 'alive' | 'unknown'): Witness => ({
  ended: (_server, _incarnation, done) => process.nextTick(done, verdict),
});

test('a server that keeps ending is started more and more seldom, one that has lived almost at once', () => {
  const backOff = new BackOff();
  const pauses = [0, 0, 0, 10, 0, 0, 0, 0].map((upMs) => backOff.ended(upMs));
  assert.deepEqual(pauses, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  assert.equal(backOff.ended(60_000), 500);
  assert.equal(backOff.ended(0), 1_000);
});

test('a reported end is proof of that incarnation alone', async () => {
  const ends = new ReportedEnds([b]);
  assert.equal(ends.report(b, life(7)), 'new');
  assert.equal(ends.report(b, life(7)), 'known');
  assert.equal(ends.report('z' as ServerId, life(7)), 'unknown');
  assert.equal(await ask(ends, b, life(7)), 'ended');
  assert.equal(await ask(ends, b, life(6)), 'unknown');
  assert.equal(await ask(ends, b, life(8)), 'unknown');
  assert.equal(await ask(ends, 'z' as ServerId, life(7)), 'unknown');
});

test('what is remembered is bounded: the oldest is forgotten', async () => {
  const ends = new ReportedEnds([b]);
  for (let start = 1; start <= 65; start += 1) ends.report(b, life(start));
  assert.equal(await ask(ends, b, life(1)), 'unknown');
  assert.equal(await ask(ends, b, life(2)), 'ended');
  assert.equal(await ask(ends, b, life(65)), 'ended');
});

test('proof by any witness is proof, and everybody is told once', async () => {
  for (const [one, two, verdict] of [
    ['unknown', 'ended', 'ended'],
    ['ended', 'unknown', 'ended'],
    ['alive', 'ended', 'ended'],
    ['alive', 'unknown', 'alive'],
    ['unknown', 'alive', 'alive'],
    ['unknown', 'unknown', 'unknown'],
  ] as const) {
    let told = 0;
    const both = new AnyWitness([says(one), says(two)]);
    const said = await new Promise((resolve) =>
      both.ended(b, life(1), (heard) => {
        told += 1;
        setImmediate(() => resolve(heard));
      }),
    );
    assert.equal(said, verdict);
    assert.equal(told, 1);
  }
});

test("only a server's own words are heard on the channel", () => {
  const incarnation = life(3);
  assert.deepEqual(readChildMessage({ holdfast: 'alive', incarnation }), { holdfast: 'alive', incarnation });
  assert.deepEqual(readChildMessage({ holdfast: 'up' }), { holdfast: 'up' });
  for (const value of [null, 'up', {}, { holdfast: 'alive' }, { holdfast: 'alive', incarnation: 'x' }])
    assert.equal(readChildMessage(value), null);
});

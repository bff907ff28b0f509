/**
 * The record's rules as tables: what each state lets whom claim, what a claim has to replay, and what becomes of a log
 * that turns up later.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Epoch, Generation, Incarnation, MediumId, Sequence, ServerId, StoreId } from '../base/names.ts';
import { NO_SEQUENCE } from '../base/names.ts';
import type { Holder, VolumeRecord } from '../ports/coordinator.ts';
import type { LogHead } from '../ports/store.ts';
import {
  claimRefusal,
  claimed,
  claimedWithLoss,
  fateOfLog,
  firstRecord,
  inSync,
  isCopyOf,
  names,
  served,
  sole,
  sourceOf,
  suspended,
  unchanged,
} from './record.ts';
import type { Self } from './record.ts';

const gen = (n: number): Generation => n as Generation;
const seq = (n: number): Sequence => n as Sequence;
const server = (name: string): ServerId => name as ServerId;
const store = (name: string): StoreId => name as StoreId;
const holder = (name: string, start = 1): Holder => ({
  server: server(name),
  incarnation: `${name}${start}` as Incarnation,
});

/** Server `name` in its `start`-th life, with store `s<name>` and, where given, a log. */
function self(name: string, head: Partial<LogHead> | null = null, start = 1): Self {
  const whole = { epoch: 1 as Epoch, generations: [gen(1)], base: NO_SEQUENCE, complete: true };
  return { ...holder(name, start), store: store(`s${name}`), head: head === null ? null : { ...whole, ...head } };
}

const created = (): VolumeRecord => firstRecord('m' as MediumId, 'n0');
/** a serves alone, in epoch 1 and generation 1. */
const alone = (): VolumeRecord => served(claimed(created(), self('a'), 'n1', 'first'), self('a'), null, 'n2');
/** a serves, mirrored by b under generation 2. */
const mirrored = (): VolumeRecord => inSync(alone(), { server: server('b'), store: store('sb') }, gen(2), 'n3');
/** a's and b's copies of that life. */
const copyAt = (name: string): Self => self(name, { generations: [gen(2)] });

test('a created volume belongs to nobody, and anybody may claim it', () => {
  const record = created();
  assert.deepEqual([record.version, record.epoch, record.owner, record.mirror], [1, 0, null, 'suspended']);
  assert.equal(sourceOf(record), null);
  assert.equal(claimRefusal(record, self('c')), null);
});

test('a claim raises epoch and generation and serves nothing yet (T3)', () => {
  const record = claimed(mirrored(), copyAt('b'), 'n4', 'a is dead');
  assert.equal(record.version, mirrored().version + 1);
  assert.deepEqual([record.epoch, record.generation, record.mirror, record.nonce], [2, 3, 'replaying', 'n4']);
  assert.deepEqual(
    [record.owner, record.ownerStore, record.partner, record.partnerStore],
    [holder('b'), 'sb', 'a', null],
  );
});

test('what a claim replays: both stores, one, or none', () => {
  const from = (record: VolumeRecord): unknown => {
    const source = sourceOf(record);
    return source && [source.epoch, source.generation, source.from, source.stores.map((s) => s.store)];
  };
  assert.equal(from(alone()), null, 'suspended: the medium alone');
  assert.deepEqual(from(mirrored()), [1, 2, 'in-sync', ['sa', 'sb']]);
  assert.deepEqual(from(sole(mirrored(), gen(3), 'n', 'b is lost')), [1, 3, 'sole', ['sa']]);
  const replaying = claimed(mirrored(), copyAt('b'), 'n', 'a is dead');
  assert.deepEqual(from(replaying), [1, 2, 'in-sync', ['sa', 'sb']], 'replaying: the same as before');
  const again = claimed(replaying, copyAt('a'), 'n', 'b died too');
  assert.deepEqual([again.epoch, from(again)], [3, [1, 2, 'in-sync', ['sa', 'sb']]], 'however often');
});

test('who may claim: the stores that the record names, each a complete copy of that life (I7, I10)', () => {
  const refusal = (record: VolumeRecord, who: Self): string => claimRefusal(record, who) ?? 'may';
  const record = mirrored();
  assert.equal(refusal(record, copyAt('a')), 'may');
  assert.equal(refusal(record, copyAt('b')), 'may');
  assert.match(refusal(record, copyAt('c')), /names no store of this server/);
  assert.match(refusal(record, { ...copyAt('b'), store: store('another') }), /is gone/, 'an empty memory store (T16)');
  assert.match(refusal(record, self('b')), /not a complete one/, 'a copy of an earlier life');
  assert.match(refusal(record, self('b', { generations: [gen(2)], epoch: 7 as Epoch })), /not a complete one/);
  assert.match(refusal(record, self('b', { generations: [gen(2)], complete: false })), /not a complete one/);
  assert.match(refusal(record, self('b', null)), /not a complete one/);
  assert.equal(refusal(record, self('a', { generations: [gen(1), gen(2)] })), 'may', 'marked ahead of the swap');
  assert.equal(refusal(alone(), self('c', null)), 'may', 'suspended: whoever reaches the medium');
  const onlyA = sole(record, gen(3), 'n', 'b is lost');
  assert.match(refusal(onlyA, copyAt('b')), /sole and names no store/);
  assert.equal(refusal(onlyA, self('a', { generations: [gen(3)] })), 'may');
});

test('a copy counts only for the epoch and the generation that the source names', () => {
  const source = sourceOf(mirrored());
  assert.ok(source !== null, 'in sync: there is something to replay');
  for (const epoch of [0, 1, 2])
    for (const generation of [1, 2, 3])
      for (const complete of [true, false]) {
        const head = { epoch: epoch as Epoch, generations: [gen(generation)], complete };
        assert.equal(isCopyOf(source, self('b', head)), epoch === 1 && generation === 2 && complete);
      }
});

test('holders: everybody who may still have authority, until somebody serves (T8)', () => {
  const byB = claimed(mirrored(), copyAt('b'), 'n', 'a is dead');
  assert.deepEqual(byB.holders, [holder('a'), holder('b')]);
  const byBAgain = claimed(byB, self('b', { generations: [gen(2)] }, 2), 'n', 'restarted in its wait');
  assert.deepEqual(byBAgain.holders, [holder('a'), holder('b', 2)], 'its earlier process has ended; a may not have');
  const byA = claimed(byBAgain, self('a', { generations: [gen(2)] }, 2), 'n', 'b died too');
  assert.deepEqual(byA.holders, [holder('b', 2), holder('a', 2)]);
  assert.deepEqual(served(byA, self('a', null, 2), seq(9), 'n').holders, [holder('a', 2)]);
});

test('serving ends the replay and remembers where an uncertain one ended', () => {
  const replaying = claimed(mirrored(), copyAt('b'), 'n', 'a is dead');
  const uncertain = served(replaying, copyAt('b'), seq(9), 'n');
  assert.deepEqual(
    [uncertain.mirror, uncertain.source, uncertain.replayed],
    ['suspended', null, { epoch: 1, sequence: 9 }],
  );
  assert.equal(served(replaying, copyAt('b'), null, 'n').replayed, null);
  const later = served(claimed(uncertain, self('a', null, 2), 'n', 'b is dead'), self('a', null, 2), seq(0), 'n');
  assert.deepEqual(later.replayed, { epoch: 1, sequence: 9 }, 'nothing replayed, nothing forgotten');
  assert.throws(() => served(alone(), self('a'), null, 'n'), /replaying/);
});

test('only some states follow each other, and generations grow', () => {
  const replaying = claimed(mirrored(), copyAt('b'), 'n', 'why');
  assert.throws(() => suspended(replaying, gen(9), 'n', 'why'), /in-sync or sole/);
  assert.throws(() => suspended(alone(), gen(9), 'n', 'why'), /in-sync or sole/);
  assert.throws(() => sole(replaying, gen(9), 'n', 'why'), /in-sync or suspended/);
  assert.throws(() => inSync(replaying, { server: server('b'), store: store('sb') }, gen(9), 'n'), /served record/);
  assert.throws(() => suspended(mirrored(), gen(2), 'n', 'why'), /grow/);
  assert.throws(() => inSync(alone(), { server: server('b'), store: store('sb') }, gen(1), 'n'), /grow/);
  const changedPartner = inSync(mirrored(), { server: server('c'), store: store('sc') }, gen(3), 'n');
  assert.deepEqual(sourceOf(changedPartner)?.stores, [
    { server: 'a', store: 'sa' },
    { server: 'c', store: 'sc' },
  ]);
});

test('a record under another nonce changes nothing but version and nonce', () => {
  const record = mirrored();
  assert.deepEqual(unchanged(record, 'x'), { ...record, version: record.version + 1, nonce: 'x' });
});

test('which stores a record counts on', () => {
  assert.equal(names(mirrored(), server('b'), store('sb')), true);
  assert.equal(names(mirrored(), server('b'), store('sc')), false);
  assert.equal(names(mirrored(), server('c'), store('sb')), false);
  assert.equal(names(alone(), server('a'), store('sa')), false);
  assert.equal(names(claimed(mirrored(), copyAt('b'), 'n', 'why'), server('a'), store('sa')), true, 'the source');
});

test('an accepted loss replays nothing, is kept in the record, and puts the given-up log aside (T30)', () => {
  const onlyA = sole(mirrored(), gen(3), 'n', 'b is lost');
  const given = claimedWithLoss(onlyA, copyAt('b'), 'n', 'a burnt down');
  assert.deepEqual([given.source, given.losses, given.mirror], [null, ['a burnt down'], 'replaying']);
  const after = served(given, copyAt('b'), null, 'n');
  const logOfA: LogHead = { epoch: 1 as Epoch, generations: [gen(3)], base: NO_SEQUENCE, complete: true };
  assert.equal(fateOfLog(after, logOfA, seq(5), false), 'aside');
  assert.equal(fateOfLog(after, logOfA, seq(5), true), 'void', 'an empty log holds nothing');
});

test('losses are kept to the last 8', () => {
  let record = mirrored();
  for (let i = 1; i <= 10; i += 1) record = claimedWithLoss(record, copyAt('b'), 'n', `loss ${i}`);
  assert.deepEqual(
    record.losses,
    [3, 4, 5, 6, 7, 8, 9, 10].map((i) => `loss ${i}`),
  );
});

test('the fate of a log that the record no longer names', () => {
  const record = { ...alone(), replayed: { epoch: 5 as Epoch, sequence: seq(98) } };
  const fate = (epoch: number, last: number, complete = true): string =>
    fateOfLog(record, { epoch: epoch as Epoch, generations: [gen(1)], base: NO_SEQUENCE, complete }, seq(last), false);
  assert.equal(fate(5, 98), 'void', 'all of it was replayed');
  assert.equal(fate(5, 99), 'aside', 'it went on beyond what was replayed');
  assert.equal(fate(4, 1), 'aside', 'nobody knows any more');
  assert.equal(fate(6, 99), 'void', 'of a later epoch, whose end the medium had');
  assert.equal(fate(5, 99, false), 'void', 'a copy that was being built: its owner had everything');
  const never = { ...record, replayed: null };
  assert.equal(
    fateOfLog(never, { epoch: 1 as Epoch, generations: [], base: NO_SEQUENCE, complete: true }, seq(9), false),
    'void',
  );
});

test('whatever happens, versions go on one by one and epoch and generation never fall', () => {
  type Event = 'claim-a' | 'claim-b' | 'serve' | 'suspend' | 'sole' | 'sync' | 'loss';
  const event = fc.constantFrom<Event>('claim-a', 'claim-b', 'serve', 'suspend', 'sole', 'sync', 'loss');
  const apply = (record: VolumeRecord, what: Event): VolumeRecord | null => {
    const generation = gen(record.generation + 1);
    const { mirror } = record;
    const owner = self(record.owner?.server ?? 'a');
    switch (what) {
      case 'claim-a':
        return claimed(record, self('a'), 'n', what);
      case 'claim-b':
        return claimed(record, self('b'), 'n', what);
      case 'loss':
        return claimedWithLoss(record, self('b'), 'n', what);
      case 'serve':
        return mirror === 'replaying' ? served(record, owner, seq(1), 'n') : null;
      case 'suspend':
        return mirror === 'in-sync' || mirror === 'sole' ? suspended(record, generation, 'n', what) : null;
      case 'sole':
        return mirror === 'in-sync' || mirror === 'suspended' ? sole(record, generation, 'n', what) : null;
      case 'sync':
        return mirror === 'replaying'
          ? null
          : inSync(record, { server: server('b'), store: store('sb') }, generation, 'n');
    }
  };
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      let record = alone();
      for (const what of events) {
        const next = apply(record, what);
        if (next === null) continue;
        assert.equal(next.version, record.version + 1);
        assert.ok(next.epoch >= record.epoch && next.generation >= record.generation, 'neither falls');
        assert.ok(next.epoch + next.generation > record.epoch + record.generation || what === 'serve', 'one grows');
        assert.equal(next.source !== null && next.mirror !== 'replaying', false, 'a source only while replaying');
        assert.equal(next.mirror === 'in-sync', next.partnerStore !== null, 'a partner’s store only while in sync');
        assert.ok(next.holders.length > 0 && next.holders.length <= 2, 'one entry per server');
        assert.equal(next.mediumId, record.mediumId);
        record = next;
      }
    }),
  );
});

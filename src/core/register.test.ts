/**
 * Swaps of unknown outcome, on a coordinator that loses answers and lets calls land late: a pending swap is settled only
 * by what is found in the record, and never as won when it was not (traps T18, T27).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Fault } from '../base/fault.ts';
import type { Generation, Incarnation, MediumId, ServerId, StoreId, VolumeName } from '../base/names.ts';
import type { Clock, Ids } from '../ports/clock.ts';
import type { Coordinator, SwapOutcome, VolumeRecord } from '../ports/coordinator.ts';
import { claimed, firstRecord, inSync, served, suspended, unchanged } from './record.ts';
import type { Self } from './record.ts';
import { Register } from './register.ts';
import { DEFAULT_TIMINGS } from './settings.ts';

const gen = (n: number): Generation => n as Generation;

const self = (name: string): Self => ({
  server: name as ServerId,
  incarnation: `${name}1` as Incarnation,
  store: `s${name}` as StoreId,
  head: null,
});
const partner = { server: 'b' as ServerId, store: 'sb' as StoreId };

/** a serves in epoch 1, mirrored by b under generation 2. */
function mirrored(): VolumeRecord {
  const first = firstRecord('m' as MediumId, 'n0');
  const alone = served(claimed(first, self('a'), 'n1', 'first'), self('a'), null, 'n2');
  return inSync(alone, partner, gen(2), 'n3');
}

/** What the coordinator does with one call: how long until it lands, and whether the caller hears of it, and when. */
interface Weather {
  readonly landMs: number;
  readonly answerMs: number;
  readonly answer: 'truth' | 'unknown' | 'never';
}
const FINE: Weather = { landMs: 1, answerMs: 1, answer: 'truth' };

/** A coordinator on virtual time; every call takes its weather from `weather`, in order, `FINE` when there is none left. */
class World implements Clock, Ids, Pick<Coordinator, 'read' | 'swap'> {
  record: VolumeRecord | null = mirrored();
  readonly weather: Weather[] = [];
  readonly told: string[] = [];
  /** Every record that was ever in force. */
  readonly history: VolumeRecord[] = [mirrored()];
  readonly #events: { atMs: number; run: () => void; order: number }[] = [];
  #nowMs = 0;
  #drawn = 0;

  readonly register = new Register('v' as VolumeName, this as unknown as Coordinator, this, this, DEFAULT_TIMINGS, {
    changed: () => this.told.push('changed'),
    confirmed: (record, issuedAtMs) => {
      this.told.push(`confirmed ${record.version} at ${issuedAtMs}`);
      this.onConfirmed();
    },
  });
  /** What the owner does with its authority. */
  onConfirmed: () => void = () => undefined;

  nowMs(): number {
    return this.#nowMs;
  }
  after(delayMs: number, run: () => void): { cancel(): void } {
    const event = { atMs: this.#nowMs + delayMs, run, order: (this.#drawn += 1) };
    this.#events.push(event);
    return {
      cancel: () => {
        const at = this.#events.indexOf(event);
        if (at >= 0) this.#events.splice(at, 1);
      },
    };
  }
  soon(run: () => void): void {
    this.after(0, run);
  }
  together(run: () => void): void {
    this.after(0, run);
  }
  later(run: () => void): void {
    this.after(0, run);
  }
  draw(): string {
    return `x${(this.#drawn += 1)}`;
  }
  spread(): number {
    return 0.5;
  }
  get timers(): number {
    return this.#events.length;
  }

  pass(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      this.#events.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
      const event = this.#events[0];
      if (event === undefined || event.atMs > untilMs) break;
      this.#events.shift();
      this.#nowMs = event.atMs;
      event.run();
    }
    this.#nowMs = untilMs;
  }

  read(_volume: VolumeName, done: (fault: Fault | null, record: VolumeRecord | null) => void): void {
    const { landMs, answerMs, answer } = this.weather.shift() ?? FINE;
    this.after(landMs, () => {
      const { record } = this;
      if (answer === 'never') return;
      this.after(answerMs, () => {
        if (answer === 'unknown' || record === null) done(new Fault('io', 'the coordinator fails'), null);
        else done(null, record);
      });
    });
  }

  swap(_volume: VolumeName, next: VolumeRecord, done: (outcome: SwapOutcome, fault: Fault | null) => void): void {
    const { landMs, answerMs, answer } = this.weather.shift() ?? FINE;
    this.after(landMs, () => {
      const won = this.land(next);
      if (answer === 'never') return;
      this.after(answerMs, () => done(answer === 'unknown' ? 'unknown' : won ? 'done' : 'conflict', null));
    });
  }

  /** The compare-and-swap itself. */
  land(next: VolumeRecord): boolean {
    if (this.record === null || next.version !== this.record.version + 1) return false;
    this.record = next;
    this.history.push(next);
    return true;
  }

  known(): VolumeRecord {
    const { known } = this.register;
    assert.ok(known !== null, 'the record has been read');
    return known;
  }

  /** Issues the swap to `suspended`; how often and how it was settled is in the returned list. */
  suspend(wanted: () => boolean = () => true): { readonly settled: boolean[]; readonly next: VolumeRecord } {
    const settled: boolean[] = [];
    const next = suspended(this.known(), gen(this.known().generation + 1), this.draw(), 'b is lost');
    this.register.swap(next, {
      wanted,
      settled: (won) => {
        settled.push(won);
        if (won)
          assert.deepEqual({ ...this.known(), nonce: '' }, { ...next, nonce: '' }, 'won: that record is known now');
      },
    });
    return { settled, next };
  }
}

function worldThatRead(): World {
  const world = new World();
  world.register.read();
  world.pass(10);
  world.told.length = 0;
  return world;
}

test('a read is a grant from the moment it was issued, not from its answer (T27)', () => {
  const world = new World();
  world.weather.push({ landMs: 300, answerMs: 400, answer: 'truth' });
  world.pass(50);
  world.register.read();
  world.pass(1_000);
  assert.deepEqual(world.told, ['confirmed 4 at 50', 'changed']);
});

test('an answer that comes after the deadline is taken for what it says', () => {
  const world = new World();
  const late = DEFAULT_TIMINGS.coordinatorMs + 500;
  world.weather.push({ landMs: 1, answerMs: late, answer: 'truth' });
  let ended = 0;
  world.register.read(() => (ended += 1));
  world.pass(DEFAULT_TIMINGS.coordinatorMs);
  assert.deepEqual([ended, world.register.fault?.kind, world.register.known], [1, 'timeout', null]);
  world.pass(1_000);
  assert.equal(ended, 1, 'told once');
  assert.equal(world.register.known?.version, 4);
});

test('an older record that arrives after a newer one changes nothing and grants nothing', () => {
  const world = worldThatRead();
  world.weather.push({ landMs: 1, answerMs: 500, answer: 'truth' });
  world.register.read();
  world.pass(10);
  const byB = claimed(world.known(), self('b'), 'claim', 'a is dead');
  world.land(byB);
  world.register.read(() => undefined);
  world.pass(10);
  assert.equal(world.known().epoch, 2);
  world.told.length = 0;
  world.pass(1_000);
  assert.deepEqual(world.told, []);
  assert.equal(world.known().epoch, 2);
});

test('who asks for a read is told by one that was issued afterwards', () => {
  const world = worldThatRead();
  world.weather.push({ landMs: 1, answerMs: 100, answer: 'truth' });
  world.register.read();
  world.pass(50);
  const byB = claimed(world.known(), self('b'), 'claim', 'a is dead');
  world.land(byB);
  let seen = 0;
  world.register.read(() => (seen = world.known().epoch));
  world.pass(500);
  assert.equal(seen, 2);
});

test('a swap that succeeds is settled once, as won', () => {
  const world = worldThatRead();
  const { settled, next } = world.suspend();
  assert.equal(world.register.settled, false);
  for (const mirror of ['in-sync', 'suspended'])
    assert.equal(
      world.register.mayBe((r) => r.mirror === mirror),
      true,
      mirror,
    );
  world.pass(10);
  assert.deepEqual(settled, [true]);
  assert.deepEqual([world.register.settled, world.known()], [true, next]);
  assert.equal(
    world.register.mayBe((r) => r.mirror === 'in-sync'),
    false,
  );
});

test('while its outcome is unknown both records may be in force, also after a read of the old one (T18)', () => {
  const world = worldThatRead();
  // The swap hangs in the coordinator, its time-out passes, and the reads that follow show the old record.
  world.weather.push({ landMs: 20_000, answerMs: 1, answer: 'truth' });
  const { settled } = world.suspend(() => true);
  world.pass(DEFAULT_TIMINGS.coordinatorMs + 2);
  world.register.read();
  world.pass(5);
  assert.deepEqual(settled, []);
  assert.equal(world.register.settled, false);
  assert.equal(
    world.register.mayBe((r) => r.mirror === 'suspended'),
    true,
  );
  // It is settled by a second swap on the same version; the first can then never land.
  world.pass(2_000);
  assert.deepEqual(settled, [true]);
  const { version } = world.known();
  world.pass(60_000);
  assert.equal(world.record?.version, version, 'the delayed one found the version taken');
  assert.deepEqual(settled, [true], 'told once');
});

test('a swap that is not wanted any more is settled by one that changes nothing', () => {
  const world = worldThatRead();
  world.weather.push({ landMs: 60_000, answerMs: 1, answer: 'never' });
  let wanted = true;
  const { settled } = world.suspend(() => wanted);
  wanted = false;
  world.pass(10_000);
  assert.deepEqual(settled, [false]);
  assert.deepEqual([world.known().mirror, world.known().version], ['in-sync', 5]);
  world.pass(120_000);
  assert.equal(world.record?.mirror, 'in-sync', 'and the delayed one never lands');
});

test('a swap that landed although its answer was lost is found by its nonce', () => {
  const world = worldThatRead();
  world.weather.push({ landMs: 5, answerMs: 1, answer: 'never' });
  const { settled, next } = world.suspend();
  world.pass(6);
  world.register.read();
  world.pass(5);
  assert.deepEqual(settled, [true]);
  assert.equal(world.known(), next);
});

test('somebody else was first: lost, and judged anew from the record known then', () => {
  const world = worldThatRead();
  const byB = claimed(world.known(), self('b'), 'claim', 'a is dead');
  world.weather.push({ landMs: 5, answerMs: 1, answer: 'truth' });
  let knownThen: VolumeRecord | null = null;
  const next = suspended(world.known(), gen(3), 'mine', 'b is lost');
  world.register.swap(next, {
    wanted: () => true,
    settled: (won) => {
      assert.equal(won, false);
      knownThen = world.register.known;
    },
  });
  world.land(byB);
  world.pass(10_000);
  assert.equal(knownThen, byB, 'the newer record is known before the attempt is told');
  assert.equal(world.register.settled, true);
});

test('a swap that landed and was overtaken counts as lost: what is known is no longer what was wanted', () => {
  const world = worldThatRead();
  world.weather.push({ landMs: 5, answerMs: 1, answer: 'never' });
  const { settled, next } = world.suspend();
  world.pass(6);
  world.land(claimed(next, self('b'), 'claim', 'a is dead'));
  world.pass(10_000);
  assert.deepEqual(settled, [false]);
  assert.equal(world.known().epoch, 2);
});

test('a swap issued on the news of a version is not settled by that news (T18)', () => {
  const world = worldThatRead();
  // b claimed and thought better of it: it settled its claim by a record that changes the version alone.
  const version5 = unchanged(world.known(), 'b thought better of it');
  world.land(version5);
  // The first that a hears of it is the read that gives it authority back, and what waited for that is a swap, which hangs.
  const suspending: { readonly settled: boolean[]; readonly next: VolumeRecord }[] = [];
  world.onConfirmed = () => {
    if (suspending.length === 0) suspending.push(world.suspend());
  };
  world.weather.push(FINE, { landMs: 1_000, answerMs: 1, answer: 'truth' });
  world.register.read();
  world.pass(100);
  const [issued] = suspending;
  assert.ok(issued !== undefined, 'a swapped');
  assert.deepEqual([world.known(), world.register.settled, issued.settled], [version5, false, []]);
  for (const mirror of ['in-sync', 'suspended'])
    assert.equal(
      world.register.mayBe((r) => r.mirror === mirror),
      true,
      mirror,
    );
  world.pass(10_000);
  assert.deepEqual([issued.settled, world.register.settled, world.known()], [[true], true, issued.next]);
});

test('a swap of before is settled by the news, and the next waits for that', () => {
  const world = worldThatRead();
  world.weather.push({ landMs: 20_000, answerMs: 1, answer: 'never' });
  const { settled } = world.suspend();
  world.land(unchanged(world.known(), 'b thought better of it'));
  let settledThen: boolean | null = null;
  world.onConfirmed = () => (settledThen ??= world.register.settled);
  world.register.read();
  world.pass(100);
  assert.deepEqual([settledThen, settled, world.register.settled, world.known().version], [false, [false], true, 5]);
});

test('two swaps at a time, or one on an old version, are bugs', () => {
  const world = worldThatRead();
  const old = world.known();
  world.suspend();
  assert.throws(() => world.suspend(), /one swap at a time/);
  world.pass(10);
  const attempt = { wanted: () => true, settled: () => undefined };
  assert.throws(() => world.register.swap(suspended(old, gen(9), 'n', 'why'), attempt), /follows the known version/);
});

test('in any weather: settled once, truly, and nothing lands afterwards', () => {
  const weather = fc.record({
    landMs: fc.integer({ min: 0, max: 5_000 }),
    answerMs: fc.integer({ min: 0, max: 5_000 }),
    answer: fc.constantFrom('truth' as const, 'truth' as const, 'unknown' as const, 'never' as const),
  });
  fc.assert(
    fc.property(
      fc.array(weather, { maxLength: 25 }),
      fc.array(fc.boolean(), { maxLength: 6 }),
      fc.option(fc.integer({ min: 0, max: 20_000 })),
      (some, wants, rivalAtMs) => {
        const world = worldThatRead();
        world.weather.push(...some);
        const { settled, next } = world.suspend(() => wants.shift() ?? true);
        if (rivalAtMs !== null)
          world.after(rivalAtMs, () => {
            if (world.record !== null) world.land(claimed(world.record, self('b'), 'claim', 'a is dead'));
          });
        const poll = (): void => {
          world.register.read();
          if (!world.register.settled) world.after(500, poll);
        };
        poll();
        for (let ms = 0; ms < 30_000 && !world.register.settled; ms += 250) {
          world.pass(250);
          if (!world.register.settled) {
            assert.deepEqual(settled, []);
            const now = world.record;
            // Whatever is in force at version 5 obeys the rules of one of the two that may be.
            if (now?.version === next.version && now.epoch === 1)
              assert.equal(
                world.register.mayBe((r) => r.mirror === now.mirror && r.generation === now.generation),
                true,
                'what is in force is among what may be',
              );
          } else assert.equal(settled.length, 1);
        }
        // The weather has run out long ago: every outcome is known, and nothing of the attempt is left to land.
        world.pass(60_000);
        assert.equal(settled.length, 1);
        const ofThisServer = world.history.filter((r) => r.version > 4 && r.epoch === 1);
        assert.ok(ofThisServer.length <= 1, 'of all that was issued on one version, one landed at most');
        if (settled[0] === true) assert.equal(ofThisServer[0]?.mirror, 'suspended');
        assert.ok(world.timers < 10, 'nothing is left behind');
      },
    ),
    { numRuns: 150, interruptAfterTimeLimit: 20_000 },
  );
});

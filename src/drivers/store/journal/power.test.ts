/**
 * The journal on a file that loses power: random histories of appends, releases, begins and marks, cut off at any
 * point with the write on its way persisted wholly, in part or torn at any sector. What is found afterwards is compared
 * with a plain record of what was asked for and what was reported. Then bits are flipped in what was synced.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Done, Fault } from '../../../base/fault.ts';
import type { Operation } from '../../../base/operation.ts';
import { costBytes } from '../../../base/operation.ts';
import type { StoreId } from '../../../base/names.ts';
import { assertSameOperations, generations, headOf, sequence, trimOf, writeOf } from '../../../../suites/store.ts';
import type { LogHead, RecoveredLog } from '../../../ports/store.ts';
import { decodeGroupHeader, encodeGroupHeader, SUPERBLOCK_BYTES, type Superblock } from '../../../wire/journal.ts';
import { writeGroup } from './create.ts';
import type { JournalFile } from './file.ts';
import { GroupWriter } from './group-writer.ts';
import { JournalStore } from './journal.ts';
import { LiveLog } from './live-log.ts';
import { writerAfter } from './open.ts';
import { recoverRing, type Recovery } from './recovery.ts';
import { type RingSizes, ringSizes, RingSpace } from './space.ts';

const CAPACITY = 48 << 10;
const MAX_DATA = 12 << 10;
const SECTOR = 512;
const KEY = Buffer.alloc(16, 'k');

/** Which sectors of the write on its way a power failure leaves. */
type Tear = (sector: number, sectors: number) => boolean;

class PowerFile implements JournalFile {
  readonly path = 'ring';
  readonly disk: Buffer;
  readonly sizeBytes: number;
  /** Writes end by themselves. */
  automatic = true;
  #pending: { readonly bytes: Buffer; readonly at: number; readonly done: Done } | null = null;

  constructor(disk: Buffer) {
    this.disk = disk;
    this.sizeBytes = disk.length;
  }
  get writing(): boolean {
    return this.#pending !== null;
  }
  write(buffers: Buffer[], at: number, done: Done): void {
    assert.equal(this.#pending, null, 'one write at a time');
    assert.equal(at % 4096, 0);
    const bytes = Buffer.concat(buffers);
    assert.equal(bytes.length % 4096, 0);
    assert.ok(at + bytes.length <= this.disk.length, 'within the file');
    this.#pending = { bytes, at, done };
    if (this.automatic) setImmediate(() => this.complete());
  }
  /** The write on its way is done. */
  complete(): void {
    const pending = this.#pending;
    if (pending === null) return;
    this.#pending = null;
    pending.bytes.copy(this.disk, pending.at);
    pending.done(null);
  }
  /** The power is gone. */
  fail(tear: Tear): void {
    const pending = this.#pending;
    this.#pending = null;
    if (pending === null) return;
    const sectors = pending.bytes.length / SECTOR;
    for (let i = 0; i < sectors; i += 1) {
      if (tear(i, sectors)) pending.bytes.copy(this.disk, pending.at + i * SECTOR, i * SECTOR, (i + 1) * SECTOR);
    }
  }
  read(into: Buffer, at: number, done: Done): void {
    this.disk.copy(into, 0, at, at + into.length);
    setImmediate(done, null);
  }
  sync(done: Done): void {
    setImmediate(done, null);
  }
  close(done: Done): void {
    setImmediate(done, null);
  }
}

/** A new ring. */
async function formatted(sizes: RingSizes): Promise<Buffer> {
  const disk = Buffer.alloc(SUPERBLOCK_BYTES + sizes.ringBytes);
  const space = new RingSpace(sizes, { number: 1, position: 0 }, 0);
  const end = { previousPosition: 0, previousCrc: 0, logNumber: 0, logSerial: -1 };
  await writeGroup(new GroupWriter(new PowerFile(disk), KEY, space, end), new LiveLog(0, null));
  return disk;
}

const FORMATTED = await formatted(ringSizes(CAPACITY, MAX_DATA));

/** One log as it was asked for. */
interface Asked {
  readonly operations: Operation[];
  readonly base: number;
  /** Every head the log had, and after which operation it got it. */
  readonly heads: { readonly head: LogHead; readonly after: number }[];
  headsDone: number;
  released: number;
  reported: number;
}

/** The store on a `PowerFile`, and the record of what was asked and told. */
class World {
  readonly capacityBytes: number;
  readonly sizes: RingSizes;
  readonly superblock: Superblock;
  readonly disk: Buffer;
  file: PowerFile;
  store!: JournalStore;
  #soon: (() => void)[] = [];
  #timers: (() => void)[] = [];
  /** Logs that may be found, by epoch; `begun` is the last one known to be durable. */
  readonly logs: Map<number, Asked> = new Map();
  begun = 0;
  current = 0;
  #epochs = 0;
  #life = 0;

  constructor(capacityBytes = CAPACITY, disk: Buffer = Buffer.from(FORMATTED)) {
    this.capacityBytes = capacityBytes;
    this.sizes = ringSizes(capacityBytes, MAX_DATA);
    this.superblock = { store: '0'.repeat(32), key: KEY, place: '', ...this.sizes };
    this.disk = disk;
    this.file = new PowerFile(disk);
  }

  async open(): Promise<RecoveredLog | null> {
    this.#life += 1;
    this.#soon = [];
    this.#timers = [];
    this.file = new PowerFile(this.disk);
    const recovery = await recoverRing(this.file, this.superblock);
    const log = recovery.log === null ? new LiveLog(0, null) : LiveLog.recovered(0, recovery.log);
    const writer = writerAfter(this.file, { key: KEY.toString('hex') }, this.sizes, recovery, log);
    await writeGroup(writer, log);
    this.file.automatic = false;
    const life = this.#life;
    this.store = new JournalStore({
      id: '0' as StoreId,
      capacityBytes: this.capacityBytes,
      maxDataBytes: MAX_DATA,
      recovered: recovery.log,
      log,
      writer,
      file: this.file,
      lock: { release: () => {} },
      asides: { logs: [], put: (_log, done) => setImmediate(done, null) },
      clock: {
        soon: (run) => void this.#soon.push(run),
        after: (_ms, run) => {
          this.#timers.push(run);
          return { cancel: () => (this.#timers = this.#timers.filter((one) => one !== run)) };
        },
      },
    });
    this.store.listen({
      stored: (through) => {
        if (life !== this.#life) return;
        const asked = this.logs.get(this.current);
        assert.ok(asked !== undefined && through <= asked.base + asked.operations.length);
        asked.reported = through;
      },
      failed: (fault) => assert.fail(fault.message),
    });
    return recovery.log;
  }

  /** The turn ends. */
  turn(): void {
    for (const run of this.#soon.splice(0)) run();
  }
  rest(): void {
    for (const run of this.#timers.splice(0)) run();
  }
  settle(): void {
    for (this.turn(); this.file.writing; this.turn()) this.file.complete();
  }

  begin(base: number): void {
    this.#epochs += 1;
    const epoch = this.#epochs;
    const life = this.#life;
    const head = headOf(epoch, base);
    this.logs.set(epoch, {
      operations: [],
      base,
      heads: [{ head, after: base }],
      headsDone: 1,
      released: base,
      reported: base,
    });
    this.current = epoch;
    this.store.begin(head, (fault) => {
      assert.equal(fault, null);
      if (life === this.#life && epoch > this.begun) this.begun = epoch;
    });
  }

  append(count: number, bytes: number): void {
    const asked = this.logs.get(this.current);
    if (asked === undefined) return;
    let room = this.capacityBytes;
    for (const held of asked.operations.slice(asked.released - asked.base)) room -= costBytes(held);
    const batch: Operation[] = [];
    for (let i = 0; i < count; i += 1) {
      const number = asked.base + asked.operations.length + batch.length + 1;
      const next =
        bytes === 0
          ? trimOf(this.current, number)
          : writeOf(this.current, number, bytes, number % 5 === 0 ? 'ä/é' : '');
      room -= costBytes(next);
      if (room < 0) break;
      batch.push(next);
    }
    asked.operations.push(...batch);
    this.store.append(batch, sequence(Math.max(asked.base, asked.reported - 1)));
  }

  mark(complete: boolean): void {
    const asked = this.logs.get(this.current);
    if (asked === undefined) return;
    const epoch = this.current;
    const life = this.#life;
    const number = asked.heads.length + 1;
    const head = { ...asked.heads[0]!.head, generations: generations(number), complete };
    asked.heads.push({ head, after: asked.base + asked.operations.length });
    this.store.mark(head.generations, complete, () => {
      if (life === this.#life && epoch === this.current) asked.headsDone = number;
    });
  }

  release(part: number): void {
    const asked = this.logs.get(this.current);
    if (asked === undefined) return;
    const through = asked.released + Math.floor((asked.reported - asked.released) * part);
    if (through <= asked.released) return;
    asked.released = through;
    this.store.release(sequence(through), sequence(asked.reported));
  }

  /** Loses power and starts again; what is found must be something that may be found. */
  async crash(tear: Tear): Promise<void> {
    this.file.fail(tear);
    const found = await this.open();
    if (found === null) {
      assert.equal(this.begun, 0, 'a log that was begun is there');
      this.logs.clear();
      this.current = 0;
      return;
    }
    const epoch = found.head.epoch;
    assert.ok(epoch >= this.begun, `the log of epoch ${this.begun} was durable, ${epoch} was found`);
    const asked = this.logs.get(epoch);
    assert.ok(asked !== undefined, 'a log that was asked for');
    const headIndex = asked.heads.findIndex(({ head }) => sameHead(head, found.head));
    assert.ok(headIndex >= 0, 'a head that was asked for');
    assert.ok(headIndex + 1 >= asked.headsDone, 'a mark that was done stays');
    assert.ok(found.released >= asked.base && found.released <= asked.released, 'released as far as was asked');
    const last = found.released + found.operations.length;
    assert.ok(last >= asked.reported, `${asked.reported} were reported stored, ${last} found`);
    assert.ok(last >= asked.heads[headIndex]!.after, 'a mark never overtakes what was appended before it');
    assertSameOperations(found.operations, asked.operations.slice(found.released - asked.base, last - asked.base));
    asked.operations.length = last - asked.base;
    asked.heads.length = headIndex + 1;
    asked.headsDone = headIndex + 1;
    asked.released = found.released;
    asked.reported = last;
    this.logs.clear();
    this.logs.set(epoch, asked);
    this.begun = epoch;
    this.current = epoch;
  }
}

function sameHead(a: LogHead, b: LogHead): boolean {
  return (
    a.epoch === b.epoch &&
    a.base === b.base &&
    a.complete === b.complete &&
    a.generations.join() === b.generations.join()
  );
}

type Step =
  | { readonly do: 'append'; readonly count: number; readonly bytes: number }
  | { readonly do: 'turn' | 'write' | 'rest' | 'begin' }
  | { readonly do: 'mark'; readonly complete: boolean }
  | { readonly do: 'release'; readonly part: number }
  | { readonly do: 'crash'; readonly tear: TearKind; readonly at: number };
type TearKind = 'nothing' | 'everything' | 'head' | 'tail' | 'without' | 'only' | 'mixed';

const TEARS: readonly TearKind[] = ['nothing', 'everything', 'head', 'tail', 'without', 'only', 'mixed'];

function tearOf(kind: TearKind, at: number): Tear {
  const hash = (sector: number): number => Math.imul(sector + 1, 2654435761 ^ Math.floor(at * 2 ** 31)) >>> 16;
  switch (kind) {
    case 'nothing':
      return () => false;
    case 'everything':
      return () => true;
    case 'head':
      return (sector, sectors) => sector < sectors * at;
    case 'tail':
      return (sector, sectors) => sector >= sectors * at;
    case 'without':
      return (sector, sectors) => sector !== Math.floor(sectors * at);
    case 'only':
      return (sector, sectors) => sector === Math.floor(sectors * at);
    case 'mixed':
      return (sector) => hash(sector) % 2 === 0;
  }
}

const unit = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      count: fc.integer({ min: 1, max: 12 }),
      bytes: fc.constantFrom(0, 1, 512, 3000, 4096, 10_000),
    }),
  },
  { weight: 8, arbitrary: fc.constant({ do: 'write' as const }) },
  { weight: 4, arbitrary: fc.constant({ do: 'turn' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'rest' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'begin' as const }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('mark' as const), complete: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('release' as const), part: fc.double({ min: 0, max: 1, noNaN: true }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), tear: fc.constantFrom(...TEARS), at: unit }) },
);

async function take(world: World, one: Step): Promise<void> {
  switch (one.do) {
    case 'append':
      world.append(one.count, one.bytes);
      return;
    case 'turn':
      world.turn();
      return;
    case 'write':
      world.turn();
      world.file.complete();
      return;
    case 'rest':
      world.rest();
      return;
    case 'begin':
      world.begin(world.current % 3);
      return;
    case 'mark':
      world.mark(one.complete);
      return;
    case 'release':
      world.release(one.part);
      return;
    case 'crash':
      await world.crash(tearOf(one.tear, one.at));
      return;
  }
}

async function history(steps: readonly Step[]): Promise<World> {
  const world = new World();
  await world.open();
  world.begin(0);
  for (const one of steps) await take(world, one);
  return world;
}

test('whatever is cut off when, everything reported stored is found, and nothing that was not asked for', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 20, maxLength: 250 }),
      fc.constantFrom(...TEARS),
      unit,
      async (steps, tear, at) => {
        const world = await history(steps);
        await world.crash(tearOf(tear, at));
        world.settle();
        await world.crash(tearOf('nothing', 0));
      },
    ),
    { numRuns: 250 },
  );
});

test('lonely trims up to the capacity fit, through many laps and with old operations in their midst', async () => {
  const capacity = 160 << 10;
  const world = new World(capacity, await formatted(ringSizes(capacity, MAX_DATA)));
  await world.open();
  world.begin(0);
  for (let round = 0; round < 6000; round += 1) {
    world.append(1, round % 500 === 0 ? 4096 : 0);
    world.settle();
    const asked = world.logs.get(1)!;
    const held = asked.operations.slice(asked.released - asked.base).reduce((sum, one) => sum + costBytes(one), 0);
    // Nearly full all the time: only the oldest few are ever let go of.
    if (held > capacity - 5000) world.release(0.02);
    if (round % 1000 === 999) await world.crash(tearOf('nothing', 0));
  }
  const { newest } = await recoverRing(new PowerFile(world.disk), world.superblock);
  assert.ok(newest.position > 5 * world.sizes.ringBytes, 'the ring went round');
});

test('a flipped bit in what was synced is refused, or changes nothing that was found', async () => {
  let refused = 0;
  let harmless = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 20, maxLength: 120 }),
      fc.array(fc.tuple(unit, fc.integer({ min: 0, max: 7 })), { minLength: 20, maxLength: 20 }),
      async (steps, flips) => {
        const world = await history(steps);
        world.settle();
        // The empty group that follows after a rest shows that all before it had been synced.
        world.rest();
        world.settle();
        const sound = await recoverRing(new PowerFile(world.disk), world.superblock);
        const first = sound.groups[0]!.position;
        const newest = sound.newest.position;
        const span = newest + sound.newest.bytes - first;
        for (const [where, bit] of flips) {
          const position = first + Math.floor(where * span);
          const found = await recoveredWithFlip(world, position, bit);
          if (found instanceof Fault) {
            assert.equal(found.kind, 'corrupt');
            refused += 1;
            continue;
          }
          assert.ok(position >= newest, `the flip of bit ${bit} at ${position} was not noticed`);
          harmless += 1;
          assert.deepEqual(found.log?.head.epoch, sound.log?.head.epoch);
          assert.ok(lastOf(found) >= lastOf(sound));
        }
      },
    ),
    { numRuns: 60 },
  );
  assert.ok(refused > 2 * harmless, `${refused} refused, ${harmless} harmless`);
});

test('without that empty group, damage to the last group is refused, or the group cut off: it is never served', async () => {
  const world = await history([
    { do: 'append', count: 3, bytes: 512 },
    { do: 'write' },
    { do: 'append', count: 4, bytes: 3000 },
    { do: 'write' },
  ]);
  const sound = await recoverRing(new PowerFile(world.disk), world.superblock);
  assert.equal(lastOf(sound), 7);
  for (let at = 0; at < sound.newest.bytes; at += at < 700 ? 1 : 97) {
    const found = await recoveredWithFlip(world, sound.newest.position + at, at % 8);
    // A header lies in one sector: what is left of one is damage for certain.
    if (at < 256) assert.ok(found instanceof Fault && found.kind === 'corrupt', `a flip at ${at} of the header`);
    else if (!(found instanceof Fault)) {
      assert.equal(lastOf(found), 3);
      assert.equal(found.log?.tornBytes, sound.newest.bytes);
      assertSameOperations(found.log?.operations ?? [], world.logs.get(1)!.operations.slice(0, 3));
    }
  }
});

test('a torn tail is refused where it was acknowledged, and the log a complete copy', async () => {
  for (const [complete, acknowledged, refused] of [
    [true, 3, false],
    [true, 4, true],
    [false, 9, false],
  ] as const) {
    const world = new World();
    await world.open();
    world.store.begin(headOf(1, 0, complete), () => {});
    const operations = [1, 2, 3, 4].map((number) => writeOf(1, number));
    world.logs.set(1, { operations, base: 0, heads: [], headsDone: 0, released: 0, reported: 0 });
    world.current = 1;
    world.store.append(operations.slice(0, 3), sequence(0));
    world.settle();
    world.store.append(operations.slice(3), sequence(acknowledged));
    world.turn();
    world.file.fail(tearOf('head', 0.5));
    const found = await recovered(world, world.disk);
    if (refused) assert.ok(found instanceof Fault && /known to have been acknowledged/.test(found.message), 'refused');
    else {
      assert.ok(!(found instanceof Fault), 'taken for torn');
      assert.equal(lastOf(found), 3);
      assert.equal(found.log?.acknowledged, acknowledged);
    }
  }
});

test('a group that is whole but not the one its successor followed is damage', async () => {
  const world = await history([
    { do: 'append', count: 3, bytes: 512 },
    { do: 'write' },
    { do: 'append', count: 4, bytes: 0 },
    { do: 'write' },
  ]);
  const sound = await recoverRing(new PowerFile(world.disk), world.superblock);
  const before = sound.groups.at(-2)!;
  const at = SUPERBLOCK_BYTES + before.position;
  const header = decodeGroupHeader(world.disk, at, KEY)!;
  encodeGroupHeader({ ...header, acknowledged: sequence(1) }, KEY, world.disk.subarray(at));
  const found = await recovered(world, world.disk);
  assert.ok(found instanceof Fault && found.kind === 'corrupt', 'the broken link is noticed');
});

/** The last operation found. */
function lastOf({ log }: Recovery): number {
  return log === null ? 0 : log.released + log.operations.length;
}

function recoveredWithFlip(world: World, position: number, bit: number): Promise<Recovery | Fault> {
  const disk = Buffer.from(world.disk);
  const at = SUPERBLOCK_BYTES + (position % world.sizes.ringBytes);
  disk[at] = disk[at]! ^ (1 << bit);
  return recovered(world, disk);
}

async function recovered(world: World, disk: Buffer): Promise<Recovery | Fault> {
  try {
    return await recoverRing(new PowerFile(disk), world.superblock);
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

/**
 * A journal's ring on a file that loses power, and a plain record of what was asked of the store and what it reported,
 * against which whatever is found afterwards is compared.
 */
import assert from 'node:assert/strict';
import { type Done, Fault } from '../src/base/fault.ts';
import type { Operation } from '../src/base/operation.ts';
import { costBytes } from '../src/base/operation.ts';
import type { StoreId } from '../src/base/names.ts';
import { assertSameOperations, generations, headOf, sequence, trimOf, writeOf } from './store-world.ts';
import type { LogHead, RecoveredLog } from '../src/ports/store.ts';
import { SUPERBLOCK_BYTES, type Superblock } from '../src/wire/journal.ts';
import { writeGroup } from '../src/drivers/store/journal/create.ts';
import type { JournalFile } from '../src/drivers/store/journal/file.ts';
import { GroupWriter } from '../src/drivers/store/journal/group-writer.ts';
import { JournalStore } from '../src/drivers/store/journal/journal.ts';
import { LiveLog } from '../src/drivers/store/journal/live-log.ts';
import { writerAfter } from '../src/drivers/store/journal/open.ts';
import { recoverRing, type Recovery } from '../src/drivers/store/journal/recovery.ts';
import { type RingSizes, ringSizes, RingSpace } from '../src/drivers/store/journal/space.ts';

export const CAPACITY = 48 << 10;
export const MAX_DATA = 12 << 10;
export const SECTOR = 512;
export const KEY = Buffer.alloc(16, 'k');

/** Which sectors of the write on its way a power failure leaves. */
export type Tear = (sector: number, sectors: number) => boolean;

export class PowerFile implements JournalFile {
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
export async function formatted(sizes: RingSizes): Promise<Buffer> {
  const disk = Buffer.alloc(SUPERBLOCK_BYTES + sizes.ringBytes);
  const space = new RingSpace(sizes, { number: 1, position: 0 }, 0);
  const end = { previousPosition: 0, previousCrc: 0, logNumber: 0, logSerial: -1 };
  await writeGroup(new GroupWriter(new PowerFile(disk), KEY, space, end), new LiveLog(0, null));
  return disk;
}

export const FORMATTED = await formatted(ringSizes(CAPACITY, MAX_DATA));

/** One log as it was asked for. */
export interface Asked {
  readonly operations: Operation[];
  readonly base: number;
  /** Every head the log had, and after which operation it got it. */
  readonly heads: { readonly head: LogHead; readonly after: number }[];
  headsDone: number;
  released: number;
  reported: number;
}

/** The store on a `PowerFile`, and the record of what was asked and told. */
export class World {
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

export function sameHead(a: LogHead, b: LogHead): boolean {
  return (
    a.epoch === b.epoch &&
    a.base === b.base &&
    a.complete === b.complete &&
    a.generations.join() === b.generations.join()
  );
}

export type TearKind = 'nothing' | 'everything' | 'head' | 'tail' | 'without' | 'only' | 'mixed';

export const TEARS: readonly TearKind[] = ['nothing', 'everything', 'head', 'tail', 'without', 'only', 'mixed'];

export function tearOf(kind: TearKind, at: number): Tear {
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

/** The last operation found. */
export function lastOf({ log }: Recovery): number {
  return log === null ? 0 : log.released + log.operations.length;
}

export function recoveredWithFlip(world: World, position: number, bit: number): Promise<Recovery | Fault> {
  const disk = Buffer.from(world.disk);
  const at = SUPERBLOCK_BYTES + (position % world.sizes.ringBytes);
  disk[at] = disk[at]! ^ (1 << bit);
  return recovered(world, disk);
}

export async function recovered(world: World, disk: Buffer): Promise<Recovery | Fault> {
  try {
    return await recoverRing(new PowerFile(disk), world.superblock);
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

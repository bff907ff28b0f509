/**
 * The medium port's conformance suite: what every medium promises, run by every driver's short test and by the
 * simulated one. A plain array of bytes stands beside the volume and is compared with it.
 *
 * Nothing here waits for a time: `world.step` lets the world go on a little, and the suite takes steps until what it
 * waits for has happened.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault, type FaultKind } from '../src/base/fault.ts';
import type { MediumId, VolumeName } from '../src/base/names.ts';
import type { Extent, Medium, MediumVolume } from '../src/ports/medium.ts';

/** A medium with one created volume, all zeroes. */
export interface MediumWorld {
  readonly medium: Medium;
  readonly volume: VolumeName;
  readonly mediumId: MediumId;
  /** Size of the volume: a multiple of `unitBytes`, at least 64 units and 64 KiB. */
  readonly sizeBytes: number;
  /** The least length and alignment that this medium takes; 1 where it takes any. */
  readonly unitBytes: number;
  /** Misuse (outside the size, after a close) throws from within the call, instead of being answered with a fault. */
  readonly asserts: boolean;
  /** `length` bytes that follow from `seed` and are not zeroes; whole units. */
  fill(length: number, seed: number): Buffer;
  /** Time goes on a little. */
  step(): Promise<void>;
  /** Removes whatever is left. */
  end(): Promise<void>;
}

/** More steps than anything here takes; reaching it means that something never happened. */
const STEPS_MAX = 2_000_000;

/** Random numbers that are the same in every run (Mulberry32). */
export function pseudoRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** An open volume, its calls as promises that the world is stepped for. */
class Driven {
  readonly volume: MediumVolume;
  readonly #world: MediumWorld;

  constructor(world: MediumWorld, volume: MediumVolume) {
    this.#world = world;
    this.volume = volume;
  }

  static async open(world: MediumWorld): Promise<Driven> {
    const volume = await call<MediumVolume>(world, (done) => world.medium.open(world.volume, world.mediumId, done));
    return new Driven(world, volume);
  }

  read(offset: number, length: number): Promise<Buffer> {
    return call(this.#world, (done) => this.volume.read('', offset, length, done));
  }
  write(offset: number, ...data: Buffer[]): Promise<void> {
    return callDone(this.#world, (done) => this.volume.write('', offset, data, done));
  }
  zero(offset: number, length: number, punch: boolean): Promise<void> {
    return callDone(this.#world, (done) => this.volume.zero('', offset, length, punch, done));
  }
  reserve(offset: number, length: number): Promise<void> {
    return callDone(this.#world, (done) => this.volume.reserve('', offset, length, done));
  }
  extents(offset: number, length: number): Promise<readonly Extent[]> {
    return call(this.#world, (done) => this.volume.extents('', offset, length, done));
  }
  sync(): Promise<void> {
    return callDone(this.#world, (done) => this.volume.sync(done));
  }
  close(): Promise<void> {
    return callDone(this.#world, (done) => this.volume.close(done));
  }
}

/** Runs one call: exactly one answer, never from within, exactly one of fault and value. */
async function call<T>(
  world: MediumWorld,
  start: (done: (fault: Fault | null, value: T | null) => void) => void,
): Promise<T> {
  let answers = 0;
  let within = true;
  let outcome: { readonly fault: Fault | null; readonly value: T | null } | null = null;
  start((fault, value) => {
    answers += 1;
    assert.equal(within, false, 'an answer never comes from within the call');
    assert.notEqual(fault === null, value === null, 'exactly one of fault and value');
    outcome = { fault, value };
  });
  within = false;
  for (let steps = 0; outcome === null; steps++) {
    assert.ok(steps < STEPS_MAX, 'the call is answered');
    await world.step();
  }
  const { fault, value } = outcome as { readonly fault: Fault | null; readonly value: T | null };
  assert.equal(answers, 1);
  if (fault !== null) throw fault;
  return value as T;
}

async function callDone(world: MediumWorld, start: (done: (fault: Fault | null) => void) => void): Promise<void> {
  await call<true>(world, (done) => start((fault) => done(fault, fault === null ? true : null)));
}

/** Expects a fault of the kind, with a whole sentence; or a throw where misuse is asserted. */
async function refused(run: () => Promise<unknown>, kind: FaultKind): Promise<void> {
  await assert.rejects(run, (error) => error instanceof Fault && error.kind === kind && error.message.length > 0);
}

/** Runs the suite; `make` is called for each test and gives a fresh world. `skip` says why it cannot run here. */
export function mediumSuite(name: string, make: () => Promise<MediumWorld>, skip: string | false = false): void {
  const run = (what: string, body: (world: MediumWorld) => Promise<void>): void => {
    test(`${name}: ${what}`, { skip }, async () => {
      const world = await make();
      try {
        await body(world);
      } finally {
        await world.end();
      }
    });
  };

  run('a new volume has its size and reads as zeroes', async (world) => {
    const volume = await Driven.open(world);
    assert.equal(volume.volume.sizeBytes(''), world.sizeBytes);
    assert.ok((await volume.read(0, world.sizeBytes)).equals(Buffer.alloc(world.sizeBytes)));
    await volume.close();
  });

  run('what was written, zeroed and trimmed is what is read, at any offset, also when opened afresh', async (world) => {
    const random = pseudoRandom(7);
    const units = world.sizeBytes / world.unitBytes;
    const model = Buffer.alloc(world.sizeBytes);
    let volume = await Driven.open(world);
    for (let round = 0; round < 120; round++) {
      const first = random(units);
      const offset = first * world.unitBytes;
      const length = (1 + random(Math.min(units - first, round % 3 === 0 ? 40_000 : 12))) * world.unitBytes;
      if (random(4) === 0) {
        await volume.zero(offset, length, random(2) === 0);
        model.fill(0, offset, offset + length);
      } else {
        const data = world.fill(length, round + 1);
        await volume.write(offset, ...cut(data, world.unitBytes, random));
        data.copy(model, offset);
      }
      const from = Math.max(0, offset - world.unitBytes);
      const to = Math.min(world.sizeBytes, offset + length + world.unitBytes);
      assert.ok((await volume.read(from, to - from)).equals(model.subarray(from, to)), `round ${round}`);
      if (round % 40 === 39) {
        await volume.sync();
        await volume.close();
        volume = await Driven.open(world);
      }
    }
    assert.ok((await volume.read(0, world.sizeBytes)).equals(model));
    await checkExtents(world, volume, model);
    await volume.close();
  });

  run('one write of very many pieces is written whole', async (world) => {
    const volume = await Driven.open(world);
    const pieces = Math.min(world.sizeBytes / world.unitBytes, 3_000);
    const data = Array.from({ length: pieces }, (_, i) => world.fill(world.unitBytes, i + 1));
    await volume.write(0, ...data);
    const whole = Buffer.concat(data);
    assert.ok((await volume.read(0, whole.length)).equals(whole));
    await volume.close();
  });

  run('the last byte can be written and read, and nothing beyond it', async (world) => {
    const volume = await Driven.open(world);
    const last = world.sizeBytes - world.unitBytes;
    const data = world.fill(world.unitBytes, 3);
    await volume.write(last, data);
    assert.ok((await volume.read(last, world.unitBytes)).equals(data));
    if (world.asserts) return volume.close();
    await refused(() => volume.write(last, data, data), 'refused');
    await refused(() => volume.read(last, 2 * world.unitBytes), 'refused');
    await refused(() => volume.read(world.sizeBytes, world.unitBytes), 'refused');
    await refused(() => volume.read(-world.unitBytes, world.unitBytes), 'refused');
    await refused(() => volume.read(0, 0), 'refused');
    await refused(() => volume.read(0.5, world.unitBytes), 'refused');
    await refused(() => volume.read(Number.MAX_SAFE_INTEGER, world.unitBytes), 'refused');
    await refused(() => volume.read(Number.NaN, world.unitBytes), 'refused');
    await refused(() => volume.zero(last, 2 * world.unitBytes, true), 'refused');
    await refused(() => volume.reserve(last, 2 * world.unitBytes), 'refused');
    await refused(() => volume.extents(last, 2 * world.unitBytes), 'refused');
    assert.ok((await volume.read(last, world.unitBytes)).equals(data), 'what was refused changed nothing');
    await volume.close();
  });

  run('calls that do not overlap may all be on their way at once', async (world) => {
    const volume = await Driven.open(world);
    const units = Math.min(world.sizeBytes / world.unitBytes, 400);
    const order = Array.from({ length: units }, (_, i) => i);
    await together(world, order, (i, done) =>
      volume.volume.write('', i * world.unitBytes, [world.fill(world.unitBytes, i + 1)], done),
    );
    const read: Buffer[] = [];
    await together(world, order, (i, done) =>
      volume.volume.read('', i * world.unitBytes, world.unitBytes, (fault, data) => {
        read[i] = data as Buffer;
        done(fault);
      }),
    );
    for (const i of order) assert.ok((read[i] as Buffer).equals(world.fill(world.unitBytes, i + 1)), `unit ${i}`);
    await volume.close();
  });

  run('reserving changes no byte, and what was reserved can be written', async (world) => {
    const volume = await Driven.open(world);
    const data = world.fill(8 * world.unitBytes, 5);
    await volume.write(8 * world.unitBytes, data);
    await volume.reserve(0, 32 * world.unitBytes);
    const around = await volume.read(0, 32 * world.unitBytes);
    const zeroes = Buffer.alloc(32 * world.unitBytes);
    data.copy(zeroes, 8 * world.unitBytes);
    assert.ok(around.equals(zeroes));
    await volume.write(0, data);
    assert.ok((await volume.read(0, 8 * world.unitBytes)).equals(data));
    await volume.close();
  });

  run('holes are told from data where the medium can, and never where there is data', async (world) => {
    const volume = await Driven.open(world);
    const model = Buffer.alloc(world.sizeBytes);
    const { abilities } = volume.volume;
    if (abilities.extents) {
      assert.deepEqual(await volume.extents(0, world.sizeBytes), [{ offset: 0, length: world.sizeBytes, hole: true }]);
    }
    const quarter = Math.floor(world.sizeBytes / 4 / world.unitBytes) * world.unitBytes;
    const data = world.fill(quarter, 9);
    await volume.write(quarter, data);
    data.copy(model, quarter);
    await checkExtents(world, volume, model);
    if (abilities.extents) {
      assert.ok(
        (await volume.extents(0, world.sizeBytes)).some((extent) => extent.hole),
        'holes are seen',
      );
    }
    await volume.zero(quarter, quarter, true);
    model.fill(0);
    await checkExtents(world, volume, model);
    if (abilities.extents && abilities.punch) {
      assert.ok(
        (await volume.extents(quarter, quarter)).some((extent) => extent.hole),
        'a trim makes a hole',
      );
    }
    await volume.close();
  });

  run('another medium’s id is refused, an unknown volume is missing', async (world) => {
    const other = 'f'.repeat(32) as MediumId;
    await refused(() => call(world, (done) => world.medium.open(world.volume, other, done)), 'refused');
    const stranger = 'stranger' as VolumeName;
    await refused(() => call(world, (done) => world.medium.open(stranger, world.mediumId, done)), 'missing');
    await refused(() => callDone(world, (done) => world.medium.probe(other, done)), 'refused');
  });

  run('a probe of a medium that works succeeds, again and again', async (world) => {
    for (let i = 0; i < 3; i++) await callDone(world, (done) => world.medium.probe(world.mediumId, done));
  });

  run('closing waits for what is on its way; nothing is taken afterwards', async (world) => {
    const volume = await Driven.open(world);
    const ended: string[] = [];
    for (let i = 0; i < 40; i++) {
      volume.volume.write('', i * world.unitBytes, [world.fill(world.unitBytes, i + 1)], () => ended.push('write'));
    }
    await callDone(world, (done) =>
      volume.volume.close((fault) => {
        ended.push('close');
        done(fault);
      }),
    );
    assert.equal(ended.length, 41);
    assert.equal(ended.at(-1), 'close', 'the close comes last');
    if (world.asserts) return;
    await refused(() => volume.read(0, world.unitBytes), 'refused');
    await refused(() => volume.sync(), 'refused');
    await volume.close();
  });
}

/** Cuts the data into one to five pieces of whole units. */
function cut(data: Buffer, unitBytes: number, random: (below: number) => number): Buffer[] {
  const pieces: Buffer[] = [];
  let at = 0;
  while (at < data.length) {
    const left = (data.length - at) / unitBytes;
    const take = pieces.length === 4 ? left : 1 + random(left);
    pieces.push(data.subarray(at, at + take * unitBytes));
    at += take * unitBytes;
  }
  return pieces;
}

/** Extents cover the range without gaps, and a hole has no data in it. */
async function checkExtents(world: MediumWorld, volume: Driven, model: Buffer): Promise<void> {
  for (const [offset, length] of [
    [0, world.sizeBytes],
    [world.unitBytes, world.sizeBytes - 2 * world.unitBytes],
    [world.sizeBytes - world.unitBytes, world.unitBytes],
  ] as const) {
    let at: number = offset;
    for (const extent of await volume.extents(offset, length)) {
      assert.equal(extent.offset, at, 'contiguous');
      assert.ok(extent.length > 0);
      const bytes = model.subarray(extent.offset, extent.offset + extent.length);
      if (extent.hole) assert.ok(bytes.equals(Buffer.alloc(extent.length)), `no data in the hole at ${extent.offset}`);
      at += extent.length;
    }
    assert.equal(at, offset + length, 'covering');
  }
}

/** Starts `start` for every item at once and steps until all are answered without a fault. */
async function together(
  world: MediumWorld,
  items: readonly number[],
  start: (item: number, done: (fault: Fault | null) => void) => void,
): Promise<void> {
  const faults: Fault[] = [];
  let answers = 0;
  for (const item of items) {
    start(item, (fault) => {
      answers += 1;
      if (fault !== null) faults.push(fault);
    });
  }
  for (let steps = 0; answers < items.length; steps++) {
    assert.ok(steps < STEPS_MAX, 'every call is answered');
    await world.step();
  }
  assert.deepEqual(faults, []);
  assert.equal(answers, items.length);
}

/** What the device takes for late I/O: whatever lands after a later claim has opened the volume, and nothing else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MediumId, VolumeName } from '../src/base/names.ts';
import { incarnationOf } from '../src/base/names.ts';
import type { MediumVolume } from '../src/ports/medium.ts';
import { A, B } from '../suites/link.ts';
import { Context } from './context.ts';
import { Device, type MediumWatch } from './device.ts';
import { fillTag } from './disk.ts';
import type { FilesWatch } from './files/watch.ts';
import { Life } from './life.ts';
import { SimMedium } from './medium.ts';
import { SECTOR } from './model.ts';
import { Prng } from './prng.ts';

const VOLUME = 'v' as VolumeName;
const MEDIUM = 'ab'.repeat(16) as MediumId;

/** A device that two servers reach; which of them has claimed the volume last is the test's to say. */
class Bench {
  readonly #ctx = new Context(false);
  readonly #claims = new Map<Life, number>();
  readonly device: Device;
  readonly a: SimMedium;
  readonly b: SimMedium;
  /** What was found late, in order. */
  readonly late: string[] = [];

  constructor(lateIo: boolean) {
    const heedless = (): undefined => undefined;
    const watch: MediumWatch = {
      written: heedless,
      zeroed: heedless,
      claimOf: (life) => this.#claims.get(life) ?? 0,
      late: (flight, by) => this.late.push(`${flight.life.server} ${flight.epoch} after ${by.life.server} ${by.epoch}`),
      // A block volume has no files to watch.
      files: {} as FilesWatch,
    };
    const abilities = { punch: true, reserve: true, extents: true, generations: false };
    const volumes = [{ name: VOLUME, mediumId: MEDIUM, sectors: 16, files: null }];
    this.device = new Device(this.#ctx, Prng.ofSeed(1), volumes, abilities, 2, lateIo, watch, () => 0n);
    const portOf = (life: Life): SimMedium =>
      new SimMedium(this.#ctx, this.device, life, 0, { mode: 'fine', share: 0, held: [], unmounted: false });
    this.a = portOf(new Life(this.#ctx, A, 0, incarnationOf(1, 'cd'.repeat(16))));
    this.b = portOf(new Life(this.#ctx, B, 1, incarnationOf(1, 'ef'.repeat(16))));
  }

  claims(port: SimMedium, epoch: number): void {
    this.#claims.set(port.life, epoch);
  }

  /** Begins to open the volume; what is returned has it once `pass` is over. */
  opens(port: SimMedium): () => MediumVolume {
    let volume: MediumVolume | null = null;
    port.open(VOLUME, MEDIUM, (fault, opened) => {
      assert.equal(fault, null);
      volume = opened;
    });
    return () => {
      assert.ok(volume !== null, 'the volume is open');
      return volume;
    };
  }

  writes(volume: MediumVolume, sector: number): void {
    const data = Buffer.alloc(SECTOR);
    fillTag(data, 1000 + sector, 0, SECTOR);
    volume.write('', sector * SECTOR, [data], () => undefined);
  }

  /** Everything that is on its way happens. */
  pass(): void {
    for (let i = 0; i < 100; i++) this.#ctx.step(Infinity);
    assert.equal(this.device.outstanding, 0);
  }
}

test('a replay under a grant is not late because another claim waits for it', () => {
  const bench = new Bench(true);
  bench.claims(bench.b, 1);
  bench.opens(bench.b);
  bench.pass();
  // B served. A claims, and while it opens the volume B claims it back: A has its grant, and B waits until that has run out.
  bench.claims(bench.a, 2);
  const ofA = bench.opens(bench.a);
  bench.claims(bench.b, 3);
  bench.pass();
  bench.writes(ofA(), 1);
  bench.pass();
  assert.deepEqual(bench.late, []);

  bench.opens(bench.b);
  bench.pass();
  bench.writes(ofA(), 2);
  bench.pass();
  assert.deepEqual(bench.late, [`${A} 2 after ${B} 3`]);
});

test('what a process still does for a claim before its newest is late, too', () => {
  const bench = new Bench(true);
  bench.claims(bench.a, 1);
  const first = bench.opens(bench.a);
  bench.pass();
  bench.claims(bench.a, 2);
  const second = bench.opens(bench.a);
  bench.pass();
  bench.writes(second(), 1);
  bench.pass();
  assert.deepEqual(bench.late, []);
  bench.writes(first(), 2);
  bench.pass();
  assert.deepEqual(bench.late, [`${A} 1 after ${A} 2`]);
});

test('who opens the volume behind a later claim makes nothing of that claim late', () => {
  const bench = new Bench(true);
  bench.claims(bench.b, 1);
  const ofB = bench.opens(bench.b);
  bench.claims(bench.a, 2);
  const ofA = bench.opens(bench.a);
  bench.pass();
  bench.opens(bench.b);
  bench.claims(bench.b, 1);
  bench.pass();
  bench.writes(ofA(), 1);
  bench.pass();
  assert.deepEqual(bench.late, []);
  bench.writes(ofB(), 2);
  bench.pass();
  assert.deepEqual(bench.late, [`${B} 1 after ${A} 2`]);
});

test('without late I/O, an opening settles what earlier claims of others issued, also when a later claim is there', () => {
  const bench = new Bench(false);
  bench.claims(bench.b, 1);
  const ofB = bench.opens(bench.b);
  bench.pass();
  bench.b.weather.mode = 'hang';
  bench.writes(ofB(), 1);
  assert.equal(bench.device.outstanding, 1);
  bench.claims(bench.a, 2);
  bench.opens(bench.a);
  bench.claims(bench.b, 3);
  bench.pass();
  bench.b.weather.mode = 'fine';
  for (const go of bench.b.weather.held.splice(0)) go();
  bench.pass();
  assert.deepEqual(bench.late, [], 'it landed before, or never will');
});

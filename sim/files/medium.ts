/**
 * One server's way to a files volume on the simulated device: the bytes, sizes and times of its objects, and its tree
 * (`tree.ts`). Time, weather and landing are those of every medium (`../medium.ts`).
 */
import { Fault, type Done, type Result } from '../../src/base/fault.ts';
import type { Extent, MediumAbilities, MediumVolume } from '../../src/ports/medium.ts';
import { REPLIES, type MediumTree, type ObjectId } from '../../src/ports/tree.ts';
import type { Context } from '../context.ts';
import type { Flight, Opener } from '../device.ts';
import { fillTag, tagOf, wholeSector } from '../disk.ts';
import type { Life } from '../life.ts';
import type { SimMedium } from '../medium.ts';
import { Outstanding } from '../outstanding.ts';
import type { Platter } from '../platter.ts';
import { BLOCK, CELL, type FilesPlatter, REPLIES_BYTES, sizeAt } from './platter.ts';
import { SimTree } from './tree.ts';

type Step =
  | { readonly kind: 'write'; readonly first: number; readonly tags: readonly number[] }
  /** Of an object that is kept byte for byte. */
  | { readonly kind: 'bytes'; readonly offset: number; readonly data: Buffer }
  | { readonly kind: 'clear'; readonly offset: number; readonly length: number }
  | { readonly kind: 'zero'; readonly first: number; readonly count: number }
  | { readonly kind: 'resize'; readonly size: number }
  | { readonly kind: 'stamp'; readonly time: number };

/** A modification of one object. Without effect when the object has been removed. */
class ObjectFlight implements Flight {
  readonly life: Life;
  readonly epoch: number;
  readonly volume: number;
  readonly shared: boolean;
  readonly target: ObjectId;
  readonly step: Step;
  readonly #files: FilesPlatter;
  readonly #object: Platter | null;
  landed = false;

  constructor(
    { life, epoch }: Opener,
    volume: number,
    shared: boolean,
    files: FilesPlatter,
    target: ObjectId,
    step: Step,
  ) {
    this.life = life;
    this.epoch = epoch;
    this.volume = volume;
    this.shared = shared;
    this.target = target;
    this.step = step;
    this.#files = files;
    this.#object = files.objects.get(target) ?? null;
  }

  get count(): number {
    const { step } = this;
    if (step.kind === 'write') return step.tags.length;
    if (step.kind === 'bytes') return blocksOf(step.offset, step.data.length);
    return step.kind === 'zero' ? step.count : 1;
  }

  get text(): string {
    const { step, target } = this;
    if (step.kind === 'resize') return `${target}: the size ${step.size}`;
    if (step.kind === 'stamp') return `${target}: the time ${step.time}`;
    return 'offset' in step ? `${target}: from byte ${step.offset} on` : `${target}: cells ${step.first}+${this.count}`;
  }

  landPart(part: number): void {
    const object = this.#object;
    if (object === null || !this.#files.exists(this.target)) return;
    const by = this.life.index;
    const { step } = this;
    switch (step.kind) {
      case 'write':
        return this.#files.landCell(object, step.first + part, step.tags[part] as number, by);
      case 'bytes': {
        const at = part === 0 ? step.offset : (Math.floor(step.offset / BLOCK) + part) * BLOCK;
        const from = at - step.offset;
        const end = Math.min(step.data.length, from + BLOCK - (at % BLOCK));
        return this.#files.landBytes(object, at, step.data.subarray(from, end), by);
      }
      case 'clear':
        return this.#files.landClear(object, step.offset, step.length, by);
      case 'zero':
        return this.#files.landZero(object, step.first + part, by);
      case 'resize':
        if (this.#files.isExact(this.target)) return this.#files.landSizeBytes(object, step.size, by);
        return this.#files.landSize(object, step.size, by);
      case 'stamp':
        return object.put(sizeAt(object) + 1, step.time, by);
    }
  }

  meets(other: Flight): boolean {
    if (!(other instanceof ObjectFlight) || other.target !== this.target) return false;
    // A time is set when everything that would move it again has returned.
    if (this.step.kind === 'stamp' || other.step.kind === 'stamp') return true;
    return this.#first < other.#end && other.#first < this.#end;
  }

  get #first(): number {
    const { step } = this;
    if (step.kind === 'resize') return step.size;
    if ('offset' in step) return step.offset;
    return step.kind === 'stamp' ? 0 : step.first;
  }
  get #end(): number {
    const { step } = this;
    if (step.kind === 'resize') return Infinity;
    if (step.kind === 'bytes') return step.offset + step.data.length;
    return this.#first + (step.kind === 'clear' ? step.length : this.count);
  }
}

const blocksOf = (offset: number, length: number): number =>
  Math.floor((offset + length - 1) / BLOCK) - Math.floor(offset / BLOCK) + 1;

export class SimFilesVolume implements MediumVolume {
  readonly abilities: MediumAbilities;
  readonly tree: MediumTree;
  readonly #ctx: Context;
  readonly #port: SimMedium;
  readonly #opener: Opener;
  readonly #files: FilesPlatter;
  readonly #calls: Outstanding;

  constructor(ctx: Context, port: SimMedium, opener: Opener, files: FilesPlatter) {
    this.#ctx = ctx;
    this.#port = port;
    this.#opener = opener;
    this.#files = files;
    this.abilities = { ...port.device.abilities, reserve: false, extents: false };
    this.#calls = new Outstanding(ctx, port.life, (what) => this.#broken(what));
    this.tree = new SimTree(ctx, port, opener, files, this.#calls);
  }

  get #shared(): boolean {
    return this.#files === this.#port.device.files[this.#port.volume];
  }

  sizeBytes(target: string): number {
    if (target === REPLIES) return REPLIES_BYTES;
    return this.#files.cells * (this.#files.exact ? BLOCK : CELL);
  }

  read(target: string, offset: number, length: number, done: Result<Buffer>): void {
    const isExact = this.#files.isExact(target);
    const first = isExact ? 0 : this.#cells(target, offset, length);
    const data = Buffer.alloc(length);
    let missing = false;
    this.#calls.enter();
    this.#port.perform(
      'read',
      (fault) =>
        this.#calls.leave(() => {
          const why = fault ?? (missing ? new Fault('missing', `${target} was removed`) : null);
          done(why, why === null ? data : null);
        }),
      () => {
        const object = this.#files.objects.get(target);
        missing = object === undefined || !this.#files.exists(target);
        if (object === undefined || missing) return;
        if (isExact) return this.#files.readBytes(object, offset, data);
        const size = object.now[sizeAt(object)] as number;
        for (let i = 0; i < length / CELL && first + i < size; i++)
          fillTag(data, object.now[first + i] as number, i * CELL, CELL);
      },
    );
  }

  write(target: string, offset: number, data: readonly Buffer[], done: Done): void {
    const whole = data.length === 1 ? (data[0] as Buffer) : Buffer.concat(data as Buffer[]);
    if (this.#files.isExact(target)) {
      this.#watch.changed(this.#port.life, this.#port.volume, target, null);
      return this.#issue(target, { kind: 'bytes', offset, data: Buffer.from(whole) }, done);
    }
    const first = this.#cells(target, offset, whole.length);
    const tags: number[] = [];
    for (let at = 0; at < whole.length; at += CELL) {
      if (!wholeSector(whole, at, CELL))
        this.#ctx.fail('data integrity', `a write to ${target} mixes the bytes of several writes in one cell`);
      tags.push(tagOf(whole, at));
    }
    this.#watch.written(this.#port.life, this.#port.volume, target, first, tags);
    this.#issue(target, { kind: 'write', first, tags }, done);
  }

  zero(target: string, offset: number, length: number, _punch: boolean, done: Done): void {
    this.#watch.changed(this.#port.life, this.#port.volume, target, null);
    if (this.#files.isExact(target)) return this.#issue(target, { kind: 'clear', offset, length }, done);
    const first = this.#cells(target, offset, length);
    this.#issue(target, { kind: 'zero', first, count: length / CELL }, done);
  }

  resize(target: string, sizeBytes: number, done: Done): void {
    const unit = this.#files.isExact(target) ? 1 : CELL;
    if (sizeBytes % unit !== 0 || sizeBytes < 0 || sizeBytes > this.sizeBytes(target))
      this.#broken(`${target} gets a size of ${sizeBytes} bytes`);
    this.#watch.changed(this.#port.life, this.#port.volume, target, sizeBytes / unit);
    this.#issue(target, { kind: 'resize', size: sizeBytes / unit }, done);
  }

  stamp(target: string, timeNs: bigint, done: Done): void {
    this.#watch.stamped(this.#port.life, this.#port.volume, target, this.#files.numberOf(timeNs));
    this.#issue(target, { kind: 'stamp', time: this.#files.numberOf(timeNs) }, done);
  }

  #issue(target: ObjectId, step: Step, done: Done): void {
    const { device, life, volume } = this.#port;
    const flight = new ObjectFlight(this.#opener, volume, this.#shared, this.#files, target, step);
    this.#ctx.hook('medium-write', life.index);
    this.#ctx.digest.text(step.kind);
    if (step.kind === 'write') for (const tag of step.tags) this.#ctx.digest.number(tag);
    if (this.#ctx.story !== null) {
      const tags = step.kind === 'write' ? ` ${step.tags.join(' ')}` : '';
      this.#ctx.tell('medium', life.index, `v${volume}: ${step.kind}${tags} of ${flight.text}`, 'medium');
    }
    device.takeOff(flight);
    this.#calls.enter();
    this.#port.perform(
      'write',
      (fault) => {
        if (fault === null) device.finish(flight);
        else device.settle((f) => f === flight);
        this.#calls.leave(() => done(fault));
      },
      () => device.land(flight),
    );
  }

  /** What landed before it was issued is durable, names too. */
  sync(done: Done): void {
    const parts = [...this.#files.objects.values()].map((object) => object.capture()).filter((part) => part !== null);
    const version = this.#files.versions.at(-1);
    const { life, volume } = this.#port;
    this.#calls.enter();
    this.#port.perform(
      'sync',
      (fault) => {
        this.#ctx.digest.text(fault === null ? 'sync' : 'sync failed');
        if (this.#ctx.story !== null)
          this.#ctx.tell('medium', life.index, `v${volume}: sync ${fault === null ? 'done' : 'failed'}`, 'medium');
        this.#ctx.hook('medium-sync', life.index);
        this.#calls.leave(() => done(fault));
      },
      () => {
        for (const durable of parts) durable();
        if (version !== undefined) this.#files.commit(version);
      },
    );
  }

  reserve(_target: string, _offset: number, _length: number, done: Done): void {
    this.#calls.enter();
    this.#port.perform('read', (fault) => this.#calls.leave(() => done(fault)));
  }

  extents(target: string, offset: number, length: number, done: Result<readonly Extent[]>): void {
    this.#calls.enter();
    this.#port.perform('read', (fault) => {
      const why = fault ?? (this.#files.exists(target) ? null : new Fault('missing', `${target} was removed`));
      this.#calls.leave(() => done(why, why === null ? [{ offset, length, hole: false }] : null));
    });
  }

  close(done: Done): void {
    this.#calls.close(done);
  }

  get #watch() {
    return this.#port.device.watch.files;
  }

  /** Index of the first cell; the simulator's clients keep to whole cells, so must the core. */
  #cells(target: ObjectId, offset: number, length: number): number {
    if (target === '') this.#broken('no target');
    if (offset % CELL !== 0 || length % CELL !== 0) this.#broken(`range ${offset}+${length} is not in whole cells`);
    if (offset < 0 || length < CELL || offset + length > this.sizeBytes(target))
      this.#broken(`range ${offset}+${length} of ${target} is beyond the largest file`);
    return offset / CELL;
  }

  #broken(what: string): never {
    this.#ctx.fail('port contract', `the medium of volume ${this.#port.volume} at ${this.#port.life.server}: ${what}`);
    throw new Error(what);
  }
}

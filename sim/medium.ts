/**
 * The simulated medium: one shared device that all servers reach, with a cache that a site-wide loss of power empties.
 *
 * A write lands, sector by sector, at a moment between issue and completion; `sync` makes everything that had landed
 * before it durable; a sync that fails drops what its server had written and not synced (trap T24), and never mentions
 * it again. What a process issued before it ended has landed or not by the time anybody may know of its end.
 * Tags stand for content (`model.ts`); a buffer that mixes two tags within a sector is itself a finding.
 */
import { Fault, type Done, type Result } from '../src/base/fault.ts';
import type { MediumId, VolumeName } from '../src/base/names.ts';
import type { Extent, Medium, MediumAbilities, MediumVolume } from '../src/ports/medium.ts';
import type { Context } from './context.ts';
import { fillTag, tagOf, wholeSector } from './disk.ts';
import type { Life } from './life.ts';
import { SECTOR, ZERO } from './model.ts';
import type { Prng } from './prng.ts';

/** How one server's path to the medium is now. */
export interface MediumWeather {
  mode: 'fine' | 'slow' | 'hang' | 'fail' | 'fail-sync';
  /** With `fail` and `fail-sync`: the share of calls that fail. */
  share: number;
  /** What a hang holds back. */
  readonly held: (() => void)[];
}

/** Told what the checkers must see. */
export interface MediumWatch {
  /** A write was issued; one tag per sector. */
  written(life: Life, volume: number, first: number, tags: readonly number[]): void;
  zeroed(life: Life, volume: number): void;
  /** Whether the record names this process as the owner. */
  rightful(life: Life, volume: number): boolean;
}

/** In `dirty`: a failed sync forgot it, but the cache still shows it; it will never become durable. */
const GHOST = 255;

interface Flight {
  readonly life: Life;
  readonly volume: number;
  readonly first: number;
  /** One tag per sector. */
  readonly tags: readonly number[];
  readonly punch: boolean;
  landed: boolean;
}

/** One volume's bytes. */
export class Platter {
  readonly sectors: number;
  /** What a read finds. */
  readonly now: Uint32Array;
  /** What a loss of power leaves. */
  readonly synced: Uint32Array;
  /** Server index + 1 of the newest write that is not synced, else 0. */
  readonly dirty: Uint8Array;
  readonly hole: Uint8Array;
  /** Order of the newest landing in `now`, and of the one that `synced` holds. */
  readonly stamp: Float64Array;
  readonly syncedStamp: Float64Array;
  full = false;
  #order = 0;

  constructor(sectors: number) {
    this.sectors = sectors;
    this.now = new Uint32Array(sectors);
    this.synced = new Uint32Array(sectors);
    this.dirty = new Uint8Array(sectors);
    this.hole = new Uint8Array(sectors).fill(1);
    this.stamp = new Float64Array(sectors);
    this.syncedStamp = new Float64Array(sectors);
  }

  /** What `now` held at the time of `stamp` is durable, unless something newer is. */
  makeDurable(sector: number, tag: number, stamp: number): void {
    if (stamp > (this.syncedStamp[sector] as number)) {
      this.synced[sector] = tag;
      this.syncedStamp[sector] = stamp;
    }
    if (this.stamp[sector] === stamp) this.dirty[sector] = 0;
  }

  /** The content that is not durable is gone. */
  revert(sector: number): void {
    this.now[sector] = this.synced[sector] as number;
    this.stamp[sector] = this.syncedStamp[sector] as number;
  }

  land(flight: Flight, sector: number): void {
    const at = flight.first + sector;
    this.now[at] = flight.tags[sector] as number;
    this.stamp[at] = ++this.#order;
    this.dirty[at] = flight.life.index + 1;
    this.hole[at] = flight.punch ? 1 : 0;
  }
}

/** The device, shared by all servers of a world. */
export class Device {
  readonly platters: Platter[];
  readonly ids: readonly MediumId[];
  readonly names: readonly VolumeName[];
  readonly abilities: MediumAbilities;
  /** Incarnations that a fence has cut off. */
  readonly fenced = new Set<string>();
  readonly #ctx: Context;
  readonly #prng: Prng;
  readonly #flights = new Set<Flight>();
  readonly watch: MediumWatch;
  /** Typical latency of one call, ms. */
  readonly latencyMs: number;

  constructor(
    ctx: Context,
    prng: Prng,
    volumes: readonly { readonly name: VolumeName; readonly mediumId: MediumId; readonly sectors: number }[],
    abilities: MediumAbilities,
    latencyMs: number,
    watch: MediumWatch,
  ) {
    this.#ctx = ctx;
    this.#prng = prng;
    this.platters = volumes.map((v) => new Platter(v.sectors));
    this.ids = volumes.map((v) => v.mediumId);
    this.names = volumes.map((v) => v.name);
    this.abilities = abilities;
    this.latencyMs = latencyMs;
    this.watch = watch;
  }

  get prng(): Prng {
    return this.#prng;
  }
  get outstanding(): number {
    return this.#flights.size;
  }

  /** Writes of this incarnation that have not returned. */
  outstandingOf(life: Life, volume: number): number {
    let count = 0;
    for (const f of this.#flights) if (f.life === life && f.volume === volume) count++;
    return count;
  }

  takeOff(flight: Flight): void {
    for (const other of this.#flights) {
      if (other.life !== flight.life || other.volume !== flight.volume) continue;
      if (other.first < flight.first + flight.tags.length && flight.first < other.first + other.tags.length) {
        this.#ctx.fail(
          'T25 overlapping I/O',
          `${flight.life.server} issued a write to sectors ${flight.first}+${flight.tags.length} of volume ` +
            `${flight.volume} while one to ${other.first}+${other.tags.length} had not returned`,
        );
      }
    }
    this.#flights.add(flight);
  }

  /** The write lands whole, if it has not been settled before. */
  land(flight: Flight): void {
    if (flight.landed || !this.#flights.has(flight)) return;
    flight.landed = true;
    const platter = this.platters[flight.volume] as Platter;
    for (let i = 0; i < flight.tags.length; i++) platter.land(flight, i);
  }

  finish(flight: Flight): void {
    this.land(flight);
    this.#flights.delete(flight);
  }

  /** What `matches` and has not landed: each sector lands now or never. */
  settle(matches: (flight: { readonly life: Life; readonly volume: number }) => boolean): void {
    for (const flight of this.#flights) {
      if (!matches(flight)) continue;
      const platter = this.platters[flight.volume] as Platter;
      if (!flight.landed) {
        const share = this.#prng.pick([0, 0.5, 1]);
        for (let i = 0; i < flight.tags.length; i++) if (this.#prng.chance(share)) platter.land(flight, i);
      }
      this.#flights.delete(flight);
    }
  }

  /** A sync of one server failed: the kernel forgets what that server wrote and had not synced, in part or wholly. */
  forget(life: Life, volume: number): void {
    const platter = this.platters[volume] as Platter;
    for (let i = 0; i < platter.sectors; i++) {
      if (platter.dirty[i] !== life.index + 1) continue;
      if (this.#prng.chance(0.7)) {
        platter.revert(i);
        platter.dirty[i] = 0;
      } else platter.dirty[i] = GHOST;
    }
  }

  /** Whoever opens afresh trusts no cache: ghosts are gone. */
  exorcise(volume: number): void {
    const platter = this.platters[volume] as Platter;
    for (let i = 0; i < platter.sectors; i++) {
      if (platter.dirty[i] !== GHOST) continue;
      platter.revert(i);
      platter.dirty[i] = 0;
    }
  }

  /** Power is lost everywhere at once: of what was not synced, any part is gone. */
  losePower(): void {
    for (const platter of this.platters) {
      for (let i = 0; i < platter.sectors; i++) {
        if (platter.dirty[i] === 0) continue;
        if (platter.dirty[i] === GHOST || this.#prng.chance(0.5)) platter.revert(i);
        else platter.makeDurable(i, platter.now[i] as number, platter.stamp[i] as number);
        platter.dirty[i] = 0;
      }
    }
  }

  /** The medium as `life` reaches it. */
  portOf(life: Life, volume: number, weather: MediumWeather): SimMedium {
    return new SimMedium(this.#ctx, this, life, volume, weather);
  }
}

/** One server's port to one volume's medium. */
export class SimMedium implements Medium {
  readonly #ctx: Context;
  readonly device: Device;
  readonly life: Life;
  readonly volume: number;
  readonly weather: MediumWeather;

  constructor(ctx: Context, device: Device, life: Life, volume: number, weather: MediumWeather) {
    this.#ctx = ctx;
    this.device = device;
    this.life = life;
    this.volume = volume;
    this.weather = weather;
  }

  open(volume: VolumeName, expected: MediumId, done: Result<MediumVolume>): void {
    this.#ctx.hook('medium-open', this.life.index);
    this.perform('open', (fault) => {
      if (fault !== null) return done(fault, null);
      if (this.device.names[this.volume] !== volume) return done(new Fault('missing', `no volume ${volume}`), null);
      if (this.device.ids[this.volume] !== expected) return done(new Fault('refused', 'another medium'), null);
      // Assumption A3 (docs/simulator.md): what others issued has landed or is gone when the rightful claimant opens.
      if (this.device.watch.rightful(this.life, this.volume)) {
        this.device.settle((f) => f.volume === this.volume && f.life !== this.life);
      }
      this.device.exorcise(this.volume);
      this.#ctx.digest.text('open');
      done(null, new SimMediumVolume(this.#ctx, this));
    });
  }

  probe(expected: MediumId, done: Done): void {
    this.perform('probe', (fault) => {
      if (fault !== null) return done(fault);
      done(this.device.ids[this.volume] === expected ? null : new Fault('refused', 'another medium'));
    });
  }

  /** Runs `act` in the process when the call returns; `land` is called in between, when its effect takes place. */
  perform(what: 'open' | 'probe' | 'read' | 'write' | 'sync', act: (fault: Fault | null) => void, land?: () => void): void {
    const { prng, latencyMs } = this.device;
    const weather = this.weather;
    const slow = weather.mode === 'slow' ? prng.between(10, 600) : 0;
    const total = prng.latency(latencyMs) + slow;
    const effectAt = prng.chance(0.5) ? total * prng.float() : total;
    const fails =
      this.device.fenced.has(this.life.incarnation) ||
      ((weather.mode === 'fail' || (weather.mode === 'fail-sync' && what === 'sync')) && prng.chance(weather.share));
    const go = () => {
      if (weather.mode === 'hang') {
        weather.held.push(go);
        return;
      }
      // A failed write may have taken effect all the same.
      const effect = !fails || (what === 'write' && prng.chance(0.3));
      if (effect && land !== undefined) this.#ctx.after(effectAt, () => land());
      this.#ctx.after(total, () => {
        if (fails && what === 'sync') this.device.forget(this.life, this.volume);
        this.life.call(() => act(fails ? new Fault('io', `the medium failed the ${what}`) : null));
      });
    };
    go();
  }
}

class SimMediumVolume implements MediumVolume {
  readonly abilities: MediumAbilities;
  readonly #ctx: Context;
  readonly #port: SimMedium;
  readonly #platter: Platter;
  #closed = false;
  #open = 0;
  #closing: Done | null = null;

  constructor(ctx: Context, port: SimMedium) {
    this.#ctx = ctx;
    this.#port = port;
    this.#platter = port.device.platters[port.volume] as Platter;
    this.abilities = port.device.abilities;
  }

  sizeBytes(target: string): number {
    if (target !== '') this.#broken(`target "${target}"`);
    return this.#platter.sectors * SECTOR;
  }

  read(target: string, offset: number, length: number, done: Result<Buffer>): void {
    const first = this.#sectors(target, offset, length);
    const data = Buffer.allocUnsafe(length);
    this.#enter();
    this.#port.perform(
      'read',
      (fault) => this.#leave(() => done(fault, fault === null ? data : null)),
      () => {
        for (let i = 0; i < length; i += SECTOR) fillTag(data, this.#platter.now[first + i / SECTOR] as number, i, SECTOR);
      },
    );
  }

  write(target: string, offset: number, data: readonly Buffer[], done: Done): void {
    const whole = data.length === 1 ? (data[0] as Buffer) : Buffer.concat(data as Buffer[]);
    const first = this.#sectors(target, offset, whole.length);
    const tags: number[] = [];
    for (let i = 0; i < whole.length; i += SECTOR) {
      if (!wholeSector(whole, i)) {
        this.#ctx.fail('data integrity', `a write to sector ${first + i / SECTOR} mixes the bytes of several writes`);
      }
      tags.push(tagOf(whole, i));
    }
    this.#port.device.watch.written(this.#port.life, this.#port.volume, first, tags);
    this.#ctx.hook('medium-write', this.#port.life.index);
    this.#issue(first, tags, false, done);
  }

  zero(target: string, offset: number, length: number, punch: boolean, done: Done): void {
    const first = this.#sectors(target, offset, length);
    this.#port.device.watch.zeroed(this.#port.life, this.#port.volume);
    const tags = Array.from({ length: length / SECTOR }, () => ZERO);
    this.#issue(first, tags, punch && this.abilities.punch, done);
  }

  #issue(first: number, tags: readonly number[], punch: boolean, done: Done): void {
    const { device, life, volume } = this.#port;
    const flight: Flight = { life, volume, first, tags, punch, landed: false };
    for (const tag of tags) this.#ctx.digest.number(tag);
    if (this.#ctx.story !== null) {
      this.#ctx.tell('medium', life.index, `v${volume}: writes ${tags.join(' ')} to sectors ${first}+${tags.length}`, 'medium');
    }
    if (this.#platter.full && !punch) {
      for (let i = 0; i < tags.length; i++) {
        if (this.#platter.hole[first + i] === 1) {
          this.#enter();
          const fault = new Fault('full', 'no room on the medium');
          this.#port.perform('write', (other) => this.#leave(() => done(other ?? fault)));
          return;
        }
      }
    }
    device.takeOff(flight);
    this.#enter();
    const effect = () => device.land(flight);
    this.#port.perform(
      'write',
      (fault) => {
        if (fault === null) device.finish(flight);
        else device.settle((f) => f === flight);
        this.#leave(() => done(fault));
      },
      effect,
    );
  }

  sync(done: Done): void {
    const platter = this.#platter;
    const captured = platter.now.slice();
    const stamps = platter.stamp.slice();
    const dirty = platter.dirty.slice();
    this.#enter();
    this.#port.perform(
      'sync',
      (fault) => {
        this.#ctx.digest.text(fault === null ? 'sync' : 'sync failed');
        if (this.#ctx.story !== null) this.#ctx.tell('medium', this.#port.life.index, `v${this.#port.volume}: sync ${fault === null ? 'done' : 'failed'}`, 'medium');
        this.#ctx.hook('medium-sync', this.#port.life.index);
        this.#leave(() => done(fault));
      },
      () => {
        for (let i = 0; i < platter.sectors; i++) {
          // What landed after the sync was issued stays dirty; what was there before it is durable, unless the
          // kernel has forgotten it meanwhile.
          if (dirty[i] === 0 || dirty[i] === GHOST || platter.dirty[i] === GHOST || (platter.stamp[i] as number) < (stamps[i] as number)) continue;
          platter.makeDurable(i, captured[i] as number, stamps[i] as number);
        }
      },
    );
  }

  reserve(target: string, offset: number, length: number, done: Done): void {
    const first = this.#sectors(target, offset, length);
    this.#enter();
    this.#port.perform('write', (fault) => {
      if (fault === null && this.abilities.reserve) {
        const end = first + length / SECTOR;
        if (this.#platter.full && this.#platter.hole.subarray(first, end).includes(1)) {
          this.#leave(() => done(new Fault('full', 'no room on the medium')));
          return;
        }
        this.#platter.hole.fill(0, first, end);
      }
      this.#leave(() => done(fault));
    });
  }

  extents(target: string, offset: number, length: number, done: Result<readonly Extent[]>): void {
    const first = this.#sectors(target, offset, length);
    this.#enter();
    this.#port.perform('read', (fault) => {
      const found: Extent[] = [];
      for (let i = 0; i < length / SECTOR; i++) {
        const hole = this.abilities.extents && this.#platter.hole[first + i] === 1 && this.#platter.now[first + i] === ZERO;
        const last = found[found.length - 1];
        if (last !== undefined && last.hole === hole) found[found.length - 1] = { ...last, length: last.length + SECTOR };
        else found.push({ offset: offset + i * SECTOR, length: SECTOR, hole });
      }
      this.#leave(() => done(fault, fault === null ? found : null));
    });
  }

  close(done: Done): void {
    this.#closed = true;
    this.#closing = done;
    if (this.#open === 0) this.#ctx.after(0.05, () => this.#port.life.call(() => this.#finishClose()));
  }

  #enter(): void {
    if (this.#closed) this.#broken('call after close');
    this.#open++;
  }

  #leave(act: () => void): void {
    this.#open--;
    act();
    if (this.#open === 0 && this.#closing !== null) this.#finishClose();
  }

  #finishClose(): void {
    const done = this.#closing;
    this.#closing = null;
    if (done !== null) done(null);
  }

  /** Index of the first sector; the simulator's clients keep to whole sectors, so must the core. */
  #sectors(target: string, offset: number, length: number): number {
    if (target !== '') this.#broken(`target "${target}"`);
    if (offset % SECTOR !== 0 || length % SECTOR !== 0) this.#broken(`range ${offset}+${length} is not in whole sectors`);
    if (offset < 0 || length < SECTOR || offset + length > this.#platter.sectors * SECTOR) {
      this.#broken(`range ${offset}+${length} is outside the volume`);
    }
    return offset / SECTOR;
  }

  #broken(what: string): never {
    this.#ctx.fail('port contract', `the medium of volume ${this.#port.volume} at ${this.#port.life.server}: ${what}`);
    throw new Error(what);
  }
}

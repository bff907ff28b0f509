/**
 * The simulated medium's port: one server's way to one volume on the device that all share (`device.ts`), with the weather
 * on that way. Calls take time, fail, hang, and land or not, as the fault model has it.
 */
import { Fault, type Done, type Result } from '../src/base/fault.ts';
import type { MediumId, VolumeName } from '../src/base/names.ts';
import type { Extent, Medium, MediumAbilities, MediumVolume } from '../src/ports/medium.ts';
import type { Context } from './context.ts';
import { type Device, type MediumWeather, type Opener, SectorFlight } from './device.ts';
import { fillTag, tagOf, wholeSector } from './disk.ts';
import { SimFilesVolume } from './files/medium.ts';
import { FilesPlatter } from './files/platter.ts';
import type { Life } from './life.ts';
import { SECTOR, ZERO } from './model.ts';
import { Outstanding } from './outstanding.ts';
import { Platter } from './platter.ts';

/** What a directory has for an id that is no medium. */
const NO_MEDIUM = '' as MediumId;
/** Who asks for this one takes what is there: no core does, but a mutation (trap T23). */
const ANY_MEDIUM = 'any' as MediumId;

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
    const opener = { life: this.life, epoch: this.device.watch.claimOf(this.life, this.volume) };
    this.perform('open', (fault) => {
      if (fault !== null) return done(fault, null);
      if (this.device.names[this.volume] !== volume) return done(new Fault('missing', `no volume ${volume}`), null);
      const platter = this.device.platters[this.volume] as Platter;
      const there = this.weather.unmounted ? NO_MEDIUM : this.device.ids[this.volume];
      if (expected !== ANY_MEDIUM && there !== expected) return done(new Fault('refused', 'another medium'), null);
      if (this.weather.unmounted) return done(null, this.#volume(opener, new Platter(platter.sectors, false), true));
      this.device.openedBy(opener, this.volume);
      this.device.exorcise(this.volume);
      this.#ctx.digest.text('open');
      done(null, this.#volume(opener, platter, false));
    });
  }

  #volume(opener: Opener, platter: Platter, empty: boolean): MediumVolume {
    const files = this.device.files[this.volume] ?? null;
    if (files === null) return new SimMediumVolume(this.#ctx, this, opener, platter);
    return new SimFilesVolume(this.#ctx, this, opener, empty ? new FilesPlatter(files.cells, [], files.nowNs) : files);
  }

  probe(expected: MediumId, done: Done): void {
    this.perform('probe', (fault) => {
      if (fault !== null) return done(fault);
      const there = this.weather.unmounted ? NO_MEDIUM : this.device.ids[this.volume];
      done(expected === ANY_MEDIUM || there === expected ? null : new Fault('refused', 'another medium'));
    });
  }

  /** Runs `act` in the process when the call returns; `land` is called in between, when its effect takes place. */
  perform(
    what: 'open' | 'probe' | 'read' | 'write' | 'sync',
    act: (fault: Fault | null) => void,
    land?: () => void,
  ): void {
    const { prng, latencyMs } = this.device;
    const weather = this.weather;
    const slow = weather.mode === 'slow' ? prng.between(10, 600) : 0;
    const total = prng.latency(latencyMs) + slow;
    const effectAt = prng.chance(0.5) ? total * prng.float() : total;
    const fenced = this.device.fenced.has(this.life.incarnation);
    const fails =
      fenced ||
      ((weather.mode === 'fail' || (weather.mode === 'fail-sync' && what === 'sync')) && prng.chance(weather.share));
    const go = () => {
      if (weather.mode === 'hang') {
        weather.held.push(go);
        return;
      }
      // A failed write may have taken effect all the same.
      const effect = !fails || (what === 'write' && !fenced && prng.chance(0.3));
      this.#take(effectAt, total, effect ? land : undefined, () => {
        if (fails && what === 'sync') this.device.forget(this.life, this.volume);
        this.life.call(() => act(fails ? new Fault('io', `the medium failed the ${what}`) : null));
      });
    };
    go();
  }

  /** The call takes effect and returns; or its thread is stopped before it makes the call, and makes it after the thaw. */
  #take(effectMs: number, totalMs: number, land: (() => void) | undefined, returned: () => void): void {
    let stopped = false;
    this.#ctx.after(effectMs, () => {
      stopped = this.device.lateIo && this.life.frozen && this.device.prng.chance(0.5);
      if (!stopped) return land?.();
      const again = this.device.prng.latency(this.device.latencyMs);
      this.life.whenThawed(() => this.#take(again, again, land, returned));
    });
    this.#ctx.after(totalMs, () => {
      if (!stopped) returned();
    });
  }
}

class SimMediumVolume implements MediumVolume {
  readonly abilities: MediumAbilities;
  readonly tree = null;
  readonly #ctx: Context;
  readonly #port: SimMedium;
  readonly #opener: Opener;
  readonly #platter: Platter;
  readonly #calls: Outstanding;

  constructor(ctx: Context, port: SimMedium, opener: Opener, platter: Platter) {
    this.#ctx = ctx;
    this.#port = port;
    this.#opener = opener;
    this.#platter = platter;
    this.#calls = new Outstanding(ctx, port.life, (what) => this.#broken(what));
    this.abilities = port.device.abilities;
  }

  resize(target: string): void {
    this.#broken(`target "${target}"`);
  }

  stamp(target: string): void {
    this.#broken(`target "${target}"`);
  }

  sizeBytes(target: string): number {
    if (target !== '') this.#broken(`target "${target}"`);
    return this.#platter.sectors * SECTOR;
  }

  read(target: string, offset: number, length: number, done: Result<Buffer>): void {
    const first = this.#sectors(target, offset, length);
    const data = Buffer.allocUnsafe(length);
    this.#calls.enter();
    this.#port.perform(
      'read',
      (fault) => this.#calls.leave(() => done(fault, fault === null ? data : null)),
      () => {
        for (let i = 0; i < length; i += SECTOR)
          fillTag(data, this.#platter.now[first + i / SECTOR] as number, i, SECTOR);
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
    const flight = new SectorFlight(this.#opener, volume, this.#platter, first, tags, punch);
    for (const tag of tags) this.#ctx.digest.number(tag);
    if (this.#ctx.story !== null) {
      this.#ctx.tell(
        'medium',
        life.index,
        `v${volume}: writes ${tags.join(' ')} to sectors ${first}+${tags.length}`,
        'medium',
      );
    }
    if (this.#platter.full && !punch) {
      for (let i = 0; i < tags.length; i++) {
        if (this.#platter.hole[first + i] === 1) {
          this.#calls.enter();
          const fault = new Fault('full', 'no room on the medium');
          this.#port.perform('write', (other) => this.#calls.leave(() => done(other ?? fault)));
          return;
        }
      }
    }
    device.takeOff(flight);
    this.#calls.enter();
    const effect = () => device.land(flight);
    this.#port.perform(
      'write',
      (fault) => {
        if (fault === null) device.finish(flight);
        else device.settle((f) => f === flight);
        this.#calls.leave(() => done(fault));
      },
      effect,
    );
  }

  sync(done: Done): void {
    const durable = this.#platter.capture();
    this.#calls.enter();
    this.#port.perform(
      'sync',
      (fault) => {
        this.#ctx.digest.text(fault === null ? 'sync' : 'sync failed');
        if (this.#ctx.story !== null)
          this.#ctx.tell(
            'medium',
            this.#port.life.index,
            `v${this.#port.volume}: sync ${fault === null ? 'done' : 'failed'}`,
            'medium',
          );
        this.#ctx.hook('medium-sync', this.#port.life.index);
        this.#calls.leave(() => done(fault));
      },
      () => durable?.(),
    );
  }

  reserve(target: string, offset: number, length: number, done: Done): void {
    const first = this.#sectors(target, offset, length);
    this.#calls.enter();
    this.#port.perform('write', (fault) => {
      if (fault === null && this.abilities.reserve) {
        const end = first + length / SECTOR;
        if (this.#platter.full && this.#platter.hole.subarray(first, end).includes(1)) {
          this.#calls.leave(() => done(new Fault('full', 'no room on the medium')));
          return;
        }
        this.#platter.hole.fill(0, first, end);
      }
      this.#calls.leave(() => done(fault));
    });
  }

  extents(target: string, offset: number, length: number, done: Result<readonly Extent[]>): void {
    const first = this.#sectors(target, offset, length);
    this.#calls.enter();
    this.#port.perform('read', (fault) => {
      const found: Extent[] = [];
      for (let i = 0; i < length / SECTOR; i++) {
        const hole =
          this.abilities.extents && this.#platter.hole[first + i] === 1 && this.#platter.now[first + i] === ZERO;
        const last = found[found.length - 1];
        if (last !== undefined && last.hole === hole)
          found[found.length - 1] = { ...last, length: last.length + SECTOR };
        else found.push({ offset: offset + i * SECTOR, length: SECTOR, hole });
      }
      this.#calls.leave(() => done(fault, fault === null ? found : null));
    });
  }

  close(done: Done): void {
    this.#calls.close(done);
  }

  /** Index of the first sector; the simulator's clients keep to whole sectors, so must the core. */
  #sectors(target: string, offset: number, length: number): number {
    if (target !== '') this.#broken(`target "${target}"`);
    if (offset % SECTOR !== 0 || length % SECTOR !== 0)
      this.#broken(`range ${offset}+${length} is not in whole sectors`);
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

/**
 * The simulated medium: one shared device that all servers reach, with a cache that a site-wide loss of power empties.
 *
 * A write lands, sector by sector, at a moment between issue and completion; `sync` makes everything that had landed
 * before it durable; a sync that fails drops what its server had written and not synced (trap T24), and never mentions
 * it again. What a process issued before it ended has landed or not by the time anybody may know of its end. What a
 * frozen one had in hand lands when it goes on, over whatever others have written since, unless a fence came in between.
 * Tags stand for content (`model.ts`); a buffer that mixes two tags within a sector is itself a finding.
 */
import type { MediumId, VolumeName } from '../src/base/names.ts';
import type { MediumAbilities } from '../src/ports/medium.ts';
import type { Context } from './context.ts';
import type { Life } from './life.ts';
import type { Prng } from './prng.ts';

/** How one server's path to the medium is now. */
export interface MediumWeather {
  mode: 'fine' | 'slow' | 'hang' | 'fail' | 'fail-sync';
  /** With `fail` and `fail-sync`: the share of calls that fail. */
  share: number;
  /** What a hang holds back. */
  readonly held: (() => void)[];
  /** The mount is missing: who opens the volume now finds an empty directory of this machine (trap T23). */
  unmounted: boolean;
}

/** Told what the checkers must see. */
export interface MediumWatch {
  /** A write was issued; one tag per sector. */
  written(life: Life, volume: number, first: number, tags: readonly number[]): void;
  zeroed(life: Life, volume: number): void;
  /** Whether the record names this process as the owner. */
  rightful(life: Life, volume: number): boolean;
  /** A write landed although a successor had opened the medium afresh. */
  late(life: Life, volume: number, successor: Life): void;
}

/** In `dirty`: a failed sync forgot it, but the cache still shows it; it will never become durable. */
export const GHOST = 255;

export interface Flight {
  readonly life: Life;
  readonly volume: number;
  readonly platter: Platter;
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
  /** What a frozen process had in hand lands late; else assumption A3 holds (docs/simulator.md). */
  readonly lateIo: boolean;
  /** Who opened each volume last as the record's owner. */
  readonly #openers: (Life | null)[];
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
    lateIo: boolean,
    watch: MediumWatch,
  ) {
    this.#ctx = ctx;
    this.#prng = prng;
    this.platters = volumes.map((v) => new Platter(v.sectors));
    this.ids = volumes.map((v) => v.mediumId);
    this.names = volumes.map((v) => v.name);
    this.abilities = abilities;
    this.latencyMs = latencyMs;
    this.lateIo = lateIo;
    this.#openers = volumes.map(() => null);
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
    const { platter } = flight;
    const opener = platter === this.platters[flight.volume] ? (this.#openers[flight.volume] ?? null) : null;
    if (opener !== null && opener !== flight.life) this.watch.late(flight.life, flight.volume, opener);
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
      const { platter } = flight;
      if (!flight.landed && !this.fenced.has(flight.life.incarnation)) {
        const share = this.#prng.pick([0, 0.5, 1]);
        for (let i = 0; i < flight.tags.length; i++) if (this.#prng.chance(share)) platter.land(flight, i);
      }
      this.#flights.delete(flight);
    }
  }

  /** A fence: what this process issued has landed or never will, and what it issues from now on fails. */
  cutOff(life: Life): void {
    this.settle((flight) => flight.life === life);
    this.fenced.add(life.incarnation);
  }

  /** The record's owner opens the volume. */
  openedBy(life: Life, volume: number): void {
    this.#openers[volume] = life;
    if (!this.lateIo) this.settle((f) => f.volume === volume && f.life !== life);
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
}

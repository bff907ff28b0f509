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
import { FilesPlatter } from './files/platter.ts';
import type { FilesWatch } from './files/watch.ts';
import { GHOST, Platter } from './platter.ts';
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
  /** The epoch of this process's newest claim that the record has seen; 0 where there was none. */
  claimOf(life: Life, volume: number): number;
  /** A write landed although a successor had opened the medium afresh. */
  late(flight: Flight, successor: Opener): void;
  /** What happens on files volumes. */
  readonly files: FilesWatch;
}

/** Who has opened a volume, for which of its claims. */
export interface Opener {
  readonly life: Life;
  readonly epoch: number;
}

/** A modification on its way. */
export interface Flight {
  readonly life: Life;
  /** Of the claim for which the volume was opened. */
  readonly epoch: number;
  readonly volume: number;
  /** Its parts: each lands or not. */
  readonly count: number;
  /** It goes to the volume that all servers share, and not to an empty directory in its place. */
  readonly shared: boolean;
  readonly text: string;
  landed: boolean;
  landPart(part: number): void;
  /** Both modify the same place. */
  meets(other: Flight): boolean;
}

/** A write to sectors of a block volume. */
export class SectorFlight implements Flight {
  readonly life: Life;
  readonly epoch: number;
  readonly volume: number;
  readonly shared: boolean;
  readonly #platter: Platter;
  readonly #first: number;
  /** One tag per sector. */
  readonly #tags: readonly number[];
  readonly #punch: boolean;
  landed = false;

  constructor(
    { life, epoch }: Opener,
    volume: number,
    platter: Platter,
    first: number,
    tags: readonly number[],
    punch: boolean,
  ) {
    this.life = life;
    this.epoch = epoch;
    this.volume = volume;
    this.shared = platter.shared;
    this.#platter = platter;
    this.#first = first;
    this.#tags = tags;
    this.#punch = punch;
  }

  get count(): number {
    return this.#tags.length;
  }
  get text(): string {
    return `sectors ${this.#first}+${this.#tags.length}`;
  }

  landPart(part: number): void {
    this.#platter.put(this.#first + part, this.#tags[part] as number, this.life.index, this.#punch);
  }

  meets(other: Flight): boolean {
    if (!(other instanceof SectorFlight)) return false;
    return other.#first < this.#first + this.count && this.#first < other.#first + other.count;
  }
}

export interface DeviceVolume {
  readonly name: VolumeName;
  readonly mediumId: MediumId;
  /** Sectors of a block volume; cells that a file may grow to. */
  readonly sectors: number;
  /** Names of the files that a files volume begins with; null for a block volume. */
  readonly files: readonly string[] | null;
}

/** The device, shared by all servers of a world. */
export class Device {
  /** Of a files volume, its platter has no sectors. */
  readonly platters: Platter[];
  readonly files: readonly (FilesPlatter | null)[];
  readonly ids: readonly MediumId[];
  readonly names: readonly VolumeName[];
  readonly abilities: MediumAbilities;
  /** Incarnations that a fence has cut off. */
  readonly fenced = new Set<string>();
  /** What a frozen process had in hand lands late; else assumption A3 holds (docs/simulator.md). */
  readonly lateIo: boolean;
  /** Who opened each volume for the latest claim of all that opened it. */
  readonly #openers: (Opener | null)[];
  readonly #ctx: Context;
  readonly #prng: Prng;
  readonly #flights = new Set<Flight>();
  readonly watch: MediumWatch;
  /** Typical latency of one call, ms. */
  readonly latencyMs: number;

  constructor(
    ctx: Context,
    prng: Prng,
    volumes: readonly DeviceVolume[],
    abilities: MediumAbilities,
    latencyMs: number,
    lateIo: boolean,
    watch: MediumWatch,
    nowNs: () => bigint,
    exact = false,
  ) {
    this.#ctx = ctx;
    this.#prng = prng;
    this.platters = volumes.map((v) => new Platter(v.files === null ? v.sectors : 0));
    this.files = volumes.map((v) => (v.files === null ? null : new FilesPlatter(v.sectors, v.files, nowNs, exact)));
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
      if (other.life !== flight.life || other.volume !== flight.volume || !flight.meets(other)) continue;
      this.#ctx.fail(
        'T25 overlapping I/O',
        `${flight.life.server} issued a write to ${flight.text} of volume ` +
          `${flight.volume} while one to ${other.text} had not returned`,
      );
    }
    this.#flights.add(flight);
  }

  /** The write lands whole, if it has not been settled before. */
  land(flight: Flight): void {
    if (flight.landed || !this.#flights.has(flight)) return;
    flight.landed = true;
    const opener = flight.shared ? (this.#openers[flight.volume] ?? null) : null;
    if (opener !== null && opener.epoch > flight.epoch) this.watch.late(flight, opener);
    for (let i = 0; i < flight.count; i++) flight.landPart(i);
  }

  finish(flight: Flight): void {
    this.land(flight);
    this.#flights.delete(flight);
  }

  /** What `matches` and has not landed: each sector lands now or never. */
  settle(matches: (flight: Flight) => boolean): void {
    for (const flight of this.#flights) {
      if (!matches(flight)) continue;
      if (!flight.landed && !this.fenced.has(flight.life.incarnation)) {
        const share = this.#prng.pick([0, 0.5, 1]);
        for (let i = 0; i < flight.count; i++) if (this.#prng.chance(share)) flight.landPart(i);
      }
      this.#flights.delete(flight);
    }
  }

  /** A fence: what this process issued has landed or never will, and what it issues from now on fails. */
  cutOff(life: Life): void {
    this.settle((flight) => flight.life === life);
    this.fenced.add(life.incarnation);
  }

  /**
   * A claimant opens the volume: what was issued for claims before its own has landed or never will. It counts by its epoch,
   * not by what the record says at this moment. A later claim may have been swapped in since, and must wait: until this
   * claimant's grant runs out its replay goes on, by right, and is not late after its predecessor's opening.
   */
  openedBy(opener: Opener, volume: number): void {
    const { life, epoch } = opener;
    if (epoch < (this.#openers[volume]?.epoch ?? 0)) return;
    this.#openers[volume] = opener;
    if (!this.lateIo) this.settle((f) => f.volume === volume && f.epoch < epoch && f.life !== life);
  }

  /** A sync of one server failed: the kernel forgets what that server wrote and had not synced, in part or wholly. */
  forget(life: Life, volume: number): void {
    for (const platter of this.#plattersOf(volume))
      for (let i = 0; i < platter.sectors; i++) {
        if (platter.dirty[i] !== life.index + 1) continue;
        if (this.#prng.chance(0.7)) {
          platter.revert(i);
          platter.dirty[i] = 0;
        } else platter.dirty[i] = GHOST;
      }
    this.files[volume]?.tidy();
  }

  /** Whoever opens afresh trusts no cache: ghosts are gone. */
  exorcise(volume: number): void {
    for (const platter of this.#plattersOf(volume))
      for (let i = 0; i < platter.sectors; i++) {
        if (platter.dirty[i] !== GHOST) continue;
        platter.revert(i);
        platter.dirty[i] = 0;
      }
    this.files[volume]?.tidy();
  }

  /** Power is lost everywhere at once: of what was not synced, any part is gone. */
  losePower(): void {
    this.platters.forEach((_, volume) => {
      for (const platter of this.#plattersOf(volume))
        for (let i = 0; i < platter.sectors; i++) {
          if (platter.dirty[i] === 0) continue;
          if (platter.dirty[i] === GHOST || this.#prng.chance(0.5)) platter.revert(i);
          else platter.makeDurable(i, platter.now[i] as number, platter.stamp[i] as number);
          platter.dirty[i] = 0;
        }
      const files = this.files[volume] ?? null;
      if (files === null) return;
      files.tidy();
      const gone = files.loseNames(this.#prng.below(files.versions.length + 1));
      for (const { deed } of gone) if (deed !== null) deed.effects--;
      this.watch.files.lost(volume, gone, files);
    });
  }

  #plattersOf(volume: number): Iterable<Platter> {
    return this.files[volume]?.objects.values() ?? [this.platters[volume] as Platter];
  }
}

/** The simulated ports keep the ports' contracts: the same suites that every driver passes, in fine weather. */
import type { Incarnation, MediumId, ServerId, StoreId, VolumeName } from '../src/base/names.ts';
import { incarnationOf } from '../src/base/names.ts';
import type { StoreKind } from '../src/ports/store.ts';
import { coordinatorSuite, firstRecord, type CoordinatorWorld } from '../suites/coordinator.ts';
import { A, B, linkSuite, type LinkNode, type LinkWorld } from '../suites/link.ts';
import { mediumSuite, type MediumWorld } from '../suites/medium.ts';
import { storeSuite } from '../suites/store.ts';
import type { StoreWorld } from '../suites/store-world.ts';
import { Context } from './context.ts';
import { Register, SimCoordinator } from './coordinator.ts';
import { Disk, fillTag } from './disk.ts';
import { Life } from './life.ts';
import { Network, SimLink } from './link.ts';
import { Device, type MediumWatch } from './device.ts';
import { SimMedium } from './medium.ts';
import { SECTOR } from './model.ts';
import { treeSuite, type FilesWorld } from '../suites/tree.ts';
import { Prng } from './prng.ts';
import type { Station } from './wire.ts';
import { SimStore } from './store.ts';

const VOLUME = 'v' as VolumeName;
const MEDIUM = 'ab'.repeat(16) as MediumId;
let seed = 1;

/** One event of the world; without one, nothing but time goes by, and the suite gives up after enough of it. */
function step(ctx: Context): Promise<void> {
  ctx.step(Infinity);
  return Promise.resolve();
}

function lifeOf(ctx: Context, server: ServerId, index: number, start = 1): Life {
  return new Life(ctx, server, index, incarnationOf(start, 'cd'.repeat(16)));
}

function storeWorld(kind: StoreKind): Promise<StoreWorld> {
  const ctx = new Context(false);
  const prng = Prng.ofSeed(seed++);
  let disk: Disk | null = null;
  let start = 0;
  const watch = { appended: () => undefined, committed: () => undefined };
  return Promise.resolve({
    open: (capacityBytes) => {
      if (disk === null || kind === 'memory') disk = new Disk(prng.hex() as StoreId, kind, capacityBytes);
      const life = lifeOf(ctx, A, 0, ++start);
      return Promise.resolve(new SimStore(ctx, life, prng, disk, { mode: 'fine' }, watch, 0));
    },
    crash: (store) => {
      const { life, disk: crashed } = store as SimStore;
      life.end();
      crashed.crash(prng);
      return Promise.resolve();
    },
    step: () => step(ctx),
    end: () => Promise.resolve(),
  });
}

/** Nobody checks. */
function nobody(): MediumWatch {
  const heedless = () => undefined;
  const files = {
    written: heedless,
    changed: heedless,
    stamped: heedless,
    called: heedless,
    made: heedless,
    gone: heedless,
    tree: heedless,
    lost: heedless,
    deedOfOwner: () => null,
  };
  return { written: heedless, zeroed: heedless, late: heedless, claimOf: () => 1, files };
}

/** A device's clock that goes on with every look. */
function clockOf(): () => bigint {
  let nowNs = 0n;
  return () => (nowNs += 1n);
}

function mediumWorld(): Promise<MediumWorld> {
  const ctx = new Context(false);
  const sectors = 256;
  const abilities = { punch: true, reserve: true, extents: true, generations: false };
  const device = new Device(
    ctx,
    Prng.ofSeed(seed++),
    [{ name: VOLUME, mediumId: MEDIUM, sectors, files: null }],
    abilities,
    2,
    false,
    nobody(),
    clockOf(),
  );
  return Promise.resolve({
    medium: new SimMedium(ctx, device, lifeOf(ctx, A, 0), 0, { mode: 'fine', share: 0, held: [], unmounted: false }),
    volume: VOLUME,
    mediumId: MEDIUM,
    sizeBytes: sectors * SECTOR,
    unitBytes: SECTOR,
    asserts: true,
    fill: (length, of) => {
      const data = Buffer.alloc(length);
      for (let at = 0; at < length; at += SECTOR) fillTag(data, of * 1000 + at / SECTOR + 1, at, SECTOR);
      return data;
    },
    step: () => step(ctx),
    end: () => Promise.resolve(),
  });
}

/** Files are kept byte for byte here, so that the suite may write what it likes; in worlds they are cells. */
function filesWorld(): Promise<FilesWorld> {
  const ctx = new Context(false);
  const abilities = { punch: true, reserve: false, extents: false, generations: false };
  const volumes = [{ name: VOLUME, mediumId: MEDIUM, sectors: 8, files: [] }];
  const device = new Device(ctx, Prng.ofSeed(seed++), volumes, abilities, 2, false, nobody(), clockOf(), true);
  return Promise.resolve({
    medium: new SimMedium(ctx, device, lifeOf(ctx, A, 0), 0, { mode: 'fine', share: 0, held: [], unmounted: false }),
    volume: VOLUME,
    mediumId: MEDIUM,
    manyEntries: 300,
    asserts: true,
    step: () => step(ctx),
    end: () => Promise.resolve(),
  });
}

function coordinatorWorld(): Promise<CoordinatorWorld> {
  const ctx = new Context(false);
  const register = new Register(ctx, Prng.ofSeed(seed++), 2, [[VOLUME, firstRecord(MEDIUM)]], () => undefined);
  const servers = ['a', 'b', 'c'] as ServerId[];
  return Promise.resolve({
    volume: VOLUME,
    servers,
    coordinatorOf: (server) =>
      new SimCoordinator(ctx, register, lifeOf(ctx, server, servers.indexOf(server)), {
        mode: 'fine',
        held: [],
      }),
    step: () => step(ctx),
    end: () => Promise.resolve(),
  });
}

/** Virtual time within which what is waited for must happen. */
const LINK_PATIENCE_MS = 60_000;

class SimLinkWorld implements LinkWorld {
  readonly #ctx = new Context(false);
  readonly #stations: (Station & { life: Life | null })[];
  readonly #network: Network;
  readonly #starts = new Map<ServerId, number>();

  constructor() {
    this.#stations = [A, B].map((id, index) => ({ id, index, link: null, hostUp: true, life: null }));
    this.#network = new Network(this.#ctx, Prng.ofSeed(seed++), this.#stations, 2, 0.5);
  }

  make(server: ServerId): LinkNode {
    const station = this.#station(server);
    const start = (this.#starts.get(server) ?? 0) + 1;
    this.#starts.set(server, start);
    const life = lifeOf(this.#ctx, server, station.index, start);
    station.life = life;
    const peers = new Map([[server === A ? B : A, { paths: 2 }]]);
    return {
      link: new SimLink(this.#ctx, this.#network, station, life, peers),
      incarnation: life.incarnation as Incarnation,
    };
  }

  kill(server: ServerId): Promise<void> {
    const station = this.#station(server);
    station.life?.end();
    station.life = null;
    station.link?.sever();
    return Promise.resolve();
  }

  until(what: string, holds: () => boolean): Promise<void> {
    const deadline = this.#ctx.now + LINK_PATIENCE_MS;
    while (!holds()) if (!this.#ctx.step(deadline)) throw new Error(`never happened: ${what}`);
    return Promise.resolve();
  }

  end(): Promise<void> {
    return Promise.resolve();
  }

  #station(server: ServerId): Station & { life: Life | null } {
    const station = this.#stations.find((s) => s.id === server);
    if (station === undefined) throw new Error(`no server ${server}`);
    return station;
  }
}

storeSuite('simulated memory store', { kind: 'memory', asserts: true }, () => storeWorld('memory'));
storeSuite('simulated journal', { kind: 'journal', asserts: true }, () => storeWorld('journal'));
mediumSuite('simulated medium', mediumWorld);
treeSuite('simulated files volume', filesWorld, false, 'files of worlds are a few cells');
coordinatorSuite('simulated coordinator', coordinatorWorld);
linkSuite('simulated link', () => Promise.resolve(new SimLinkWorld()));

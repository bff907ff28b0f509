/**
 * One world: the hosts with their production cores on simulated ports, what they share, and the rules of life and
 * death. `faults.ts` troubles it, `run.ts` drives it to its end and judges it.
 */
import { incarnationOf } from '../src/base/names.ts';
import type { Incarnation, MediumId, ServerId, StoreId, VolumeName } from '../src/base/names.ts';
import type { ServerControl, ServerPorts } from '../src/core/server.ts';
import type { ServerSettings, VolumeSettings } from '../src/core/settings.ts';
import type { VolumeRecord } from '../src/ports/coordinator.ts';
import { Auditor, type Truth } from './auditor.ts';
import { Herd } from './clients.ts';
import { Context } from './context.ts';
import { Register, SimCoordinator, type CoordinatorWeather } from './coordinator.ts';
import { offerOf, type Program } from './dialect.ts';
import { Disk } from './disk.ts';
import { SimDoors, Street } from './doors.ts';
import { FilesAudit } from './files/audit.ts';
import { FIRST_FILES } from './files/errands.ts';
import { goodProgram, type ProgramFactory } from './files/front.ts';
import { Life, SimClock, SimIds } from './life.ts';
import { Network, SimLink } from './link.ts';
import { Device, type MediumWeather } from './device.ts';
import { SimMedium } from './medium.ts';
import type { WorldPlan } from './plan.ts';
import { Prng } from './prng.ts';
import { SimFence, SimWitness } from './proofs.ts';
import type { Station } from './wire.ts';
import { SimStore, type StoreWeather } from './store.ts';

/** A supervisor's pause before it starts a server again that ended itself. */
const QUIT_DOWN_MS = 100;

/** Operations that a world's servers plan or let go of at a time: no drawing, so that other worlds stay what they were. */
const AT_ONCE = [256, 1, 3];
/** How long what leaves together waits for what else arrives, at most, ms. */
const LINGERS_MS = [0, 0.2];

/** Makes a server: the production core, or a mutation of it. */
export type ServerFactory = (settings: ServerSettings, ports: ServerPorts) => ServerControl;

/** A machine: what outlives the process that runs on it. */
export interface Host extends Station {
  readonly index: number;
  readonly id: ServerId;
  link: SimLink | null;
  hostUp: boolean;
  readonly rate: number;
  readonly zero: number;
  life: Life | null;
  server: ServerControl | null;
  stores: SimStore[];
  /** By volume; null where this server has no part. */
  readonly disks: (Disk | null)[];
  readonly coordinator: CoordinatorWeather;
  readonly media: readonly MediumWeather[];
  readonly storeWeather: readonly StoreWeather[];
  /** An orderly stop is under way. */
  stopping: boolean;
}

/** Wraps the ports of one server: how mutations of the world around the core are made. */
export type PortsFilter = (ports: ServerPorts, life: Life) => ServerPorts;

export class World {
  readonly plan: WorldPlan;
  readonly ctx: Context;
  readonly prng: Prng;
  readonly hosts: Host[];
  readonly names: readonly VolumeName[];
  readonly auditor: Auditor;
  readonly device: Device;
  readonly register: Register;
  readonly network: Network;
  readonly street: Street;
  readonly herd: Herd;
  healed = false;
  readonly #factory: ServerFactory;
  readonly #filter: PortsFilter;
  readonly #lives = new Map<Incarnation, Life>();
  /** How often each server was started: incarnations are ordered by it. */
  readonly #starts = new Map<number, number>();
  readonly #disks: Map<string, Disk>[];
  readonly #lifePrng: Prng;

  constructor(
    plan: WorldPlan,
    factory: ServerFactory,
    withStory: boolean,
    filter: PortsFilter = (ports) => ports,
    program: ProgramFactory = goodProgram,
  ) {
    this.plan = plan;
    this.#factory = factory;
    this.#filter = filter;
    const ctx = new Context(withStory);
    this.ctx = ctx;
    // Each concern has a stream of its own, from the seed and its name alone: a shrunk plan changes as little as can be.
    const stream = (name: string): Prng => Prng.ofSeed(plan.seed).fork(name);
    this.prng = stream('world');
    this.#lifePrng = stream('lives');
    this.names = plan.volumes.map((_, i) => `v${i}` as VolumeName);
    const volumes = plan.volumes.map((v, i) => ({
      name: this.names[i] as VolumeName,
      mediumId: stream(`medium ${i}`).hex() as MediumId,
      sectors: v.files ? Math.min(v.sectors, 16) : v.sectors,
      files: v.files ? FIRST_FILES : null,
    }));
    this.auditor = new Auditor(ctx, volumes);
    const audit = new FilesAudit(ctx, this.auditor, () => this.device);
    const abilities = { punch: plan.punch, reserve: plan.reserve, extents: plan.extents, generations: false };
    // What is there from the beginning is of the time 0.
    let herd: Herd | null = null;
    const deviceNowNs = (): bigint => BigInt(herd?.drawTag() ?? 0);
    this.device = new Device(
      ctx,
      stream('medium'),
      volumes,
      abilities,
      plan.mediumMs,
      plan.fence !== 'none',
      {
        written: (life, volume, first, tags) => this.auditor.written(life, volume, first, tags),
        zeroed: (life, volume) => this.auditor.zeroed(life, volume),
        claimOf: (life, volume) => this.auditor.claimOf(life, volume),
        late: (flight, successor) => this.auditor.late(flight, successor),
        files: audit,
      },
      deviceNowNs,
    );
    const created = volumes.map((v) => [v.name, firstRecord(v.mediumId)] as const);
    this.register = new Register(
      ctx,
      stream('coordinator'),
      plan.coordinatorMs,
      created,
      (volume, before, after, by) => {
        this.auditor.swapped(volume, before, after);
        ctx.hook('swap-landed', by.index);
        if (after.epoch > before.epoch) ctx.hook('claim-landed', by.index);
        else if (after.mirror === 'suspended') ctx.hook('suspended-landed', by.index);
        else if (after.mirror === 'in-sync') ctx.hook('in-sync-landed', by.index);
      },
    );
    this.#disks = volumes.map(() => new Map());
    this.auditor.see(this.#truth());
    this.hosts = this.#makeHosts(stream('hosts'));
    this.network = new Network(ctx, stream('link'), this.hosts, plan.paths, plan.linkMs, plan.bytes);
    this.network.onAgreed = (life, volume) => this.auditor.agreed(life, this.names.indexOf(volume as VolumeName));
    this.street = new Street(ctx, stream('street'), volumes.length, stream('addresses').chance(0.15), plan.linkMs);
    this.street.onOpened = (door) => {
      this.auditor.opened(door.life, door.volume, door.epoch);
      const platter = this.device.platters[door.volume];
      if (platter !== undefined) this.auditor.settleLoss(door.volume, platter.now);
    };
    this.herd = herd = new Herd(ctx, this.street, this.auditor, stream('clients'), plan.clients, plan.operations);
    this.street.onOpening = (door) => this.auditor.settleLoss(door.volume, []);
    this.street.fronts = {
      ctx,
      prng: stream('fronts'),
      auditor: this.auditor,
      audit,
      program,
      drawTag: () => this.herd.drawTag(),
    };
  }

  #truth(): Truth {
    // What was asked for in the storm may still come through for a while after it.
    const isHealed = (): boolean => this.healed && this.ctx.now > this.plan.stormMs + 3_000;
    return {
      recordOf: (volume) => this.register.records[volume] as VolumeRecord,
      diskOf: (volume, id) => (this.#disks[volume] as Map<string, Disk>).get(id) ?? null,
      device: this.device,
      get healed() {
        return isHealed();
      },
    };
  }

  #makeHosts(prng: Prng): Host[] {
    const { driftFraction } = this.plan.timings;
    return Array.from({ length: this.plan.servers }, (_, index) => ({
      index,
      id: 'abcde'.charAt(index) as ServerId,
      link: null,
      hostUp: true,
      // Any two clocks run apart by less than the stated margin; often they use it up.
      rate: 1 + driftFraction * 0.49 * (prng.chance(0.5) ? prng.pick([-1, 1]) : prng.between(-1, 1)),
      zero: Math.floor(prng.between(0, 1e9)),
      life: null,
      server: null,
      stores: [],
      disks: this.plan.volumes.map((v, volume) => (v.servers.includes(index) ? this.#newDisk(volume, prng) : null)),
      coordinator: { mode: 'fine', held: [] },
      media: this.plan.volumes.map(() => ({ mode: 'fine', share: 0, held: [], unmounted: false })),
      storeWeather: this.plan.volumes.map(() => ({ mode: 'fine' })),
      stopping: false,
    }));
  }

  #newDisk(volume: number, prng: Prng): Disk {
    const plan = this.plan.volumes[volume];
    if (plan === undefined) throw new Error(`no volume ${volume}`);
    const disk = new Disk(prng.hex() as StoreId, plan.kind, plan.capacityBytes);
    (this.#disks[volume] as Map<string, Disk>).set(disk.id, disk);
    return disk;
  }

  // ---- life and death -----------------------------------------------------------------------------------------

  /** Starts the server's process, unless one runs. */
  boot(host: Host): void {
    if (host.life !== null) return;
    const { ctx, plan } = this;
    const prng = this.#lifePrng.fork(host.id);
    const start = (this.#starts.get(host.index) ?? 0) + 1;
    this.#starts.set(host.index, start);
    const incarnation = incarnationOf(start, prng.hex());
    const life = new Life(ctx, host.id, host.index, incarnation);
    this.#lives.set(incarnation, life);
    host.hostUp = true;
    host.life = life;
    host.stopping = false;
    host.stores = [];
    const stores = new Map<VolumeName, SimStore>();
    const media = new Map();
    const volumes: VolumeSettings[] = [];
    plan.volumes.forEach((volume, v) => {
      if (!volume.servers.includes(host.index)) return;
      const name = this.names[v] as VolumeName;
      let disk = host.disks[v] ?? null;
      if (disk === null || (disk.kind === 'memory' && disk.lost)) disk = host.disks[v] = this.#newDisk(v, prng);
      const store = new SimStore(
        ctx,
        life,
        prng.fork('store'),
        disk,
        host.storeWeather[v] as StoreWeather,
        this.auditor,
        v,
      );
      stores.set(name, store);
      host.stores.push(store);
      media.set(name, new SimMedium(ctx, this.device, life, v, host.media[v] as MediumWeather));
      volumes.push({
        name,
        servers: volume.servers.map((s) => this.hosts[s]?.id as ServerId),
        mediumId: this.device.ids[v] as MediumId,
        degraded: volume.degraded,
        reads: volume.reads,
        giveback: volume.giveback,
        operationsAtOnce: AT_ONCE[plan.seed % AT_ONCE.length] ?? 1,
      });
    });
    const peers = new Map(this.hosts.filter((h) => h !== host).map((h) => [h.id, { paths: plan.paths }]));
    const settings: ServerSettings = { self: host.id, incarnation, volumes, timings: plan.timings };
    ctx.digest.text('boot');
    const program = this.programOf(host);
    const which = program === 'this' ? '' : `, with ${program === 'distant' ? 'a' : 'the'} ${program} program`;
    ctx.tell('life', host.index, `${host.id} starts, for the ${start}. time${which}`);
    const ports: ServerPorts = {
      clock: new SimClock(
        ctx,
        life,
        prng.fork('clock'),
        host.rate,
        host.zero,
        LINGERS_MS[plan.seed % LINGERS_MS.length] ?? 0,
      ),
      ids: new SimIds(prng.fork('ids')),
      link: new SimLink(ctx, this.network, host, life, peers, offerOf(this.programOf(host))),
      coordinator: new SimCoordinator(ctx, this.register, life, host.coordinator),
      media,
      stores,
      witness: new SimWitness(ctx, life, prng.fork('witness'), this.#undertaker, plan.witness),
      fence: new SimFence(ctx, life, prng.fork('fence'), this.#undertaker, plan.fence !== 'none'),
      doors: new SimDoors(this.street, life, (name) => this.names.indexOf(name)),
      quit: (why) => this.#quit(host, life, why),
      observer: {
        note: (event, volume, fields) => {
          ctx.digest.text(event);
          if (ctx.story === null) return;
          const text = Object.entries(fields).map(([key, value]) => `${key}=${String(value)}`);
          ctx.tell('note', host.index, `${volume === null ? '' : `${volume}: `}${event} ${text.join(' ')}`);
        },
      },
    };
    life.call(() => {
      const server = this.#factory(settings, this.#filter(ports, life));
      host.server = server;
      server.start();
    });
  }

  /** What the process that runs now, or last ran, speaks. */
  programOf(host: Host): Program {
    const programs = this.plan.programs[host.index];
    if (programs === undefined) return 'this';
    return (this.#starts.get(host.index) ?? 0) > 1 ? programs.later : programs.first;
  }

  /** The server ends its own process, having let go of its volumes; its supervisor starts another. */
  #quit(host: Host, life: Life, why: string): void {
    this.ctx.after(0, () => {
      if (host.life !== life) return;
      this.ctx.tell('life', host.index, `${host.id} quits: ${why}`);
      this.kill(host, false);
      this.ctx.after(QUIT_DOWN_MS, () => this.boot(host));
    });
  }

  /** The process ends; with `hostDown` the machine as well, and nobody is told. */
  kill(host: Host, hostDown: boolean): void {
    const life = host.life;
    if (life === null) return;
    this.ctx.tally.crashes++;
    this.ctx.digest.text('end');
    this.ctx.tell('life', host.index, `${host.id} ends${hostDown ? ' with its host' : ''}`);
    life.end();
    host.life = null;
    host.server = null;
    host.hostUp = !hostDown;
    host.link?.sever();
    host.link = null;
    this.street.ended(life, host.hostUp);
    // Assumption A2: what a process issued has landed or not by the time anybody may learn of its end.
    this.device.settle((flight) => flight.life === life);
    for (const store of host.stores) {
      if (store.disk.kind === 'memory') store.disk.lost = true;
      else store.disk.crash(this.#lifePrng);
    }
    host.stores = [];
    for (let v = 0; v < this.names.length; v++) this.auditor.recoverable(v, `${host.id} ended`);
  }

  /** Whether every volume keeps a complete copy when this server's memory (and `also`) is gone. */
  survivesWithout(hosts: readonly Host[], also: (disk: Disk) => boolean = () => false): boolean {
    const gone = (disk: Disk): boolean =>
      also(disk) || hosts.some((h) => disk.kind === 'memory' && h.disks.includes(disk));
    return this.names.every((_, v) => this.auditor.survives(v, gone));
  }

  /** Its operator starts a server anew that was fenced from the medium; one with the only copy is let in again as it is. */
  readmit(host: Host, life: Life): void {
    this.ctx.after(this.prng.between(300, 2_000), () => {
      if (host.life !== life) return;
      if (life.frozen) return this.readmit(host, life);
      if (!this.plan.losses && !this.survivesWithout([host])) {
        this.device.fenced.delete(life.incarnation);
        return;
      }
      this.kill(host, false);
      this.ctx.after(QUIT_DOWN_MS, () => this.boot(host));
    });
  }

  lifeOf(incarnation: Incarnation): Life | null {
    return this.#lives.get(incarnation) ?? null;
  }

  hostOf(life: Life): Host {
    return this.hosts[life.index] as Host;
  }

  /** A store's content is gone for good, and its identity with it. */
  loseDisk(host: Host, volume: number): void {
    const disk = host.disks[volume];
    if (disk === null || disk === undefined) return;
    disk.lost = true;
    host.disks[volume] = this.#newDisk(volume, this.#lifePrng);
  }

  readonly #undertaker = ((world: World) => ({
    lifeOf: (incarnation: Incarnation) => world.lifeOf(incarnation),
    hostUp: (server: ServerId) => world.hosts.find((h) => h.id === server)?.hostUp ?? false,
    fences: (life: Life, volume: VolumeName) => world.auditor.fences(life, volume),
    shoot: (life: Life) => {
      const host = world.hostOf(life);
      if (host.life !== life) return true;
      const { fence, losses } = world.plan;
      if (fence === 'medium') {
        world.device.cutOff(life);
        world.readmit(host, life);
        return true;
      }
      if (!losses && !world.survivesWithout([host])) return false;
      world.kill(host, fence === 'power');
      world.ctx.after(fence === 'power' ? world.prng.between(300, 1500) : QUIT_DOWN_MS, () => world.boot(host));
      return true;
    },
    get healed() {
      return world.healed;
    },
  }))(this);
}

function firstRecord(mediumId: MediumId): VolumeRecord {
  return {
    version: 1,
    nonce: '0'.repeat(32),
    mediumId,
    epoch: 0,
    owner: null,
    ownerStore: null,
    partner: null,
    partnerStore: null,
    generation: 0,
    mirror: 'suspended',
    source: null,
    holders: [],
    replayed: null,
    losses: [],
    why: 'created',
  } as unknown as VolumeRecord;
}

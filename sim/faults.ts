/** Carries a plan's faults out in a world, each within the fault model of docs/simulator.md, and heals everything. */
import type { VolumeName } from '../src/base/names.ts';
import type { Hook } from './context.ts';
import { describeFault, type Aim, type PlannedFault, type Trouble } from './plan.ts';
import type { Host, World } from './world.ts';

/** An administrator's request that has not been answered. */
export interface OpenRequest {
  readonly host: Host;
  readonly incarnation: string;
  readonly what: string;
  readonly askedMs: number;
}

export class Faults {
  readonly #world: World;
  readonly #waiting: {
    readonly fault: PlannedFault;
    readonly on: Hook;
    readonly server: number | null;
    left: number;
  }[] = [];
  #over = false;
  readonly requests = new Set<OpenRequest>();

  constructor(world: World) {
    this.#world = world;
  }

  start(): void {
    const { ctx, plan } = this.#world;
    for (const fault of plan.faults) {
      const { when } = fault;
      if ('atMs' in when) ctx.after(when.atMs, () => this.#begin(fault, null));
      else this.#waiting.push({ fault, on: when.on, server: when.server, left: when.nth });
    }
    ctx.onHook = (hook, server) => this.#hooked(hook, server);
  }

  /** The storm is over: everything that was broken works again, everybody who was down starts. */
  heal(): void {
    const world = this.#world;
    this.#over = true;
    world.healed = true;
    world.ctx.onHook = null;
    world.ctx.tell('fault', -1, 'everything is healed');
    this.#mend();
    for (const host of world.hosts) {
      if (host.life === null) world.ctx.after(world.prng.between(0, 300), () => world.boot(host));
      // A failed store needs a new process, and one that nobody understands a program that somebody does.
      else if (host.stores.some((s) => s.failed) || world.programOf(host) === 'distant') this.#restart(host, 200);
    }
  }

  #mend(): void {
    const world = this.#world;
    world.network.healAll();
    world.street.unreachable.clear();
    for (const platter of world.device.platters) platter.full = false;
    for (const host of world.hosts) {
      this.#coordinator(host, 'fine');
      host.media.forEach((weather, v) => {
        weather.unmounted = false;
        this.#medium(host, v, 'fine', 0);
      });
      host.storeWeather.forEach((_, v) => this.#store(host, v, 'fine'));
      host.life?.thaw();
    }
  }

  #hooked(hook: Hook, server: number): void {
    for (const waiting of this.#waiting) {
      if (waiting.on !== hook || waiting.left === 0 || (waiting.server !== null && waiting.server !== server)) continue;
      if (--waiting.left > 0) continue;
      const { when } = waiting.fault;
      this.#world.ctx.after('afterMs' in when ? when.afterMs : 0, () => this.#begin(waiting.fault, server));
    }
  }

  #begin(fault: PlannedFault, at: number | null): void {
    const { ctx } = this.#world;
    if (this.#over || ctx.now > this.#world.plan.stormMs) return;
    const trouble = this.#aimed(fault.trouble, fault.aim, at);
    if (trouble === null) return;
    ctx.tally.faults++;
    ctx.digest.text(trouble.kind);
    if (ctx.story !== null) ctx.tell('fault', -1, describeFault({ ...fault, trouble }));
    this.#trouble(trouble);
  }

  /** The trouble, at the server that it is aimed at; null when there is none such. */
  #aimed(trouble: Trouble, aim: Aim | null, at: number | null): Trouble | null {
    if (aim === null) return trouble;
    const world = this.#world;
    let target = at;
    if (aim.role !== 'self') {
      const record = world.register.records[aim.volume];
      const last = record?.holders[0];
      const deposed = last?.incarnation === record?.owner?.incarnation ? undefined : last?.server;
      const server = aim.role === 'deposed' ? deposed : aim.role === 'owner' ? record?.owner?.server : record?.partner;
      target = world.hosts.find((h) => h.id === server)?.index ?? null;
    }
    if (target === null) return null;
    if ('server' in trouble && trouble.server !== null) return { ...trouble, server: target };
    if (!('from' in trouble) || trouble.from === target) return trouble;
    return { ...trouble, from: target, to: trouble.to === target ? trouble.from : trouble.to };
  }

  /** Undoes something later, unless everything has been healed by then. */
  #later(ms: number, undo: () => void): void {
    this.#world.ctx.after(ms, () => {
      if (!this.#over) undo();
    });
  }

  #trouble(t: Trouble): void {
    const world = this.#world;
    const host = (index: number): Host => world.hosts[index % world.hosts.length] as Host;
    switch (t.kind) {
      case 'crash':
        return this.#crash(host(t.server), t.host, t.downMs, t.rot);
      case 'freeze': {
        const life = host(t.server).life;
        life?.freeze();
        this.#later(t.forMs, () => life?.thaw());
        return;
      }
      case 'cut':
        return this.#cut(t.from, t.to, t.path, t.both, t.forMs);
      case 'reset':
        world.network.wireOf(t.from, t.to, t.path % world.plan.paths)?.reset();
        return;
      case 'slow-link': {
        const path = t.path === null ? null : t.path % world.plan.paths;
        const slowed = world.network.wires.filter(
          (wire) => wire.sides.some((side) => side.index === t.from) && (path === null || wire.path === path),
        );
        const slow = (extraMs: number): void => {
          for (const wire of slowed) {
            for (const side of [0, 1] as const)
              if (t.both || wire.sides[side].index === t.from) wire.slow(side, extraMs);
          }
        };
        slow(t.extraMs);
        this.#later(t.forMs, () => slow(0));
        return;
      }
      case 'isolate':
        return this.#isolate(t);
      case 'partition':
        return this.#partition(t);
      case 'coordinator':
        for (const h of t.server === null ? world.hosts : [host(t.server)]) {
          this.#coordinator(h, t.mode);
          this.#later(t.forMs, () => this.#coordinator(h, 'fine'));
        }
        return;
      case 'medium': {
        const h = host(t.server);
        this.#medium(h, t.volume, t.mode, t.share);
        if (world.plan.coordinatorOnMedium && t.mode !== 'fail-sync')
          this.#coordinator(h, t.mode === 'fail' ? 'fault' : t.mode);
        this.#later(t.forMs, () => {
          this.#medium(h, t.volume, 'fine', 0);
          if (world.plan.coordinatorOnMedium) this.#coordinator(h, 'fine');
        });
        return;
      }
      case 'unmount': {
        const weather = host(t.server).media[t.volume];
        if (weather === undefined) return;
        weather.unmounted = true;
        this.#later(t.forMs, () => {
          weather.unmounted = false;
        });
        return;
      }
      case 'full': {
        const platter = world.device.platters[t.volume];
        if (platter === undefined) return;
        platter.full = true;
        this.#later(t.forMs, () => {
          platter.full = false;
        });
        return;
      }
      case 'store': {
        const h = host(t.server);
        // Memory does not fail for good while its process lives.
        const mode = world.plan.volumes[t.volume]?.kind === 'memory' && t.mode === 'fail' ? 'slow' : t.mode;
        this.#store(h, t.volume, mode);
        this.#later(t.forMs, () => {
          this.#store(h, t.volume, 'fine');
          if (h.stores.some((s) => s.failed)) this.#restart(h, t.forMs);
        });
        return;
      }
      case 'damage':
        return this.#damage(host(t.server), t.volume, t.downMs);
      case 'takeover':
        return this.#takeover(host(t.server), t.volume);
      case 'stop':
        return this.#stop(host(t.server), t.downMs);
      case 'power':
        return this.#power(t.downMs);
      case 'give-up':
        return this.#giveUp(host(t.server), t.volume);
    }
  }

  #crash(host: Host, hostDown: boolean, downMs: number, rot: number): void {
    const world = this.#world;
    if (host.life === null) return;
    if (!world.plan.losses && !world.survivesWithout([host])) {
      world.ctx.tell('fault', host.index, 'is spared: it holds the only copy');
      return;
    }
    world.kill(host, hostDown);
    if (rot > 0 && this.#rot(host, rot)) this.#calm(host);
    world.ctx.after(downMs, () => {
      if (!world.healed) world.boot(host);
    });
  }

  /** The end of a journal rots, where another complete copy exists: it looks as if the tail had been torn. */
  #rot(host: Host, count: number): boolean {
    const world = this.#world;
    let rotten = false;
    for (const disk of host.disks) {
      if (disk === null || disk.kind !== 'journal' || disk.lost) continue;
      if (!world.survivesWithout([], (d) => d === disk)) continue;
      if (disk.rotTail(count) === 0) continue;
      disk.lost = true;
      rotten = true;
      world.ctx.tell('store', host.index, `the last operations of journal ${disk.id.slice(0, 6)} rot`);
    }
    return rotten;
  }

  /**
   * Assumption A6 (docs/simulator.md): a synced tail that rots without a trace can be mended only from the other copy,
   * so that copy must be within reach. Everything else is mended and stays so.
   */
  #calm(except: Host): void {
    this.#over = true;
    this.#mend();
    for (const host of this.#world.hosts) if (host !== except && host.life === null) this.#world.boot(host);
  }

  /** A store of a server is found destroyed when its process restarts. */
  #damage(host: Host, volume: number, downMs: number): void {
    const world = this.#world;
    const disk = host.disks[volume];
    if (disk === null || disk === undefined || host.life === null) return;
    if (!world.plan.losses && !world.survivesWithout([host], (d) => d === disk)) return;
    world.kill(host, false);
    world.loseDisk(host, volume);
    world.ctx.tell('store', host.index, `the store of volume ${volume} is destroyed`);
    this.#later(downMs, () => world.boot(host));
  }

  #restart(host: Host, afterMs: number): void {
    const world = this.#world;
    if (host.life === null) return;
    const life = host.life;
    world.ctx.after(afterMs, () => {
      if (host.life !== life) return;
      if (!world.plan.losses && !world.survivesWithout([host])) return this.#restart(host, 100);
      world.kill(host, false);
      world.ctx.after(20, () => world.boot(host));
    });
  }

  #cut(from: number, to: number, path: number | null, both: boolean, forMs: number): void {
    const { network, plan } = this.#world;
    const which = path === null ? null : path % plan.paths;
    network.cut(from, to, which, 1);
    if (both) network.cut(to, from, which, 1);
    this.#later(forMs, () => {
      network.cut(from, to, which, -1);
      if (both) network.cut(to, from, which, -1);
    });
  }

  #isolate(t: Extract<Trouble, { kind: 'isolate' }>): void {
    const world = this.#world;
    const host = world.hosts[t.server];
    if (host === undefined) return;
    if (t.link)
      for (const other of world.hosts) if (other !== host) this.#cut(host.index, other.index, null, true, t.forMs);
    if (t.coordinator) this.#coordinator(host, 'hang');
    if (t.clients) world.street.unreachable.add(host.index);
    this.#later(t.forMs, () => {
      if (t.coordinator) this.#coordinator(host, 'fine');
      world.street.unreachable.delete(host.index);
    });
  }

  #partition(t: Extract<Trouble, { kind: 'partition' }>): void {
    const { hosts } = this.#world;
    const inside = (host: Host): boolean => t.members.includes(host.index);
    for (const one of hosts) {
      for (const other of hosts)
        if (inside(one) && !inside(other)) this.#cut(one.index, other.index, null, true, t.forMs);
      if (t.coordinator === 'both' || inside(one) === (t.coordinator === 'members')) continue;
      this.#coordinator(one, 'hang');
      this.#later(t.forMs, () => this.#coordinator(one, 'fine'));
    }
  }

  #coordinator(host: Host, mode: Host['coordinator']['mode']): void {
    host.coordinator.mode = mode;
    if (mode === 'hang') return;
    for (const run of host.coordinator.held.splice(0)) run();
  }

  #medium(host: Host, volume: number, mode: Host['media'][number]['mode'], share: number): void {
    const weather = host.media[volume];
    if (weather === undefined) return;
    weather.mode = mode;
    weather.share = share;
    if (mode !== 'hang') for (const run of weather.held.splice(0)) run();
  }

  #store(host: Host, volume: number, mode: 'fine' | 'slow' | 'hang' | 'fail'): void {
    const weather = host.storeWeather[volume];
    if (weather === undefined) return;
    weather.mode = mode;
    if (mode !== 'hang') for (const store of host.stores) store.resume();
  }

  #takeover(host: Host, volume: number): void {
    const world = this.#world;
    const { life, server } = host;
    if (life === null || server === null || host.disks[volume] === null) return;
    const name = world.names[volume] as VolumeName;
    const request: OpenRequest = {
      host,
      incarnation: life.incarnation,
      what: `takeover of ${name}`,
      askedMs: world.ctx.now,
    };
    life.call(() => {
      this.requests.add(request);
      server.takeover(
        name,
        (text) => world.ctx.tell('note', host.index, `${name}: takeover: ${text}`),
        (fault, report) => {
          this.requests.delete(request);
          world.ctx.digest.text(fault === null ? 'taken' : fault.kind);
          world.ctx.tell(
            'note',
            host.index,
            `${name}: takeover ${fault === null ? `done, pause ${report?.pauseMs.toFixed(1) ?? '?'} ms` : `failed: ${fault.message}`}`,
          );
        },
      );
    });
  }

  /** An administrator in a hurry gives up what cannot be reached; the core may refuse. */
  #giveUp(host: Host, volume: number): void {
    const world = this.#world;
    const { life, server } = host;
    if (life === null || server === null || host.disks[volume] === null) return;
    const name = world.names[volume] as VolumeName;
    life.call(() =>
      server.acceptLoss(name, (fault) => {
        world.ctx.tell(
          'note',
          host.index,
          `${name}: ${fault === null ? 'what cannot be reached is given up' : `not given up: ${fault.message}`}`,
        );
      }),
    );
  }

  #stop(host: Host, downMs: number): void {
    const world = this.#world;
    const { life, server } = host;
    if (life === null || server === null || host.stopping) return;
    host.stopping = true;
    const request: OpenRequest = { host, incarnation: life.incarnation, what: 'orderly stop', askedMs: world.ctx.now };
    const end = () => {
      if (host.life !== life) return;
      // Nobody pulls the plug on the only copy.
      if (!world.plan.losses && !world.survivesWithout([host])) {
        world.ctx.after(50, end);
        return;
      }
      world.kill(host, false);
      world.ctx.after(world.healed ? 10 : downMs, () => world.boot(host));
    };
    life.call(() => {
      this.requests.add(request);
      server.stop(() => {
        this.requests.delete(request);
        world.ctx.tell('life', host.index, `${host.id} has stopped in order`);
        world.ctx.after(1, end);
      });
    });
  }

  #power(downMs: number): void {
    const world = this.#world;
    if (!world.plan.losses && !world.survivesWithout(world.hosts)) return;
    for (const host of world.hosts) world.kill(host, true);
    world.device.losePower();
    for (let v = 0; v < world.names.length; v++) world.auditor.recoverable(v, 'the power was lost');
    for (const host of world.hosts) this.#later(downMs * world.prng.between(0.5, 1.5), () => world.boot(host));
  }
}

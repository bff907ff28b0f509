/**
 * The clients' doors: where a simulated server listens, and the connections of the simulated clients. Requests of one
 * connection arrive in order; what a process had not answered when a connection closed stays unanswered; a frozen
 * process accepts connections and says nothing, a dead one resets them.
 */
import { Fault, type Done } from '../src/base/fault.ts';
import type { Epoch, VolumeName } from '../src/base/names.ts';
import type { ServiceRequest, VolumeService } from '../src/ports/service.ts';
import type { Doors } from '../src/ports/world.ts';
import type { Context } from './context.ts';
import { Front, type FrontWorld } from './files/front.ts';
import type { Life } from './life.ts';
import type { Prng } from './prng.ts';

/** A client's end of a connection hears of its closing. */
export interface ConnectionEvents {
  closed(): void;
}

/** A request that the core has not answered, as its connection knows it. */
export interface InService {
  cancelled: boolean;
  onCancelled(): void;
}

export class ClientConnection {
  readonly door: Door;
  readonly events: ConnectionEvents;
  /** As the client sees it. */
  open = true;
  /** As the server sees it; false once it has processed the closing. */
  serverOpen = true;
  lastAt = 0;
  readonly inService = new Set<InService>();

  constructor(door: Door, events: ConnectionEvents) {
    this.door = door;
    this.events = events;
  }
}

export class Door {
  readonly life: Life;
  readonly volume: number;
  readonly epoch: Epoch;
  readonly service: VolumeService;
  state: 'opening' | 'open' | 'held' | 'closed' = 'opening';
  readonly connections = new Set<ClientConnection>();
  /** Of a files volume. */
  front: Front | null = null;

  constructor(life: Life, volume: number, epoch: Epoch, service: VolumeService) {
    this.life = life;
    this.volume = volume;
    this.epoch = epoch;
    this.service = service;
  }
}

/** All doors of a world: who listens where. */
export class Street {
  readonly ctx: Context;
  readonly prng: Prng;
  readonly doors: Set<Door>[];
  /** Servers that clients cannot reach now. */
  readonly unreachable = new Set<number>();
  /** All servers share one host: an address is taken while another process listens on it. */
  readonly exclusive: boolean;
  readonly latencyMs: number;
  onOpened: ((door: Door) => void) | null = null;
  /** Before the front end of a files volume asks the service for anything. */
  onOpening: ((door: Door) => void) | null = null;
  /** What front ends of files volumes share; null until it is known. */
  fronts: FrontWorld | null = null;
  /** Doors that are not open yet. */
  readonly opening = new Set<Door>();

  constructor(ctx: Context, prng: Prng, volumes: number, exclusive: boolean, latencyMs: number) {
    this.ctx = ctx;
    this.prng = prng;
    this.doors = Array.from({ length: volumes }, () => new Set<Door>());
    this.exclusive = exclusive;
    this.latencyMs = latencyMs;
  }

  /** Any door that a client who tries now finds open; null when nobody listens. */
  find(volume: number): Door | null {
    const found: Door[] = [];
    for (const door of this.doors[volume] as Set<Door>) {
      if (door.state === 'open' && !this.unreachable.has(door.life.index) && !door.life.ended) found.push(door);
    }
    return found.length === 0 ? null : this.prng.pick(found);
  }

  connect(door: Door, events: ConnectionEvents): ClientConnection {
    const connection = new ClientConnection(door, events);
    door.connections.add(connection);
    return connection;
  }

  /** Hands a request to the server, in order; lost when either side closes first. */
  submit(connection: ClientConnection, request: ServiceRequest, known: InService, onSubmitted: () => void): void {
    this.send(connection, () => {
      if (request.cancelled) return;
      connection.inService.add(known);
      onSubmitted();
      connection.door.service.submit(request);
    });
  }

  /** Runs `arrived` in the server, in order; never when either side closes first. */
  send(connection: ClientConnection, arrived: () => void): void {
    const at = Math.max(connection.lastAt, this.ctx.now + this.prng.latency(this.latencyMs));
    connection.lastAt = at;
    const deliver = () => {
      const door = connection.door;
      if (!connection.serverOpen) return;
      if (this.unreachable.has(door.life.index)) {
        this.ctx.after(this.prng.between(20, 200), deliver);
        return;
      }
      door.life.call(() => {
        if (connection.serverOpen && door.state === 'open') arrived();
      });
    };
    this.ctx.after(at - this.ctx.now, deliver);
  }

  /** The client closes; the server hears of it later, behind what is under way. */
  hangUp(connection: ClientConnection): void {
    if (!connection.open) return;
    connection.open = false;
    const at = Math.max(connection.lastAt, this.ctx.now + this.prng.latency(this.latencyMs));
    this.ctx.after(at - this.ctx.now, () => connection.door.life.call(() => this.serverClose(connection)));
  }

  /** The server's end closes: what it has not admitted is dropped. */
  serverClose(connection: ClientConnection): void {
    if (!connection.serverOpen) return;
    connection.serverOpen = false;
    connection.door.connections.delete(connection);
    for (const request of connection.inService) {
      request.cancelled = true;
      request.onCancelled();
    }
    connection.inService.clear();
    if (!connection.open) return;
    this.ctx.after(this.prng.latency(this.latencyMs), () => {
      if (!connection.open) return;
      connection.open = false;
      connection.events.closed();
    });
  }

  shut(door: Door): void {
    door.state = 'closed';
    door.front?.end();
    this.opening.delete(door);
    (this.doors[door.volume] as Set<Door>).delete(door);
    for (const connection of door.connections) this.serverClose(connection);
  }

  /** The process ended; its kernel resets the connections, unless the whole host is gone. */
  ended(life: Life, hostUp: boolean): void {
    for (const door of this.opening) if (door.life === life) this.shut(door);
    for (const doors of this.doors) {
      for (const door of doors) {
        if (door.life !== life) continue;
        if (!hostUp) {
          // Nobody tells the clients; their patience will.
          door.state = 'closed';
          door.front?.end();
          doors.delete(door);
          for (const connection of door.connections) {
            connection.serverOpen = false;
            for (const request of connection.inService) request.onCancelled();
          }
        } else this.shut(door);
      }
    }
  }
}

/** One process's doors. */
export class SimDoors implements Doors {
  readonly #street: Street;
  readonly #life: Life;
  readonly #volumeOf: (name: VolumeName) => number;
  readonly #doors = new Map<VolumeName, Door>();

  constructor(street: Street, life: Life, volumeOf: (name: VolumeName) => number) {
    this.#street = street;
    this.#life = life;
    this.#volumeOf = volumeOf;
  }

  open(volume: VolumeName, epoch: Epoch, service: VolumeService, done: Done): void {
    const street = this.#street;
    const index = this.#volumeOf(volume);
    const old = this.#doors.get(volume);
    if (old !== undefined && old.state !== 'closed') {
      street.ctx.fail(
        'port contract',
        `${this.#life.server} opens the door of ${volume} while it has one (${old.state})`,
      );
      return;
    }
    const door = new Door(this.#life, index, epoch, service);
    this.#doors.set(volume, door);
    if (street.fronts !== null && street.fronts.auditor.filesOf(index) !== null) {
      street.onOpening?.(door);
      door.front = new Front(street.fronts, this.#life, volume, index, epoch, service);
      street.opening.add(door);
      door.front.open((fault) => {
        if (fault === null) return this.#listen(volume, door, done);
        door.front?.end();
        door.state = 'closed';
        street.opening.delete(door);
        done(fault);
      });
    } else this.#listen(volume, door, done);
  }

  #listen(volume: VolumeName, door: Door, done: Done): void {
    const street = this.#street;
    const { volume: index, epoch } = door;
    street.ctx.after(street.prng.latency(0.5), () =>
      this.#life.call(() => {
        if (door.state !== 'opening') return;
        if (
          street.exclusive &&
          [...(street.doors[index] as Set<Door>)].some((d) => d.state === 'open' && d.life !== this.#life)
        ) {
          door.state = 'closed';
          door.front?.end();
          done(new Fault('retry', 'the address is in use'));
          return;
        }
        door.state = 'open';
        street.opening.delete(door);
        (street.doors[index] as Set<Door>).add(door);
        street.ctx.digest.text('door');
        street.ctx.tell('door', this.#life.index, `${volume}: listens in epoch ${epoch}`);
        street.ctx.hook('door-opened', this.#life.index);
        street.onOpened?.(door);
        done(null);
      }),
    );
  }

  hold(volume: VolumeName, done: () => void): void {
    const street = this.#street;
    const door = this.#doors.get(volume);
    if (door !== undefined && door.state !== 'closed') {
      door.state = 'held';
      street.ctx.tell('door', this.#life.index, `${volume}: holds its door`);
    }
    street.ctx.after(0.05, () => this.#life.call(done));
  }

  close(volume: VolumeName, why: string): void {
    const door = this.#doors.get(volume);
    if (door === undefined || door.state === 'closed') return;
    this.#street.ctx.tell('door', this.#life.index, `${volume}: closes its door: ${why}`);
    this.#street.shut(door);
    this.#doors.delete(volume);
  }
}

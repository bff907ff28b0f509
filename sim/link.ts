/**
 * The simulated network between servers: independent paths (`wire.ts`), in order within a connection and in no order between
 * paths. A cut holds messages back (they come late) or loses them with the connection; a dead process is refused by its
 * host, a dead host is silent, a frozen process accepts and says nothing.
 */
import type { ServerId } from '../src/base/names.ts';
import type { Link, LinkEvents, LinkMessage, PathRef } from '../src/ports/link.ts';
import type { Context } from './context.ts';
import { offerOf, type Offer } from './dialect.ts';
import type { Life } from './life.ts';
import type { Prng } from './prng.ts';
import { Wire, type Connection, type End, type Station } from './wire.ts';

/** All wires of a world. */
export class Network {
  readonly wires: Wire[] = [];
  readonly #stations: readonly Station[];

  /** Told of every agreement to a handover that leaves a server. */
  onAgreed: ((life: Life, volume: string) => void) | null = null;

  constructor(ctx: Context, prng: Prng, stations: readonly Station[], paths: number, latencyMs: number, bytes = false) {
    this.#stations = stations;
    for (const a of stations) {
      for (const b of stations) {
        if (a.index >= b.index) continue;
        for (let path = 0; path < paths; path++) {
          this.wires.push(new Wire(ctx, prng, a, b, path, latencyMs * prng.between(0.5, 2), bytes));
        }
      }
    }
  }

  stationOf(id: ServerId): Station | null {
    return this.#stations.find((s) => s.id === id) ?? null;
  }

  wireOf(a: number, b: number, path: number): Wire | null {
    const low = Math.min(a, b);
    const high = Math.max(a, b);
    return this.wires.find((w) => w.sides[0].index === low && w.sides[1].index === high && w.path === path) ?? null;
  }

  /** A process began to listen, or ended. */
  changed(index: number, orderly = false): void {
    for (const wire of this.wires) {
      const side = wire.sides[0].index === index ? 0 : wire.sides[1].index === index ? 1 : null;
      if (side === null) continue;
      if (wire.sides[side].link === null) wire.ended(side, orderly);
      else wire.attemptSoon();
    }
  }

  /** Cuts (+1) or heals (-1) what goes from `from` to `to`; `path` null means all paths. */
  cut(from: number, to: number, path: number | null, by: 1 | -1): void {
    for (const wire of this.wires) {
      if (path !== null && wire.path !== path) continue;
      const [a, b] = wire.sides;
      const side = a.index === from && b.index === to ? 0 : b.index === from && a.index === to ? 1 : null;
      if (side === null) continue;
      wire.cuts[side] += by;
      if (by < 0) wire.healed(side);
    }
  }

  /** Every cut is lifted, every path is quick again. */
  healAll(): void {
    for (const wire of this.wires) {
      for (const side of [0, 1] as const) {
        wire.cuts[side] = 0;
        wire.extraMs[side] = 0;
        wire.healed(side);
      }
      wire.attemptSoon();
    }
  }
}

/** One process's end of all its paths. */
export class SimLink implements Link, End {
  readonly peers: ReadonlyMap<ServerId, { readonly paths: number }>;
  readonly life: Life;
  readonly offer: Offer;
  events: LinkEvents | null = null;
  readonly connected: Record<string, Connection> = {};
  readonly #ctx: Context;
  readonly #network: Network;
  readonly #station: Station;

  constructor(
    ctx: Context,
    network: Network,
    station: Station,
    life: Life,
    peers: ReadonlyMap<ServerId, { readonly paths: number }>,
    offer: Offer = offerOf('this'),
  ) {
    this.offer = offer;
    this.#ctx = ctx;
    this.#network = network;
    this.#station = station;
    this.life = life;
    this.peers = peers;
  }

  listen(events: LinkEvents): void {
    this.events = events;
    this.#station.link = this;
    this.#network.changed(this.#station.index);
  }

  send(at: PathRef, message: LinkMessage): boolean {
    const wire = this.#wire(at);
    if (wire === null) return false;
    const side = wire.sides[0] === this.#station ? 0 : 1;
    // The process knows of a connection only once it was told that the path is up.
    if (this.connected[`${at.peer}/${at.path}`] !== wire.connection) return false;
    const sent = wire.send(this, side, message);
    if (sent) this.#watch(message, wire.sides[side === 0 ? 1 : 0].index);
    return sent;
  }

  drop(at: PathRef, why: string): void {
    this.#ctx.tell('link', this.#station.index, `drops path ${at.path} to ${at.peer}: ${why}`);
    const wire = this.#wire(at);
    if (wire === null) return;
    const side = wire.sides[0] === this.#station ? 0 : 1;
    const connection = wire.connection;
    if (connection === null || !connection.open[side] || connection.ends[side] !== this) return;
    wire.drop(side);
    this.#ctx.after(0, () => this.life.call(() => this.events?.down(at, 'silent', why)));
  }

  close(done: () => void): void {
    this.events = null;
    if (this.#station.link === this) this.#station.link = null;
    this.#network.changed(this.#station.index, true);
    this.#ctx.after(0.1, () => this.life.call(done));
  }

  /** Called when the process ends. */
  sever(): void {
    this.events = null;
    if (this.#station.link === this) this.#station.link = null;
    this.#network.changed(this.#station.index);
  }

  #wire(at: PathRef): Wire | null {
    const peer = this.#network.stationOf(at.peer);
    return peer === null ? null : this.#network.wireOf(this.#station.index, peer.index, at.path);
  }

  #watch(message: LinkMessage, to: number): void {
    const ctx = this.#ctx;
    const from = this.#station.index;
    ctx.digest.text(message.type);
    if (ctx.story !== null && message.type !== 'heartbeat' && message.type !== 'heartbeat-ack') {
      ctx.tell('link', from, describe(message), to);
    }
    switch (message.type) {
      case 'mirror':
        return ctx.hook('mirror-sent', from);
      case 'stored':
        return ctx.hook('stored-sent', from);
      case 'resync-begin':
        return ctx.hook('resync-begin-sent', from);
      case 'resync-seal':
        return ctx.hook('resync-seal-sent', from);
      case 'tail-ask':
        return ctx.hook('tail-asked', from);
      case 'handover-answer':
        if (message.state !== 'agreed') return;
        this.#network.onAgreed?.(this.life, message.volume);
        return ctx.hook('agreed-sent', from);
      default:
        return;
    }
  }
}

/** One line for the timeline. */
function describe(message: LinkMessage): string {
  switch (message.type) {
    case 'mirror': {
      const first = message.operations[0];
      const last = message.operations[message.operations.length - 1];
      return `${message.volume}: mirror e${message.epoch} g${message.generation} ${first?.sequence ?? '-'}..${last?.sequence ?? '-'} acknowledged ${message.acknowledged} released ${message.released}`;
    }
    case 'tail':
      return `${message.volume}: tail last ${message.last ?? '-'} (${message.operations.length} operations) ${message.refusal ?? ''}`;
    default: {
      const { type, ...rest } = message;
      const fields = Object.entries(rest)
        .filter(([key]) => key !== 'volume' && key !== 'store')
        .map(
          ([key, value]) =>
            `${key} ${typeof value === 'string' && value.length === 32 ? value.slice(0, 6) : String(value)}`,
        );
      return `${'volume' in message ? `${message.volume}: ` : ''}${type} ${fields.join(', ')}`;
    }
  }
}

/**
 * The simulated network between servers: independent paths, each with at most one connection at a time, in order
 * within a connection and in no order between paths. A cut holds messages back (they come late) or loses them with
 * the connection; a dead process is refused by its host, a dead host is silent, a frozen process accepts and says nothing.
 * Two programs that have no version in common refuse each other; in worlds with `bytes`, messages travel as the real
 * codec writes them at the version that the two ends agreed on (`dialect.ts`).
 */
import { Fault } from '../src/base/fault.ts';
import type { ServerId } from '../src/base/names.ts';
import { chooseVersion } from '../src/wire/link-conversation.ts';
import type { Link, LinkEvents, LinkMessage, PathRef } from '../src/ports/link.ts';
import type { Context } from './context.ts';
import { offerOf, Speech, type Offer } from './dialect.ts';
import type { Life } from './life.ts';
import type { Prng } from './prng.ts';

/** What the network must know of a server. */
export interface Station {
  readonly index: number;
  readonly id: ServerId;
  /** The living process's end, null when there is none or it does not listen yet. */
  link: SimLink | null;
  /** False: the whole machine is gone, nothing answers. */
  hostUp: boolean;
}

interface Parcel {
  /** When it arrives, unless a cut holds it back. */
  at: number;
  readonly arrive: () => void;
}

interface Direction {
  /** Nothing that is sent from now on arrives before. */
  lastAt: number;
  /** What is under way, in order. */
  readonly queue: Parcel[];
  /** The first parcel's arrival is on the agenda. */
  moving: boolean;
  /** What is under way when this is set is lost. */
  lost: boolean;
  /** How messages are put into bytes; null where they travel as they are. */
  readonly speech: Speech | null;
}

interface Connection {
  /** The link of the process at each end; it stays tied to that incarnation. */
  readonly ends: readonly [SimLink, SimLink];
  /** Whether each end believes it to be open. */
  readonly open: [boolean, boolean];
  readonly directions: readonly [Direction, Direction];
}

/** How many messages one direction holds while it is cut, like a socket's buffer; beyond it the connection breaks. */
const HELD_MESSAGES = 400;

/** How fast a path becomes slow: ms of delay for each ms that passes. */
const QUEUE_GROWTH = 0.6;

/** One path between two servers. Side 0 is the one of lower index. */
class Wire {
  readonly sides: readonly [Station, Station];
  readonly path: number;
  readonly latencyMs: number;
  /** Reasons for which each direction is cut now. */
  readonly cuts: [number, number] = [0, 0];
  /** What each direction takes longer now. */
  readonly extraMs: [number, number] = [0, 0];
  #slowSince = 0;
  connection: Connection | null = null;
  #attempting = false;
  readonly #ctx: Context;
  readonly #prng: Prng;
  readonly #bytes: boolean;

  constructor(ctx: Context, prng: Prng, a: Station, b: Station, path: number, latencyMs: number, bytes: boolean) {
    this.#ctx = ctx;
    this.#prng = prng;
    this.sides = [a, b];
    this.path = path;
    this.latencyMs = latencyMs;
    this.#bytes = bytes;
  }

  send(link: SimLink, side: 0 | 1, message: LinkMessage): boolean {
    const connection = this.connection;
    if (connection === null || !connection.open[side] || connection.ends[side] !== link) return false;
    const direction = connection.directions[side];
    if (this.cuts[side] > 0 && direction.queue.length >= HELD_MESSAGES) {
      this.drop(side);
      return true;
    }
    const { speech } = direction;
    const sent = speech === null ? snapshot(message) : speech.say(message);
    this.#post(direction, side, () => {
      if (!direction.lost) this.#deliver(connection, side, link, sent);
    });
    return true;
  }

  #deliver(connection: Connection, side: 0 | 1, sender: SimLink, sent: LinkMessage | Buffer): void {
    const other = side === 0 ? 1 : 0;
    const receiver = connection.ends[other];
    const { speech } = connection.directions[side];
    const message = speech !== null && Buffer.isBuffer(sent) ? speech.hear(sent) : (sent as LinkMessage);
    if (!connection.open[other]) return;
    if (message instanceof Fault) return this.#ctx.fail('port contract', `the link: ${message.message}`);
    this.#ctx.digest.text(message.type);
    if (message.type === 'mirror') this.#ctx.hook('mirror-received', this.sides[other].index);
    receiver.life.call(() => {
      if (connection.open[other]) receiver.events?.message(this.refFrom(other), sender.life.incarnation, message);
    });
  }

  /** Side `side` lets go of the connection; the other hears of it when the path carries it there, behind what it carries. */
  drop(side: 0 | 1, orderly = false): void {
    const connection = this.connection;
    if (connection === null || !connection.open[side]) return;
    connection.open[side] = false;
    const direction = connection.directions[side];
    if (!orderly && this.#prng.chance(0.5)) direction.lost = true;
    const other = side === 0 ? 1 : 0;
    this.#post(direction, side, () => this.#close(connection, other, 'closed'));
    this.attemptSoon();
  }

  /** From now on (0: no more) what leaves that side takes so much longer. */
  slow(side: 0 | 1, extraMs: number): void {
    this.extraMs[side] = extraMs;
    this.#slowSince = this.#ctx.now;
  }

  /** The connection breaks by itself: what is under way is lost, and each side hears of it in its own time. */
  reset(): void {
    const connection = this.connection;
    if (connection === null) return;
    for (const side of [0, 1] as const) {
      connection.directions[side].lost = true;
      this.#ctx.after(this.#prng.latency(this.latencyMs * 5), () => this.#close(connection, side, 'closed'));
    }
  }

  /** The process at `side` ended. Its host, if up, tells the other side. */
  ended(side: 0 | 1, orderly: boolean): void {
    const connection = this.connection;
    if (connection === null) return this.attemptSoon();
    if (!this.sides[side].hostUp) {
      connection.open[side] = false;
      if (this.#prng.chance(0.5)) connection.directions[side].lost = true;
      this.attemptSoon();
      return;
    }
    if (connection.open[side]) this.drop(side, orderly);
  }

  /** A cut was lifted: what was held goes on, late. */
  healed(side: 0 | 1): void {
    if (this.cuts[side] > 0 || this.connection === null) return;
    const direction = this.connection.directions[side];
    let at = this.#ctx.now + this.#delay(side);
    for (const parcel of direction.queue) at = parcel.at = Math.max(at, parcel.at);
    direction.lastAt = Math.max(direction.lastAt, at);
    this.#move(direction, side);
  }

  /** Sends it on its way, behind what is on its way already. */
  #post(direction: Direction, side: 0 | 1, arrive: () => void): void {
    const at = Math.max(direction.lastAt, this.#ctx.now + this.#delay(side));
    direction.lastAt = at;
    direction.queue.push({ at, arrive });
    this.#move(direction, side);
  }

  /** The first parcel arrives when its time has come; a cut stops it, and with it all that come behind. */
  #move(direction: Direction, side: 0 | 1): void {
    const first = direction.queue[0];
    if (direction.moving || first === undefined) return;
    direction.moving = true;
    this.#ctx.after(first.at - this.#ctx.now, () => {
      direction.moving = false;
      if (this.cuts[side] > 0 && this.connection?.directions[side] === direction) return;
      direction.queue.shift();
      this.#move(direction, side);
      first.arrive();
    });
  }

  attemptSoon(): void {
    if (this.#attempting) return;
    this.#attempting = true;
    this.#ctx.after(this.#prng.between(5, 150), () => {
      this.#attempting = false;
      this.#attempt();
    });
  }

  refFrom(side: 0 | 1): PathRef {
    return { peer: this.sides[side === 0 ? 1 : 0].id, path: this.path };
  }

  #attempt(): void {
    const [a, b] = this.sides;
    const old = this.connection;
    if (old !== null && old.open[0] && old.open[1]) return;
    if (a.link === null && b.link === null) return;
    const cut = this.cuts[0] > 0 || this.cuts[1] > 0;
    if (a.link === null || b.link === null || cut || a.link.life.frozen || b.link.life.frozen) {
      for (const side of [0, 1] as const) {
        const own = this.sides[side];
        const other = this.sides[side === 0 ? 1 : 0];
        if (own.link === null) continue;
        const refused = other.link === null && other.hostUp && !cut;
        if (old !== null && old.open[side] && refused) this.#close(old, side, 'closed');
        if (old === null || !old.open[side]) this.#tellDown(own.link, side, refused ? 'refused' : 'unreachable');
      }
      this.attemptSoon();
      return;
    }
    const version = chooseVersion(a.link.offer, b.link.offer);
    if (version === null) {
      for (const side of [0, 1] as const) {
        const { link } = this.sides[side];
        if (link !== null && (old === null || !old.open[side])) this.#tellDown(link, side, 'protocol');
      }
      this.attemptSoon();
      return;
    }
    if (old !== null) for (const side of [0, 1] as const) this.#close(old, side, 'closed');
    this.#ctx.digest.number(version);
    const fresh = (speaker: SimLink): Direction => ({
      lastAt: 0,
      queue: [],
      moving: false,
      lost: false,
      speech: this.#bytes ? new Speech(version, speaker.offer, this.#prng.below(1_000)) : null,
    });
    const ends = [a.link, b.link] as const;
    const connection: Connection = { ends, open: [true, true], directions: [fresh(a.link), fresh(b.link)] };
    this.connection = connection;
    for (const side of [0, 1] as const) {
      const link = connection.ends[side];
      const peer = connection.ends[side === 0 ? 1 : 0].life.incarnation;
      // Nothing arrives before the end knows that the path is up.
      const direction = connection.directions[side === 0 ? 1 : 0];
      const at = this.#ctx.now + this.#delay(side === 0 ? 1 : 0);
      direction.lastAt = at;
      this.#ctx.after(at - this.#ctx.now, () =>
        link.life.call(() => {
          if (!connection.open[side]) return;
          this.#ctx.digest.text('up');
          link.connected[this.#slot(side)] = connection;
          link.events?.up(this.refFrom(side), peer);
        }),
      );
    }
  }

  #slot(side: 0 | 1): string {
    return `${this.sides[side === 0 ? 1 : 0].id}/${this.path}`;
  }

  #close(connection: Connection, side: 0 | 1, reason: 'closed'): void {
    if (!connection.open[side]) return;
    connection.open[side] = false;
    const link = connection.ends[side];
    link.life.call(() => {
      this.#ctx.digest.text('down');
      link.events?.down(this.refFrom(side), reason, 'the connection was closed');
    });
    this.attemptSoon();
  }

  #tellDown(link: SimLink, side: 0 | 1, reason: 'refused' | 'unreachable' | 'protocol'): void {
    const detail = reason === 'protocol' ? 'no protocol version in common' : `the connection was ${reason}`;
    link.life.call(() => link.events?.down(this.refFrom(side), reason, detail));
  }

  #delay(from: 0 | 1): number {
    // A queue that fills up on the way: it grows gradually, so that the path goes on carrying something all the time.
    const extraMs = Math.min(this.extraMs[from], (this.#ctx.now - this.#slowSince) * QUEUE_GROWTH);
    return this.#prng.latency(this.latencyMs) + (extraMs > 0 ? extraMs * this.#prng.between(0.7, 1) : 0);
  }
}

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
export class SimLink implements Link {
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

/** What an encoder would have taken at this moment: lists the sender may go on changing are copied. */
function snapshot(message: LinkMessage): LinkMessage {
  switch (message.type) {
    case 'mirror':
    case 'tail':
      return { ...message, operations: message.operations.slice() };
    case 'heartbeat':
      return { ...message, volumes: message.volumes.map((v) => ({ ...v })) };
    case 'heartbeat-ack':
      return { ...message, grants: message.grants.map((g) => ({ ...g })) };
    default:
      return { ...message };
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

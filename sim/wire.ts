/**
 * One path between two servers in the simulated network (`link.ts`): at most one connection at a time, in order, held back
 * by cuts, lost with resets. Two programs that have no version in common refuse each other; in worlds with `bytes`,
 * messages travel as the real codec writes them at the version that the two ends agreed on (`dialect.ts`).
 */
import { Fault } from '../src/base/fault.ts';
import type { ServerId } from '../src/base/names.ts';
import type { LinkEvents, LinkMessage, PathRef } from '../src/ports/link.ts';
import { chooseVersion } from '../src/wire/link-conversation.ts';
import type { Context } from './context.ts';
import { Speech, type Offer } from './dialect.ts';
import type { Life } from './life.ts';
import type { Prng } from './prng.ts';

/** One process's end of all its paths, as a wire knows it. */
export interface End {
  readonly life: Life;
  readonly offer: Offer;
  readonly events: LinkEvents | null;
  /** The connections that the process was told of, by peer and path. */
  readonly connected: Record<string, Connection>;
  /** The process has ended. */
  sever(): void;
}

/** What the network must know of a server. */
export interface Station {
  readonly index: number;
  readonly id: ServerId;
  /** The living process's end, null when there is none or it does not listen yet. */
  link: End | null;
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

export interface Connection {
  /** The link of the process at each end; it stays tied to that incarnation. */
  readonly ends: readonly [End, End];
  /** Whether each end believes it to be open. */
  readonly open: [boolean, boolean];
  readonly directions: readonly [Direction, Direction];
}

/** How many messages one direction holds while it is cut, like a socket's buffer; beyond it the connection breaks. */
const HELD_MESSAGES = 400;

/** How fast a path becomes slow: ms of delay for each ms that passes. */
const QUEUE_GROWTH = 0.6;

/** One path between two servers. Side 0 is the one of lower index. */
export class Wire {
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

  send(link: End, side: 0 | 1, message: LinkMessage): boolean {
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

  #deliver(connection: Connection, side: 0 | 1, sender: End, sent: LinkMessage | Buffer): void {
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
    const fresh = (speaker: End): Direction => ({
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

  #tellDown(link: End, side: 0 | 1, reason: 'refused' | 'unreachable' | 'protocol'): void {
    const detail = reason === 'protocol' ? 'no protocol version in common' : `the connection was ${reason}`;
    link.life.call(() => link.events?.down(this.refFrom(side), reason, detail));
  }

  #delay(from: 0 | 1): number {
    // A queue that fills up on the way: it grows gradually, so that the path goes on carrying something all the time.
    const extraMs = Math.min(this.extraMs[from], (this.#ctx.now - this.#slowSince) * QUEUE_GROWTH);
    return this.#prng.latency(this.latencyMs) + (extraMs > 0 ? extraMs * this.#prng.between(0.7, 1) : 0);
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

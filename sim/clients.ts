/**
 * The simulated clients: several per volume, several connections each, ranges that overlap. They write, zero, trim,
 * read and ask how ranges are kept; they lose patience, reconnect, and send again what was not answered, or let it be.
 *
 * A write sent again carries a tag of its own: to the oracle it is another write, and the first one, whose connection
 * is gone, must have taken effect before the server knew of the closing, or never will (trap T32).
 */
import { NO_BYTES, NO_TIME } from '../src/base/operation.ts';
import type { Extent } from '../src/ports/medium.ts';
import type { ModifyRequest, ReadPiece, ReadRequest, StatusRequest } from '../src/ports/service.ts';
import type { Auditor } from './auditor.ts';
import type { Context } from './context.ts';
import { fillTag, tagOf, wholeSector } from './disk.ts';
import type { ClientConnection, InService, Street } from './doors.ts';
import { SECTOR, ZERO, type Write } from './model.ts';
import type { ClientPlan } from './plan.ts';
import type { Prng } from './prng.ts';

/** All clients of a world, and the budget they share. */
export class Herd {
  readonly ctx: Context;
  readonly street: Street;
  readonly auditor: Auditor;
  readonly prng: Prng;
  readonly clients: Client[];
  budget: number;
  #tag = 1;

  constructor(
    ctx: Context,
    street: Street,
    auditor: Auditor,
    prng: Prng,
    plans: readonly ClientPlan[],
    budget: number,
  ) {
    this.ctx = ctx;
    this.street = street;
    this.auditor = auditor;
    this.prng = prng;
    this.budget = budget;
    this.clients = plans.map((plan, index) => new Client(this, plan, index));
  }

  drawTag(): number {
    return this.#tag++;
  }

  start(): void {
    for (const client of this.clients) client.start();
  }

  /** True when no client waits for an answer. */
  get idle(): boolean {
    return this.clients.every((c) => c.outstanding === 0);
  }
}

interface Wish {
  readonly kind: 'write' | 'zero' | 'trim' | 'read' | 'status';
  readonly first: number;
  readonly count: number;
}

/** One client connection and what is on its way over it. */
class Line {
  connection: ClientConnection | null = null;
  readonly waiting = new Set<Slot>();
  readonly #client: Client;
  #connecting = false;

  constructor(client: Client) {
    this.#client = client;
  }

  connectSoon(): void {
    if (this.#connecting || this.connection !== null) return;
    this.#connecting = true;
    const { herd } = this.#client;
    herd.ctx.after(herd.prng.between(2, 60), () => {
      this.#connecting = false;
      const door = herd.street.find(this.#client.plan.volume);
      if (door === null) {
        this.connectSoon();
        return;
      }
      this.connection = herd.street.connect(door, { closed: () => this.lost() });
      this.#client.connected();
    });
  }

  hangUp(): void {
    if (this.connection !== null) this.#client.herd.street.hangUp(this.connection);
    this.lost();
  }

  lost(): void {
    this.connection = null;
    const waiting = [...this.waiting];
    this.waiting.clear();
    for (const slot of waiting) slot.lost();
    this.connectSoon();
  }
}

/** One request at a time, again and again. */
class Slot {
  readonly #client: Client;
  #wish: Wish | null = null;
  /** Grows with every sending: what comes from an earlier one is stale. */
  #sending = 0;

  constructor(client: Client) {
    this.#client = client;
  }

  get busy(): boolean {
    return this.#wish !== null;
  }

  next(): void {
    const { herd, plan } = this.#client;
    herd.ctx.after(-Math.log(1 - herd.prng.float()) * plan.pauseMs, () => {
      if (herd.budget <= 0) return;
      herd.budget--;
      this.#wish = this.#client.wish();
      this.send();
    });
  }

  send(): void {
    const wish = this.#wish;
    if (wish === null) return;
    const line = this.#client.line();
    if (line === null || line.connection === null) return;
    const { herd, plan } = this.#client;
    const sending = ++this.#sending;
    herd.ctx.tally.operations++;
    line.waiting.add(this);
    const finish = (again: boolean) => {
      if (sending !== this.#sending || this.#wish !== wish) return;
      line.waiting.delete(this);
      this.#sending++;
      if (again) {
        herd.ctx.after(herd.prng.between(5, 50), () => this.send());
        return;
      }
      this.#wish = null;
      this.next();
    };
    if (wish.kind === 'read') this.#read(line.connection, wish, finish);
    else if (wish.kind === 'status') this.#status(line.connection, wish, finish);
    else this.#modify(line.connection, wish, finish);
    herd.ctx.after(plan.patienceMs, () => {
      if (sending === this.#sending && this.#wish === wish) line.hangUp();
    });
  }

  /** The connection is gone, and the answer with it. */
  lost(): void {
    const { herd, plan } = this.#client;
    this.#sending++;
    if (herd.prng.chance(plan.resend)) return;
    this.#wish = null;
    this.next();
  }

  #modify(connection: ClientConnection, wish: Wish, finish: (again: boolean) => void): void {
    const { herd, plan } = this.#client;
    const model = herd.auditor.modelOf(plan.volume);
    const kind = wish.kind as ModifyRequest['kind'];
    const tag = kind === 'write' ? herd.drawTag() : ZERO;
    let data = NO_BYTES;
    if (kind === 'write') {
      data = Buffer.allocUnsafe(wish.count * SECTOR);
      fillTag(data, tag);
    }
    let write: Write | null = null;
    const entry = (fault: unknown): void => {
      const now = herd.ctx.now;
      const door = connection.door;
      connection.inService.delete(handle.current);
      if (write === null) return;
      herd.ctx.digest.number(tag);
      // Nobody is there to be promised anything.
      if (!connection.serverOpen) return;
      if (fault === null) {
        herd.auditor.answered(door.life, plan.volume, door.epoch);
        model.acknowledge(write, now);
        herd.ctx.tally.acknowledged++;
        herd.auditor.acknowledged(door.life, plan.volume, write);
        herd.ctx.hook('acknowledged', door.life.index);
      }
      if (herd.ctx.story !== null) {
        const end =
          fault === null ? 'acknowledged' : `refused: ${fault instanceof Error ? fault.message : 'without a reason'}`;
        herd.ctx.tell(
          'client',
          door.life.index,
          `client ${this.#client.index}: ${kind} ${tag} to sectors ${wish.first}+${wish.count} ${end}`,
        );
      }
      if (!connection.open) return;
      herd.ctx.after(herd.prng.latency(herd.street.latencyMs), () => {
        if (connection.open) finish(fault !== null);
      });
    };
    const request: ModifyRequest = {
      kind,
      target: '',
      offset: wish.first * SECTOR,
      length: wish.count * SECTOR,
      timeNs: NO_TIME,
      data,
      cancelled: false,
      done: once(herd.ctx, entry),
    };
    const handle = submitted(request, () => {
      if (write !== null && write.ackMs === Infinity) model.bound(write, herd.ctx.now);
    });
    herd.street.submit(connection, request, handle.current, () => {
      write = model.begin(tag, wish.first, wish.count, herd.ctx.now);
    });
  }

  #read(connection: ClientConnection, wish: Wish, finish: (again: boolean) => void): void {
    const { herd, plan } = this.#client;
    let beginMs = 0;
    const request: ReadRequest = {
      kind: 'read',
      target: '',
      offset: wish.first * SECTOR,
      length: wish.count * SECTOR,
      cancelled: false,
      done: once2(herd.ctx, (fault: unknown, pieces: readonly ReadPiece[] | null) => {
        const door = connection.door;
        connection.inService.delete(handle.current);
        if (!connection.serverOpen) return;
        if (fault !== null || pieces === null) {
          if (connection.open) herd.ctx.after(1, () => finish(true));
          return;
        }
        herd.auditor.answered(door.life, plan.volume, door.epoch);
        herd.ctx.tally.reads++;
        const tags = decode(herd.ctx, pieces, wish.count);
        this.#judge(beginMs, wish, tags, door.life.server);
        for (const tag of tags) herd.ctx.digest.number(tag);
        herd.ctx.after(herd.prng.latency(herd.street.latencyMs), () => {
          const later = decode(herd.ctx, pieces, wish.count);
          if (later.join() !== tags.join())
            herd.ctx.fail('data integrity', 'the bytes of a read changed after it was answered');
          if (connection.open) finish(false);
        });
      }),
    };
    const handle = submitted(request, () => undefined);
    herd.street.submit(connection, request, handle.current, () => {
      beginMs = herd.ctx.now;
    });
  }

  #status(connection: ClientConnection, wish: Wish, finish: (again: boolean) => void): void {
    const { herd, plan } = this.#client;
    let beginMs = 0;
    const request: StatusRequest = {
      kind: 'status',
      target: '',
      offset: wish.first * SECTOR,
      length: wish.count * SECTOR,
      cancelled: false,
      done: once2(herd.ctx, (fault: unknown, extents: readonly Extent[] | null) => {
        const door = connection.door;
        connection.inService.delete(handle.current);
        if (!connection.serverOpen) return;
        if (fault === null && extents !== null) {
          herd.auditor.answered(door.life, plan.volume, door.epoch);
          herd.ctx.tally.reads++;
          let at = wish.first * SECTOR;
          for (const extent of extents) {
            if (extent.offset !== at || extent.length <= 0)
              herd.ctx.fail('data integrity', `extents leave a gap at ${at}`);
            at = extent.offset + extent.length;
            if (!extent.hole) continue;
            // A hole is an answer: zeroes are what a read would have found.
            const count = extent.length / SECTOR;
            this.#judge(
              beginMs,
              { ...wish, first: extent.offset / SECTOR, count },
              Array.from({ length: count }, () => ZERO),
              door.life.server,
            );
          }
          if (at !== (wish.first + wish.count) * SECTOR) herd.ctx.fail('data integrity', `extents end at ${at}`);
        }
        if (connection.open) herd.ctx.after(1, () => finish(false));
      }),
    };
    const handle = submitted(request, () => undefined);
    herd.street.submit(connection, request, handle.current, () => {
      beginMs = herd.ctx.now;
    });
  }

  #judge(beginMs: number, wish: Wish, tags: readonly number[], server: string): void {
    const { herd, plan } = this.#client;
    if (herd.auditor.isReset(plan.volume)) return;
    const model = herd.auditor.modelOf(plan.volume);
    if (beginMs < model.era.beginMs) return;
    const wrong = model.read({ first: wish.first, beginMs, endMs: herd.ctx.now, tags });
    if (herd.ctx.story !== null) {
      herd.ctx.tell(
        'client',
        -1,
        `client ${this.#client.index}: ${wish.kind} of sectors ${wish.first}+${wish.count} found ${tags.join(' ')} at ${server}`,
      );
    }
    if (wrong !== null) {
      herd.ctx.fail(
        'I9 no stale read',
        `volume ${plan.volume}: a read (from ${beginMs.toFixed(2)}) answered by ${server}: ${wrong}`,
      );
    }
  }
}

export class Client {
  readonly herd: Herd;
  readonly plan: ClientPlan;
  readonly index: number;
  readonly #lines: Line[];
  readonly #slots: Slot[];

  constructor(herd: Herd, plan: ClientPlan, index: number) {
    this.herd = herd;
    this.plan = plan;
    this.index = index;
    this.#lines = Array.from({ length: plan.connections }, () => new Line(this));
    this.#slots = Array.from({ length: plan.depth }, () => new Slot(this));
  }

  get outstanding(): number {
    return this.#slots.filter((s) => s.busy).length;
  }

  start(): void {
    for (const line of this.#lines) line.connectSoon();
    for (const slot of this.#slots) slot.next();
  }

  /** A connection for the next request; null when there is none. */
  line(): Line | null {
    const open = this.#lines.filter((l) => l.connection !== null);
    return open.length === 0 ? null : this.herd.prng.pick(open);
  }

  /** Sends what waited for a connection. */
  connected(): void {
    for (const slot of this.#slots) if (slot.busy && !this.#lines.some((l) => l.waiting.has(slot))) slot.send();
  }

  wish(): Wish {
    const { prng } = this.herd;
    const sectors = this.herd.auditor.modelOf(this.plan.volume).sectors;
    const end = Math.min(sectors, this.plan.from + this.plan.count);
    const first = prng.int(this.plan.from, end - 1);
    const count = Math.min(end - first, prng.int(1, this.plan.span));
    const u = prng.float();
    if (u < this.plan.reads) return { kind: prng.chance(this.plan.zeroes) ? 'status' : 'read', first, count };
    if (prng.chance(this.plan.zeroes)) return { kind: prng.chance(0.5) ? 'zero' : 'trim', first, count };
    return { kind: 'write', first, count };
  }
}

/** What the connection knows of a request, to cancel it. */
function submitted(request: { cancelled: boolean }, onCancelled: () => void): { readonly current: InService } {
  return {
    current: {
      get cancelled() {
        return request.cancelled;
      },
      set cancelled(value: boolean) {
        request.cancelled = value;
      },
      onCancelled,
    },
  };
}

/** Each answer comes exactly once. */
function once(ctx: Context, run: (fault: unknown) => void): (fault: unknown) => void {
  let answered = false;
  return (fault) => {
    if (answered) ctx.fail('port contract', 'a request was answered twice');
    answered = true;
    run(fault);
  };
}
function once2<T>(ctx: Context, run: (fault: unknown, value: T) => void): (fault: unknown, value: T) => void {
  let answered = false;
  return (fault, value) => {
    if (answered) ctx.fail('port contract', 'a request was answered twice');
    answered = true;
    run(fault, value);
  };
}

/** The tags of a read's bytes, one per sector. */
function decode(ctx: Context, pieces: readonly ReadPiece[], sectors: number): number[] {
  const tags: number[] = [];
  let total = 0;
  for (const piece of pieces) {
    total += piece.length;
    if (piece.data !== null && piece.data.length !== piece.length)
      ctx.fail('data integrity', 'a piece is not as long as it says');
    for (let at = 0; at < piece.length; at += SECTOR) {
      if (piece.data === null) tags.push(ZERO);
      else {
        if (!wholeSector(piece.data, at))
          ctx.fail('data integrity', 'a read mixes the bytes of several writes in one sector');
        tags.push(tagOf(piece.data, at));
      }
    }
  }
  if (total !== sectors * SECTOR) ctx.fail('data integrity', `a read of ${sectors} sectors got ${total} bytes`);
  return tags;
}

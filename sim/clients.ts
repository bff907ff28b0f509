/**
 * The simulated clients: several per volume, several connections each, ranges that overlap. They write, zero, trim,
 * read and ask how ranges are kept; they lose patience, reconnect, and send again what was not answered, or let it be.
 *
 * A write sent again carries a tag of its own: to the oracle it is another write, and the first one, whose connection
 * is gone, must have taken effect before the server knew of the closing, or never will (trap T32).
 */
import type { Auditor } from './auditor.ts';
import type { Context } from './context.ts';
import type { ClientConnection, Street } from './doors.ts';
import { fileErrand } from './files/errands.ts';
import type { ClientPlan } from './plan.ts';
import type { Prng } from './prng.ts';
import { SectorErrand } from './sector-errands.ts';

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

/** What a client wants: asked for again, when it is not answered, until it is. */
export interface Errand {
  /** How often it is asked for again when its connection is gone; null: as the client's habit is. */
  readonly resend: number | null;
  /** `finish(true)`: to be asked for again. */
  run(connection: ClientConnection, finish: (again: boolean) => void): void;
}

export interface Wish {
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
  #wish: Errand | null = null;
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
        const paused = this.#sending;
        herd.ctx.after(herd.prng.between(5, 50), () => {
          // A new connection may have sent it meanwhile.
          if (paused === this.#sending) this.send();
        });
        return;
      }
      this.#wish = null;
      this.next();
    };
    wish.run(line.connection, finish);
    herd.ctx.after(plan.patienceMs, () => {
      if (sending === this.#sending && this.#wish === wish) line.hangUp();
    });
  }

  /** The connection is gone, and the answer with it. */
  lost(): void {
    const { herd, plan } = this.#client;
    this.#sending++;
    if (herd.prng.chance(this.#wish?.resend ?? plan.resend)) return;
    this.#wish = null;
    this.next();
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

  wish(): Errand {
    if (this.herd.auditor.filesOf(this.plan.volume) !== null) return fileErrand(this);
    return new SectorErrand(this, this.#sectors());
  }

  #sectors(): Wish {
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

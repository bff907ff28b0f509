/**
 * One incarnation of a server process, as the world sees it: everything that reaches the core goes through `call`, so
 * that nothing reaches a process that ended, and what reaches a frozen one waits until it thaws.
 */
import type { Incarnation, ServerId } from '../src/base/names.ts';
import type { Clock, Ids, Timer } from '../src/ports/clock.ts';
import type { Context } from './context.ts';
import type { Prng } from './prng.ts';

export class Life {
  readonly server: ServerId;
  readonly index: number;
  readonly incarnation: Incarnation;
  readonly #ctx: Context;
  #state: 'running' | 'frozen' | 'ended' = 'running';
  readonly #waiting: (() => void)[] = [];
  #draining = false;
  /** System calls that its threads had in hand when it froze, and had not made. */
  readonly #stopped: (() => void)[] = [];
  /** Timers that have neither run nor been cancelled. */
  timers = 0;

  constructor(ctx: Context, server: ServerId, index: number, incarnation: Incarnation) {
    this.#ctx = ctx;
    this.server = server;
    this.index = index;
    this.incarnation = incarnation;
  }

  get running(): boolean {
    return this.#state === 'running';
  }
  get frozen(): boolean {
    return this.#state === 'frozen';
  }
  get ended(): boolean {
    return this.#state === 'ended';
  }

  /** Runs `run` in the process: now, after it thaws, or never. */
  call(run: () => void): void {
    if (this.#state === 'ended') return;
    if (this.#state === 'frozen' || this.#draining) {
      this.#waiting.push(run);
      return;
    }
    this.#run(run);
  }

  freeze(): void {
    if (this.#state !== 'running') return;
    this.#state = 'frozen';
    this.#ctx.tell('life', this.index, `${this.server} freezes`);
  }

  /** A system call that was handed to a thread before the process froze: it is made when the process goes on, if it does. */
  whenThawed(run: () => void): void {
    this.#stopped.push(run);
  }

  thaw(): void {
    if (this.#state !== 'frozen') return;
    this.#state = 'running';
    this.#ctx.tell('life', this.index, `${this.server} goes on`);
    for (const run of this.#stopped.splice(0)) this.#ctx.after(0, run);
    if (!this.#draining && this.#waiting.length > 0) {
      this.#draining = true;
      this.#ctx.after(0, () => this.#drain());
    }
  }

  end(): void {
    this.#state = 'ended';
    this.#waiting.length = 0;
    this.#stopped.length = 0;
  }

  /** What waited is run in the order in which it came, each as an event of its own: a crash may come between. */
  #drain(): void {
    if (this.#state !== 'running') {
      this.#draining = false;
      return;
    }
    const run = this.#waiting.shift();
    if (run === undefined) {
      this.#draining = false;
      return;
    }
    this.#run(run);
    this.#ctx.after(0.001, () => this.#drain());
  }

  #run(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#ctx.fail('assertion', error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
  }
}

/** A clock that runs at its own rate from its own zero; timers are never early and sometimes late. */
export class SimClock implements Clock {
  readonly #ctx: Context;
  readonly #life: Life;
  readonly #prng: Prng;
  readonly #rate: number;
  readonly #zero: number;
  readonly #lingersMs: number;

  /** What leaves together waits for up to `lingersMs` for what arrives meanwhile. */
  constructor(ctx: Context, life: Life, prng: Prng, rate: number, zero: number, lingersMs: number) {
    this.#ctx = ctx;
    this.#life = life;
    this.#prng = prng;
    this.#rate = rate;
    this.#zero = zero;
    this.#lingersMs = lingersMs;
  }

  nowMs(): number {
    return this.#zero + this.#ctx.now * this.#rate;
  }

  after(delayMs: number, run: () => void): Timer {
    if (!(delayMs >= 0)) throw new Error(`a timer of ${delayMs} ms`);
    const life = this.#life;
    const late = this.#prng.chance(0.02) ? this.#prng.between(0, 20) : this.#prng.between(0, 0.5);
    let pending = true;
    life.timers++;
    const event = this.#ctx.after(delayMs / this.#rate + late, () => {
      life.call(() => {
        if (!pending) return;
        pending = false;
        life.timers--;
        run();
      });
    });
    return {
      cancel(): void {
        if (!pending) return;
        pending = false;
        event.run = null;
        life.timers--;
      },
    };
  }

  soon(run: () => void): void {
    this.#ctx.after(0, () => this.#life.call(run));
  }

  together(run: () => void): void {
    const afterMs = this.#lingersMs === 0 ? 0 : this.#prng.between(0, this.#lingersMs);
    this.#ctx.after(afterMs, () => this.#life.call(run));
  }

  later(run: () => void): void {
    this.#ctx.after(this.#prng.between(0, 0.5), () => this.#life.call(run));
  }
}

export class SimIds implements Ids {
  readonly #prng: Prng;
  constructor(prng: Prng) {
    this.#prng = prng;
  }
  draw(): string {
    return this.#prng.hex();
  }
  spread(): number {
    return this.#prng.float();
  }
}

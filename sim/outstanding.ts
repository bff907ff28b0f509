/** The calls on an open volume that have not returned: it is closed when there are none, and never called after that. */
import type { Done } from '../src/base/fault.ts';
import type { Context } from './context.ts';
import type { Life } from './life.ts';

export class Outstanding {
  readonly #ctx: Context;
  readonly #life: Life;
  readonly #broken: (what: string) => never;
  #closed = false;
  #open = 0;
  #closing: Done | null = null;

  constructor(ctx: Context, life: Life, broken: (what: string) => never) {
    this.#ctx = ctx;
    this.#life = life;
    this.#broken = broken;
  }

  get closed(): boolean {
    return this.#closed;
  }

  enter(): void {
    if (this.#closed) this.#broken('call after close');
    this.#open++;
  }

  leave(act: () => void): void {
    this.#open--;
    act();
    if (this.#open === 0 && this.#closing !== null) this.#finish();
  }

  close(done: Done): void {
    this.#closed = true;
    this.#closing = done;
    if (this.#open === 0) this.#ctx.after(0.05, () => this.#life.call(() => this.#finish()));
  }

  #finish(): void {
    const done = this.#closing;
    this.#closing = null;
    if (done !== null) done(null);
  }
}

/** The simulated witness and fence: truthful, but not always able to tell, and not always in working order. */
import { Fault, type Done } from '../src/base/fault.ts';
import type { Incarnation, ServerId, VolumeName } from '../src/base/names.ts';
import type { Fence, Witness } from '../src/ports/world.ts';
import type { Context } from './context.ts';
import type { Life } from './life.ts';
import type { Prng } from './prng.ts';

/** What proofs need to know of the world. */
export interface Undertaker {
  lifeOf(incarnation: Incarnation): Life | null;
  /** The host of the server answers. */
  hostUp(server: ServerId): boolean;
  /** Fences the process, in this world's way (`FenceKind`); false when the fault budget forbids it. */
  shoot(life: Life): boolean;
  /** A fence is about to be run. */
  fences(life: Life, volume: VolumeName): void;
  /** The storm is over: everything works. */
  readonly healed: boolean;
}

export class SimWitness implements Witness {
  readonly #ctx: Context;
  readonly #life: Life;
  readonly #prng: Prng;
  readonly #world: Undertaker;
  /** Chance that an end can be proven. */
  readonly #able: number;

  constructor(ctx: Context, life: Life, prng: Prng, world: Undertaker, able: number) {
    this.#ctx = ctx;
    this.#life = life;
    this.#prng = prng;
    this.#world = world;
    this.#able = able;
  }

  ended(server: ServerId, incarnation: Incarnation, done: (verdict: 'ended' | 'alive' | 'unknown') => void): void {
    this.#ctx.after(this.#prng.latency(1), () => {
      const life = this.#world.lifeOf(incarnation);
      const reachable = this.#world.hostUp(server) && this.#prng.chance(this.#able);
      const verdict = life === null || !reachable ? 'unknown' : life.ended ? 'ended' : 'alive';
      this.#ctx.digest.text(verdict);
      this.#life.call(() => done(verdict));
    });
  }
}

export class SimFence implements Fence {
  readonly #configured: boolean;
  readonly #ctx: Context;
  readonly #life: Life;
  readonly #prng: Prng;
  readonly #world: Undertaker;

  constructor(ctx: Context, life: Life, prng: Prng, world: Undertaker, configured: boolean) {
    this.#ctx = ctx;
    this.#life = life;
    this.#prng = prng;
    this.#world = world;
    this.#configured = configured;
  }

  covers(): boolean {
    return this.#configured;
  }

  run(victim: { readonly server: ServerId; readonly incarnation: Incarnation }, volume: VolumeName, done: Done): void {
    if (this.#configured) this.#world.fences(this.#life, volume);
    const took = this.#prng.latency(20);
    this.#ctx.after(took, () => {
      const answer = (fault: Fault | null) => this.#life.call(() => done(fault));
      if (!this.#configured) return answer(null);
      const works = this.#world.healed || this.#prng.chance(0.7);
      const life = this.#world.lifeOf(victim.incarnation);
      const down = works && (life === null || life.ended || this.#world.shoot(life));
      this.#ctx.tell(
        'fault',
        this.#life.index,
        `fences ${victim.server} for ${volume}: ${down ? 'done' : 'the fence failed'}`,
      );
      answer(down ? null : new Fault('retry', 'the fence did not work'));
    });
  }
}

/**
 * The simulated coordinator: one linearizable register per volume and one entry per server. Requests and replies
 * travel; either can be slow, lost or very late, so that a swap whose outcome nobody told may be done, not done, or
 * done later, also after its issuer has died (traps T18, T19).
 */
import { Fault, type Done, type Result } from '../src/base/fault.ts';
import type { ServerId, VolumeName } from '../src/base/names.ts';
import type { Coordinator, ServerEntry, SwapOutcome, VolumeRecord } from '../src/ports/coordinator.ts';
import type { Context } from './context.ts';
import type { Life } from './life.ts';
import type { Prng } from './prng.ts';

/** How one server's way to the coordinator is now. */
export interface CoordinatorWeather {
  /**
   * - `hang`   nothing is answered; requests are lost or arrive when the weather clears, and are answered then
   * - `fault`  calls fail at once: reads with a fault, swaps with an unknown outcome
   * - `mute`   requests arrive, replies are lost, or come when the weather clears
   * - `late`   requests and replies take seconds
   * - `read-only`  reads work, swaps and entries hang
   */
  mode: 'fine' | 'slow' | 'hang' | 'fault' | 'mute' | 'late' | 'read-only';
  readonly held: (() => void)[];
}

/** Told of every swap that took place. */
export type SwapWatch = (volume: number, before: VolumeRecord, after: VolumeRecord, by: Life) => void;

/** The truth: what the coordinator holds. */
export class Register {
  readonly names: readonly VolumeName[];
  readonly records: VolumeRecord[];
  readonly entries = new Map<ServerId, ServerEntry>();
  readonly latencyMs: number;
  readonly prng: Prng;
  readonly #ctx: Context;
  readonly #watch: SwapWatch;

  constructor(
    ctx: Context,
    prng: Prng,
    latencyMs: number,
    first: readonly (readonly [VolumeName, VolumeRecord])[],
    watch: SwapWatch,
  ) {
    this.#ctx = ctx;
    this.prng = prng;
    this.latencyMs = latencyMs;
    this.names = first.map(([name]) => name);
    this.records = first.map(([, record]) => record);
    this.#watch = watch;
  }

  indexOf(volume: VolumeName): number {
    return this.names.indexOf(volume);
  }

  /** Takes effect at once: the linearization point. */
  swap(volume: number, next: VolumeRecord, by: Life): boolean {
    const before = this.records[volume] as VolumeRecord;
    this.#ctx.digest.number(next.version);
    if (next.version !== before.version + 1) {
      this.#ctx.tell(
        'coordinator',
        by.index,
        `swap to version ${next.version} refused: it is at ${before.version}`,
        'coordinator',
      );
      return false;
    }
    this.records[volume] = next;
    this.#ctx.digest.text(next.mirror);
    this.#ctx.tally.swaps++;
    if (this.#ctx.story !== null)
      this.#ctx.tell(
        'coordinator',
        by.index,
        `volume ${volume}: version ${next.version}, epoch ${next.epoch}, owner ${next.owner?.server ?? 'nobody'}, ` +
          `partner ${next.partner ?? 'nobody'}, generation ${next.generation}, ${next.mirror} (${next.why})`,
        'coordinator',
      );
    this.#watch(volume, before, next, by);
    return true;
  }
}

export class SimCoordinator implements Coordinator {
  readonly #ctx: Context;
  readonly #register: Register;
  readonly #life: Life;
  readonly #weather: CoordinatorWeather;

  constructor(ctx: Context, register: Register, life: Life, weather: CoordinatorWeather) {
    this.#ctx = ctx;
    this.#register = register;
    this.#life = life;
    this.#weather = weather;
  }

  read(volume: VolumeName, done: Result<VolumeRecord>): void {
    let found: VolumeRecord | null = null;
    this.#travel(
      'read',
      () => {
        found = this.#register.records[this.#register.indexOf(volume)] ?? null;
      },
      (fault) => {
        if (fault !== null) done(fault, null);
        else if (found === null) done(new Fault('missing', `no volume ${volume}`), null);
        else done(null, found);
      },
    );
  }

  swap(volume: VolumeName, next: VolumeRecord, done: (outcome: SwapOutcome, fault: Fault | null) => void): void {
    const index = this.#register.indexOf(volume);
    let outcome: SwapOutcome = 'unknown';
    this.#ctx.hook('swap-sent', this.#life.index);
    if (this.#ctx.story !== null)
      this.#ctx.tell(
        'coordinator',
        this.#life.index,
        `volume ${index} asks for version ${next.version}: ${next.mirror}, epoch ${next.epoch}`,
      );
    this.#travel(
      'write',
      () => {
        outcome = this.#register.swap(index, next, this.#life) ? 'done' : 'conflict';
      },
      (fault) => {
        if (fault === null) done(outcome, null);
        else done('unknown', fault);
      },
    );
  }

  writeEntry(entry: ServerEntry, done: Done): void {
    this.#travel(
      'write',
      () => {
        const known = this.#register.entries.get(entry.server);
        if (known !== undefined && known.incarnation === entry.incarnation && known.counter >= entry.counter) return;
        if (this.#life.ended) return;
        this.#register.entries.set(entry.server, { ...entry });
      },
      (fault) => done(fault),
    );
  }

  readEntry(server: ServerId, done: Result<ServerEntry>): void {
    let found: ServerEntry | null = null;
    this.#travel(
      'read',
      () => {
        found = this.#register.entries.get(server) ?? null;
      },
      (fault) => {
        if (fault !== null) done(fault, null);
        else if (found === null) done(new Fault('missing', `${server} never wrote an entry`), null);
        else done(null, found);
      },
    );
  }

  probe(done: Done): void {
    this.#travel('write', () => undefined, done);
  }

  /** A request that takes effect at `effect` and is answered by `reply`; the weather decides about both. */
  #travel(what: 'read' | 'write', effect: () => void, reply: (fault: Fault | null) => void): void {
    const { prng, latencyMs } = this.#register;
    const there = this.#delay();
    const back = this.#delay();
    const weather = this.#weather;
    const mode = this.#modeFor(what);
    const answer = (fault: Fault | null) => this.#life.call(() => reply(fault));
    if (mode === 'fault') {
      // The effect may come to pass all the same, at once or much later.
      const fate = prng.below(3);
      if (fate > 0) this.#ctx.after(fate === 1 ? there : prng.between(0, 4000), effect);
      this.#ctx.after(there + back, () => answer(new Fault('timeout', 'the coordinator did not answer')));
      return;
    }
    // Every call returns at last: when the weather clears, if not before.
    const lost = new Fault('timeout', 'the coordinator did not answer');
    if (mode === 'hang') {
      const late = prng.chance(0.5);
      if (prng.chance(0.3)) {
        if (late) weather.held.push(() => this.#ctx.after(prng.between(0, 500), effect));
        this.#ctx.after(prng.between(100, 3000), () => answer(lost));
        return;
      }
      weather.held.push(() => {
        this.#ctx.after(prng.between(0, 500), () => {
          if (late) effect();
          answer(late ? null : lost);
        });
      });
      return;
    }
    this.#ctx.after(there, () => {
      effect();
      const now = this.#modeFor(what);
      if (now === 'mute' || now === 'hang') {
        const kept = prng.chance(0.3);
        weather.held.push(() => answer(kept ? null : lost));
        return;
      }
      this.#ctx.after(back + latencyMs * 0.1, () => answer(null));
    });
  }

  #modeFor(what: 'read' | 'write'): Exclude<CoordinatorWeather['mode'], 'read-only'> {
    const { mode } = this.#weather;
    if (mode !== 'read-only') return mode;
    return what === 'read' ? 'fine' : 'hang';
  }

  #delay(): number {
    const { prng, latencyMs } = this.#register;
    switch (this.#weather.mode) {
      case 'late':
        return prng.chance(0.5) ? prng.between(100, 4000) : prng.latency(latencyMs);
      case 'slow':
        return prng.between(latencyMs, latencyMs + 150);
      default:
        return prng.latency(latencyMs);
    }
  }
}

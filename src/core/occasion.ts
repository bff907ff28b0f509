/**
 * The occasion for a claim: why this server should own the volume now, and whether others come first (design section 4,
 * "When"). Whether it may is the record's rule (`record.ts`).
 */
import type { ServerId } from '../base/names.ts';
import type { Holder, VolumeRecord } from '../ports/coordinator.ts';
import type { Replica } from './replica.ts';
import type { Evidence } from './status.ts';
import type { Suspicion } from './suspicion.ts';

export class Occasion {
  readonly #replica: Replica;
  readonly #suspicion: Suspicion;
  readonly #startedMs: number;
  #deadSinceMs: number | null = null;
  #unfitSinceMs: number | null = null;

  constructor(replica: Replica, suspicion: Suspicion) {
    this.#replica = replica;
    this.#suspicion = suspicion;
    this.#startedMs = replica.clock.nowMs();
  }

  /** Null when the volume is in good hands or others come first. */
  of(record: VolumeRecord): Evidence | null {
    const owner = record.owner;
    if (owner === null)
      return this.#myTurn(this.#startedMs, null) ? { detector: null, why: 'nobody has owned the volume yet' } : null;
    if (owner.server === this.#replica.self.server)
      return owner.incarnation === this.#replica.self.incarnation
        ? { detector: null, why: 'a claim of this server’s landed late' }
        : { detector: 'process', why: 'this server restarted' };
    const dead = this.#suspicion.dead(owner) ?? this.#unfit(owner);
    if (dead === null) {
      this.#deadSinceMs = null;
      return null;
    }
    this.#deadSinceMs ??= this.#replica.clock.nowMs();
    // Who holds a copy that counts goes ahead; where the medium alone counts, the partner first, then by preference.
    const holdsCopy = record.mirror === 'in-sync' || record.source !== null;
    return holdsCopy || this.#myTurn(this.#deadSinceMs, record.partner) ? dead : null;
  }

  /**
   * An owner that says that its I/O fails is given time to hand over; then it is fenced and claimed from. Not before this
   * server's own probes, begun after that, have passed: what hangs for both is nothing that a change of owner mends.
   */
  #unfit(owner: Holder): Evidence | null {
    const why = this.#replica.peers.unfit(owner.server);
    const { brake, clock, timings, unfit } = this.#replica;
    // What fails there is handed over; what hangs there never returns, and its server can agree to nothing.
    if (why === null || unfit !== null || brake.handover() !== null) this.#unfitSinceMs = null;
    else this.#unfitSinceMs ??= clock.nowMs();
    const sinceMs = this.#unfitSinceMs;
    const late = sinceMs !== null && clock.nowMs() - sinceMs >= timings.ioMs && this.#replica.probedSince(sinceMs);
    return late ? { detector: 'io', why: `${owner.server} is unfit and has not handed over: ${why}` } : null;
  }

  /** Each server leaves a volume that anybody may claim to those before it for a while, and to those alive no longer. */
  #myTurn(sinceMs: number, first: ServerId | null): boolean {
    const order = this.#replica.settings.servers.filter((server) => server !== first);
    if (first !== null) order.unshift(first);
    const place = Math.max(0, order.indexOf(this.#replica.self.server));
    return this.#replica.clock.nowMs() - sinceMs >= place * this.#replica.timings.yieldMs;
  }
}

/**
 * Detector (c): is this server's own I/O operational? Probes its path to each medium and to the coordinator with real
 * I/O at a steady pace and watches that its stores come forward. What fails twice in a row, or hangs, makes the server
 * declare itself unfit, until it works again; a claim that finds a fresh success need not probe once more.
 */
import type { Fault } from '../base/fault.ts';
import type { Sequence } from '../base/names.ts';
import type { Clock } from '../ports/clock.ts';
import type { Coordinator } from '../ports/coordinator.ts';
import type { Replica } from './replica.ts';
import type { Timings } from './settings.ts';

/** Failures in a row that count: one may be chance. */
const FAILURES = 2;
/** A probe that has been out for so many heartbeats may be one that hangs. */
const SLOW_BEATS = 4;
/** An owner that asks again after so many paces of probing asks anew. */
const ASKED_PACES = 5;

/** One thing that is probed. */
interface Probe {
  readonly name: string;
  /** Starts the real I/O; false when it cannot be started yet. `done` comes on a later turn. */
  readonly start: (done: (fault: Fault | null) => void) => boolean;
  startedMs: number;
  out: boolean;
  failures: number;
  why: string;
  /** When the last probe that succeeded was started. */
  succeededMs: number;
}

/** A store that has something to store: how far it was to come, since when. */
interface Backlog {
  readonly last: Sequence;
  readonly sinceMs: number;
}

export class Health {
  readonly #clock: Clock;
  readonly #timings: Timings;
  readonly #replicas: Replica[] = [];
  readonly #coordinator: Probe;
  readonly #media = new Map<Replica, Probe>();
  readonly #backlogs = new Map<Replica, Backlog>();
  /** Volumes whose unfit owners ask this server to take them; since when it has to pass its own probes. */
  readonly #asked = new Map<Replica, number>();
  /** Owned volumes without authority, since when. */
  readonly #lapses = new Map<Replica, number>();

  constructor(coordinator: Coordinator, clock: Clock, timings: Timings) {
    this.#clock = clock;
    this.#timings = timings;
    this.#coordinator = this.#probe('the coordinator', (done) => {
      coordinator.probe(done);
      return true;
    });
  }

  /** Watches what this volume needs, too. */
  watch(replica: Replica): void {
    this.#replicas.push(replica);
    const probe = this.#probe(`the medium of ${replica.volume}`, (done) => {
      const mediumId = replica.register.known?.mediumId;
      if (mediumId === undefined) return false;
      replica.medium.probe(mediumId, done);
      return true;
    });
    this.#media.set(replica, probe);
  }

  #probe(name: string, start: Probe['start']): Probe {
    const never = Number.NEGATIVE_INFINITY;
    return { name, start, startedMs: never, out: false, failures: 0, why: '', succeededMs: never };
  }

  /** Once per heartbeat. */
  tick(): void {
    this.#tend(this.#coordinator);
    for (const probe of this.#media.values()) this.#tend(probe);
    for (const replica of this.#replicas) {
      this.#watchStore(replica);
      this.#watchAuthority(replica);
    }
  }

  #tend(probe: Probe): void {
    const nowMs = this.#clock.nowMs();
    if (probe.out || nowMs - probe.startedMs < this.#timings.probeMs) return;
    probe.out = probe.start((fault) => {
      probe.out = false;
      probe.failures = fault === null ? 0 : probe.failures + 1;
      probe.why = fault?.message ?? '';
      if (fault === null) probe.succeededMs = nowMs;
    });
    if (probe.out) probe.startedMs = nowMs;
  }

  /** Only the coordinator can grant while there is no partner: an owner that cannot read it serves nobody. */
  #watchAuthority(replica: Replica): void {
    const { tenure } = replica;
    if (tenure === null || tenure.mayAct()) this.#lapses.delete(replica);
    else if (!this.#lapses.has(replica)) this.#lapses.set(replica, this.#clock.nowMs());
  }

  #watchStore(replica: Replica): void {
    const { log, stored } = replica.copy;
    const backlog = this.#backlogs.get(replica);
    if (stored >= log.last) this.#backlogs.delete(replica);
    else if (backlog === undefined || stored >= backlog.last || backlog.last > log.last)
      this.#backlogs.set(replica, { last: log.last, sinceMs: this.#clock.nowMs() });
  }

  /** Why this server's I/O is not operational; null while it is. A probe of the coordinator that fails only forbids claims. */
  why(): string | null {
    const nowMs = this.#clock.nowMs();
    for (const probe of this.#media.values()) {
      if (probe.out && nowMs - probe.startedMs >= this.#timings.ioMs)
        return `${probe.name} has not answered for ${this.#timings.ioMs} ms`;
      if (probe.failures >= FAILURES) return `${probe.name} fails: ${probe.why}`;
    }
    for (const [replica, backlog] of this.#backlogs)
      if (nowMs - backlog.sinceMs >= this.#timings.ioMs)
        return `the store of ${replica.volume} has not come forward for ${this.#timings.ioMs} ms`;
    for (const [replica, sinceMs] of this.#lapses)
      if (nowMs - sinceMs >= this.#timings.ioMs)
        return `the record of ${replica.volume} could not be read for ${this.#timings.ioMs} ms`;
    for (const { tenure, volume } of this.#replicas) {
      const failingSinceMs = tenure?.destager.failingSinceMs ?? null;
      if (failingSinceMs !== null && nowMs - failingSinceMs >= this.#timings.ioMs)
        return `the medium of ${volume} has failed every write for ${this.#timings.ioMs} ms`;
    }
    return null;
  }

  /** Coordinator and medium were probed with success a moment ago. */
  fresh(replica: Replica): boolean {
    return this.soundSince(replica, this.#clock.nowMs() - 3 * this.#timings.probeMs);
  }

  /**
   * An owner that is unfit asks this server to take the volume. True once probes of its own have passed that were begun
   * after it was asked, and after its own last trouble: what hangs for both is nothing that a change of owner mends.
   */
  passesForUnfit(replica: Replica): boolean {
    const nowMs = this.#clock.nowMs();
    const medium = this.#media.get(replica);
    if (medium === undefined) return false;
    const asked = this.#asked.get(replica);
    const isNew = asked === undefined || nowMs - asked > ASKED_PACES * this.#timings.probeMs;
    const sinceMs = isNew || this.#inTrouble(medium) ? nowMs : asked;
    this.#asked.set(replica, sinceMs);
    if (this.soundSince(replica, sinceMs)) return true;
    // The next heartbeat probes, whatever the pace.
    for (const probe of [medium, this.#coordinator])
      if (!probe.out && probe.startedMs < sinceMs) probe.startedMs = Number.NEGATIVE_INFINITY;
    return false;
  }

  #inTrouble(probe: Probe): boolean {
    const slowMs = SLOW_BEATS * this.#timings.heartbeatMs;
    return probe.failures > 0 || (probe.out && this.#clock.nowMs() - probe.startedMs > slowMs);
  }

  /** Coordinator and medium passed probes that were begun at `sinceMs` or later. */
  soundSince(replica: Replica, sinceMs: number): boolean {
    const medium = this.#media.get(replica);
    return medium !== undefined && sound(medium, sinceMs) && sound(this.#coordinator, sinceMs);
  }
}

function sound(probe: Probe, sinceMs: number): boolean {
  return probe.failures === 0 && probe.succeededMs >= sinceMs;
}

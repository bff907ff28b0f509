/**
 * The orderly stop: every owned volume is handed over to a server that may claim it, or, where nobody can take it,
 * drained and left `suspended`, so that any server may claim it later without this one. Of volumes that this server
 * mirrors, the owners go on without it first: else what they have not yet written would be in one place, and a crash in
 * that moment would lose it.
 */
import type { ServerId } from '../base/names.ts';
import type { Clock } from '../ports/clock.ts';
import type { Peers } from './peers.ts';
import { names } from './record.ts';
import type { Replica } from './replica.ts';
import type { Timings } from './settings.ts';

export class Departure {
  readonly #replicas: readonly Replica[];
  readonly #peers: Peers;
  readonly #clock: Clock;
  readonly #timings: Timings;
  readonly #startedMs: number;
  readonly #done: (() => void)[] = [];
  readonly #leaving = new Set<Replica>();
  #askedMs = Number.NEGATIVE_INFINITY;
  /** The stores or the medium fail: waiting for a drain would be waiting for ever. */
  #drains = true;
  /** Reads of records that are out, and whether the last round found all of them. */
  #looking = 0;
  #lookedAgain = false;
  #over = false;

  constructor(replicas: readonly Replica[], peers: Peers, clock: Clock, timings: Timings) {
    this.#replicas = replicas;
    this.#peers = peers;
    this.#clock = clock;
    this.#timings = timings;
    this.#startedMs = clock.nowMs();
    for (const replica of replicas) replica.partner.leave();
  }

  whenDone(done: () => void): void {
    if (this.#over) done();
    else this.#done.push(done);
    this.tick();
  }

  /** An own store failed: volumes are handed over as they are, and what cannot be handed over is left. */
  cannotDrain(): void {
    this.#drains = false;
  }

  /** False once the stop has waited long enough for others, or cannot wait at all. With a needed copy in memory it waits on. */
  get patient(): boolean {
    if (!this.#drains) return false;
    if (this.#clock.nowMs() - this.#startedMs < 2 * this.#timings.handoverMs) return true;
    return this.#replicas.some((replica) => replica.copy.store.kind === 'memory' && replica.isNeeded);
  }

  /** Once per heartbeat. */
  tick(): void {
    if (this.#over) return;
    const nowMs = this.#clock.nowMs();
    const asks = nowMs - this.#askedMs >= this.#timings.retryMs;
    if (asks) this.#askedMs = nowMs;
    for (const replica of this.#replicas) {
      this.#tend(replica, asks);
      if (!this.patient) replica.claim?.giveUp();
    }
    // For a successor that has not come so far, and for a claimant that may need this server's copy, a stop waits a while.
    const waitsFor = (r: Replica): boolean => r.planned.handsOver || r.isNeeded || isCountedOn(r);
    const busy = this.#replicas.some((r) => r.opposes || (this.patient && waitsFor(r)));
    if (busy) this.#lookedAgain = false;
    else if (this.patient && !this.#lookedAgain && this.#replicas.length > 0) return this.#lookAgain();
    if (busy) return;
    this.#over = true;
    for (const done of this.#done.splice(0)) done();
  }

  /** Nothing seems to need this server any more, by records that may be old: reads each anew before it says so. */
  #lookAgain(): void {
    if (this.#looking > 0) return;
    let read = true;
    this.#looking = this.#replicas.length;
    for (const replica of this.#replicas)
      replica.register.read(() => {
        this.#looking -= 1;
        read &&= replica.register.fault === null;
        if (this.#looking > 0) return;
        this.#lookedAgain = read;
        if (read) this.tick();
      });
  }

  #tend(replica: Replica, asks: boolean): void {
    const tenure = replica.tenure;
    if (tenure === null || replica.planned.handsOver) return;
    if (!this.#leaving.has(replica) && this.#clock.nowMs() - this.#startedMs < this.#timings.handoverMs) {
      const heir = heirOf(replica, this.#peers);
      if (asks && heir !== null) offer(replica, this.#peers, `${replica.self.server} stops`);
      if (heir !== null) return;
    }
    this.#leave(replica);
  }

  /** Nobody can take it: requests wait, everything confirmed goes to the medium, the record says so, and it ends. */
  #leave(replica: Replica): void {
    const tenure = replica.tenure;
    if (tenure === null) return;
    if (!this.#leaving.has(replica)) {
      this.#leaving.add(replica);
      tenure.hold();
    }
    tenure.partnership.retire('the owner stops');
    const suspended = replica.register.settled && replica.register.known?.mirror === 'suspended';
    if (suspended && tenure.drained) return replica.leave();
    // What cannot be drained stays in the journal, and the record keeps naming it.
    if (!this.patient) replica.leave();
  }
}

/** The record, as known, says that another server's volume is mirrored here. */
function isCountedOn({ register, self, copy }: Replica): boolean {
  const record = register.known;
  if (record === null || record.mirror !== 'in-sync' || record.owner?.server === self.server) return false;
  return names(record, self.server, copy.store.id);
}

/** Who could take the volume: the partner while it mirrors; otherwise the first that is alive and fit. */
function heirOf(replica: Replica, peers: Peers): ServerId | null {
  const record = replica.register.known;
  if (record === null || record.mirror === 'sole') return null;
  const may = record.mirror === 'in-sync' && record.partner !== null ? [record.partner] : replica.settings.servers;
  return may.find((s) => s !== replica.self.server && peers.alive(s) && peers.unfit(s) === null) ?? null;
}

/** Asks the heir, if there is one, to take the volume. */
export function offer(replica: Replica, peers: Peers, why: string): void {
  const heir = replica.tenure === null || replica.planned.handsOver ? null : heirOf(replica, peers);
  if (heir === null || replica.tenure === null) return;
  peers.send(heir, { type: 'take-please', volume: replica.volume, epoch: replica.tenure.epoch, why });
}

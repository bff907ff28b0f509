/**
 * Losing and regaining the partner (design section 3): decides when the mirror is lost, drains and suspends, builds a
 * new copy and swaps it in. Events only change state; `judge` alone decides, from the settled record, what is next.
 *
 * 1. While a swap is unsettled the rules of both records hold, and nothing new is begun.
 * 2. `suspended` is swapped in only when the synced medium holds everything acknowledged.
 * 3. `in-sync` is swapped in only when both stores hold everything acknowledged and not on the medium; from the seal
 *    on, nothing is acknowledged that the new copy does not hold (traps T10, T11).
 */
import { higher, lower } from '../../base/names.ts';
import type { Generation, Incarnation, Sequence, ServerId } from '../../base/names.ts';
import { OPERATION_HEADER_BYTES } from '../../base/operation.ts';
import type { Operation } from '../../base/operation.ts';
import type { VolumeRecord } from '../../ports/coordinator.ts';
import type { HeartbeatVolume, LinkMessage } from '../../ports/link.ts';
import { inSync, sole, suspended } from '../record.ts';
import type { Replica } from '../replica.ts';
import type { Evidence } from '../status.ts';
import { Mirror } from './mirror.ts';
import { Mirrors } from './mirrors.ts';
import type { CopyPosition } from './mirror.ts';
import type { Tenure } from './tenure.ts';

/** A copy that is so few operations behind is sealed: what it still lacks arrives while it is being marked. */
const SEAL_BEHIND = 1_024;

export class Partnership {
  readonly #replica: Replica;
  readonly #tenure: Tenure;
  readonly mirrors: Mirrors;
  #lastGeneration: Generation = 0 as Generation;
  /** Why the named partner counts as lost, and since when; null while it does not. */
  #lost: { readonly why: string; readonly sinceMs: number } | null = null;
  /** The named partner's copy can never be completed again. */
  #gone: string | null = null;
  /** Not before these times is the peer tried again. */
  readonly #notBefore = new Map<ServerId, number>();
  /** The own store's mark for the candidate's generation is durable. */
  #marked: Generation | null = null;
  #marking: Generation | null = null;
  #askedMs = Number.NEGATIVE_INFINITY;
  #over = false;

  constructor(replica: Replica, tenure: Tenure) {
    this.#replica = replica;
    this.#tenure = tenure;
    this.mirrors = new Mirrors(replica, tenure);
  }

  // ---- what it asks of the tenure ---

  /** Somebody waits for the medium: acknowledgements, or the drain. */
  get wantsDestage(): boolean {
    return this.#lost !== null || this.#replica.register.mayBe((record) => record.mirror === 'suspended');
  }

  /** False under the policy `stop` while there is no partner. */
  get acceptsWrites(): boolean {
    return this.#replica.settings.degraded !== 'stop' || this.inSync;
  }

  get inSync(): boolean {
    return this.#replica.register.settled && this.#replica.register.known?.mirror === 'in-sync';
  }

  // ---- the decisions --------------------------------------------------------------------------------------------------

  judge(): void {
    const { register } = this.#replica;
    const record = register.known;
    if (this.#over || record === null || !register.settled || record.epoch !== this.#tenure.epoch) return;
    this.#settleNames(record);
    if (record.mirror === 'in-sync') this.#judgeInSync(record);
    else if (record.mirror === 'suspended' || record.mirror === 'sole') this.#judgeAlone(record);
  }

  /** Lets go of copies that the settled record no longer names. */
  #settleNames(record: VolumeRecord): void {
    if (this.mirrors.candidate !== null && this.#isNamed(record, this.mirrors.candidate)) {
      this.mirrors.named = this.mirrors.candidate;
      this.mirrors.named.phase = 'named';
      this.mirrors.candidate = null;
      this.#lost = null;
      this.#gone = null;
    }
    if (this.mirrors.named !== null && !this.#isNamed(record, this.mirrors.named)) {
      this.mirrors.named = null;
      this.#lost = null;
      this.#gone = null;
    }
  }

  #isNamed(record: VolumeRecord, mirror: Mirror): boolean {
    return record.mirror === 'in-sync' && record.generation === mirror.generation;
  }

  #judgeInSync(record: VolumeRecord): void {
    const named = this.mirrors.named;
    if (named === null) return this.#drainUnnamed(record);
    const why = this.#whyLost(named);
    if (why === null) {
      if (this.#lost !== null) this.#note('partner.back', { partner: named.peer });
      this.#lost = null;
      if (this.mirrors.candidate !== null) this.#drop('the partner is back');
      return;
    }
    const nowMs = this.#replica.clock.nowMs();
    if (this.#lost === null) {
      this.#lost = { why, sinceMs: nowMs };
      // One that lives and is slow is not asked again at once.
      this.#notBefore.set(named.peer, nowMs + 5 * this.#replica.timings.retryMs);
      const detector = this.#detector(named);
      this.#note('partner.lost', { partner: named.peer, detector, why });
      this.#replica.found({ detector, why });
    }
    // Two heartbeats of grace: a link that heals at once costs nothing.
    if (this.#gone === null && nowMs - this.#lost.sinceMs < 2 * this.#replica.timings.heartbeatMs) return;
    if (this.#tendCandidate(record, named.peer)) return;
    if (this.#replica.settings.degraded === 'journal' && this.#replica.copy.store.kind === 'journal')
      return this.#goSole(record, this.#lost.why);
    this.#drain(record, named, this.#lost.why);
  }

  /** The record names a copy that was given up while its swap was on its way: the mirror is lost at once. */
  #drainUnnamed(record: VolumeRecord): void {
    this.#lost ??= { why: 'the partner’s copy was gone when the record came to name it', sinceMs: 0 };
    this.#drainTo(record, this.#tenure.ackable, this.#lost.why, () => true);
  }

  /** Null while the partner may still confirm in time. */
  #whyLost(named: Mirror): string | null {
    const { peers, timings } = this.#replica;
    if (this.#gone !== null) return this.#gone;
    if (!peers.alive(named.peer)) return `no path of the link to ${named.peer} carries`;
    const waitedMs = this.#tenure.waitedMs(named.stored);
    if (waitedMs < timings.confirmMs) return null;
    return `${named.peer} has not confirmed an operation for ${Math.round(waitedMs)} ms`;
  }

  /** Which detector noticed that the partner is lost; null when it left in order. */
  #detector(named: Mirror): Evidence['detector'] {
    if (!this.#replica.peers.alive(named.peer)) return 'process';
    return this.#gone === null ? 'io' : null;
  }

  /** Everything confirmed is on the synced medium, and nothing else on its way: then, and only then, `suspended`. */
  #drain(record: VolumeRecord, named: Mirror, why: string): void {
    const confirmed = lower(this.#replica.copy.stored, higher(named.stored, this.#tenure.ackable));
    this.#drainTo(record, confirmed, why, () => this.#lost !== null && this.#whyLost(named) !== null);
  }

  #drainTo(record: VolumeRecord, confirmed: Sequence, why: string, wanted: () => boolean): void {
    const { destager } = this.#tenure;
    if (destager.running || destager.synced < confirmed || destager.synced < this.#tenure.ackable)
      return destager.poke();
    if (!this.#tenure.mayAct()) return;
    const next = suspended(record, this.#nextGeneration(record), this.#replica.ids.draw(), why);
    this.#note('swap.suspended', { why });
    this.#swap(next, wanted);
  }

  #judgeAlone(record: VolumeRecord): void {
    if (this.#tendCandidate(record, null)) return;
    if (record.mirror === 'sole') {
      if (
        this.#tenure.destager.synced === this.#tenure.last &&
        this.mirrors.candidate === null &&
        this.#tenure.mayAct()
      )
        this.#swap(
          suspended(record, this.#nextGeneration(record), this.#replica.ids.draw(), 'everything is on the medium'),
          () => this.#tenure.destager.synced === this.#tenure.last,
        );
      return;
    }
    const { settings, copy, timings } = this.#replica;
    const slow = this.#tenure.waitedMs(this.#tenure.destager.synced) > timings.heartbeatMs;
    if (settings.degraded === 'journal' && copy.store.kind === 'journal' && this.mirrors.candidate === null && slow)
      this.#goSole(record, record.why);
  }

  /** The own journal is marked for the next generation first: it is the only copy that the record will name. */
  #goSole(record: VolumeRecord, why: string): void {
    if (this.#marking !== null) return;
    const generation = this.#nextGeneration(record);
    this.#markOwn(record, generation, () => {
      if (this.#replica.register.known !== record || !this.#replica.register.settled || !this.#tenure.mayAct()) return;
      this.#note('swap.sole', { why });
      this.#swap(sole(record, generation, this.#replica.ids.draw(), why), () => true);
    });
  }

  /** Builds, seals and names a copy; false when there is nobody to build one with. */
  #tendCandidate(record: VolumeRecord, instead: ServerId | null): boolean {
    const candidate = this.mirrors.candidate;
    if (candidate === null) return this.#pick(record, instead);
    const { peers, timings, clock } = this.#replica;
    if (this.#tenure.holding) this.#drop('the volume is being handed over');
    else if (!peers.alive(candidate.peer)) this.#drop('its link is cut');
    else if (peers.incarnation(candidate.peer) !== candidate.incarnation) this.#drop('it restarted');
    else if (clock.nowMs() - candidate.progressMs > timings.confirmMs) this.#drop('it makes no progress');
    else if (candidate.phase === 'building') this.#seal(record, candidate);
    else if (candidate.phase === 'sealed' && this.#marked === candidate.generation) this.#name(record, candidate);
    return this.mirrors.candidate !== null;
  }

  #pick(record: VolumeRecord, instead: ServerId | null): boolean {
    const { settings, peers, clock, self, timings } = this.#replica;
    if (this.#tenure.holding) return false;
    const nowMs = clock.nowMs();
    const peer = settings.servers.find(
      (server) =>
        server !== self.server &&
        server !== instead &&
        peers.alive(server) &&
        nowMs >= (this.#notBefore.get(server) ?? 0),
    );
    if (peer === undefined) return false;
    const life = { volume: this.#replica.volume, epoch: this.#tenure.epoch, generation: this.#nextGeneration(record) };
    this.mirrors.candidate = new Mirror(peer, peers.incarnation(peer), life, this.#replica.copy.log.base, {
      log: () => this.#replica.copy.log,
      acknowledged: () => this.#tenure.acknowledged,
      synced: () => this.#tenure.destager.synced,
      send: (message) => peers.send(peer, message),
      nowMs: () => clock.nowMs(),
      resendMs: timings.heartbeatMs,
    });
    this.#note('resync.begin', { partner: peer, generation: life.generation });
    this.#ask();
    return true;
  }

  #drop(why: string): void {
    const candidate = this.mirrors.candidate;
    if (candidate === null) return;
    this.mirrors.candidate = null;
    this.#notBefore.set(candidate.peer, this.#replica.clock.nowMs() + this.#replica.timings.retryMs);
    this.#note('resync.dropped', { partner: candidate.peer, why });
    this.#tenure.release();
  }

  /** Asks again for what has not been answered. */
  #ask(): void {
    const candidate = this.mirrors.candidate;
    if (candidate === null) return;
    this.#askedMs = this.#replica.clock.nowMs();
    const ask: LinkMessage | null =
      candidate.phase === 'asking'
        ? { type: 'resync-begin', ...candidate.life, base: candidate.base }
        : candidate.phase === 'sealing'
          ? { type: 'resync-seal', ...candidate.life }
          : null;
    if (ask !== null) this.#replica.peers.send(candidate.peer, ask);
  }

  #seal(record: VolumeRecord, candidate: Mirror): void {
    const { copy } = this.#replica;
    if (!candidate.closing && this.#tenure.last - candidate.stored > SEAL_BEHIND) return;
    // From here on it must confirm: what may be acknowledged stands still until it has caught up with it.
    candidate.closing = true;
    if (candidate.stored < this.#tenure.ackable || copy.stored < this.#tenure.ackable) return;
    // One mark at a time: a later one must not take back what a swap on its way relies on.
    if (this.#marking !== null) return;
    candidate.phase = 'sealing';
    this.#ask();
    this.#markOwn(record, candidate.generation, () => this.#tenure.wake());
  }

  #markOwn(record: VolumeRecord, generation: Generation, then: () => void): void {
    this.#marking = generation;
    this.#replica.copy.mark([record.generation, generation], true, () => {
      if (this.#marking === generation) this.#marking = null;
      this.#marked = generation;
      if (!this.#over) then();
    });
  }

  #name(record: VolumeRecord, candidate: Mirror): void {
    if (candidate.store === null || !this.#tenure.mayAct()) return;
    // Nothing that the copy lacks may be on its way to the medium when the record comes to name it (I6).
    if (this.#tenure.destager.running && this.#tenure.destager.issued > candidate.stored) return;
    const store = { server: candidate.peer, store: candidate.store };
    this.#note('swap.in-sync', { partner: candidate.peer, generation: candidate.generation });
    this.#swap(
      inSync(record, store, candidate.generation, this.#replica.ids.draw()),
      () => this.mirrors.candidate === candidate && this.#replica.peers.alive(candidate.peer),
    );
  }

  #swap(next: VolumeRecord, wanted: () => boolean): void {
    const candidate = this.mirrors.candidate;
    const { register } = this.#replica;
    register.swap(next, {
      wanted: () => !this.#over && wanted(),
      settled: (won) => {
        // Another epoch: the tenure is about to end, and nothing of it may be judged by that record (trap T14).
        if (this.#over || register.known?.epoch !== this.#tenure.epoch) return;
        if (won) this.#note(`mirror.${next.mirror}`, { generation: next.generation, why: next.why });
        // A copy whose swap did not happen is never named again: its generation is spent.
        else if (candidate !== null && this.mirrors.candidate === candidate && candidate.phase === 'sealed')
          this.#drop('its swap did not happen');
        this.#tenure.wake();
      },
    });
  }

  #nextGeneration(record: VolumeRecord): Generation {
    this.#lastGeneration = (Math.max(record.generation, this.#lastGeneration) + 1) as Generation;
    return this.#lastGeneration;
  }

  /** The volume goes on without a partner: what is confirmed is drained and `suspended` swapped in. */
  retire(why: string): void {
    this.#gone = why;
  }

  // ---- what the partners say ------------------------------------------------------------------------------------------

  /** Lines for the heartbeat to `peer`. */
  heartbeatTo(peer: ServerId): HeartbeatVolume[] {
    return this.mirrors
      .all()
      .filter((mirror) => mirror.peer === peer && mirror.phase !== 'asking')
      .map((mirror) => ({
        ...mirror.life,
        acknowledged: this.#tenure.acknowledged,
        released: this.#tenure.destager.synced,
        sent: mirror.sent,
      }));
  }

  /** New operations of this turn. */
  forward(operations: readonly Operation[]): void {
    for (const mirror of this.mirrors.all()) mirror.forward(operations);
  }

  /** The medium has synced more: the partners may let go of it. */
  synced(): void {
    for (const mirror of this.mirrors.all()) mirror.release();
  }

  rerouted(peer: ServerId): void {
    for (const mirror of this.mirrors.all())
      if (mirror.peer === peer && mirror.incarnation === this.#replica.peers.incarnation(peer)) mirror.resend();
  }

  ready(from: ServerId, incarnation: Incarnation, message: Extract<LinkMessage, { type: 'resync-ready' }>): void {
    const candidate = this.#find(from, message.generation);
    if (candidate === null || candidate.phase !== 'asking' || candidate.incarnation !== incarnation) return;
    if (message.refusal !== null) return this.#drop(message.refusal);
    if (message.base !== candidate.base) return;
    const largest = this.#tenure.maxRequestBytes + 2 * OPERATION_HEADER_BYTES;
    if (message.capacityBytes < largest) return this.#drop(`its store is too small for a write of ${largest} bytes`);
    candidate.begin(message.store, message.capacityBytes, message.base);
    this.#tenure.wake();
  }

  sealed(from: ServerId, incarnation: Incarnation, message: Extract<LinkMessage, { type: 'resync-sealed' }>): void {
    const candidate = this.#find(from, message.generation);
    if (candidate === null || candidate.phase !== 'sealing' || candidate.incarnation !== incarnation) return;
    if (message.store !== candidate.store) return this.#drop('its store changed');
    candidate.phase = 'sealed';
    this.#tenure.wake();
  }

  /** Where a partner's copy stands; null: it has no copy of that life. */
  position(
    from: ServerId,
    incarnation: Incarnation,
    generation: Generation,
    position: CopyPosition | null,
    gap: boolean,
  ): void {
    const mirror = this.#find(from, generation);
    if (mirror === null || mirror.phase === 'asking') return;
    const kept =
      position !== null &&
      (mirror.incarnation === incarnation ? mirror.hear(position, gap) : mirror.compare(incarnation, position));
    if (kept) {
      if (mirror === this.mirrors.candidate) return this.#tenure.wake();
      this.#tenure.release();
      return this.#tenure.advance();
    }
    const why = `${from} keeps no copy any more that could be completed`;
    // While a swap that may name it is on its way, its rule holds; it is judged when that is settled.
    if (mirror === this.mirrors.named) this.#gone = why;
    else if (this.#replica.register.settled) this.#drop(why);
    this.#tenure.wake();
  }

  #find(from: ServerId, generation: Generation): Mirror | null {
    return this.mirrors.all().find((mirror) => mirror.peer === from && mirror.generation === generation) ?? null;
  }

  /** Whether a grant by `from` in that life counts now: the settled record names its copy, and it is the same process. */
  counts(from: ServerId, incarnation: Incarnation, generation: Generation): boolean {
    const named = this.mirrors.named;
    return (
      this.inSync &&
      named !== null &&
      named.peer === from &&
      named.generation === generation &&
      named.incarnation === incarnation &&
      this.#replica.register.known?.generation === generation
    );
  }

  tick(): void {
    for (const mirror of this.mirrors.all()) {
      mirror.tick();
      mirror.release();
    }
    if (this.#replica.clock.nowMs() - this.#askedMs >= this.#replica.timings.retryMs) this.#ask();
  }

  end(): void {
    this.#over = true;
    this.mirrors.named = null;
    this.mirrors.candidate = null;
  }

  #note(event: string, fields: Record<string, string | number | boolean | null>): void {
    this.#replica.observer.note(event, this.#replica.volume, { epoch: this.#tenure.epoch, ...fields });
  }
}

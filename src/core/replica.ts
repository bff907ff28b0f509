/**
 * One volume at one server: knows the record, holds the copy, and is owner, claimant, partner or nobody. Events only
 * change state; `judge` decides (design sections 3 and 4). At most one tenure or claim lives here at a time, and a
 * new one begins only when nothing of the one before is running any more.
 */
import { Fault } from '../base/fault.ts';
import { NO_SEQUENCE } from '../base/names.ts';
import type { Incarnation, ServerId, Version, VolumeName } from '../base/names.ts';
import type { Clock, Ids } from '../ports/clock.ts';
import type { Coordinator, Holder, VolumeRecord } from '../ports/coordinator.ts';
import type { HeartbeatGrant } from '../ports/link.ts';
import type { Medium } from '../ports/medium.ts';
import type { Doors, Fence, Observer } from '../ports/world.ts';
import type { Authority } from './authority.ts';
import { Brake } from './brake.ts';
import { Claim } from './claim.ts';
import type { ClaimReason, Claimed } from './claim.ts';
import type { Copy } from './copy.ts';
import { LossWatch } from './loss.ts';
import { Tenure } from './owner/tenure.ts';
import { Occasion } from './occasion.ts';
import { Partner } from './partner.ts';
import type { Peers } from './peers.ts';
import { Planned } from './planned.ts';
import { claimRefusal, fateOfLog, isCopyOf, sourceOf } from './record.ts';
import type { Self } from './record.ts';
import { Register } from './register.ts';
import type { Timings, VolumeSettings } from './settings.ts';
import type { Evidence } from './status.ts';
import type { Suspicion } from './suspicion.ts';

/** Decisions in one turn; what is left then is taken up at the next heartbeat. */
const JUDGE_ROUNDS = 8;

/** What a replica shares with the others of its server. */
export interface ReplicaWorld {
  readonly self: { readonly server: ServerId; readonly incarnation: Incarnation };
  readonly timings: Timings;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly coordinator: Coordinator;
  readonly peers: Peers;
  readonly suspicion: Suspicion;
  readonly fence: Fence;
  readonly doors: Doors;
  readonly observer: Observer;
  /** Why this server must not own volumes; null while it is fit. */
  unfit(): string | null;
  /** Coordinator and medium passed their probes a moment ago. */
  probedOfLate(replica: Replica): boolean;
  /** The same of probes that were begun at `sinceMs` or later. */
  probedSince(replica: Replica, sinceMs: number): boolean;
  /** `soon`: an orderly stop waits for what others need; `now`: it no longer waits. */
  stopping(): 'no' | 'soon' | 'now';
  /** Sends a heartbeat outside of its pace; false when no path carries. */
  beatTo(server: ServerId): boolean;
  /** The medium failed a call: evidence for the detectors. */
  mediumFailed(volume: VolumeName, fault: Fault): void;
}

export class Replica {
  readonly volume: VolumeName;
  readonly settings: VolumeSettings;
  readonly self: ReplicaWorld['self'];
  readonly timings: Timings;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly coordinator: Coordinator;
  readonly peers: Peers;
  readonly fence: Fence;
  readonly doors: Doors;
  readonly observer: Observer;
  readonly medium: Medium;
  readonly copy: Copy;
  readonly register: Register;
  readonly partner: Partner;
  readonly loss: LossWatch;
  readonly planned: Planned;
  readonly brake: Brake;
  readonly #occasion: Occasion;
  readonly #world: ReplicaWorld;
  /** The copy was found at the start of this process and nothing has begun anew since. */
  recovered: boolean;
  #tenure: Tenure | null = null;
  #authority: Authority | null = null;
  #claim: Claim | null = null;
  /** A tenure whose last medium I/O has not returned. */
  #ending = 0;
  #claimNotBeforeMs = Number.NEGATIVE_INFINITY;
  #why: string | null = null;
  #finding: (Evidence & { readonly atMs: number }) | null = null;
  /** The tenure whose door is open. */
  #listens: Tenure | null = null;
  #judging = false;
  #judgeAgain = false;

  constructor(world: ReplicaWorld, settings: VolumeSettings, medium: Medium, copy: Copy) {
    this.#world = world;
    this.volume = settings.name;
    this.settings = settings;
    this.self = world.self;
    this.timings = world.timings;
    this.clock = world.clock;
    this.ids = world.ids;
    this.coordinator = world.coordinator;
    this.peers = world.peers;
    this.fence = world.fence;
    this.doors = world.doors;
    this.observer = world.observer;
    this.medium = medium;
    this.copy = copy;
    this.recovered = copy.head !== null;
    this.partner = new Partner(this);
    this.loss = new LossWatch(this);
    this.planned = new Planned(this);
    this.brake = new Brake(world.clock);
    this.#occasion = new Occasion(this, world.suspicion);
    copy.use(this.partner);
    this.register = new Register(this.volume, world.coordinator, world.clock, world.ids, world.timings, {
      changed: () => this.judge(),
      confirmed: (record, issuedAtMs) => this.#confirmed(record, issuedAtMs),
    });
  }

  // ---- what this is ---------------------------------------------------------------------------------------------------

  /** Clients can connect here and are answered. */
  get serving(): boolean {
    return this.#tenure !== null && this.#listens === this.#tenure && this.#tenure.mayAct();
  }
  get tenure(): Tenure | null {
    return this.#tenure;
  }
  get probedOfLate(): boolean {
    return this.#world.probedOfLate(this);
  }
  /** This server's own way to coordinator and medium was seen to work after that moment. */
  probedSince(sinceMs: number): boolean {
    return this.#world.probedSince(this, sinceMs);
  }
  get claim(): Claim | null {
    return this.#claim;
  }
  get unfit(): string | null {
    return this.#world.unfit();
  }
  /** Why nothing is served or claimed here, for status. */
  get why(): string | null {
    return this.#why;
  }
  /** This process and the log it holds, as the record's rules see them. */
  get identity(): Self {
    return { ...this.self, store: this.copy.store.id, head: this.copy.soundHead };
  }
  /** True when this server confirms and grants nothing for the volume: it owns or claims it itself. */
  get opposes(): boolean {
    return this.#tenure !== null || this.#claim !== null || this.#ending > 0;
  }

  note(event: string, fields: Readonly<Record<string, string | number | boolean | null>>): void {
    this.observer.note(event, this.volume, fields);
  }

  /** A detector fired, or goes on firing on the same evidence. */
  found({ detector, why }: Evidence): void {
    if (detector !== null && why !== this.#finding?.why) this.#finding = { detector, why, atMs: this.clock.nowMs() };
  }
  /** The failure that was noticed last, for status. */
  get finding(): (Evidence & { readonly atMs: number }) | null {
    return this.#finding;
  }

  mediumFailed(fault: Fault): void {
    this.#world.mediumFailed(this.volume, fault);
  }

  /** Looks for proof that a process has ended. */
  ended(holder: Holder, proven: (proof: string) => void): void {
    this.#world.suspicion.ask(holder, proven);
  }

  // ---- events ---------------------------------------------------------------------------------------------------------

  /** Once per heartbeat. */
  tick(): void {
    this.#tenure?.tick();
    this.#claim?.tick();
    this.planned.tick();
    this.planned.giveback();
    const owner = this.register.known?.owner;
    if (owner && this.#tenure === null && owner.server !== this.self.server && this.peers.disconnected(owner.server))
      this.ended(owner, () => this.judge());
    this.loss.tick();
    this.judge();
  }

  /** A read of the record answered: the coordinator's grant, when it still names this process and its epoch. */
  #confirmed(record: VolumeRecord, issuedAtMs: number): void {
    const epoch = this.#tenure?.epoch ?? this.#claim?.epoch ?? null;
    if (record.owner?.incarnation !== this.self.incarnation || record.owner.server !== this.self.server) return;
    if (epoch === null || record.epoch !== epoch) return;
    if (this.#tenure === null) return this.#claim?.authority.grant(issuedAtMs);
    const lapsed = !this.#tenure.mayAct();
    this.#authority?.grant(issuedAtMs);
    if (lapsed) this.#tenure.wake();
    else this.#tenure.confirmed();
  }

  /** The partner's answer to a heartbeat sent at `sentAtMs`. */
  granted(from: ServerId, incarnation: Incarnation, sentAtMs: number, line: HeartbeatGrant): void {
    const tenure = this.#tenure;
    if (tenure === null || line.epoch !== tenure.epoch) return;
    if (line.granted && tenure.partnership.counts(from, incarnation, line.generation)) {
      this.#authority?.grant(sentAtMs);
      tenure.confirmed();
    }
    tenure.partnership.position(from, incarnation, line.generation, line.copy, false);
  }

  /** Asks for a grant at once: the partner while it can give one, else the coordinator. */
  askGrant(): void {
    const record = this.register.known;
    const partner = this.register.settled && record?.mirror === 'in-sync' ? record.partner : null;
    if (partner === null || !this.#world.beatTo(partner)) this.register.read();
  }

  peerChanged(server: ServerId): void {
    const owner = this.register.known?.owner;
    if (owner?.server === server && this.#tenure === null && this.peers.disconnected(server))
      this.ended(owner, () => this.judge());
    if (this.#tenure !== null) this.#tenure.wake();
    else this.judge();
  }

  // ---- the decision ---------------------------------------------------------------------------------------------------

  /** Decides; what changes meanwhile is judged right afterwards, from the start. */
  judge(): void {
    this.#judgeAgain = true;
    if (this.#judging) return;
    this.#judging = true;
    for (let rounds = 0; this.#judgeAgain && rounds < JUDGE_ROUNDS; rounds += 1) {
      this.#judgeAgain = false;
      this.#decide();
    }
    this.#judging = false;
  }

  #decide(): void {
    const record = this.register.known;
    if (record === null) {
      this.#why = this.register.fault?.message ?? 'the record has not been read yet';
      return;
    }
    this.brake.see(record);
    const tenure = this.#tenure;
    if (tenure !== null) {
      if (record.epoch !== tenure.epoch) this.#deposed(record);
      else tenure.wake();
      return;
    }
    this.planned.follow(record);
    if (this.#claim !== null) {
      this.#claim.judge();
      this.#why = this.#claim?.progress ?? null;
      return;
    }
    if (!this.register.settled || this.#ending > 0) return;
    this.#considerClaim(record);
  }

  #considerClaim(record: VolumeRecord): void {
    if (this.planned.waits || (this.#world.stopping() !== 'no' && !this.#stillClaims)) return;
    const reason = this.#occasion.of(record);
    if (reason === null) {
      this.#why = null;
      return;
    }
    const refusal = this.unfit ?? claimRefusal(record, this.identity);
    this.#why = refusal === null ? reason.why : `${reason.why}; but ${refusal}`;
    this.found(reason);
    if (refusal !== null || this.clock.nowMs() < this.#claimNotBeforeMs) return;
    this.#begin(
      {
        ...reason,
        agreed: null,
        loss: null,
        wanted: () => {
          const known = this.register.known;
          return (
            known !== null &&
            this.#occasion.of(known) !== null &&
            this.unfit === null &&
            (this.#world.stopping() === 'no' || this.#stillClaims)
          );
        },
      },
      false,
    );
  }

  /** A server that stops claims only what its own store is needed for, and only while it waits at all. */
  get #stillClaims(): boolean {
    return this.#world.stopping() === 'soon' && this.isNeeded;
  }

  #begin(reason: ClaimReason, probed: boolean): void {
    this.note('claim.begin', { detector: reason.detector ?? null, why: reason.why });
    const claim = new Claim(this, reason, (result, why) => {
      if (this.#claim !== claim) return;
      this.#claim = null;
      if (result !== null) return this.#serve(result);
      this.#why = why;
      this.#claimNotBeforeMs = this.clock.nowMs() + this.timings.retryMs * (1 + this.ids.spread());
      this.note('claim.ended', { why });
      const { takeover } = this.planned;
      if (reason.agreed !== null && takeover?.mayTryAgain()) return takeover.claimAgain();
      takeover?.failed(why);
      this.planned.reset();
      this.copy.use(this.partner);
      this.loss.claimEnded();
    });
    this.#claim = claim;
    claim.start(probed);
  }

  /** The owner agreed to a takeover that was asked for here. */
  claimAgreed(owner: Holder, why: string): void {
    const epoch = this.register.known?.epoch;
    if (this.#claim !== null || this.#tenure !== null)
      return this.planned.takeover?.failed('a claim is under way already');
    this.#begin({ why, agreed: owner, loss: null, wanted: () => this.register.known?.epoch === epoch }, true);
  }

  // ---- serving --------------------------------------------------------------------------------------------------------

  /** Everything is on the synced medium and the record says so: begins a new log and serves. */
  #serve(result: Claimed): void {
    const { record } = result;
    this.recovered = false;
    this.planned.served();
    this.#why = null;
    this.doors.close(this.volume, 'served anew');
    const { head, log } = this.copy;
    if (head === null || fateOfLog(record, head, log.last, log.length === 0) === 'void')
      return this.#beginTenure(result);
    this.note('log.set-aside', { epoch: head.epoch, last: log.last });
    this.#ending += 1;
    this.copy.setAside(() => {
      this.#ending -= 1;
      if (this.register.known?.epoch === record.epoch) this.#beginTenure(result);
      else result.medium.close(() => this.judge());
    });
  }

  #beginTenure({ record, medium, authority, replayedOperations }: Claimed): void {
    const head = { epoch: record.epoch, generations: [record.generation], base: NO_SEQUENCE, complete: true };
    this.copy.begin(head, () => undefined);
    this.#authority = authority;
    const tenure = new Tenure(this, record.epoch, medium, authority);
    this.#tenure = tenure;
    this.note('serving', { epoch: record.epoch, replayed: replayedOperations });
    this.#open(tenure);
  }

  #open(tenure: Tenure): void {
    this.#why = 'waits for the service address to be free';
    this.doors.open(this.volume, tenure.epoch, tenure, (fault) => {
      if (this.#tenure !== tenure) return;
      if (fault === null) return this.#announce(tenure);
      this.#why = fault.message;
      this.note('door.failed', { why: fault.message });
      this.clock.after(this.timings.retryMs, () => {
        if (this.#tenure === tenure) this.#open(tenure);
      });
    });
  }

  #announce(tenure: Tenure): void {
    this.#why = null;
    this.#listens = tenure;
    this.note('door.open', { epoch: tenure.epoch });
    for (const peer of this.peers.servers)
      this.peers.send(peer, { type: 'serving', volume: this.volume, epoch: tenure.epoch });
    this.planned.takeover?.served();
  }

  /** Another epoch began: nothing of the old one is answered or issued any more; its log is kept (trap T4). */
  #deposed(record: VolumeRecord): void {
    this.note('deposed', { epoch: record.epoch, owner: record.owner?.server ?? null });
    this.doors.close(this.volume, 'another server owns the volume now');
    this.#end();
    this.#why = null;
  }

  #end(): void {
    const tenure = this.#tenure;
    if (tenure === null) return;
    this.#tenure = null;
    this.#authority = null;
    this.planned.reset();
    this.#ending += 1;
    tenure.end(() => this.#idle());
    this.copy.use(this.partner);
  }

  #idle(): void {
    this.#ending -= 1;
    this.judge();
  }

  // ---- the end of ownership ---

  /** The tenure agreed to a handover and ended itself: this process has no authority any more; clients wait, connected. */
  yielded(tenure: Tenure, to: ServerId): boolean {
    if (this.#tenure !== tenure) return false;
    this.#tenure = null;
    this.#authority = null;
    this.planned.yielded(tenure.epoch, to);
    this.copy.use(this.partner);
    return true;
  }

  /** The record counts on the store of this server and on no owner that lives: what it holds may be the only copy. */
  get isNeeded(): boolean {
    const record = this.register.known;
    const source = record === null ? null : sourceOf(record);
    if (record === null || source === null || !isCopyOf(source, this.identity)) return false;
    const { owner, mirror } = record;
    if (mirror === 'replaying' || owner === null || owner.server === this.self.server) return true;
    return this.#world.suspicion.dead(owner) !== null;
  }

  // ---- loss, and the orderly stop -------------------------------------------------------------------------------------

  /** An administrator accepted `loss`, of the record of that version: claims without what it names. */
  claimWithLoss(loss: string, version: Version): void {
    // What was named is what is given up: a record that changed meanwhile is judged anew.
    this.#begin({ why: loss, agreed: null, loss, wanted: () => this.register.known?.version === version }, false);
  }

  // ---- orderly stop ---------------------------------------------------------------------------------------------------

  /** Ends the tenure without a successor; nothing on its way, nothing owed. */
  leave(): void {
    this.doors.close(this.volume, 'the server stops');
    this.#end();
  }
}

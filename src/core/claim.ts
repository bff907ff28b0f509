/**
 * The one rule for every change of owner (design section 4): swap, fence, wait or prove, open and replay, sync and swap,
 * serve. One claim is one attempt at one epoch; when the record moves on under it, it ends and leaves nothing running.
 */
import type { Fault } from '../base/fault.ts';
import { NO_SEQUENCE } from '../base/names.ts';
import type { Epoch } from '../base/names.ts';
import type { Timer } from '../ports/clock.ts';
import type { Holder, VolumeRecord } from '../ports/coordinator.ts';
import type { MediumVolume } from '../ports/medium.ts';
import { Authority } from './authority.ts';
import { Gather } from './gather.ts';
import type { Gathered } from './gather.ts';
import { MediumWriter } from './medium-writer.ts';
import { planOf } from './owner/plan.ts';
import { claimRefusal, claimed, claimedWithLoss, served } from './record.ts';
import type { Replica } from './replica.ts';
import { waitMs } from './settings.ts';
import type { Evidence } from './status.ts';

/** What made this server claim. */
export interface ClaimReason {
  readonly why: string;
  /** Which detector noticed the failure behind it; null or left out where there is none. */
  readonly detector?: Evidence['detector'];
  /** The process that agreed, irrevocably, to have no authority any more. */
  readonly agreed: Holder | null;
  /** The loss that an administrator accepted; null in every other claim. */
  readonly loss: string | null;
  /** Asked again before the swap is issued, or issued again: is there still a reason? */
  wanted(): boolean;
}

export type ClaimPhase = 'probing' | 'swapping' | 'fencing' | 'waiting' | 'confirming' | 'replaying' | 'finishing';

/** What a finished claim leaves: the record it reached, and the medium opened afresh. */
export interface Claimed {
  readonly record: VolumeRecord;
  readonly medium: MediumVolume;
  readonly authority: Authority;
  readonly replayedOperations: number;
}

export class Claim {
  readonly #replica: Replica;
  readonly #reason: ClaimReason;
  /** Called once, when nothing of the claim is running any more: with the result, or with why it came to nothing. */
  readonly #ended: (result: Claimed | null, why: string) => void;
  readonly authority: Authority;
  #phase: ClaimPhase = 'probing';
  #epoch: Epoch | null = null;
  #record: VolumeRecord | null = null;
  #unproven: Holder[] = [];
  /** Those that a fence keeps from the medium. Their leases are waited for all the same: they may live, and answer. */
  readonly #fenced = new Set<Holder>();
  #waitUntilMs = 0;
  #timer: Timer | null = null;
  #gather: Gather | null = null;
  #medium: MediumVolume | null = null;
  #writing = false;
  /** The last attempt found no complete copy to replay. */
  #stuck = false;
  #why = '';
  #over = false;

  constructor(replica: Replica, reason: ClaimReason, ended: (result: Claimed | null, why: string) => void) {
    this.#replica = replica;
    this.#reason = reason;
    this.#ended = ended;
    this.authority = new Authority(replica.timings.leaseMs);
  }

  /** The epoch claimed; null before the swap was done. */
  get epoch(): Epoch | null {
    return this.#epoch;
  }
  /** True while no complete copy can be found. */
  get stuck(): boolean {
    return this.#stuck;
  }
  /** For status: the step, and what it waits for. */
  get progress(): string {
    return this.#why === '' ? this.#phase : `${this.#phase}: ${this.#why}`;
  }

  /** `probed`: coordinator and medium were looked at a moment ago. */
  start(probed: boolean): void {
    if (probed || this.#replica.probedOfLate) return this.#swap();
    const { coordinator, medium, register, clock, timings } = this.#replica;
    let left = 2;
    const look = (what: string) => (fault: Fault | null) => {
      if (this.#over || this.#phase !== 'probing') return;
      if (fault !== null) return this.#end(`${what}: ${fault.message}`);
      left -= 1;
      if (left === 0) this.#swap();
    };
    this.#timer = clock.after(2 * timings.coordinatorMs, () => this.#end('the probes did not come back in time'));
    coordinator.probe(look('the coordinator fails its probe'));
    if (register.known !== null) medium.probe(register.known.mediumId, look('the medium fails its probe'));
  }

  // ---- 1. swap --------------------------------------------------------------------------------------------------------

  #swap(): void {
    this.#timer?.cancel();
    const { register, ids } = this.#replica;
    const base = register.known;
    if (base === null || !register.settled || !this.#reason.wanted()) return this.#end('the reason has gone');
    const stale = this.#replica.peers.staleCoordinator;
    if (stale !== null) return this.#end(stale);
    const self = this.#replica.identity;
    if (this.#reason.loss === null) {
      const refusal = claimRefusal(base, self);
      if (refusal !== null) return this.#end(refusal);
    }
    this.#step('swapping', { why: this.#reason.why });
    const nonce = ids.draw();
    const next =
      this.#reason.loss === null
        ? claimed(base, self, nonce, this.#reason.why)
        : claimedWithLoss(base, self, nonce, this.#reason.loss);
    register.swap(next, {
      wanted: () => !this.#over && this.#reason.wanted(),
      settled: (won) => {
        const record = register.known;
        if (this.#over) return;
        if (!won || record === null) return this.#end('another swap was first');
        this.#epoch = record.epoch;
        this.#record = record;
        this.#waitUntilMs = this.#replica.clock.nowMs() + waitMs(this.#replica.timings);
        this.#unproven = record.holders.filter((h) => !this.#isSelf(h));
        this.#fence();
      },
    });
  }

  #isSelf(holder: Holder): boolean {
    const { self } = this.#replica;
    // An earlier incarnation of this server: its exclusive local lock is held by this one.
    return holder.server === self.server;
  }

  // ---- 2. fence -------------------------------------------------------------------------------------------------------

  #fence(): void {
    // A repetition keeps saying why the one before failed.
    if (this.#phase !== 'fencing') this.#step('fencing', {});
    const { fence, volume, clock, timings } = this.#replica;
    const victim = this.#unproven.find(
      (holder) => fence.covers(holder.server) && !this.#agreed(holder) && !this.#fenced.has(holder),
    );
    if (victim === undefined) return this.#wait();
    fence.run(victim, volume, (fault) => {
      if (this.#over) return;
      if (fault === null) {
        this.#why = '';
        this.#fenced.add(victim);
        return this.#fence();
      }
      this.#why = `${victim.server} could not be fenced: ${fault.message}`;
      this.#replica.note('claim.fence-failed', { victim: victim.server, why: fault.message });
      this.#timer = clock.after(timings.retryMs, () => this.#fence());
    });
  }

  // ---- 3. wait, or proof ----------------------------------------------------------------------------------------------

  #wait(): void {
    const { clock } = this.#replica;
    this.#unproven = this.#unproven.filter((holder) => !this.#agreed(holder));
    this.#step('waiting', { holders: this.#unproven.map((h) => h.server).join(' ') });
    this.#timer = clock.after(Math.max(0, this.#waitUntilMs - clock.nowMs()), () => {
      this.#unproven = [];
      this.#confirm();
    });
    this.#prove();
  }

  #agreed(holder: Holder): boolean {
    const { agreed } = this.#reason;
    return agreed !== null && agreed.server === holder.server && agreed.incarnation === holder.incarnation;
  }

  /** Asks for proof that each holder's process has ended, again and again until the wait is over. */
  #prove(): void {
    if (this.#phase !== 'waiting' || this.#over) return;
    if (this.#unproven.length === 0) return this.#confirm();
    for (const holder of this.#unproven) {
      this.#replica.ended(holder, (proof) => {
        if (this.#phase !== 'waiting' || this.#over || !this.#unproven.includes(holder)) return;
        this.#unproven = this.#unproven.filter((h) => h !== holder);
        this.#replica.note('claim.proof', { holder: holder.server, proof });
        if (this.#unproven.length === 0) this.#confirm();
      });
    }
  }

  // ---- 4. authority, then replay --------------------------------------------------------------------------------------

  /** One's own swap is no authority: the record is read again, after the wait (trap T15). */
  #confirm(): void {
    if (this.#phase === 'waiting') this.#step('confirming', {});
    this.#timer?.cancel();
    const { register, clock, timings } = this.#replica;
    register.read(() => {
      if (this.#over || this.#phase !== 'confirming') return;
      if (this.authority.holds(clock.nowMs())) return this.#open();
      this.#why = register.fault?.message ?? 'the record could not be read in time';
      this.#timer = clock.after(timings.retryMs, () => this.#confirm());
    });
  }

  #open(): void {
    const { medium, volume } = this.#replica;
    const record = this.#record;
    if (record === null) return;
    this.#step('replaying', {});
    this.#writing = true;
    medium.open(volume, record.mediumId, (fault, opened) => {
      this.#writing = false;
      this.#medium = opened;
      if (this.#over) return this.#finish();
      if (fault !== null || opened === null) return this.#again(`the medium cannot be opened: ${fault?.message ?? ''}`);
      // What waits in the driver while this process is stopped is not begun when it goes on.
      opened.onlyWhile?.(() => this.authority.holds(this.#replica.clock.nowMs()));
      if (record.source === null) return this.#write({ operations: [], end: NO_SEQUENCE, certain: true });
      this.#gather = new Gather(this.#replica, record.source, (gathered, why) => {
        this.#gather = null;
        this.#stuck = gathered === null;
        if (gathered === null) this.#again(why);
        else this.#write(gathered);
      });
      this.#gather.start();
    });
  }

  /** Closes what was opened and begins the replay anew after a pause: a replay that broke off has taken nothing back. */
  #again(why: string): void {
    this.#why = why;
    this.#replica.note('claim.retry', { why });
    const medium = this.#medium;
    this.#medium = null;
    const { clock, timings } = this.#replica;
    const retry = (): void => {
      this.#writing = false;
      if (this.#over) return this.#finish();
      this.#phase = 'confirming';
      this.#timer = clock.after(timings.retryMs, () => this.#confirm());
    };
    if (medium === null) return retry();
    this.#writing = true;
    medium.close(retry);
  }

  #write(gathered: Gathered): void {
    const medium = this.#medium;
    if (medium === null) return;
    const { clock } = this.#replica;
    this.#writing = true;
    const steps = planOf(gathered.operations);
    this.#replica.note('claim.replay', { operations: gathered.operations.length, writes: steps.length });
    new MediumWriter(medium, steps, {
      mayIssue: () => !this.#over && this.authority.holds(clock.nowMs()),
      mayPunch: () => true,
      finished: (fault, refused) => {
        this.#writing = false;
        if (this.#over) return this.#finish();
        if (fault !== null) return this.#again(`the medium fails: ${fault.message}`);
        if (refused) return this.#again('authority ran out during the replay');
        this.#serve(gathered);
      },
    }).run();
  }

  // ---- 5. swap to `suspended`, serve ----------------------------------------------------------------------------------

  #serve(gathered: Gathered): void {
    const { register, ids } = this.#replica;
    const record = register.known;
    if (record === null || record.epoch !== this.#epoch || !register.settled) return this.#again('the record moved');
    this.#step('finishing', {});
    const end = record.source === null || gathered.certain ? null : gathered.end;
    register.swap(served(record, this.#replica.identity, end, ids.draw()), {
      wanted: () => !this.#over,
      settled: (won) => {
        if (this.#over) return;
        const now = register.known;
        const medium = this.#medium;
        if (!won || now === null || medium === null) return this.#end('the record moved on');
        this.#over = true;
        this.#ended(
          { record: now, medium, authority: this.authority, replayedOperations: gathered.operations.length },
          '',
        );
      },
    });
  }

  // ---- events ---------------------------------------------------------------------------------------------------------

  /** The record changed: another claim ends this one. */
  judge(): void {
    const known = this.#replica.register.known;
    if (this.#epoch !== null && known !== null && known.epoch !== this.#epoch) this.#end('another server claimed');
  }

  tick(): void {
    this.#prove();
  }

  /** An administrator accepts that no complete copy is left. */
  giveUp(): void {
    this.#end('given up');
  }

  /** The other holder of a source store answers. */
  get gather(): Gather | null {
    return this.#gather;
  }

  #step(phase: ClaimPhase, fields: Record<string, string | number | boolean | null>): void {
    this.#phase = phase;
    this.#why = '';
    this.#replica.note(`claim.${phase}`, { epoch: this.#epoch, ...fields });
  }

  #end(why: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#why = why;
    this.#timer?.cancel();
    this.#gather?.cancel();
    this.authority.end();
    if (!this.#writing) this.#finish();
  }

  /** Reports the end once no I/O of this claim is on its way: nothing later can overlap with it. */
  #finish(): void {
    const medium = this.#medium;
    this.#medium = null;
    if (medium === null) return this.#ended(null, this.#why);
    medium.close(() => this.#ended(null, this.#why));
  }
}

/**
 * Planned changes of owner, as one replica sees them: the handover that it gives, the takeover that it asks for, and
 * the clients that wait between the two (design section 4, "Planned").
 */
import { Fault } from '../base/fault.ts';
import type { Epoch, ServerId } from '../base/names.ts';
import type { VolumeRecord } from '../ports/coordinator.ts';
import type { HandoverAnswerMessage, HandoverAskMessage } from '../ports/link.ts';
import { Handover } from './handover.ts';
import { claimRefusal } from './record.ts';
import type { Replica } from './replica.ts';
import { Takeover } from './takeover.ts';
import type { TakeoverEvents } from './takeover.ts';

export class Planned {
  readonly #replica: Replica;
  #handover: Handover | null = null;
  #takeover: Takeover | null = null;
  /** Agreed to hand this epoch over: nothing is claimed back before `untilMs`. */
  #yielded: { readonly epoch: Epoch; readonly to: ServerId; readonly untilMs: number } | null = null;
  /** The epoch whose clients still wait, connected, for the next owner to listen. */
  #waitingDoor: Epoch | null = null;

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  get takeover(): Takeover | null {
    return this.#takeover;
  }

  /** True from the agreement until the asker's claim is seen, or the asker is gone: nothing is claimed back. */
  get waits(): boolean {
    return this.#yielded !== null;
  }

  /** The record changed, or time passed. */
  follow(record: VolumeRecord): void {
    this.#followYielded(record);
    this.#followWaitingDoor(record);
    if (this.#takeover !== null && record.epoch !== this.#takeover.epoch && this.#replica.claim === null)
      this.#takeover.failed(`${record.owner?.server ?? 'nobody'} owns the volume now`);
  }

  /** Once per heartbeat, and when something was answered or destaged while clients wait. */
  tick(): void {
    if (this.#handover !== null && !this.#handover.agreed && !this.#handover.tick()) this.#handover = null;
  }

  /** The preferred owner takes the volume back by itself, when that is wanted and nothing speaks against it. */
  giveback(): void {
    const { settings, self, register, brake, unfit } = this.#replica;
    const record = register.known;
    if (settings.giveback !== 'auto' || settings.servers[0] !== self.server || record === null) return;
    const mirrors =
      record.mirror === 'in-sync' && record.partner === self.server && record.owner?.server !== self.server;
    if (!mirrors || this.#takeover !== null || unfit !== null || brake.giveback() !== null) return;
    if (this.takeoverRefusal() !== null) return;
    this.#replica.note('giveback.begin', { from: record.owner?.server ?? null });
    this.take({ progress: () => undefined, done: () => undefined });
  }

  /** This server owned or claimed the volume and no longer does, or serves it now: what was agreed before is over. */
  reset(): void {
    this.#handover = null;
    this.#yielded = null;
  }

  /** This server serves the volume itself: nobody waits for another door. */
  served(): void {
    this.reset();
    this.#waitingDoor = null;
  }

  /** Another server asks for the volume. */
  handoverAsked(from: ServerId, message: HandoverAskMessage): void {
    if (this.#handover?.ask(from, message)) return;
    const refusal = this.#handoverRefusal(from, message);
    if (refusal === null && this.#replica.tenure !== null) {
      this.#handover = new Handover(this.#replica, this.#replica.tenure, from, message);
      return;
    }
    const { volume } = this.#replica;
    const { epoch, nonce } = message;
    const state = 'refused';
    this.#replica.peers.send(from, {
      type: 'handover-answer',
      volume,
      epoch,
      nonce,
      state,
      undestagedBytes: 0,
      refusal,
    });
  }

  #handoverRefusal(from: ServerId, message: HandoverAskMessage): string | null {
    const record = this.#replica.register.known;
    if (this.#replica.tenure === null || record === null) return `${this.#replica.self.server} does not own the volume`;
    if (message.epoch !== this.#replica.tenure.epoch) return 'the request names another epoch';
    if (this.#handover !== null) return `a handover to ${this.#handover.to} is under way`;
    if (!this.#replica.register.settled) return 'the record is just being changed';
    if (record.mirror === 'in-sync' && record.partner !== from) return `${record.partner ?? ''} mirrors the volume`;
    if (record.mirror === 'sole') return 'only the owner’s journal holds every write';
    return null;
  }

  /** This process agreed and has no authority any more. The tenure ended itself; clients wait, connected. */
  yielded(epoch: Epoch, to: ServerId): void {
    this.#yielded = { epoch, to, untilMs: this.#replica.clock.nowMs() + this.#replica.timings.handoverMs };
    this.#waitingDoor = epoch;
  }

  /** The new owner says that it listens: whoever reconnects finds it. */
  servingElsewhere(epoch: Epoch): void {
    if (this.#waitingDoor !== null && epoch > this.#waitingDoor) this.#closeWaitingDoor();
    this.#replica.register.read();
  }

  /** From the agreement until the asker's claim is seen, or the asker is gone, nothing is claimed back. */
  #followYielded(record: VolumeRecord): void {
    const yielded = this.#yielded;
    if (yielded === null) return;
    const claimed = record.epoch > yielded.epoch;
    if (!claimed && this.#replica.peers.alive(yielded.to) && this.#replica.clock.nowMs() < yielded.untilMs) return;
    this.#yielded = null;
    this.#handover = null;
  }

  /** The new owner says so itself when its door is open; this is for when that message was lost. */
  #followWaitingDoor(record: VolumeRecord): void {
    const epoch = this.#waitingDoor;
    if (epoch === null || record.epoch === epoch || record.mirror === 'replaying') return;
    this.#replica.clock.after(this.#replica.timings.retryMs, () => {
      if (this.#waitingDoor === epoch) this.#closeWaitingDoor();
    });
  }

  #closeWaitingDoor(): void {
    this.#waitingDoor = null;
    if (this.#replica.tenure === null) this.#replica.doors.close(this.#replica.volume, 'handed over');
  }

  /** True while a volume that was handed over is not served elsewhere yet. */
  get handsOver(): boolean {
    return this.#yielded !== null || this.#handover !== null || this.#waitingDoor !== null;
  }

  /** This server takes the volume over, by asking its owner. */
  take(events: TakeoverEvents): void {
    const fail = (why: string): void => events.done(new Fault('refused', why), null);
    const record = this.#replica.register.known;
    if (this.#replica.tenure !== null) return events.done(null, { volume: this.#replica.volume, pauseMs: 0 });
    if (this.#takeover !== null) return this.#takeover.join(events);
    if (record === null) return fail('the record has not been read yet');
    if (this.#replica.claim !== null) return fail('a claim is under way already');
    if (record.owner === null) return fail('nobody owns the volume yet');
    const refusal = this.takeoverRefusal();
    if (refusal !== null) return fail(refusal);
    this.#takeover = new Takeover(this.#replica, record.owner, record.epoch, events);
    this.#takeover.start();
  }

  takeoverOver(takeover: Takeover): void {
    if (this.#takeover === takeover) this.#takeover = null;
  }

  /** Null when this server could take the volume over now. */
  takeoverRefusal(): string | null {
    return this.takeoverRefusals()[0] ?? null;
  }

  /** All that speaks against this server's taking the volume over now, the gravest first. */
  takeoverRefusals(): string[] {
    const { register, tenure, unfit, identity, peers } = this.#replica;
    const record = register.known;
    if (record === null) return ['the record has not been read yet'];
    if (tenure !== null) return [];
    const found: string[] = [];
    if (unfit !== null) found.push(`this server is unfit: ${unfit}`);
    const refusal = claimRefusal(record, identity);
    if (refusal !== null) found.push(refusal);
    if (record.mirror === 'replaying') found.push('the record is replaying');
    if (record.owner !== null && !peers.alive(record.owner.server))
      found.push(`${record.owner.server} does not answer over the link; it is taken over when it is found dead`);
    return found;
  }

  /** As the owner: all that speaks against handing the volume over now, whoever asks. */
  handoverRefusals(): string[] {
    const { tenure, register } = this.#replica;
    if (tenure === null) return [];
    const found: string[] = [];
    if (this.#handover !== null) found.push(`a handover to ${this.#handover.to} is under way`);
    if (!register.settled) found.push('the record is just being changed');
    if (register.known?.mirror === 'sole') found.push('only the owner’s journal holds every write');
    return found;
  }

  takeoverAnswer(from: ServerId, message: HandoverAnswerMessage): void {
    this.#takeover?.answer(from, message);
  }
}

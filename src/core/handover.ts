/**
 * Planned change of owner, the owner's side (design section 4, "Planned"): drains while it serves, quiesces (requests
 * wait, connections stay), agrees irrevocably. Until the agreement it can be given up and the volume serves on; after
 * it this process never resumes in that epoch (trap T21).
 */
import type { Epoch, ServerId } from '../base/names.ts';
import type { HandoverAskMessage } from '../ports/link.ts';
import type { Tenure } from './owner/tenure.ts';
import type { Replica } from './replica.ts';

/** So little undestaged is drained while clients wait; more is drained first, while they are served. */
const QUIESCE_BYTES = 1 << 20;
/** An asker that has not asked again for so many of its own pauses has gone. */
const ASKS_MISSED = 10;

export class Handover {
  readonly #replica: Replica;
  readonly #tenure: Tenure;
  readonly to: ServerId;
  readonly #nonce: string;
  readonly #startedMs: number;
  #askedMs: number;
  #quiescedMs: number | null = null;
  #agreeing = false;
  #agreed = false;

  constructor(replica: Replica, tenure: Tenure, to: ServerId, ask: HandoverAskMessage) {
    this.#replica = replica;
    this.#tenure = tenure;
    this.to = to;
    this.#nonce = ask.nonce;
    this.#startedMs = replica.clock.nowMs();
    this.#askedMs = this.#startedMs;
    replica.note('handover.begin', { to, undestagedBytes: replica.copy.log.bytes });
    tenure.destager.poke();
    this.#tell('draining', null);
  }

  get epoch(): Epoch {
    return this.#tenure.epoch;
  }
  get agreed(): boolean {
    return this.#agreed;
  }

  /** The asker asks again: says where this stands. False when it is another request. */
  ask(from: ServerId, message: HandoverAskMessage): boolean {
    if (from !== this.to || message.nonce !== this.#nonce) return false;
    this.#askedMs = this.#replica.clock.nowMs();
    this.#tell(this.#agreed ? 'agreed' : this.#quiescedMs === null ? 'draining' : 'quiesced', null);
    return true;
  }

  /** Once per heartbeat and whenever something was destaged. False when it was given up. */
  tick(): boolean {
    if (this.#agreeing) return true;
    const { clock, timings, copy } = this.#replica;
    const nowMs = clock.nowMs();
    if (nowMs - this.#askedMs > ASKS_MISSED * timings.retryMs) return this.#giveUp(`${this.to} asks no more`);
    if (nowMs - this.#startedMs > timings.handoverMs) return this.#giveUp('the drain took too long');
    this.#tenure.destager.poke();
    if (this.#quiescedMs === null) {
      const drains = this.#replica.unfit === null && nowMs - this.#startedMs < timings.handoverMs / 2;
      if (copy.log.bytes > QUIESCE_BYTES && drains) return true;
      this.#quiescedMs = nowMs;
      this.#tenure.hold();
      this.#tell('quiesced', null);
    }
    // An unfit owner may never drain: what the other copy holds, its successor replays.
    const ready = this.#tenure.drained || this.#replica.unfit !== null;
    if (ready && this.#replica.register.settled && !this.#agreeing) this.#agree();
    return true;
  }

  /** The last moment at which it can be given up lies before the listener closes. */
  #agree(): void {
    this.#agreeing = true;
    const { doors, volume } = this.#replica;
    doors.hold(volume, () => {
      this.#tenure.end(() => {
        // Deposed meanwhile: there is nothing left to agree to.
        if (!this.#replica.yielded(this.#tenure, this.to)) return;
        this.#agreed = true;
        this.#replica.note('handover.agreed', { to: this.to, epoch: this.epoch });
        this.#tell('agreed', null);
      });
    });
  }

  #giveUp(why: string): boolean {
    this.#replica.note('handover.given-up', { to: this.to, why });
    if (this.#quiescedMs !== null) this.#tenure.unhold();
    this.#tell('refused', why);
    return false;
  }

  #tell(state: 'draining' | 'quiesced' | 'agreed' | 'refused', refusal: string | null): void {
    const { peers, volume, copy } = this.#replica;
    peers.send(this.to, {
      type: 'handover-answer',
      volume,
      epoch: this.epoch,
      nonce: this.#nonce,
      state,
      undestagedBytes: copy.log.bytes,
      refusal,
    });
  }
}

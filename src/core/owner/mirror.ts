/**
 * The owner's side of one life of the mirror with one partner: what was sent, what the partner has, and sending again
 * what may have been lost on the way. Built under its generation before the record names it, and used while it does.
 */
import type { Incarnation, Generation, Sequence, ServerId, StoreId } from '../../base/names.ts';
import { NO_SEQUENCE, after, higher } from '../../base/names.ts';
import { costBytes } from '../../base/operation.ts';
import type { Operation } from '../../base/operation.ts';
import { MESSAGE_OPERATIONS_BYTES } from '../../ports/link.ts';
import type { LinkMessage, MirrorLife } from '../../ports/link.ts';
import type { OperationLog } from '../log.ts';

/**
 * - `asking`    the partner was asked to begin a copy
 * - `building`  it receives the undestaged log and everything new
 * - `sealing`   it marks the copy complete
 * - `sealed`    both stores are marked; the swap that names the copy may be issued
 * - `named`     the record names it
 */
export type MirrorPhase = 'asking' | 'building' | 'sealing' | 'sealed' | 'named';

/** Where a partner's copy stands, as it says. */
export interface CopyPosition {
  readonly store: StoreId;
  readonly received: Sequence;
  readonly stored: Sequence;
  readonly released: Sequence;
}

/** New operations go in messages of this size, or a little more. */
const PART_BYTES = 256 << 10;

export interface MirrorWorld {
  readonly log: () => OperationLog;
  readonly acknowledged: () => Sequence;
  /** Everything up to here is on the synced medium. */
  readonly synced: () => Sequence;
  readonly send: (message: LinkMessage) => boolean;
  readonly nowMs: () => number;
  /** Pace at which what seems lost is sent again. */
  readonly resendMs: number;
}

export class Mirror {
  readonly peer: ServerId;
  /** The incarnation that the copy was built with or last compared with; a later one is compared anew. */
  incarnation: Incarnation | null;
  readonly life: MirrorLife;
  readonly #world: MirrorWorld;
  phase: MirrorPhase = 'asking';
  /** Nothing is acknowledged any more that this copy does not hold. */
  closing = false;
  store: StoreId | null = null;
  capacityBytes = Number.POSITIVE_INFINITY;
  #base: Sequence;
  #sent: Sequence;
  #received: Sequence;
  #stored: Sequence;
  #released: Sequence;
  #progressMs: number;
  #resentMs = Number.NEGATIVE_INFINITY;

  constructor(peer: ServerId, incarnation: Incarnation | null, life: MirrorLife, base: Sequence, world: MirrorWorld) {
    this.peer = peer;
    this.incarnation = incarnation;
    this.life = life;
    this.#world = world;
    this.#base = base;
    this.#sent = base;
    this.#received = base;
    this.#stored = base;
    this.#released = base;
    this.#progressMs = world.nowMs();
  }

  get generation(): Generation {
    return this.life.generation;
  }
  /** The copy began after this operation. */
  get base(): Sequence {
    return this.#base;
  }
  get sent(): Sequence {
    return this.#sent;
  }
  /** The partner's store holds everything up to here. */
  get stored(): Sequence {
    return this.#stored;
  }
  /** The partner let go of everything up to here: its room is free again. */
  get released(): Sequence {
    return this.#released;
  }
  /** When the copy last came forward, or had nothing to come forward to. */
  get progressMs(): number {
    return this.#progressMs;
  }

  /** The partner has begun its copy after `base`. */
  begin(store: StoreId, capacityBytes: number, base: Sequence): void {
    this.phase = 'building';
    this.store = store;
    this.capacityBytes = capacityBytes;
    this.#base = base;
    this.#sent = base;
    this.#received = base;
    this.#stored = base;
    this.#released = base;
    this.#progressMs = this.#world.nowMs();
    this.pump();
  }

  /** Sends `operations`, new ones of this turn, when nothing before them is outstanding to be sent. */
  forward(operations: readonly Operation[]): void {
    const first = operations[0];
    if (this.phase === 'asking' || first === undefined) return;
    if (first.sequence === after(this.#sent)) this.#sendInParts(operations);
    else this.pump();
  }

  /** Messages of a moderate size: the partner works on the first while the next ones arrive, and need not gather any. */
  #sendInParts(operations: readonly Operation[]): void {
    let from = 0;
    let bytes = 0;
    for (let i = 0; i < operations.length; i += 1) {
      bytes += costBytes(operations[i]!);
      if (bytes < PART_BYTES || i === operations.length - 1) continue;
      if (!this.#send(operations.slice(from, i + 1))) return;
      from = i + 1;
      bytes = 0;
    }
    this.#send(from === 0 ? operations : operations.slice(from));
  }

  /** Sends what has not been sent yet. */
  pump(): void {
    if (this.phase === 'asking') return;
    const log = this.#world.log();
    // No more than the partner has room for: what is behind it follows as it lets go.
    while (this.#sent === this.#base || log.bytesBetween(this.#released, this.#sent) < this.capacityBytes) {
      const operations = log.take(after(this.#sent), MESSAGE_OPERATIONS_BYTES);
      if (operations.length === 0 || !this.#send(operations)) return;
    }
  }

  #send(operations: readonly Operation[]): boolean {
    const last = operations.at(-1);
    if (last === undefined) return false;
    // Said one by one: this is done for every batch, and V8 takes long over a spread.
    const { volume, epoch, generation } = this.life;
    const sent = this.#world.send({
      type: 'mirror',
      volume,
      epoch,
      generation,
      operations,
      acknowledged: this.#world.acknowledged(),
      released: this.#world.synced(),
    });
    if (sent) this.#sent = last.sequence;
    return sent;
  }

  /** Sends everything again that the partner has not said to have received. */
  resend(): void {
    this.#sent = higher(this.#received, this.#world.log().base);
    this.#resentMs = this.#world.nowMs();
    this.pump();
  }

  /** Takes what the partner says of its copy; false when it no longer is one that this log can complete. */
  hear(position: CopyPosition, gap: boolean): boolean {
    if (this.store !== null && position.store !== this.store) return false;
    const nowMs = this.#world.nowMs();
    if (position.received > this.#received || position.stored > this.#stored || this.#stored === this.#world.log().last)
      this.#progressMs = nowMs;
    this.#received = higher(this.#received, position.received);
    this.#stored = higher(this.#stored, position.stored);
    this.#released = higher(this.#released, position.released);
    if (gap && nowMs - this.#resentMs >= this.#world.resendMs) this.resend();
    return true;
  }

  /**
   * The partner came back under another incarnation with the same store: what it said before no longer counts, what
   * it says now does (trap T13). False when the gap cannot be filled from this log.
   */
  compare(incarnation: Incarnation, position: CopyPosition): boolean {
    if (position.store !== this.store || (this.incarnation !== null && incarnation < this.incarnation)) return false;
    const log = this.#world.log();
    if (position.received < log.base || position.received > log.last) return false;
    this.incarnation = incarnation;
    this.#received = position.received;
    this.#stored = position.stored;
    this.#released = higher(NO_SEQUENCE, position.released);
    this.#progressMs = this.#world.nowMs();
    this.resend();
    return true;
  }

  /** Once per heartbeat: what was sent long ago and not received was lost. */
  tick(): void {
    if (this.phase === 'asking') return;
    const nowMs = this.#world.nowMs();
    if (this.#stored >= this.#world.log().last) this.#progressMs = nowMs;
    else if (nowMs - Math.max(this.#progressMs, this.#resentMs) >= 4 * this.#world.resendMs) this.resend();
    else this.pump();
  }

  release(): void {
    if (this.phase === 'asking' || this.#released >= this.#world.synced()) return;
    this.#world.send({
      type: 'release',
      ...this.life,
      released: this.#world.synced(),
      acknowledged: this.#world.acknowledged(),
    });
  }
}

/**
 * The partner's side: keeps a copy of another server's undestaged operations, confirms them, lets go of them when told,
 * and grants the owner authority (design 2.2, 3, 5). It checks every message's epoch, generation and sender; what does
 * not match is ignored.
 */
import { NO_SEQUENCE, after } from '../base/names.ts';
import type { Generation, Incarnation, ServerId } from '../base/names.ts';
import { costBytes } from '../base/operation.ts';
import type { Operation } from '../base/operation.ts';
import type { VolumeRecord } from '../ports/coordinator.ts';
import { MESSAGE_OPERATIONS_BYTES } from '../ports/link.ts';
import type {
  HeartbeatGrant,
  HeartbeatVolume,
  MirrorLife,
  MirrorMessage,
  ReleaseMessage,
  ResyncBeginMessage,
  ResyncSealMessage,
  TailAskMessage,
} from '../ports/link.ts';
import { fateOfLog, names } from './record.ts';
import type { Replica } from './replica.ts';

export class Partner {
  readonly #replica: Replica;
  /** The server whose operations the copy takes: who began it, or whom the record says. */
  #owner: ServerId | null = null;
  /** The generation that is being begun, while the record is read or the store works. */
  #beginning: Generation | null = null;
  #leaving = false;

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  /** This server stops: owners are told to go on without its copies, which it keeps and confirms until they do. */
  leave(): void {
    this.#leaving = true;
  }

  /** Reports of the own store while this server is the partner. */
  stored(): void {
    if (this.#owner !== null) this.#report(this.#owner, false);
  }

  /** True when `from` owns the life that the own copy is a copy of, and this server has not turned against it. */
  #accepts(from: ServerId, life: MirrorLife): boolean {
    const { copy, register } = this.#replica;
    const head = copy.head;
    if (head === null || this.#replica.opposes || copy.fault !== null) return false;
    if (head.epoch !== life.epoch || !head.generations.includes(life.generation)) return false;
    const known = register.known;
    if (known !== null && known.epoch > life.epoch) return false;
    if (known !== null && known.epoch === life.epoch && known.owner?.server !== from) return false;
    this.#owner = from;
    return true;
  }

  mirror(from: ServerId, message: MirrorMessage): void {
    if (!this.#accepts(from, message)) return;
    const { copy } = this.#replica;
    let room = copy.store.capacityBytes - copy.log.bytes;
    let next = after(copy.log.last);
    let gap = false;
    const fresh: Operation[] = [];
    for (const operation of message.operations) {
      if (operation.sequence < next || operation.epoch !== message.epoch) continue;
      room -= costBytes(operation);
      // Beyond a gap or beyond the room nothing is taken: the owner sends from here again (I3, I8).
      if (operation.sequence > next || room < 0) {
        gap = true;
        break;
      }
      fresh.push(operation);
      next = after(next);
    }
    if (fresh.length > 0) copy.append(fresh, message.acknowledged);
    copy.release(message.released, message.acknowledged);
    if (gap || fresh.length === 0) this.#report(from, gap);
  }

  release(from: ServerId, message: ReleaseMessage): void {
    if (!this.#accepts(from, message)) return;
    const { copy } = this.#replica;
    const before = copy.log.base;
    copy.release(message.released, message.acknowledged);
    if (copy.log.base > before) this.#report(from, false);
  }

  #report(to: ServerId, gap: boolean): void {
    const { copy, volume, peers } = this.#replica;
    const generation = copy.head?.generations.at(-1);
    if (copy.head === null || generation === undefined || this.#replica.opposes) return;
    peers.send(to, {
      type: 'stored',
      volume,
      epoch: copy.head.epoch,
      generation,
      store: copy.store.id,
      received: copy.log.last,
      stored: copy.stored,
      released: copy.log.base,
      gap,
    });
  }

  /** The answer to the owner's line in a heartbeat: a grant, and where the copy stands. */
  answer(from: ServerId, incarnation: Incarnation, line: HeartbeatVolume): HeartbeatGrant {
    const { copy, volume } = this.#replica;
    const accepted = this.#accepts(from, line);
    if (accepted) copy.release(line.released, line.acknowledged);
    // A recovered copy that holds everything acknowledged so far is as good as one that was kept all the time.
    if (accepted && copy.stored >= line.acknowledged) this.#replica.recovered = false;
    const position = { store: copy.store.id, received: copy.log.last, stored: copy.stored, released: copy.log.base };
    return {
      volume,
      epoch: line.epoch,
      generation: line.generation,
      granted: accepted && this.#grants(from, incarnation, line),
      copy: accepted && !this.#leaving ? position : null,
    };
  }

  /** Only the partner that the record names, for the owner that the record names, in the life it names (trap T26). */
  #grants(from: ServerId, incarnation: Incarnation, line: HeartbeatVolume): boolean {
    const { register, self, copy } = this.#replica;
    const known = register.known;
    return (
      known !== null &&
      register.settled &&
      known.mirror === 'in-sync' &&
      known.epoch === line.epoch &&
      known.generation === line.generation &&
      known.owner?.server === from &&
      known.owner.incarnation === incarnation &&
      known.partner === self.server &&
      known.partnerStore === copy.store.id
    );
  }

  // ---- building a copy ------------------------------------------------------------------------------------------------

  /** Begins a copy, after a look at the record issued after the request: only its owner may void what is here. */
  resyncBegin(from: ServerId, incarnation: Incarnation, message: ResyncBeginMessage): void {
    const { register, copy } = this.#replica;
    if (this.#beginning !== null && this.#beginning >= message.generation) return;
    const head = copy.head;
    if (head !== null && head.epoch === message.epoch) {
      const newest = Math.max(...head.generations);
      // A late request of an attempt that was given up.
      if (newest > message.generation) return;
      // The answer was lost: nothing has been taken since, so the same answer holds.
      if (newest === message.generation)
        return head.base === message.base && !head.complete ? this.#ready(from, message, null) : undefined;
    }
    this.#beginning = message.generation;
    register.read(() => {
      const record = register.known;
      const stale = this.#beginning !== message.generation;
      if (!stale) this.#beginning = null;
      if (stale || register.fault !== null || record === null) return;
      const refusal = this.#refusal(record, from, incarnation, message);
      if (refusal !== null) return this.#ready(from, message, refusal);
      this.#beginning = message.generation;
      this.#void(record, () => this.#begin(from, message));
    });
  }

  #refusal(record: VolumeRecord, from: ServerId, incarnation: Incarnation, message: ResyncBeginMessage): string | null {
    const { self, copy, peers } = this.#replica;
    if (this.#replica.opposes) return 'this server owns or claims the volume itself';
    if (this.#leaving) return 'this server stops';
    if (copy.fault !== null) return `this server’s store has failed: ${copy.fault.message}`;
    if (record.epoch !== message.epoch || record.owner?.server !== from || record.owner.incarnation !== incarnation)
      return `the record names another owner`;
    if (record.mirror === 'replaying') return 'the record is replaying';
    if (names(record, self.server, copy.store.id)) return 'the record names the copy that is here';
    if (message.generation <= record.generation) return 'the generation is not a new one';
    if (peers.incarnation(from) !== incarnation) return 'the owner restarted';
    return null;
  }

  /** Voids the log that is here, or puts it aside when it may hold what nobody else had (trap T30). */
  #void(record: VolumeRecord, then: () => void): void {
    const { copy } = this.#replica;
    if (copy.head === null || fateOfLog(record, copy.head, copy.log.last, copy.log.length === 0) === 'void')
      return then();
    this.#replica.note('log.set-aside', { epoch: copy.head.epoch, last: copy.log.last });
    copy.setAside(then);
  }

  #begin(from: ServerId, message: ResyncBeginMessage): void {
    const { copy } = this.#replica;
    // Another request came while the log before was put aside.
    if (this.#beginning !== message.generation) return;
    if (this.#replica.opposes) return this.#began();
    this.#owner = from;
    this.#replica.recovered = false;
    copy.use({ stored: () => this.stored() });
    const head = { epoch: message.epoch, generations: [message.generation], base: message.base, complete: false };
    copy.begin(head, () => {
      this.#began();
      this.#ready(from, message, null);
    });
  }

  #began(): void {
    this.#beginning = null;
  }

  #ready(to: ServerId, message: ResyncBeginMessage, refusal: string | null): void {
    const { copy, volume, peers } = this.#replica;
    peers.send(to, {
      type: 'resync-ready',
      volume,
      epoch: message.epoch,
      generation: message.generation,
      store: copy.store.id,
      capacityBytes: copy.store.capacityBytes,
      base: message.base,
      refusal,
    });
  }

  /** Everything that the swap will count on is here: marks the copy complete, durably, before the swap is issued. */
  resyncSeal(from: ServerId, message: ResyncSealMessage): void {
    if (!this.#accepts(from, message)) return;
    const { copy, volume, peers } = this.#replica;
    const { epoch, generation } = message;
    const sealed = (): void => {
      if (copy.head?.epoch !== epoch || !copy.head.generations.includes(generation)) return;
      peers.send(from, { type: 'resync-sealed', volume, epoch, generation, store: copy.store.id });
    };
    // A second request may overtake the first one's mark; its own mark then follows that one.
    copy.mark([generation], true, sealed);
  }

  // ---- for another claimant -------------------------------------------------------------------------------------------

  /** What this copy has of the life that a claimant replays. An owner that still serves reads the record instead. */
  tail(from: ServerId, ask: TailAskMessage): void {
    const { copy, volume, peers, register } = this.#replica;
    if (this.#replica.tenure !== null) return register.read();
    const { log } = copy;
    const head = copy.soundHead;
    let refusal: string | null = null;
    if (copy.store.id !== ask.store) refusal = 'the store that the record names is gone';
    else if (head === null || head.epoch !== ask.epoch || !head.generations.includes(ask.generation))
      refusal = 'the store holds no sound log of that life of the mirror';
    else if (!head.complete) refusal = 'the copy was not complete';
    peers.send(from, {
      type: 'tail',
      volume,
      epoch: ask.epoch,
      generation: ask.generation,
      store: copy.store.id,
      last: refusal === null ? copy.stored : null,
      released: log.base,
      // Also with a refusal: a log that is short tells what it is short of.
      acknowledged: copy.head?.epoch === ask.epoch ? copy.acknowledged : NO_SEQUENCE,
      operations:
        refusal === null && ask.from <= copy.stored
          ? log.take(ask.from > log.base ? ask.from : after(log.base), MESSAGE_OPERATIONS_BYTES, copy.stored)
          : [],
      refusal,
    });
  }
}

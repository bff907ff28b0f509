/**
 * Loss that cannot be avoided is named, never silent (I10): when the record needs a copy that this server has not got,
 * asks the other holders for theirs; when every named store is known to be gone, says what was lost.
 */
import { Fault } from '../base/fault.ts';
import type { Done } from '../base/fault.ts';
import type { ServerId } from '../base/names.ts';
import type { TailMessage } from '../ports/link.ts';
import { claimRefusal, isCopyOf, sourceOf } from './record.ts';
import type { Replica } from './replica.ts';

export class LossWatch {
  readonly #replica: Replica;
  /** What other holders said of the source with that key: null means that theirs is whole. */
  #answers = new Map<ServerId, string | null>();
  #key = '';
  #askedMs = Number.NEGATIVE_INFINITY;
  #noted = '';
  /** An administrator accepted the loss, and a claim that is stuck is ending for it. */
  #accepted = false;

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  /** The source that is needed and cannot be had from here; null when none is. */
  #needed(): NonNullable<ReturnType<typeof sourceOf>> | null {
    const { register, tenure, claim, identity } = this.#replica;
    const record = register.known;
    if (record === null || tenure !== null) return null;
    // A claim that is under way may yet find a copy; one that found none is as good as a refusal.
    const missing = claim === null ? claimRefusal(record, identity) !== null : claim.stuck;
    return missing ? sourceOf(record) : null;
  }

  tick(): void {
    const source = this.#needed();
    const { clock, timings, peers, volume, self, register } = this.#replica;
    if (source === null) return;
    const key = `${source.epoch}/${source.generation}`;
    if (key !== this.#key) {
      this.#key = key;
      this.#answers = new Map();
    }
    const owner = register.known?.owner;
    // An owner that lives has its copy; nobody asks.
    if (
      owner &&
      owner.server !== self.server &&
      peers.incarnation(owner.server) === owner.incarnation &&
      peers.alive(owner.server)
    )
      return;
    if (clock.nowMs() - this.#askedMs < 5 * timings.retryMs) return;
    this.#askedMs = clock.nowMs();
    const { epoch, generation } = source;
    for (const { server, store } of source.stores)
      if (server !== self.server)
        peers.send(server, {
          type: 'tail-ask',
          volume,
          epoch,
          generation,
          store,
          from: Number.MAX_SAFE_INTEGER as never,
        });
    const lost = this.lost();
    if (lost !== null && lost !== this.#noted) this.#replica.note('loss', { why: lost });
    this.#noted = lost ?? '';
  }

  tail(from: ServerId, message: TailMessage): void {
    if (`${message.epoch}/${message.generation}` === this.#key) this.#answers.set(from, message.refusal);
  }

  /** What is lost, when no provable copy is left anywhere; null while there may be one. */
  lost(): string | null {
    const source = this.#needed();
    if (source === null) return null;
    const { self, identity } = this.#replica;
    const gone = source.stores.every(({ server }) =>
      server === self.server ? !isCopyOf(source, identity) : (this.#answers.get(server) ?? null) !== null,
    );
    return gone ? `${this.#names(source)} are gone; what they held and the medium does not is lost` : null;
  }

  /** What an administrator may give up now: what is lost, or what only servers that cannot be reached hold. */
  acceptable(): string | null {
    const source = this.#needed();
    if (source === null) return null;
    const lost = this.lost();
    if (lost !== null) return lost;
    const { self, peers } = this.#replica;
    const reachable = source.stores.some(
      ({ server }) => server !== self.server && peers.alive(server) && (this.#answers.get(server) ?? null) === null,
    );
    return reachable ? null : `${this.#names(source)} cannot be reached`;
  }

  /** Accepts what is named, and claims without it; a claim that finds no complete copy is given up for it. */
  accept(done: Done): void {
    const refusal = this.acceptable() === null ? 'nothing of this volume is lost' : this.#acceptRefusal();
    if (refusal !== null) return done(new Fault('conflict', refusal));
    this.#accepted = true;
    if (this.#replica.claim === null) this.claimEnded();
    else this.#replica.claim.giveUp();
    done(null);
  }

  #acceptRefusal(): string | null {
    const { register, tenure, claim, self, peers } = this.#replica;
    const owner = register.known?.owner;
    if (tenure !== null) return 'this server serves the volume';
    if (claim !== null && !claim.stuck) return 'a claim is under way';
    if (!register.settled) return 'the record is just being changed';
    if (owner && owner.server !== self.server && peers.entryMoves(owner.server, owner.incarnation))
      return `${owner.server}, the owner, still writes its entry at the coordinator`;
    return null;
  }

  /** No claim is under way any more: one that was given up for an accepted loss is followed by the one without it. */
  claimEnded(): void {
    const record = this.#replica.register.known;
    const why = this.acceptable();
    if (!this.#accepted) return;
    this.#accepted = false;
    if (record === null || why === null) return;
    this.#replica.claimWithLoss(`an administrator accepted the loss: ${why}`, record.version);
  }

  #names(source: NonNullable<ReturnType<typeof sourceOf>>): string {
    const stores = source.stores.map(({ server }) => server).join(' and ');
    return `the copies of epoch ${source.epoch} at ${stores}`;
  }
}

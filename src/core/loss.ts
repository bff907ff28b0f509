/**
 * Loss that cannot be avoided is named, never silent (I10): when the record needs a copy that this server has not got,
 * asks the other holders for theirs; when every named store is known to be gone, says what was lost.
 */
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

  #names(source: NonNullable<ReturnType<typeof sourceOf>>): string {
    const stores = source.stores.map(({ server }) => server).join(' and ');
    return `the copies of epoch ${source.epoch} at ${stores}`;
  }
}

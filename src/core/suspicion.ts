/**
 * Is the process that the record names as owner dead? Evidence only; proof for skipping the wait is asked for anew
 * after the swap (design section 4, "When", and step 3).
 */
import type { Holder } from '../ports/coordinator.ts';
import type { Witness } from '../ports/world.ts';
import type { Peers } from './peers.ts';
import type { Evidence } from './status.ts';

export class Suspicion {
  readonly #peers: Peers;
  readonly #witness: Witness;
  /** Processes of which there was proof that they ended: true for ever. */
  readonly #ended = new Set<string>();
  readonly #asking = new Set<string>();

  constructor(peers: Peers, witness: Witness) {
    this.#peers = peers;
    this.#witness = witness;
  }

  /** Null while the process may well live, else on what evidence it is taken for dead. */
  dead(holder: Holder): Evidence | null {
    const { server, incarnation } = holder;
    if (this.#ended.has(incarnation)) return { detector: 'process', why: `the process of ${server} has ended` };
    const latest = this.#peers.latest(server);
    if (latest !== null && latest > incarnation) return { detector: 'process', why: `${server} was started anew` };
    if (this.#peers.silent(server) && this.#peers.entryStandsStill(server))
      return { detector: 'system', why: `no path to ${server} carries and its coordinator entry stands still` };
    return null;
  }

  /** Looks for proof that the process has ended; `proven` with what proves it. At most one question at a time. */
  ask(holder: Holder, proven: (proof: string) => void): void {
    if (this.#ended.has(holder.incarnation)) return proven('its process has ended');
    const latest = this.#peers.latest(holder.server);
    if (latest !== null && latest > holder.incarnation) {
      this.#ended.add(holder.incarnation);
      return proven('a later incarnation of it runs');
    }
    if (this.#asking.has(holder.incarnation)) return;
    this.#asking.add(holder.incarnation);
    this.#witness.ended(holder.server, holder.incarnation, (verdict) => {
      this.#asking.delete(holder.incarnation);
      if (verdict !== 'ended') return;
      this.#ended.add(holder.incarnation);
      proven('its process has ended');
    });
  }
}

/**
 * The connections of a door, counted: all of them, those of one address, and those that have not said anything yet.
 * Where there is no room for one more, the oldest silent one makes room, so that connections that are only opened keep
 * nobody out; where all have spoken, the newcomer is refused.
 */
import type { NfsLimits } from './limits.ts';

/** What is counted. */
export interface Guest {
  readonly client: { readonly address: string };
  close(why: string): void;
}

/** `admit`: there is room. `instead`: there is, once the guest named has left. `refuse`: there is none, for `why`. */
export type Admission<G> =
  | { readonly kind: 'admit' }
  | { readonly kind: 'instead'; readonly of: G }
  | { readonly kind: 'refuse'; readonly why: string };

export class Crowd<G extends Guest> {
  readonly #limits: NfsLimits;
  readonly #all = new Set<G>();
  /** Sets keep the order of arrival: the first one is the oldest. */
  readonly #silent = new Set<G>();
  readonly #byAddress = new Map<string, Set<G>>();

  constructor(limits: NfsLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#all.size;
  }

  [Symbol.iterator](): IterableIterator<G> {
    return this.#all.values();
  }

  /** What to do with a newcomer from `address`. */
  admission(address: string): Admission<G> {
    const { maxConnections, maxAddressConnections } = this.#limits;
    const neighbours = this.#byAddress.get(address);
    if (neighbours !== undefined && neighbours.size >= maxAddressConnections) {
      for (const guest of neighbours) if (this.#silent.has(guest)) return { kind: 'instead', of: guest };
      return { kind: 'refuse', why: `one address may have ${maxAddressConnections} connections` };
    }
    if (this.#all.size < maxConnections) return { kind: 'admit' };
    const [oldest] = this.#silent;
    if (oldest !== undefined) return { kind: 'instead', of: oldest };
    return { kind: 'refuse', why: `the volume serves at most ${maxConnections} connections` };
  }

  add(guest: G): void {
    this.#all.add(guest);
    this.#silent.add(guest);
    const { address } = guest.client;
    const neighbours = this.#byAddress.get(address);
    if (neighbours === undefined) this.#byAddress.set(address, new Set([guest]));
    else neighbours.add(guest);
  }

  /** It has sent a whole record: it does not make room for others any more. */
  spoke(guest: G): void {
    this.#silent.delete(guest);
  }

  /** Whether it went without a word. */
  remove(guest: G): boolean {
    this.#all.delete(guest);
    const { address } = guest.client;
    const neighbours = this.#byAddress.get(address);
    neighbours?.delete(guest);
    if (neighbours?.size === 0) this.#byAddress.delete(address);
    return this.#silent.delete(guest);
  }
}

/**
 * The witness `supervisor`: proof that a server's process has ended, on whatever machine, by the word of the supervisor
 * that started it. The supervisor is the process's parent and outlives it; the kernel tells it of the end only when
 * nothing of the process is left, not even a call into the kernel that was on its way. Reports come proven with the
 * cluster's key and name one incarnation each. They are kept in memory: lost ones cost a wait, never a write.
 */
import type { Incarnation, ServerId } from '../../base/names.ts';
import type { Witness } from '../../ports/world.ts';

type Verdict = 'ended' | 'alive' | 'unknown';

/** Ends that are remembered of each server, the newest ones. */
const MOST_ENDS = 64;

export class ReportedEnds implements Witness {
  readonly #ends: ReadonlyMap<ServerId, Set<Incarnation>>;

  /** `servers`: the other servers of the cluster; nobody else's end is remembered. */
  constructor(servers: readonly ServerId[]) {
    this.#ends = new Map(servers.map((server) => [server, new Set<Incarnation>()]));
  }

  /** A supervisor's word. `unknown`: there is no such server; `known`: it was told before. */
  report(server: ServerId, incarnation: Incarnation): 'new' | 'known' | 'unknown' {
    const ends = this.#ends.get(server);
    if (ends === undefined) return 'unknown';
    if (ends.has(incarnation)) return 'known';
    ends.add(incarnation);
    for (const oldest of ends) {
      if (ends.size <= MOST_ENDS) break;
      ends.delete(oldest);
    }
    return 'new';
  }

  ended(server: ServerId, incarnation: Incarnation, done: (verdict: Verdict) => void): void {
    const verdict = this.#ends.get(server)?.has(incarnation) === true ? 'ended' : 'unknown';
    process.nextTick(done, verdict);
  }
}

/** Several witnesses as one: proof by any of them is proof; that it lives is said when one knows it and none denies it. */
export class AnyWitness implements Witness {
  readonly #witnesses: readonly Witness[];

  constructor(witnesses: readonly Witness[]) {
    this.#witnesses = witnesses;
  }

  ended(server: ServerId, incarnation: Incarnation, done: (verdict: Verdict) => void): void {
    let left = this.#witnesses.length;
    let best: Verdict = 'unknown';
    let told = false;
    for (const witness of this.#witnesses) {
      witness.ended(server, incarnation, (verdict) => {
        left -= 1;
        if (best === 'unknown' || verdict === 'ended') best = verdict;
        if (told || (best !== 'ended' && left > 0)) return;
        told = true;
        done(best);
      });
    }
  }
}

/**
 * A request that must not be carried out twice, on its way: its locks, its intent, its reply (docs/decisions/0007). One
 * that is not of that kind runs through here too, for its locks; it has no intent then.
 */
import { createHash } from 'node:crypto';
import { Fault, assert } from '../../base/fault.ts';
import { PROCEDURES } from '../../wire/nfs/types.ts';
import { Unanswered, failureOf, isTrouble, type Failure } from './faults.ts';
import { givenUp, type Tree } from './on-tree.ts';
import type { NfsCall } from './program.ts';
import { carriedOut } from './replies/settle.ts';
import type { Kept } from './replies/ring.ts';
import { DIGEST_BYTES, type Asker, type ChangeIntent, type Intent } from './replies/slot.ts';
import { Scope } from './scope.ts';
import type { Volume } from './volume.ts';

/** The call had been carried out, but what came of it was not told. */
export const ALREADY = Symbol('carried out already');

/** A medium in trouble is tried so often, with a pause in between: five seconds. */
const ATTEMPTS = 25;

export class Recording extends Scope {
  /** Null: of a kind that is not recorded. */
  readonly kept: Kept | null;
  readonly #volume: Volume;
  readonly #call: NfsCall;
  readonly #locks: (readonly string[])[] = [];
  readonly #atEnd: (() => void)[] = [];

  constructor(volume: Volume, call: NfsCall, kept: Kept | null) {
    super();
    this.#volume = volume;
    this.#call = call;
    this.kept = kept;
  }

  /** Takes locks; held until the request has ended. A failure when nobody waits for the answer any more. */
  async lock(keys: readonly string[]): Promise<Failure | null> {
    await this.#volume.locks.acquire(keys);
    this.#locks.push(keys);
    if (!this.#call.gone || (this.kept !== null && this.kept.resent.length > 0)) return null;
    return new Unanswered('the client went away while its request waited');
  }

  /** Something to be undone when the request has ended, before its locks are free. */
  atEnd(undo: () => void): void {
    this.#atEnd.push(undo);
  }

  /** The request has ended: its reply is mirrored, or it has changed nothing. */
  end(): void {
    for (const undo of this.#atEnd.splice(0)) undo();
    this.letGo();
    for (const keys of this.#locks.splice(0)) this.#volume.locks.release(keys);
  }

  /** The intent is mirrored. A failure: nothing may be done. */
  async intend(intent: Intent): Promise<Failure | null> {
    assert(this.kept !== null, 'only what is recorded has an intent');
    const fault = await this.#volume.ring.intend(this.kept, intent);
    return fault === null ? null : failureOf(fault);
  }

  /** The intent has been written: the reply has to be, whatever it is. */
  get intended(): boolean {
    return this.kept !== null && this.kept.serial !== null;
  }

  /**
   * Carries the intent out. When the medium is in trouble, nobody knows whether it was done: that is looked up, as after a
   * takeover, and it is tried again if it was not.
   */
  async carryOut<T>(
    intent: Exclude<Intent, ChangeIntent>,
    work: (tree: Tree) => Promise<T | Fault>,
  ): Promise<T | Fault | typeof ALREADY> {
    const { calls } = this.#volume;
    let result = await calls.once(work);
    for (let attempt = 1; attempt < ATTEMPTS && result instanceof Fault && isTrouble(result); attempt += 1) {
      await calls.pause();
      const verdict = await calls.once((tree) => carriedOut(tree, intent));
      if (verdict instanceof Fault) result = verdict;
      else if (verdict) return ALREADY;
      else result = await calls.once(work);
    }
    return result instanceof Fault && isTrouble(result) ? givenUp(result) : result;
  }
}

/** Who asks, so that a request that is sent again is recognised: from any port, on any connection, on any server. */
export function askerOf(call: NfsCall): Asker {
  const hash = createHash('sha256');
  const { credential } = call;
  if (credential !== null) hash.update(`${credential.uid} ${credential.gid} ${credential.gids.join(' ')}|`);
  hash.update(call.argumentBytes);
  return {
    address: call.client.address,
    xid: call.xid,
    procedure: PROCEDURES.indexOf(call.arguments.procedure),
    digest: hash.digest().subarray(0, DIGEST_BYTES),
  };
}

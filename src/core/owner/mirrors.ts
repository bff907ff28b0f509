/**
 * The mirrors of a tenure, at most two at a time, and the marks that follow from them: what may be acknowledged,
 * destaged, released. The marks are safe by themselves, whatever the order of events: they ask every record that may be
 * in force.
 */
import { NO_SEQUENCE, higher, lower } from '../../base/names.ts';
import type { Sequence } from '../../base/names.ts';
import type { Replica } from '../replica.ts';
import type { Mirror } from './mirror.ts';
import type { Tenure } from './tenure.ts';

const END = Number.MAX_SAFE_INTEGER as Sequence;

export class Mirrors {
  readonly #replica: Replica;
  readonly #tenure: Tenure;
  #named: Mirror | null = null;
  #candidate: Mirror | null = null;
  /** Both, or the one there is: asked for with every batch, made when one changes. */
  #all: readonly Mirror[] = [];

  constructor(replica: Replica, tenure: Tenure) {
    this.#replica = replica;
    this.#tenure = tenure;
  }

  /** The copy that the record names, as long as it may be in force. */
  get named(): Mirror | null {
    return this.#named;
  }
  set named(mirror: Mirror | null) {
    this.#named = mirror;
    this.#list();
  }

  /** The copy that is being built to be named next. */
  get candidate(): Mirror | null {
    return this.#candidate;
  }
  set candidate(mirror: Mirror | null) {
    this.#candidate = mirror;
    this.#list();
  }

  #list(): void {
    this.#all = [this.#named, this.#candidate].filter((mirror) => mirror !== null);
  }

  /** What the possible records' rules let be acknowledged, given what the own store holds and the medium has synced. */
  ackable(synced: Sequence): Sequence {
    const { register } = this.#replica;
    let mark = END;
    if (register.mayBe((record) => record.mirror === 'suspended')) mark = synced;
    if (register.known?.epoch !== this.#tenure.epoch || this.#namesUnknown()) return NO_SEQUENCE;
    for (const mirror of this.all()) if (this.#mustConfirm(mirror)) mark = lower(mark, mirror.stored);
    return mark;
  }

  /** What may go to the medium: confirmed, or the record is known not to be `in-sync` (I6). */
  destageable(): Sequence {
    let mark = this.#namesUnknown() ? this.#tenure.ackable : END;
    for (const mirror of this.all())
      if (this.#mustConfirm(mirror)) mark = lower(mark, higher(mirror.stored, this.#tenure.ackable));
    return mark;
  }

  /** What no mirror needs any more: each has let go of it. */
  releasable(): Sequence {
    let mark = END;
    for (const mirror of this.all()) mark = lower(mark, mirror.released);
    return mark;
  }

  /** Room for undestaged operations: the smallest of the stores that hold them. */
  get capacityBytes(): number {
    const own = this.#replica.copy.store.capacityBytes;
    // Asked for each write: no list is made.
    return Math.min(own, this.named?.capacityBytes ?? own, this.candidate?.capacityBytes ?? own);
  }

  /** Both, or the one there is. */
  all(): readonly Mirror[] {
    return this.#all;
  }

  #mayBeNamed(mirror: Mirror): boolean {
    return this.#replica.register.mayBe((r) => r.mirror === 'in-sync' && r.generation === mirror.generation);
  }

  /** A record may be in force that names a copy which is not tended here: nothing may be taken for confirmed by it. */
  #namesUnknown(): boolean {
    const mirrors = this.all();
    return this.#replica.register.mayBe(
      (r) => r.mirror === 'in-sync' && !mirrors.some((mirror) => mirror.generation === r.generation),
    );
  }

  #mustConfirm(mirror: Mirror): boolean {
    return mirror.closing || this.#mayBeNamed(mirror);
  }
}

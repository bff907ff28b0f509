/**
 * Changes of names by a simulated front end: locks, what they rely on, intent, call, reply, in the order of
 * src/front/nfs/recording.ts; and what is settled before a door opens, in the order of src/front/nfs/replies/recovery.ts.
 */
import type { Fault } from '../../src/base/fault.ts';
import { NO_TIME } from '../../src/base/operation.ts';
import { TreeFault, type MediumTree, type ObjectId } from '../../src/ports/tree.ts';
import type { Front } from './front.ts';
import { Locks } from './inodes.ts';
import { describe, nameFor, type NameDeed, type NameOutcome } from './names.ts';
import { keyOf } from './platter.ts';
import { Replies, type Kept, type Slot } from './replies.ts';

const fails = (status: NameOutcome['status']): NameOutcome => ({ status, id: null });
const DONE: NameOutcome = { status: 'ok', id: null };

export class NameChanges {
  readonly #front: Front;
  readonly #replies: Replies;
  readonly #locks = new Locks();

  constructor(front: Front) {
    this.#front = front;
    this.#replies = new Replies(front.slots);
  }

  // ---- before the door opens

  recover(opened: () => void): void {
    const { habits } = this.#front.world;
    if (habits.forgetful) return this.#front.call(null, opened);
    this.#replies.load((open) => {
      if (habits.careless) opened();
      else this.#settle([...open], opened);
    });
  }

  /** Oldest first: carried out, it gets its reply; else nothing came of it. */
  #settle(open: Slot[], settled: () => void): void {
    const slot = open.shift();
    if (slot === undefined) return settled();
    const next = (outcome: NameOutcome | null): void =>
      this.#replies.settle(slot, outcome, (fault) => {
        if (fault !== null) return this.#front.later(() => next(outcome));
        this.#tell(`${describe(slot.deed)} of before: ${outcome === null ? 'withdrawn' : 'had been carried out'}`);
        this.#settle(open, settled);
      });
    this.#carriedOut(slot.deed, slot.id, next);
  }

  /** The outcome of what was carried out, asked of the tree; null: it was not. */
  #carriedOut(deed: NameDeed, id: ObjectId | null, then: (outcome: NameOutcome | null) => void): void {
    this.#idAt(deed, deed.directory, deed.name, (there) => {
      switch (deed.kind) {
        case 'create':
          return then(there === null ? null : { status: 'ok', id: there });
        case 'link':
          return then(there === deed.id ? DONE : null);
        case 'remove':
          return then(there === id ? null : DONE);
        case 'rename':
          if (there === id) return then(null);
          return this.#idAt(deed, deed.toDirectory, deed.toName, (target) => then(target === id ? DONE : null));
      }
    });
  }

  /** The object of a name, or null when it is free; asked again while the medium is in trouble. */
  #idAt(deed: NameDeed | null, directory: ObjectId, name: string, then: (id: ObjectId | null) => void): void {
    let found: ObjectId | null = null;
    let trouble: Fault | null = null;
    const bytes = deed === null ? Buffer.from(name, 'latin1') : nameFor(deed, name);
    this.#front.call(
      (tree, returned) =>
        tree.lookup(directory, bytes, (fault, object) => {
          found = object?.id ?? null;
          if (fault !== null && !(fault instanceof TreeFault)) trouble = fault;
          returned();
        }),
      () => {
        if (trouble !== null) return this.#front.later(() => this.#idAt(deed, directory, name, then));
        then(found);
      },
    );
  }

  // ---- while it serves

  lookup(directory: ObjectId, name: string, answer: (id: ObjectId | null) => void): void {
    const keys = [keyOf(directory, name)];
    this.#locks.acquire(keys, () =>
      this.#idAt(null, directory, name, (id) => {
        this.#locks.release(keys);
        answer(id);
      }),
    );
  }

  request(deed: NameDeed, isGone: () => boolean, answer: (outcome: NameOutcome) => void): void {
    const { ctx } = this.#front.world;
    const sentMs = ctx.now;
    const tell = (outcome: NameOutcome): void => {
      this.#front.answered();
      ctx.tally.renamed++;
      ctx.digest.text(outcome.status);
      this.#tell(`${describe(deed)} is answered ${outcome.status} ${outcome.id ?? ''}`);
      const wrong = this.#front.files.names.answered(deed, outcome, sentMs, ctx.now);
      if (wrong !== null) ctx.fail('exactly once', wrong);
      ctx.hook('name-answered', this.#front.life.index);
      answer(outcome);
    };
    const known = this.#replies.find(deed);
    if (known === undefined) {
      const kept = this.#replies.begin(deed);
      kept.waiting.push(tell);
      return this.#run(kept, () => isGone() && kept.waiting.length === 1);
    }
    ctx.tally.repeated++;
    const { outcome } = known;
    if (outcome === null) known.waiting.push(tell);
    else this.#front.call(null, () => tell(outcome));
  }

  #run(kept: Kept, isGone: () => boolean): void {
    const { deed } = kept;
    const keys = [keyOf(deed.directory, deed.name)];
    if (deed.kind === 'rename') keys.push(keyOf(deed.toDirectory, deed.toName));
    const end = (outcome: NameOutcome | null): void => {
      const waiting = kept.waiting.splice(0);
      if (kept.serial === null) this.#replies.forget(kept);
      this.#locks.release(keys);
      if (outcome !== null) for (const tell of waiting) tell(outcome);
    };
    this.#locks.acquire(keys, () => {
      // Nobody waits for it any more.
      if (isGone()) return end(null);
      this.#reliesOn(deed, (id, failure) => {
        if (failure !== null) return end(failure);
        if (this.#front.world.habits.hasty) {
          this.#replies.intend(kept, id, () => undefined);
          return this.#carryOut(deed, id, (outcome) => this.#conclude(kept, outcome, end));
        }
        this.#replies.intend(kept, id, (fault) => {
          if (fault !== null) return end(fails('failed'));
          this.#front.world.ctx.hook('intended', this.#front.life.index);
          this.#carryOut(deed, id, (outcome) => this.#conclude(kept, outcome, end));
        });
      });
    });
  }

  #conclude(kept: Kept, outcome: NameOutcome, end: (outcome: NameOutcome) => void): void {
    this.#replies.conclude(kept, outcome, (fault) => {
      if (fault !== null) this.#front.later(() => this.#conclude(kept, outcome, end));
      else end(outcome);
    });
  }

  /** What the change relies on: the object of its name, or that the name is free; or why it cannot be. */
  #reliesOn(deed: NameDeed, then: (id: ObjectId | null, failure: NameOutcome | null) => void): void {
    this.#idAt(deed, deed.directory, deed.name, (there) => {
      if (deed.kind === 'create' || deed.kind === 'link')
        return then(deed.kind === 'link' ? deed.id : null, there === null ? null : fails('EEXIST'));
      if (there === null) return then(null, fails('ENOENT'));
      if (deed.kind === 'remove') return then(there, null);
      this.#idAt(deed, deed.toDirectory, deed.toName, (target) =>
        // Two names of one object: nothing is to be done, and nothing could be told afterwards.
        then(there, target === there ? fails('failed') : null),
      );
    });
  }

  #carryOut(deed: NameDeed, id: ObjectId | null, then: (outcome: NameOutcome) => void): void {
    let outcome: NameOutcome | null = null;
    this.#front.call(
      (tree, returned) =>
        this.#change(tree, deed, (fault, made) => {
          if (fault === null) outcome = { status: 'ok', id: made };
          else if (fault instanceof TreeFault) outcome = fails(statusOf(fault));
          returned();
        }),
      () => {
        if (outcome !== null) return this.#carried(deed, id, outcome, then);
        // In trouble: nobody knows whether it was done.
        this.#front.later(() =>
          this.#carriedOut(deed, id, (before) => {
            if (before === null) this.#carryOut(deed, id, then);
            else this.#carried(deed, id, before, then);
          }),
        );
      },
    );
  }

  /** An object may have lost its last name by it. */
  #carried(deed: NameDeed, id: ObjectId | null, outcome: NameOutcome, then: (outcome: NameOutcome) => void): void {
    if (deed.kind !== 'remove' || id === null || outcome.status !== 'ok') return then(outcome);
    let gone = false;
    this.#front.call(
      (tree, returned) =>
        tree.attributes(id, (fault) => {
          gone = fault?.kind === 'missing';
          returned();
        }),
      () => {
        if (gone) this.#front.removed(id);
        then(outcome);
      },
    );
  }

  #change(tree: MediumTree, deed: NameDeed, done: (fault: Fault | null, made: ObjectId | null) => void): void {
    const name = nameFor(deed, deed.name);
    const ended = (fault: Fault | null): void => done(fault, null);
    switch (deed.kind) {
      case 'create': {
        const attributes = { mode: null, uid: null, gid: null, atimeNs: null, mtimeNs: NO_TIME + BigInt(deed.time) };
        return tree.create(deed.directory, name, { type: 'file', attributes }, (fault, made) =>
          done(fault, made?.id ?? null),
        );
      }
      case 'remove':
        return tree.remove(deed.directory, name, ended);
      case 'link':
        return tree.link(deed.id, deed.directory, name, ended);
      case 'rename':
        return tree.rename(deed.directory, name, deed.toDirectory, Buffer.from(deed.toName, 'latin1'), ended);
    }
  }

  #tell(text: string): void {
    const { ctx } = this.#front.world;
    if (ctx.story !== null) ctx.tell('client', this.#front.life.index, `v${this.#front.volume}: ${text}`);
  }
}

function statusOf({ errno }: TreeFault): NameOutcome['status'] {
  if (errno === 'EEXIST' || errno === 'ENOENT' || errno === 'ESTALE' || errno === 'ENOSPC') return errno;
  return 'failed';
}

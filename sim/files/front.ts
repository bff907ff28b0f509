/**
 * A front end for files volumes, small and with callbacks, since what drives the simulator knows no promises: it asks the
 * core what src/front/nfs asks it, in the same order. Sizes and times as they are acknowledged; changes of names exactly once,
 * by intents and replies (docs/decisions/0007); its door opens when the intents of before are settled.
 */
import type { Fault } from '../../src/base/fault.ts';
import { NO_BYTES } from '../../src/base/operation.ts';
import type { Epoch } from '../../src/base/names.ts';
import type { ModifyRequest, ReadPiece, VolumeService } from '../../src/ports/service.ts';
import { REPLIES, type MediumTree, type ObjectId } from '../../src/ports/tree.ts';
import type { Auditor } from '../auditor.ts';
import type { Context } from '../context.ts';
import { fillTag } from '../disk.ts';
import type { Life } from '../life.ts';
import type { Prng } from '../prng.ts';
import type { FilesAudit } from './audit.ts';
import { cellsOf } from './cells.ts';
import { Inode } from './inodes.ts';
import type { Change, FilesModel } from './model.ts';
import type { NameDeed, NameOutcome } from './names.ts';
import { NameChanges } from './name-changes.ts';
import { CELL, SLOTS } from './platter.ts';
import type { Slot, SlotAccess } from './replies.ts';

/** Mistakes that a front end could make; none in the ordinary worlds. */
export interface Habits {
  /** Changes names before the intent is mirrored. */
  readonly hasty: boolean;
  /** Opens its door without settling the intents of before. */
  readonly careless: boolean;
  /** Forgets the replies of before. */
  readonly forgetful: boolean;
}
export const GOOD_HABITS: Habits = { hasty: false, careless: false, forgetful: false };

/** What all front ends of one world share. */
export interface FrontWorld {
  readonly ctx: Context;
  readonly prng: Prng;
  readonly auditor: Auditor;
  readonly audit: FilesAudit;
  readonly habits: Habits;
  /** A tag that nobody else has; of files it is the time, too. */
  drawTag(): number;
  /** What slots of the ring stand for, by tag. */
  readonly slots: Map<number, Slot>;
}

/** A call on the tree in trouble is tried again after so long. */
const RETRY_MS = 30;
/** How often a file is forgotten for no reason. */
const FORGETS = 0.25;

/** What is shown of a file. */
export interface Shown {
  readonly size: number;
  readonly time: number;
}

export class Front {
  readonly world: FrontWorld;
  readonly life: Life;
  readonly volume: number;
  readonly epoch: Epoch;
  readonly files: FilesModel;
  readonly #service: VolumeService;
  readonly #changes: NameChanges;
  readonly #inodes = new Map<ObjectId, Inode>();
  readonly #unanswered = new Map<Change, ObjectId>();
  over = false;

  constructor(world: FrontWorld, life: Life, volume: number, epoch: Epoch, service: VolumeService) {
    this.world = world;
    this.life = life;
    this.volume = volume;
    this.epoch = epoch;
    this.#service = service;
    this.files = world.auditor.filesOf(volume) as FilesModel;
    this.#changes = new NameChanges(this);
  }

  open(opened: () => void): void {
    this.#changes.recover(opened);
  }

  /** The door is shut: what was not answered has taken effect or never will. */
  end(): void {
    this.over = true;
    for (const [change, id] of this.#unanswered) this.files.file(id).bound(change, this.world.ctx.now);
    this.#unanswered.clear();
  }

  /** Nothing is known any more. */
  forget(): void {
    for (const [id, inode] of this.#inodes) if (inode.pins === 0 && inode.loaded) this.#inodes.delete(id);
  }

  // ---- calls

  /** A call on the tree; `work` calls `returned` when its I/O has returned, and `done` comes with authority. */
  call(work: ((tree: MediumTree, returned: () => void) => void) | null, done: () => void): void {
    this.#service.submit({
      kind: 'call',
      begin: work,
      cancelled: false,
      done: (fault) => {
        if (this.over) return;
        if (fault !== null) return this.world.ctx.fail('port contract', `a call was refused: ${fault.message}`);
        this.answered();
        done();
      },
    });
  }

  later(run: () => void): void {
    this.world.ctx.after(RETRY_MS, () =>
      this.life.call(() => {
        if (!this.over) run();
      }),
    );
  }

  answered(): void {
    this.world.auditor.answered(this.life, this.volume, this.epoch);
  }

  // ---- files

  /** `then` with the file, held until it is let go, or null when it was removed. */
  #file(id: ObjectId, then: (inode: Inode | null) => void): void {
    let inode = this.#inodes.get(id);
    if (inode !== undefined && inode.pins === 0 && inode.loaded && this.world.prng.chance(FORGETS)) inode = undefined;
    if (inode === undefined) {
      inode = new Inode(id);
      this.#inodes.set(id, inode);
      this.#load(inode);
    }
    const file = inode;
    const go = (): void => {
      if (file.stale) return then(null);
      file.pins++;
      then(file);
    };
    if (file.loaded) go();
    else file.waiting.push(go);
  }

  /** The view of the log first, then the medium: what is destaged in between is in both. */
  #load(inode: Inode): void {
    const { ctx } = this.world;
    const pending = this.#service.pending(inode.id);
    // What is there is changed by the core as it goes on.
    const view = pending === null ? null : { ...pending };
    let trouble: Fault | null = null;
    this.call(
      (tree, returned) =>
        tree.attributes(inode.id, (fault, found) => {
          trouble = fault;
          if (found !== null) inode.load(found.sizeBytes / CELL, Number(found.mtimeNs), view);
          returned();
        }),
      () => {
        if (trouble !== null && trouble.kind !== 'missing') return this.later(() => this.#load(inode));
        if (trouble !== null) {
          this.#missing(inode.id);
          inode.stale = true;
        } else if (!this.world.auditor.isReset(this.volume)) {
          const wrong = this.files.file(inode.id).unacceptable(inode.size, inode.time);
          if (wrong !== null && !this.files.mayBeGone(inode.id))
            ctx.fail('T1 sizes and times', `${this.life.server} finds ${inode.id} with ${wrong}`);
        }
        inode.loaded = true;
        for (const go of inode.waiting.splice(0)) go();
      },
    );
  }

  #missing(id: ObjectId): void {
    if (!this.files.mayBeGone(id) && !this.files.names.off)
      this.world.ctx.fail('I9 no stale read', `${this.life.server} says that ${id} was removed, and nobody did that`);
  }

  /** @param at first cell of a write, or the new size. `answer`: null, a fault, or 'stale'. */
  modify(id: ObjectId, kind: Change['kind'], at: number, count: number, answer: (fault: unknown) => void): void {
    this.#file(id, (inode) => {
      if (inode === null) return answer('stale');
      const change = this.#submit(id, kind, at, count, (fault) => {
        underway.ended = true;
        underway.fault = fault;
        inode.settle();
      });
      const underway = {
        change: change.change,
        cells: at + count,
        settled: answer,
        ended: false,
        fault: null as unknown,
      };
      inode.underway.push(underway);
      change.go();
    });
  }

  #submit(
    id: ObjectId,
    kind: Change['kind'],
    at: number,
    count: number,
    done: (fault: Fault | null) => void,
    tag = this.world.drawTag(),
  ): { readonly change: Change; readonly go: () => void } {
    const { ctx } = this.world;
    let data = NO_BYTES;
    if (kind === 'write') {
      data = Buffer.allocUnsafe(count * CELL);
      fillTag(data, tag);
    }
    const file = this.files.file(id);
    const change = file.begin(kind, tag, at, count, this.epoch, ctx.now);
    this.#unanswered.set(change, id);
    const request: ModifyRequest = {
      kind,
      target: id,
      offset: kind === 'stamp' ? 0 : at * CELL,
      length: data.length,
      timeNs: BigInt(tag),
      data,
      cancelled: false,
      done: (fault) => {
        if (this.over) return;
        this.#unanswered.delete(change);
        ctx.digest.number(tag);
        if (fault === null) {
          this.answered();
          const wrong = file.acknowledge(change, ctx.now);
          if (wrong !== null) ctx.fail('I9 linearizable', `${id}: ${wrong}`);
          ctx.tally.acknowledged++;
          this.world.audit.acknowledged(this.life, this.volume, id, tag);
          ctx.hook('acknowledged', this.life.index);
        } else file.bound(change, ctx.now);
        if (ctx.story !== null) {
          const end = fault === null ? 'acknowledged' : `refused: ${fault.message}`;
          const what = kind === 'write' ? `cells ${at}+${count}` : kind === 'truncate' ? `to ${at} cells` : '';
          ctx.tell('client', this.life.index, `v${this.volume} ${id}: ${kind} ${tag} ${what} ${end}`);
        }
        done(fault);
      },
    };
    return { change, go: () => this.#service.submit(request) };
  }

  /** What the file is now, and perhaps its cells; null when it was removed. */
  read(
    id: ObjectId,
    first: number,
    count: number,
    answer: (shown: Shown | null, tags: readonly number[]) => void,
  ): void {
    const { ctx } = this.world;
    const askedMs = ctx.now;
    this.#file(id, (inode) => {
      if (inode === null) return answer(null, []);
      const beginMs = ctx.now;
      const show = (tags: readonly number[]): void => {
        inode.pins--;
        this.#show(inode, askedMs);
        answer({ size: inode.size, time: inode.time }, tags);
      };
      if (count === 0) return this.call(null, () => show([]));
      this.#cells(id, first, count, (fault, tags) => {
        if (fault?.kind === 'missing') {
          inode.pins--;
          this.#missing(id);
          return answer(null, []);
        }
        if (fault !== null) {
          inode.pins--;
          return this.later(() => this.read(id, first, count, answer));
        }
        if (!this.world.auditor.isReset(this.volume)) {
          const wrong = this.files.file(id).cells.read({ first, beginMs, endMs: ctx.now, tags });
          if (wrong !== null && !this.files.mayBeGone(id))
            ctx.fail(
              'I9 no stale read',
              `a read of ${id} answered by ${this.life.server}: ${wrong.replace('sector', 'cell')}`,
            );
        }
        show(tags);
      });
    });
  }

  #show({ id, size, time }: Inode, beginMs: number): void {
    const { ctx } = this.world;
    ctx.tally.reads++;
    ctx.digest.number(size * 1e9 + time);
    if (this.world.auditor.isReset(this.volume)) return;
    const wrong = this.files.file(id).looked(size, time, beginMs, ctx.now);
    if (wrong !== null) ctx.fail('T1 sizes and times', `${id} is ${wrong}`);
    if (ctx.story !== null)
      ctx.tell('client', this.life.index, `v${this.volume} ${id}: shown with ${size} cells of time ${time}`);
  }

  #cells(
    id: ObjectId,
    first: number,
    count: number,
    done: (fault: Fault | null, tags: readonly number[]) => void,
  ): void {
    this.#service.submit({
      kind: 'read',
      target: id,
      offset: first * CELL,
      length: count * CELL,
      cancelled: false,
      done: (fault: Fault | null, pieces: readonly ReadPiece[] | null) => {
        if (this.over) return;
        this.answered();
        if (fault !== null || pieces === null) return done(fault, []);
        done(null, cellsOf(this.world.ctx, pieces, count));
      },
    });
  }

  // ---- names

  change(deed: NameDeed, isGone: () => boolean, answer: (outcome: NameOutcome) => void): void {
    this.#changes.request(deed, isGone, answer);
  }

  lookup(directory: ObjectId, name: string, answer: (id: ObjectId | null) => void): void {
    this.#changes.lookup(directory, name, answer);
  }

  /** The object was removed. */
  removed(id: ObjectId): void {
    const inode = this.#inodes.get(id);
    if (inode !== undefined) inode.stale = true;
  }

  // ---- the ring's slots

  readonly slots: SlotAccess = {
    read: (done) => this.#readSlots(done),
    write: (slot, done) => {
      const tag = this.world.drawTag();
      this.world.slots.set(tag, slot);
      this.#submit(REPLIES, 'write', slot.serial % SLOTS, 1, done, tag).go();
    },
  };

  /** Reads again while the medium is in trouble. */
  #readSlots(done: (slots: readonly (Slot | null)[]) => void): void {
    const { ctx } = this.world;
    const beginMs = ctx.now;
    this.#cells(REPLIES, 0, SLOTS, (fault, tags) => {
      if (fault !== null) return this.later(() => this.#readSlots(done));
      if (!this.world.auditor.isReset(this.volume)) {
        const wrong = this.files.file(REPLIES).cells.read({ first: 0, beginMs, endMs: ctx.now, tags });
        if (wrong !== null) ctx.fail('I9 no stale read', `the replies read by ${this.life.server}: ${wrong}`);
      }
      done(tags.map((tag) => this.world.slots.get(tag) ?? null));
    });
  }
}

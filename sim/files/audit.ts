/** The auditor's eye on files volumes: what block volumes are judged by, of cells, sizes, times and names. */
import type { ObjectId } from '../../src/ports/tree.ts';
import type { NfsResult } from '../../src/wire/nfs/results.ts';
import { NfsStatus, type NfsArguments } from '../../src/wire/nfs/types.ts';
import type { Auditor } from '../auditor.ts';
import type { Context } from '../context.ts';
import type { Device } from '../device.ts';
import type { Life } from '../life.ts';
import { ZERO } from '../model.ts';
import { describe, idIn, type Deed } from './deeds.ts';
import type { Front } from './front.ts';
import { Answer } from './judge.ts';
import type { FilesModel } from './model.ts';
import { sizeAt, type FilesPlatter, type Version } from './platter.ts';
import type { FilesWatch } from './watch.ts';

export class FilesAudit implements FilesWatch {
  readonly #ctx: Context;
  readonly #auditor: Auditor;
  readonly #deviceOf: () => Device;

  constructor(ctx: Context, auditor: Auditor, deviceOf: () => Device) {
    this.#ctx = ctx;
    this.#auditor = auditor;
    this.#deviceOf = deviceOf;
  }

  /** Invariants I3, I4, I6. */
  written(life: Life, volume: number, target: ObjectId, first: number, tags: readonly number[]): void {
    this.#auditor.touches(life, volume, 'wrote to the medium');
    const file = this.#model(volume).file(target);
    const object = this.#deviceOf().files[volume]?.objects.get(target);
    tags.forEach((tag, i) => {
      if (tag === ZERO) return;
      const cell = first + i;
      const there = object?.synced[cell] ?? ZERO;
      const isKnown = file.writeOf(tag) !== null;
      const known = file.writeOf(there);
      const isLoose = known !== null && known.ackMs === Infinity && !known.seen;
      this.#ordered(life, volume, `cell ${cell} of ${target}`, tag, isKnown, there, isLoose);
    });
  }

  stamped(life: Life, volume: number, target: ObjectId, time: number): void {
    this.#auditor.touches(life, volume, 'stamped on the medium');
    const file = this.#model(volume).file(target);
    const object = this.#deviceOf().files[volume]?.objects.get(target);
    const there = object === undefined ? 0 : (object.synced[sizeAt(object) + 1] as number);
    const isLoose = file.changeOf(there)?.ackMs === Infinity;
    this.#ordered(life, volume, `the time of ${target}`, time, file.changeOf(time) !== null, there, isLoose);
  }

  #ordered(
    life: Life,
    volume: number,
    place: string,
    tag: number,
    isKnown: boolean,
    there: number,
    isLoose: boolean,
  ): void {
    const wrong = isKnown ? this.#auditor.unstable(life, volume, tag) : 'nobody wrote it';
    if (wrong !== null) {
      const text = `v${volume}: ${life.server} writes ${tag} to ${place}: ${wrong}`;
      return this.#ctx.fail('I6 destaged only when confirmed', text);
    }
    const order = this.#auditor.orderOf(volume, tag);
    const orderThere = this.#auditor.orderOf(volume, there);
    if (order === undefined || orderThere === undefined || order >= orderThere) return;
    if (isLoose && this.#auditor.isReplaying(volume)) return;
    const text = `v${volume}: ${life.server} writes ${tag} over ${there} in ${place}, which is later and synced`;
    this.#ctx.fail('I3 order on the medium', text);
  }

  /** A change was acknowledged (I1): it is in the stores, or it or a later one in the synced medium. */
  acknowledged(life: Life, volume: number, target: ObjectId, tag: number): void {
    const store = this.#auditor.lacking(volume, tag);
    const files = this.#deviceOf().files[volume] ?? null;
    const object = files?.objects.get(target);
    const there = object === undefined ? 0 : (object.synced[sizeAt(object) + 1] as number);
    const isThere = (this.#auditor.orderOf(volume, there) ?? 0) >= (this.#auditor.orderOf(volume, tag) ?? 0);
    if (store !== null && !isThere && files?.exists(target) === true) {
      const text = `v${volume}: ${life.server} acknowledged ${tag} of ${target}, but store ${store.slice(0, 6)} never held it`;
      return this.#ctx.fail('I1 acknowledged only when stored', text);
    }
    this.#auditor.recoverable(volume, `${tag} of ${target} was acknowledged`);
  }

  /** No file is cut shorter than what is synced of it says, but by a later truncate (trap T5). */
  changed(life: Life, volume: number, target: ObjectId, size: number | null): void {
    this.#auditor.touches(life, volume, 'changed a file on the medium');
    const object = this.#deviceOf().files[volume]?.objects.get(target);
    if (object === undefined || size === null || size >= (object.synced[sizeAt(object)] as number)) return;
    const file = this.#model(volume).file(target);
    const there = object.synced[sizeAt(object) + 1] as number;
    const orderThere = this.#auditor.orderOf(volume, there);
    if (orderThere === undefined || file.changeOf(there)?.ackMs === Infinity) return;
    if (file.truncatesTo(size).some((tag) => (this.#auditor.orderOf(volume, tag) ?? 0) > orderThere)) return;
    this.#ctx.fail(
      'I3 order on the medium',
      `v${volume}: ${life.server} cuts ${target} to ${size} cells, which is synced as of ${there} with more, and no later truncate does`,
    );
  }

  called(life: Life, volume: number): void {
    this.#auditor.touches(life, volume, 'called the tree');
  }

  made(volume: number, id: ObjectId, time: number): void {
    this.#model(volume).made(id, time);
  }

  gone(volume: number, id: ObjectId): void {
    this.#model(volume).gone(id);
  }

  /** The tree was changed: once for each request, and for none that was answered. */
  tree(volume: number, version: Version): void {
    const files = this.#model(volume);
    files.history.changed(version, this.#ctx.now);
    const { deed } = version;
    if (deed === null || files.off || !deed.isRecorded) return;
    if (deed.outcome?.status === NfsStatus.ok)
      this.#ctx.fail('exactly once', `${describe(deed)} takes effect after it was answered`);
    else if (deed.effects > 1 && deed.asked.procedure !== 'setattr')
      this.#ctx.fail('exactly once', `${describe(deed)} takes effect ${deed.effects} times`);
  }

  lost(volume: number, gone: readonly Version[], platter: FilesPlatter): void {
    const files = this.#model(volume);
    const shown = files.history.lost(gone, platter.tree, this.#ctx.now);
    for (const { deed } of gone)
      if (deed?.outcome?.status === NfsStatus.ok && deed.isRecorded)
        this.#ctx.fail('exactly once', `${describe(deed)} was answered, and a loss of power takes it back`);
    if (shown !== null) this.#ctx.fail('T1 names', `${shown}: a loss of power takes that back`);
  }

  deedOfOwner(volume: number, uid: number): Deed | null {
    return this.#model(volume).deedsByOwner.get(uid) ?? null;
  }

  // ---- what the front end tells

  /** An answer leaves. */
  judge(front: Front, asked: NfsArguments, deed: Deed | null, result: NfsResult, beginMs: number): void {
    const ctx = this.#ctx;
    const wrong = new Answer(front, asked, deed, result, beginMs).judge();
    const status = 'status' in result ? result.status : 0;
    ctx.digest.number(status);
    if (deed?.isRecorded === true) {
      ctx.tally.renamed++;
      ctx.hook('name-answered', front.life.index);
    } else ctx.tally.reads++;
    if (ctx.story !== null) {
      const what = deed === null ? asked.procedure : describe(deed);
      ctx.tell('client', front.life.index, `v${front.volume}: ${what} is answered ${status}`);
    }
    if (wrong !== null) ctx.fail(wrong.rule, `v${front.volume} at ${front.life.server}: ${wrong.text}`);
  }

  /** A file is cut: for a request that asked for that and was not answered. */
  cuts(front: Front, target: ObjectId, sizeBytes: number): void {
    const { files, volume } = front;
    if (
      files.off ||
      files.deeds.some((deed) => deed.outcome?.status !== NfsStatus.ok && wantsSize(deed, target, sizeBytes))
    )
      return;
    this.#ctx.fail(
      'exactly once',
      `v${volume}: ${target} is cut to ${sizeBytes} bytes, for which nobody waits any more`,
    );
  }

  /** The service says that the object was removed. */
  missing({ files, life, volume }: Front, target: ObjectId): void {
    if (files.mayBeGone(target) || this.#auditor.isReset(volume)) return;
    this.#ctx.fail('I9 no stale read', `${life.server} says that ${target} was removed, and nobody did that`);
  }

  #model(volume: number): FilesModel {
    const files = this.#auditor.filesOf(volume);
    if (files === null) throw new Error(`volume ${volume} has no files`);
    return files;
  }
}

function wantsSize({ asked, made }: Deed, target: ObjectId, sizeBytes: number): boolean {
  if (asked.procedure === 'setattr') return idIn(asked.handle) === target && asked.change.sizeBytes === sizeBytes;
  if (asked.procedure !== 'create' || asked.how.mode === 'exclusive') return false;
  return asked.how.attributes.sizeBytes === sizeBytes && (made === null || made === target);
}

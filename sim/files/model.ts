/**
 * What the clients of a files volume were told of its files: of each the cells as they are judged on block volumes, and size
 * and time together, as what all changes in some order make of them. Shares no code with the core.
 */
import { REPLIES, type ObjectId } from '../../src/ports/tree.ts';
import type { Operation } from '../../src/base/operation.ts';
import { OperationKind } from '../../src/base/operation.ts';
import { tagOf } from '../disk.ts';
import { judgeSector } from '../linear.ts';
import { Model, ZERO, type Write } from '../model.ts';
import type { Platter } from '../platter.ts';
import { Explanation, unexplained, type Deed } from './explain.ts';
import type { Deed as Request } from './deeds.ts';
import { History } from './history.ts';
import { CELL, type FilesPlatter, UNSTAMPED, sizeAt } from './platter.ts';
import type { Tree } from './tree-state.ts';

/** Size in cells and time in one number. */
const SIZES = 128;
const valueOf = (size: number, time: number): number => time * SIZES + size;
const sizeOf = (value: number): number => value % SIZES;
const timeOf = (value: number): number => Math.floor(value / SIZES);
const textOf = (value: number): string => `${sizeOf(value)} cells of time ${timeOf(value)}`;

/** A modification of one file. */
export interface Change extends Deed<number> {
  readonly kind: 'write' | 'truncate' | 'stamp';
  /** Its time, and the tag of its cells. */
  readonly tag: number;
  readonly cells: Write | null;
  /** First cell of a write, size of a truncate. */
  readonly at: number;
  readonly beginMs: number;
  readonly number: number;
  ackMs: number;
  endMs: number;
  /** It was not answered, and the medium alone held the volume at some time since: it may be there in part. */
  loose: boolean;
}

interface Look {
  readonly value: number;
  readonly beginMs: number;
  readonly endMs: number;
}

interface Era {
  readonly beginMs: number;
  readonly initial: number;
  readonly changes: Change[];
  readonly looks: Look[];
}

class FileModel {
  readonly cells: Model;
  readonly #volume: FilesModel;
  #eras: Era[];
  #possible: Explanation<number>;
  readonly #byTag = new Map<number, Change>();

  constructor(volume: FilesModel, cells: number, size: number, time: number) {
    this.#volume = volume;
    this.cells = new Model(cells);
    this.#eras = [{ beginMs: -1, initial: valueOf(size, time), changes: [], looks: [] }];
    this.#possible = new Explanation(valueOf(size, time));
  }

  get #era(): Era {
    return this.#eras.at(-1) as Era;
  }

  /** @param lane the epoch of the service that it is submitted to: it admits in order. */
  begin(kind: Change['kind'], tag: number, at: number, count: number, lane: number, nowMs: number): Change {
    const { sectors } = this.cells;
    let cells: Write | null = null;
    if (kind === 'write') cells = this.cells.begin(tag, at, count, nowMs);
    else if (kind === 'truncate' && at < sectors) cells = this.cells.begin(ZERO, at, sectors - at, nowMs);
    const change: { -readonly [K in keyof Change]: Change[K] } = {
      kind,
      tag,
      at,
      cells,
      beginMs: nowMs,
      ackMs: Infinity,
      endMs: Infinity,
      loose: false,
      number: 0,
      isLook: false,
      lane,
      mayTear: () => change.ackMs === Infinity && (change.loose || this.#volume.aloneUntilMs >= change.beginMs),
      apply: (value, torn) => outcomes(kind, tag, kind === 'write' ? at + count : at, value, torn),
    };
    change.number = this.#possible.begin(change);
    this.#era.changes.push(change);
    this.#byTag.set(tag, change);
    return change;
  }

  acknowledge(change: Change, nowMs: number): string | null {
    if (change.cells !== null) this.cells.acknowledge(change.cells, nowMs);
    const ended = change.endMs !== Infinity;
    change.ackMs = nowMs;
    change.endMs = Math.min(change.endMs, nowMs);
    if (ended || this.#possible.end(change.number, true)) return null;
    return `no order of the changes explains ${change.kind} ${change.tag}`;
  }

  /** It has taken effect by now or never will. */
  bound(change: Change, nowMs: number): void {
    if (change.endMs !== Infinity) return;
    if (change.cells !== null) this.cells.bound(change.cells, nowMs);
    change.loose = this.#volume.aloneUntilMs >= change.beginMs;
    change.endMs = nowMs;
    this.#possible.end(change.number, false);
  }

  /** Size and time were shown to a client. */
  looked(size: number, time: number, beginMs: number, endMs: number): string | null {
    // An answer that was kept tells of before the loss.
    if (beginMs < this.#era.beginMs) return null;
    const value = valueOf(size, time);
    this.#era.looks.push({ value, beginMs, endMs });
    const change = this.#byTag.get(time);
    if (change !== undefined && change.endMs === Infinity && !this.#possible.canBe(value))
      return `shown with ${textOf(value)}, which cannot be`;
    return null;
  }

  /** Whether this may be its size and time as of now. Null: it may. */
  unacceptable(size: number, time: number): string | null {
    if (this.#possible.canBe(valueOf(size, time))) return null;
    const known = this.#possible.values.slice(0, 4).map(textOf);
    return `${textOf(valueOf(size, time))}, where it can be ${known.join(' or ')}`;
  }

  /** The time that the newest change left which was submitted before to the same service, and done; null: not known. */
  predecessor(time: number, lane: number): number | null {
    const { changes } = this.#era;
    let at = changes.findIndex(({ tag }) => tag === time);
    for (at--; at >= 0; at--) {
      const change = changes[at] as Change;
      if (change.lane !== lane) return null;
      if (change.ackMs !== Infinity) return change.tag;
    }
    return null;
  }

  writeOf(tag: number): Write | null {
    return this.cells.writeOf(tag);
  }
  changeOf(tag: number): Change | null {
    return this.#byTag.get(tag) ?? null;
  }

  /** Tags of the truncates to at most that size. */
  truncatesTo(size: number): number[] {
    return this.#era.changes.filter(({ kind, at }) => kind === 'truncate' && at <= size).map(({ tag }) => tag);
  }

  accept(object: Platter, nowMs: number, isReply: boolean): void {
    const at = sizeAt(object);
    if (!isReply) this.cells.accept(Array.from(object.now.subarray(0, at)), nowMs);
    const initial = valueOf(isReply ? 0 : (object.now[at] as number), object.now[at + 1] as number);
    this.#eras.push({ beginMs: nowMs, initial, changes: [], looks: [] });
    this.#possible = new Explanation(initial);
    this.#byTag.clear();
  }

  /** Everything that was shown of it, in the end. */
  judge(undecided: () => void): string | null {
    for (const { initial, changes, looks } of this.#eras) {
      const deeds = changes.map((change) => ({
        beginMs: change.beginMs,
        endMs: change.endMs,
        must: change.ackMs !== Infinity,
        text: `${change.kind} ${change.tag}`,
        isLook: false,
        lane: change.lane,
        mayTear: change.mayTear,
        apply: change.apply.bind(change),
      }));
      const seen = looks.map(({ value, beginMs, endMs }) => ({
        beginMs,
        endMs,
        must: true,
        text: `that it was shown with ${textOf(value)} (${beginMs.toFixed(2)} to ${endMs.toFixed(2)})`,
        isLook: true,
        lane: null,
        mayTear: () => false,
        apply: (there: number) => (there === value ? [there] : []),
      }));
      const wrong = looks.length === 0 ? null : unexplained(initial, [...deeds, ...seen]);
      if (wrong === 'undecided') undecided();
      else if (wrong !== null) return `no order of the changes explains ${wrong}`;
    }
    for (const era of this.cells.eras) {
      if (era.reads.length === 0) continue;
      for (let cell = 0; cell < this.cells.sectors; cell++) {
        const { verdict, text } = judgeSector(era, cell);
        if (verdict === 'undecided') undecided();
        if (verdict === 'broken') return text.replace('sector', 'cell');
      }
    }
    return null;
  }
}

/** What a change makes of a size and a time; `torn`: all that may be left of it when nobody finishes it. */
function outcomes(kind: Change['kind'], tag: number, at: number, value: number, torn: boolean): number[] {
  const size = sizeOf(value);
  const end = kind === 'stamp' ? size : kind === 'truncate' ? at : Math.max(size, at);
  if (!torn) return [valueOf(end, tag)];
  const sizes = kind === 'truncate' ? [size, end] : range(size, end);
  return sizes.flatMap((left) => [timeOf(value), tag, UNSTAMPED].map((time) => valueOf(left, time)));
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** An object that clients have heard of. */
export interface Known {
  readonly id: ObjectId;
  readonly handle: Buffer;
  /** The ctime that somebody was shown last. */
  ctimeNs: bigint;
}

export class FilesModel {
  readonly cells: number;
  readonly history: History;
  readonly #platter: FilesPlatter;
  readonly #files = new Map<ObjectId, FileModel>();
  /** Files that had no name left at some time. */
  readonly #gone = new Set<ObjectId>();
  readonly known: { readonly files: Known[]; readonly directories: Known[] } = { files: [], directories: [] };
  readonly deeds: Request[] = [];
  readonly deedsByOwner = new Map<number, Request>();
  /** Until when the medium alone held the volume; Infinity: it does. */
  aloneUntilMs = Infinity;
  /** A loss was accepted: what had been answered may be forgotten. */
  off = false;

  constructor(files: FilesPlatter) {
    this.cells = files.cells;
    this.#platter = files;
    this.history = new History(files.durable);
    for (const { id, type } of files.durable.values()) if (type === 'file') this.made(id, 0);
    this.#files.set(REPLIES, new FileModel(this, 0, 0, 0));
  }

  shows(beginMs: number, endMs: number, text: string, holds: (tree: Tree) => boolean): boolean {
    const { versions } = this.#platter;
    return this.history.shows(beginMs, endMs, text, holds, (version) => !versions.includes(version));
  }

  knownTime(id: ObjectId, time: number): number {
    return this.#platter.knownTime(id, time);
  }

  file(id: ObjectId): FileModel {
    const file = this.#files.get(id);
    if (file === undefined) throw new Error(`no model of ${id}`);
    return file;
  }

  made(id: ObjectId, time: number): void {
    this.#files.set(id, new FileModel(this, this.cells, 0, time));
  }

  gone(id: ObjectId): void {
    this.#gone.add(id);
  }
  mayBeGone(id: ObjectId): boolean {
    return this.#gone.has(id);
  }

  /** The state that the medium and a log over it come to; null when nobody could complain of it. */
  unacceptable(files: FilesPlatter, log: readonly Operation[]): string | null {
    for (const [id, object] of files.objects) {
      const isReply = id === REPLIES;
      if (!isReply && !files.durable.has(id)) continue;
      const found = overlaid(object, id, log);
      const at = sizeAt(object);
      const file = this.file(id);
      for (let cell = 0; cell < at && !isReply; cell++) {
        const wrong = file.cells.unacceptable(cell, found[cell] as number);
        if (wrong !== null) return `${id}: ${wrong.replace('sector', 'cell')}`;
      }
      const wrong = file.unacceptable(isReply ? 0 : (found[at] as number), found[at + 1] as number);
      if (wrong !== null) return `${id} has ${wrong}`;
    }
    return null;
  }

  /** After an accepted loss: what is there is what there is, and requests may have been forgotten. */
  accept(files: FilesPlatter, nowMs: number): void {
    this.off = true;
    for (const [id, object] of files.objects)
      if (this.#files.has(id)) this.file(id).accept(object, nowMs, id === REPLIES);
  }

  judge(undecided: () => void): { readonly rule: string; readonly text: string } | null {
    for (const [id, file] of this.#files) {
      const wrong = file.judge(undecided);
      if (wrong !== null) return { rule: 'I9 linearizable', text: `${id}: ${wrong}` };
    }
    return null;
  }
}

/** An object's cells, size and time with the operations over them. */
function overlaid(object: Platter, id: ObjectId, log: readonly Operation[]): Uint32Array {
  const found = object.synced.slice();
  const at = sizeAt(object);
  if (id === REPLIES) {
    for (const { target, timeNs } of log) if (target === id) found[at + 1] = Number(timeNs);
    return found;
  }
  found.fill(ZERO, found[at] as number, at);
  for (const { target, kind, offset, data, timeNs } of log) {
    if (target !== id) continue;
    const first = offset / CELL;
    found[at + 1] = Number(timeNs);
    if (kind === OperationKind.truncate) {
      found.fill(ZERO, first, at);
      found[at] = first;
    } else if (kind === OperationKind.write) {
      for (let i = 0; i < data.length / CELL; i++) found[first + i] = tagOf(data, i * CELL);
      found[at] = Math.max(found[at] as number, first + data.length / CELL);
    }
  }
  return found;
}

/**
 * A files volume on the simulated device: objects of cells that grow and shrink, each with a size and a time, and a small
 * tree of names. Bytes, sizes and times are durable after a sync, like sectors; a change of names when its call returns, or
 * with the first sync behind it, one after the other.
 */
import { REPLIES, type ObjectId } from '../../src/ports/tree.ts';
import { ZERO } from '../model.ts';
import { GHOST, Platter } from '../platter.ts';
import type { NameDeed } from './names.ts';

/** Bytes of a cell: the grain of files, which the core knows nothing of. */
export const CELL = 64;
/** The time that a modification leaves until it is stamped. */
export const UNSTAMPED = 0xff_ff_ff_ff;
export const ROOT: ObjectId = 'root';
export const DIRECTORY: ObjectId = 'dir';
/** Requests that the ring of a simulated volume remembers. */
export const SLOTS = 64;

/** Objects by directory and name. */
export type Names = ReadonlyMap<string, ObjectId>;
export const keyOf = (directory: ObjectId, name: string): string => `${directory}/${name}`;

/** A change of the names that took place. */
export interface Version {
  readonly names: Names;
  readonly deed: NameDeed | null;
}

export class FilesPlatter {
  /** Cells that a file may grow to. */
  readonly cells: number;
  readonly objects = new Map<ObjectId, Platter>();
  /** What a loss of power leaves. */
  durable: Names;
  /** Changes that took place and are not durable. */
  versions: Version[] = [];
  #made = 0;

  /** @param files names of the root that are there from the beginning, as empty files. */
  constructor(cells: number, files: readonly string[]) {
    this.cells = cells;
    const replies = new Platter(SLOTS + 2);
    replies.now[SLOTS] = replies.synced[SLOTS] = SLOTS;
    this.objects.set(REPLIES, replies);
    this.durable = new Map(files.map((name) => [keyOf(ROOT, name), this.make()]));
  }

  get names(): Names {
    return this.versions.at(-1)?.names ?? this.durable;
  }

  /** An empty object without a name. */
  make(): ObjectId {
    this.#made++;
    const id = `o${this.#made}`;
    this.objects.set(id, new Platter(this.cells + 2));
    return id;
  }

  /** The object has a name; it is a directory; or it is that of the replies. */
  exists(id: ObjectId): boolean {
    if (id === REPLIES || id === ROOT || id === DIRECTORY) return true;
    for (const named of this.names.values()) if (named === id) return true;
    return false;
  }

  links(id: ObjectId): number {
    let count = 0;
    for (const named of this.names.values()) if (named === id) count++;
    return count;
  }

  change(names: Names, deed: NameDeed | null): Version {
    const version = { names, deed };
    this.versions.push(version);
    if (deed !== null) deed.effects++;
    return version;
  }

  /** The version, and all before it, outlive a loss of power. */
  commit(version: Version): void {
    const at = this.versions.indexOf(version);
    if (at < 0) return;
    this.durable = version.names;
    this.versions.splice(0, at + 1);
  }

  /** A loss of power: changes that are not durable are there up to some of them. */
  loseNames(kept: number): void {
    for (const { deed } of this.versions.splice(kept)) if (deed !== null) deed.effects--;
    const last = this.versions.at(-1);
    if (last !== undefined) this.commit(last);
  }

  /** A cell lands; the object grows with it. */
  landCell(object: Platter, cell: number, tag: number, by: number): void {
    object.put(cell, tag, by);
    const at = sizeAt(object);
    const size = object.now[at] as number;
    if (cell + 1 > size || object.dirty[at] === GHOST) object.put(at, Math.max(size, cell + 1), by);
    object.put(at + 1, UNSTAMPED, by);
  }

  landZero(object: Platter, cell: number, by: number): void {
    // Zeroing never makes a file larger.
    if (cell >= (object.now[sizeAt(object)] as number)) return;
    object.put(cell, ZERO, by);
    object.put(sizeAt(object) + 1, UNSTAMPED, by);
  }

  landSize(object: Platter, size: number, by: number): void {
    const at = sizeAt(object);
    for (let cell = size; cell < at; cell++) object.put(cell, ZERO, by);
    object.put(at, size, by);
    object.put(at + 1, UNSTAMPED, by);
  }

  /** After something was taken back: there is nothing behind the end of a file. */
  tidy(): void {
    for (const object of this.objects.values()) {
      const at = sizeAt(object);
      for (let cell = object.now[at] as number; cell < at; cell++) object.now[cell] = ZERO;
      for (let cell = object.synced[at] as number; cell < at; cell++) object.synced[cell] = ZERO;
    }
  }
}

/** Where an object keeps its size in cells; its time is behind that. */
export const sizeAt = (object: Platter): number => object.sectors - 2;

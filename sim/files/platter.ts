/**
 * A files volume on the simulated device: objects of cells that grow and shrink, each with a size and a time, and a tree.
 * Bytes, sizes and times are durable after a sync, like sectors; a change of the tree when its call returns, or with the
 * first sync behind it, one after the other.
 */
import { REPLIES, type ObjectId } from '../../src/ports/tree.ts';
import { ZERO } from '../model.ts';
import { GHOST, Platter } from '../platter.ts';
import type { Deed } from './deeds.ts';
import { create, emptyTree, ROOT, type Tree } from './tree-state.ts';

/** Bytes of a cell: the grain of files, which the core knows nothing of. */
export const CELL = 64;
/** Bytes of a sector of objects that are kept byte for byte. */
export const BLOCK = 512;
/** The time that a modification leaves until it is stamped. */
export const UNSTAMPED = 0xff_ff_ff_ff;
/** The object `replies` as the front end sees it, and as much of it as a world can use: 400 requests. */
export const REPLIES_BYTES = 4 << 20;
const REPLIES_BLOCKS = (400 * 1024) / BLOCK;

/** A change of the tree that took place. */
export interface Version {
  readonly tree: Tree;
  readonly deed: Deed | null;
}

/** What sectors hold that are kept byte for byte, by tag. */
export class Contents {
  readonly #byTag: Buffer[] = [Buffer.alloc(BLOCK)];
  readonly #byText = new Map<string, number>([[Buffer.alloc(BLOCK).toString('latin1'), ZERO]]);

  of(tag: number): Buffer {
    return this.#byTag[tag] as Buffer;
  }

  tagOf(bytes: Buffer): number {
    const text = bytes.toString('latin1');
    let tag = this.#byText.get(text);
    if (tag === undefined) {
      tag = this.#byTag.push(Buffer.from(bytes)) - 1;
      this.#byText.set(text, tag);
    }
    return tag;
  }
}

export class FilesPlatter {
  /** Cells that a file may grow to. */
  readonly cells: number;
  /** Files are kept byte for byte, like the replies: for the conformance suite. */
  readonly exact: boolean;
  readonly objects = new Map<ObjectId, Platter>();
  readonly contents = new Contents();
  /** What a loss of power leaves. */
  durable: Tree;
  /** Changes that took place and are not durable. */
  versions: Version[] = [];
  /** Times that landings left in objects: the device's own, which nobody gave. */
  readonly #landings = new Map<Platter, Set<number>>();
  readonly #times: bigint[] = [0n];
  readonly #numbers = new Map<bigint, number>([[0n, 0]]);
  #made = 1;
  #cookies = 0n;
  /** The device's clock: it goes on with every look. */
  readonly nowNs: () => bigint;

  /** @param files names of the root that are there from the beginning, as empty files. */
  constructor(cells: number, files: readonly string[], nowNs: () => bigint, exact = false) {
    this.cells = cells;
    this.nowNs = nowNs;
    this.exact = exact;
    const replies = new Platter(REPLIES_BLOCKS + 2);
    replies.now[REPLIES_BLOCKS] = replies.synced[REPLIES_BLOCKS] = REPLIES_BYTES;
    this.objects.set(REPLIES, replies);
    this.durable = emptyTree();
    const attributes = { mode: 0o644, uid: 0, gid: 0, atimeNs: 0n, mtimeNs: 0n };
    for (const name of files) {
      const made = create(this.durable, ROOT, name, { type: 'file', attributes }, this.making());
      if (typeof made === 'string') throw new Error(made);
      this.durable = made;
      this.addFile(`o${this.#made}`, 0);
    }
  }

  get tree(): Tree {
    return this.versions.at(-1)?.tree ?? this.durable;
  }

  nextCookie(): bigint {
    this.#cookies += 1n;
    return this.#cookies;
  }

  /** What an object is made with. */
  making(): { readonly id: ObjectId; readonly number: bigint; readonly cookie: bigint; readonly nowNs: bigint } {
    this.#made++;
    return { id: `o${this.#made}`, number: BigInt(this.#made), cookie: this.nextCookie(), nowNs: this.nowNs() };
  }

  /** The bytes of a new file: none. It is there with its time, or not at all. */
  addFile(id: ObjectId, time: number): void {
    const object = new Platter(this.cells + 2);
    object.now[sizeAt(object) + 1] = object.synced[sizeAt(object) + 1] = time;
    this.objects.set(id, object);
  }

  /** A time as a number that a cell can hold: itself in worlds, which count them. */
  numberOf(timeNs: bigint): number {
    if (!this.exact) return Number(timeNs);
    let number = this.#numbers.get(timeNs);
    if (number === undefined) {
      number = this.#times.push(timeNs) - 1;
      this.#numbers.set(timeNs, number);
    }
    return number;
  }
  timeOf(object: Platter): bigint {
    const number = object.now[sizeAt(object) + 1] as number;
    if (number === UNSTAMPED) return BigInt([...(this.#landings.get(object) ?? [0])].at(-1) ?? 0);
    return this.exact ? (this.#times[number] as bigint) : BigInt(number);
  }
  /** The time as the checkers know it: one that a landing left is none. */
  knownTime(id: ObjectId, time: number): number {
    const object = this.objects.get(id);
    return object !== undefined && this.#landings.get(object)?.has(time) === true ? UNSTAMPED : time;
  }

  #unstamp(object: Platter, by: number): void {
    object.put(sizeAt(object) + 1, UNSTAMPED, by);
    let landings = this.#landings.get(object);
    if (landings === undefined) this.#landings.set(object, (landings = new Set()));
    landings.add(Number(this.nowNs()));
  }

  /** Kept byte for byte. */
  isExact(id: ObjectId): boolean {
    return this.exact || id === REPLIES;
  }

  exists(id: ObjectId): boolean {
    return id === REPLIES || this.tree.has(id);
  }

  change(tree: Tree, deed: Deed | null): Version {
    const version = { tree, deed };
    this.versions.push(version);
    return version;
  }

  /** The version, and all before it, outlive a loss of power. */
  commit(version: Version): void {
    const at = this.versions.indexOf(version);
    if (at < 0) return;
    this.durable = version.tree;
    this.versions.splice(0, at + 1);
  }

  /** A loss of power: changes that are not durable are there up to some of them. Those that are gone. */
  loseNames(kept: number): Version[] {
    const gone = this.versions.splice(kept);
    const last = this.versions.at(-1);
    if (last !== undefined) this.commit(last);
    return gone;
  }

  /** A cell lands; the object grows with it. */
  landCell(object: Platter, cell: number, tag: number, by: number): void {
    object.put(cell, tag, by);
    this.#grow(object, cell + 1, by);
    this.#unstamp(object, by);
  }

  #grow(object: Platter, size: number, by: number): void {
    const at = sizeAt(object);
    const before = object.now[at] as number;
    if (size > before || object.dirty[at] === GHOST) object.put(at, Math.max(size, before), by);
  }

  /** Bytes land within one sector. */
  landBytes(object: Platter, offset: number, bytes: Buffer, by: number): void {
    const sector = Math.floor(offset / BLOCK);
    const content = Buffer.from(this.contents.of(object.now[sector] as number));
    bytes.copy(content, offset % BLOCK);
    object.put(sector, this.contents.tagOf(content), by);
    this.#grow(object, offset + bytes.length, by);
    this.#unstamp(object, by);
  }

  readBytes(object: Platter, offset: number, into: Buffer): void {
    const size = object.now[sizeAt(object)] as number;
    const end = Math.min(offset + into.length, size, sizeAt(object) * BLOCK);
    for (let at = offset; at < end;) {
      const stop = Math.min(end, (Math.floor(at / BLOCK) + 1) * BLOCK);
      const content = this.contents.of(object.now[Math.floor(at / BLOCK)] as number);
      content.copy(into, at - offset, at % BLOCK, (at % BLOCK) + stop - at);
      at = stop;
    }
  }

  /** Zeroes within an object that is kept byte for byte; it does not grow. */
  landClear(object: Platter, offset: number, length: number, by: number): void {
    const end = Math.min(offset + length, object.now[sizeAt(object)] as number);
    for (let at = offset; at < end; at = (Math.floor(at / BLOCK) + 1) * BLOCK) {
      const stop = Math.min(end, (Math.floor(at / BLOCK) + 1) * BLOCK);
      this.landBytes(object, at, Buffer.alloc(stop - at), by);
    }
  }

  landZero(object: Platter, cell: number, by: number): void {
    // Zeroing never makes a file larger.
    if (cell >= (object.now[sizeAt(object)] as number)) return;
    object.put(cell, ZERO, by);
    this.#unstamp(object, by);
  }

  landSize(object: Platter, size: number, by: number): void {
    const at = sizeAt(object);
    for (let cell = size; cell < at; cell++) object.put(cell, ZERO, by);
    object.put(at, size, by);
    this.#unstamp(object, by);
  }

  /** The same for an object that is kept byte for byte. */
  landSizeBytes(object: Platter, bytes: number, by: number): void {
    const at = sizeAt(object);
    for (let sector = Math.floor(bytes / BLOCK); sector < at; sector++) {
      const content = Buffer.from(this.contents.of(object.now[sector] as number));
      content.fill(0, Math.max(0, bytes - sector * BLOCK));
      object.put(sector, this.contents.tagOf(content), by);
    }
    object.put(at, bytes, by);
    this.#unstamp(object, by);
  }

  /** After something was taken back: there is nothing behind the end of a file. */
  tidy(): void {
    for (const [id, object] of this.objects) {
      if (this.isExact(id)) continue;
      const at = sizeAt(object);
      for (let cell = object.now[at] as number; cell < at; cell++) object.now[cell] = ZERO;
      for (let cell = object.synced[at] as number; cell < at; cell++) object.synced[cell] = ZERO;
    }
  }
}

/** Where an object keeps its size, in cells, or bytes if it is kept byte for byte; its time is behind that. */
export const sizeAt = (object: Platter): number => object.sectors - 2;

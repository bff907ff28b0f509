/**
 * The inodes that are known, by id and by handle: at most so many, the least used go first. Only the owner changes the tree
 * (docs/decisions/0007), so what is here stays true until this front end changes it.
 *
 * Bounds and what they cost: an inode with undestaged data may be evicted; it is put together again from the medium and
 * `VolumeService.pending`. What is forgotten is the ctime that was shown where it is not the medium's: a client that sees
 * another one reads its cached data again, and that is all.
 */
import { Fault, assert } from '../../base/fault.ts';
import type { PendingObject, VolumeService } from '../../ports/service.ts';
import type { Attributes, ObjectId, TreeObject } from '../../ports/tree.ts';
import { NfsStatus } from '../../wire/nfs/types.ts';
import { failureOf, type Failure } from './faults.ts';
import type { Handles } from './handles.ts';
import { Inode } from './inode.ts';
import type { Calls } from './on-tree.ts';

/** Candidates looked at for one eviction before the cache is let grow beyond its bound by one. */
const LOOKED_AT = 64;

export class Inodes {
  readonly #byId = new Map<ObjectId, Inode>();
  readonly #byHandle = new Map<string, Inode>();
  /** Those whose attributes are being asked for. */
  readonly #loading = new Map<ObjectId, Promise<Inode | Failure>>();
  /** Those of them that turned out to be just made: what the medium was asked for may lack what was done to them since. */
  readonly #overtaken = new Set<ObjectId>();
  readonly #service: VolumeService;
  readonly #calls: Calls;
  readonly #handles: Handles;
  readonly #nowNs: () => bigint;
  readonly #most: number;
  /** Inodes evicted so far; of these, with undestaged data. */
  #evicted = 0;
  #evictedDirty = 0;
  #evicting = false;
  /** Goes through the inodes, the oldest first; kept, since the way to a map's first entry grows with those that went. */
  #oldest: MapIterator<Inode>;

  constructor(service: VolumeService, calls: Calls, handles: Handles, nowNs: () => bigint, most: number) {
    this.#service = service;
    this.#calls = calls;
    this.#handles = handles;
    this.#nowNs = nowNs;
    this.#most = most;
    this.#oldest = this.#byId.values();
  }

  get size(): number {
    return this.#byId.size;
  }

  /** The inode of a handle if it is known: nothing is verified or asked. */
  known(handle: Buffer): Inode | undefined {
    const inode = this.#byHandle.get(handle.toString('latin1'));
    if (inode !== undefined) inode.recent = true;
    return inode;
  }

  /** The inode of an object if it is known and there: nothing is asked. */
  ready(id: ObjectId): Inode | undefined {
    const inode = this.#byId.get(id);
    if (inode === undefined || inode.stale) return undefined;
    inode.recent = true;
    return inode;
  }

  /** The inode of a handle, known or from the medium. */
  async ofHandle(handle: Buffer): Promise<Inode | Failure> {
    const known = this.known(handle);
    if (known !== undefined) return known.stale ? NfsStatus.stale : known;
    const id = this.#handles.decode(handle);
    return id === null ? NfsStatus.badhandle : this.ofId(id);
  }

  /** The inode of an object, known or from the medium. */
  ofId(id: ObjectId): Promise<Inode | Failure> | Inode | Failure {
    const known = this.#byId.get(id);
    if (known !== undefined) {
      known.recent = true;
      return known.stale ? NfsStatus.stale : known;
    }
    const loading = this.#loading.get(id);
    if (loading !== undefined) return loading;
    const load = this.#load(id);
    this.#loading.set(id, load);
    return load;
  }

  async #load(id: ObjectId): Promise<Inode | Failure> {
    // The view of the log first, then the medium: what is destaged in between is in both. Nothing is added meanwhile,
    // since whoever wants to modify the object waits for this.
    const pending = snapshot(this.#service.pending(id));
    const found = await this.#calls.look((tree) => tree.attributes(id));
    this.#loading.delete(id);
    if (this.#overtaken.delete(id)) return this.ofId(id);
    if (found instanceof Fault) return notThere(found);
    if (found.links === 0) return NfsStatus.stale;
    return this.#add(id, found, pending);
  }

  /** A mark to be taken before the medium is asked for a name, and given to `found`. */
  get mark(): number {
    return this.#evicted;
  }

  /**
   * The inode of an object that a lookup found. Its attributes are taken as they are only when nothing can be undestaged
   * that they lack: that is when it was not in the cache since `mark`, and none ever left it with undestaged data.
   */
  found({ id, attributes }: TreeObject, mark: number): Promise<Inode | Failure> | Inode | Failure {
    if (!this.#byId.has(id) && !this.#loading.has(id) && mark === this.#evicted && this.#evictedDirty === 0) {
      const pending = this.#service.pending(id);
      if (pending === null) return this.#add(id, attributes, null);
    }
    return this.ofId(id);
  }

  /** The inode of an object that was just made. Another client may have seen its name, and be asking for it already. */
  made({ id, attributes }: TreeObject): Inode {
    const known = this.#byId.get(id);
    if (known !== undefined) return known;
    if (this.#loading.has(id)) this.#overtaken.add(id);
    return this.#add(id, attributes, null);
  }

  #add(id: ObjectId, attributes: Attributes, pending: PendingObject | null): Inode {
    assert(!this.#byId.has(id), 'an object has one inode');
    if (this.#byId.size >= this.#most) this.#evictSoon();
    const inode = new Inode(id, this.#handles.encode(id), this.#handles.fsid, attributes, pending, this.#nowNs());
    this.#byId.set(id, inode);
    this.#byHandle.set(inode.handle.toString('latin1'), inode);
    return inode;
  }

  /** Not in this turn: who was just given an inode holds on to it before the turn ends. */
  #evictSoon(): void {
    if (this.#evicting) return;
    this.#evicting = true;
    setImmediate(() => {
      this.#evicting = false;
      for (let over = this.#byId.size - this.#most; over > 0; over -= 1) this.#evict();
    });
  }

  /** Second chance, from the oldest on: who is held or was looked at lately goes to the end, dirty ones once more. */
  #evict(): void {
    let dirty: Inode | null = null;
    let left = LOOKED_AT;
    while (left > 0) {
      left -= 1;
      const { value: inode } = this.#oldest.next();
      if (inode === undefined) {
        this.#oldest = this.#byId.values();
        continue;
      }
      if (inode.pins === 0 && !inode.recent) {
        if (this.#service.pending(inode.id) === null) return this.#remove(inode, false);
        dirty ??= inode;
      }
      inode.recent = false;
      this.#byId.delete(inode.id);
      this.#byId.set(inode.id, inode);
    }
    if (dirty !== null) this.#remove(dirty, true);
  }

  #remove(inode: Inode, dirty: boolean): void {
    this.#byId.delete(inode.id);
    this.#byHandle.delete(inode.handle.toString('latin1'));
    this.#evicted += 1;
    if (dirty) this.#evictedDirty += 1;
  }

  clear(): void {
    this.#byId.clear();
    this.#byHandle.clear();
    this.#loading.clear();
    this.#overtaken.clear();
  }
}

/** The object grows older while the medium is asked. */
function snapshot(pending: PendingObject | null): PendingObject | null {
  if (pending === null) return null;
  const { exactBytes, leastBytes, timeNs } = pending;
  return { exactBytes, leastBytes, timeNs };
}

/** A handle that was good once names what is gone: whatever the medium says of it. */
function notThere(fault: Fault): Failure {
  const failure = failureOf(fault);
  return failure === NfsStatus.noent ? NfsStatus.stale : failure;
}

/**
 * One object as clients see it: what the medium has of it, with the acknowledged but undestaged changes laid over. What is
 * not acknowledged is never shown (trap T1): modifications wait here in their order, and change the attributes when they
 * are acknowledged, each between a `before` and an `after` that are exact (wcc data), since nothing comes in between.
 */
import { assert, type Fault } from '../../base/fault.ts';
import { NO_BYTES } from '../../base/operation.ts';
import type { ModifyRequest, PendingObject, VolumeService } from '../../ports/service.ts';
import type { Attributes, ObjectId, ObjectType } from '../../ports/tree.ts';
import type { Fattr3, WccBefore } from '../../wire/nfs/types.ts';

/** A time so far ahead of the clock is one that a client set, not another server's clock that runs ahead: 10 minutes. */
const CLOCK_MARGIN_NS = 600_000_000_000n;
/**
 * Destaging moves the medium's ctime: one so shortly behind mtime is taken for the destage of the write that set the mtime,
 * and the mtime is shown for it, as it was before the inode was evicted or taken over. A change of mode or owner so shortly
 * behind a write is taken for one, too: after eviction or takeover, its ctime is the write's again.
 */
const DESTAGE_NS = 2_000_000_000n;
const BLOCK_BYTES = 4096;

export class Inode implements Fattr3 {
  readonly id: ObjectId;
  readonly handle: Buffer;
  readonly fsid: bigint;
  readonly type: ObjectType;
  readonly major: number;
  readonly minor: number;
  readonly fileNumber: bigint;
  mode: number;
  links: number;
  uid: number;
  gid: number;
  sizeBytes: number;
  usedBytes: number;
  atimeNs: bigint;
  mtimeNs: bigint;
  ctimeNs: bigint;

  /** Who holds on to it: it is not evicted meanwhile. */
  pins = 0;
  /** Looked at since the cache last looked for somebody to evict. */
  recent = true;
  /** The object is gone: every handle of it is stale. */
  stale = false;
  /** `usedBytes` is what bytes on their way to the medium will take at most; not what the medium says. */
  usedIsEstimate = false;
  /** Grows with every change of size downwards: a READ that ran beside one has read something that never was. */
  truncations = 0;
  /** Grows with every change that is shown: who sees no other than its own in between knows before and after exactly. */
  changes = 0;
  /** Changes of this directory's names that have begun, and that are under way: what was looked up meanwhile is not kept. */
  #namesChanged = 0;
  #namesChanging = 0;
  /** The newest time that this object was given by this server, or found with. */
  #latestNs: bigint;
  #asked = 0;
  #shown = 0;
  #first: Modification | null = null;
  #last: Modification | null = null;
  readonly #whenSettled: (() => void)[] = [];
  /** Set while a SETATTR must be alone with the file: who waits for its end. */
  #frozen: (() => void)[] | null = null;

  constructor(
    id: ObjectId,
    handle: Buffer,
    fsid: bigint,
    found: Attributes,
    pending: PendingObject | null,
    nowNs: bigint,
  ) {
    this.id = id;
    this.handle = handle;
    this.fsid = fsid;
    this.type = found.type;
    this.major = found.major;
    this.minor = found.minor;
    this.fileNumber = found.fileNumber;
    this.mode = found.mode;
    this.links = found.links;
    this.uid = found.uid;
    this.gid = found.gid;
    this.usedBytes = found.usedBytes;
    this.atimeNs = found.atimeNs;
    this.sizeBytes = found.sizeBytes;
    this.mtimeNs = found.mtimeNs;
    this.ctimeNs = found.ctimeNs;
    if (pending !== null) this.#overlay(pending, nowNs);
    else if (this.type === 'file' && this.ctimeNs > this.mtimeNs && this.ctimeNs - this.mtimeNs < DESTAGE_NS)
      this.ctimeNs = this.mtimeNs;
    this.#latestNs = found.ctimeNs > this.ctimeNs ? found.ctimeNs : this.ctimeNs;
    if (this.mtimeNs > this.#latestNs && this.mtimeNs < nowNs + CLOCK_MARGIN_NS) this.#latestNs = this.mtimeNs;
  }

  #overlay(pending: PendingObject, nowNs: bigint): void {
    this.sizeBytes = pending.exactBytes ?? Math.max(this.sizeBytes, pending.leastBytes);
    this.mtimeNs = pending.timeNs;
    this.usedIsEstimate = true;
    if (pending.timeNs > this.ctimeNs && pending.timeNs < nowNs + CLOCK_MARGIN_NS) this.ctimeNs = pending.timeNs;
    // The medium may know none of its blocks yet, and a file without blocks is taken for one hole by some archivers.
    this.usedBytes = Math.max(this.usedBytes, Math.min(this.sizeBytes, BLOCK_BYTES));
  }

  /** What a client compares with its cache before it takes over a change. */
  get before(): WccBefore {
    return { sizeBytes: this.sizeBytes, mtimeNs: this.mtimeNs, ctimeNs: this.ctimeNs };
  }

  /** The attributes as they are now: what is shown later may be newer than the change that is answered. */
  shown(): Fattr3 {
    const { type, mode, links, uid, gid, sizeBytes, usedBytes, major, minor, fileNumber, fsid } = this;
    const { atimeNs, mtimeNs, ctimeNs } = this;
    return {
      type,
      mode,
      links,
      uid,
      gid,
      sizeBytes,
      usedBytes,
      major,
      minor,
      fileNumber,
      fsid,
      atimeNs,
      mtimeNs,
      ctimeNs,
    };
  }

  /** A time for a change that is made now: later than any that the object had. */
  nextTimeNs(nowNs: bigint): bigint {
    this.#latestNs = nowNs > this.#latestNs ? nowNs : this.#latestNs + 1n;
    return this.#latestNs;
  }

  // ---- changes of bytes, size, mtime: through the log

  /** Submits a modification; it is `settled` in the order of submission. */
  submit(service: VolumeService, modification: Modification): void {
    this.pins += 1;
    if (this.#last === null) this.#first = modification;
    else this.#last.next = modification;
    this.#last = modification;
    service.submit(modification);
  }

  /** Something was answered: what is answered without a gap from the oldest on takes effect. */
  settle(): void {
    for (let head = this.#first; head !== null && head.ended; head = this.#first) {
      this.#first = head.next;
      if (this.#first === null) this.#last = null;
      this.pins -= 1;
      assert(this.pins >= 0, 'an inode is let go as often as it was held');
      const before = this.before;
      if (head.fault === null) this.#apply(head);
      head.settled(head.fault, before);
    }
    if (this.#first === null) for (const then of this.#whenSettled.splice(0)) then();
  }

  #apply({ kind, offset, length, timeNs, changedNs }: Modification): void {
    this.changes += 1;
    this.mtimeNs = timeNs;
    // Something else may have changed it since the modification was submitted.
    this.ctimeNs = later(changedNs, this.ctimeNs + 1n);
    this.usedIsEstimate = true;
    if (kind === 'write') {
      const end = offset + length;
      if (end > this.sizeBytes) this.sizeBytes = end;
      this.usedBytes = Math.min(blocks(this.sizeBytes), this.usedBytes + blocks(length));
    } else if (kind === 'truncate') {
      if (offset < this.sizeBytes) this.truncations += 1;
      this.sizeBytes = offset;
      this.usedBytes = Math.min(this.usedBytes, blocks(offset));
    }
  }

  /** Nothing of this front end's is on its way to the log. */
  get settledAll(): boolean {
    return this.#first === null;
  }

  /** Resolves when nothing is on its way any more. */
  settled(): Promise<void> {
    return this.#first === null ? Promise.resolve() : new Promise((resolve) => this.#whenSettled.push(resolve));
  }

  // ---- a SETATTR that is alone with the file

  get isFrozen(): boolean {
    return this.#frozen !== null;
  }

  /** Reads and writes wait from now on until `thaw`. */
  freeze(): void {
    assert(this.#frozen === null, 'a lock keeps two from freezing a file');
    this.#frozen = [];
    this.pins += 1;
  }

  /** `then` is called at the thaw. */
  whenThawed(then: () => void): void {
    assert(this.#frozen !== null, 'only a frozen file thaws');
    this.#frozen.push(then);
  }

  thaw(): void {
    const waiting = this.#frozen;
    assert(waiting !== null, 'only a frozen file thaws');
    this.#frozen = null;
    this.pins -= 1;
    for (const then of waiting) then();
  }

  // ---- changes of everything else: on the medium

  /** To be taken before one of this directory's names is asked for: equal only when no change ran meanwhile; null: one runs. */
  get namesMark(): number | null {
    return this.#namesChanging > 0 ? null : this.#namesChanged;
  }

  beginNameChange(): void {
    this.#namesChanged += 1;
    this.#namesChanging += 1;
    this.pins += 1;
  }

  endNameChange(): void {
    this.#namesChanging -= 1;
    this.pins -= 1;
  }

  /** To be called when the medium is asked for attributes; goes into `refresh`. */
  ask(): number {
    this.#asked += 1;
    return this.#asked;
  }

  /** Nobody has asked since. */
  isNewest(ticket: number): boolean {
    return ticket === this.#asked;
  }

  /**
   * Takes over what the medium says after a change on it. The times grow with every change: two within one tick of the
   * medium's clock would otherwise look like one, and a client that saw the first keep what the second made void.
   * @param ticket of `ask`: an answer that was overtaken by a later question's is not taken over
   * @param change what was changed: names in a directory, attributes, or (null) nothing of this object
   */
  refresh(found: Attributes, ticket: number, change: 'names' | 'attributes' | null, nowNs: bigint): void {
    if (ticket > this.#shown) {
      this.#shown = ticket;
      this.mode = found.mode;
      this.links = found.links;
      this.uid = found.uid;
      this.gid = found.gid;
      this.atimeNs = found.atimeNs;
      if (this.type !== 'file') {
        this.sizeBytes = found.sizeBytes;
        this.usedBytes = found.usedBytes;
        if (change === 'attributes') this.mtimeNs = found.mtimeNs;
      }
      if (this.links === 0) this.stale = true;
    }
    if (change === null) return;
    this.changes += 1;
    const ctimeNs = this.type === 'file' ? this.nextTimeNs(nowNs) : found.ctimeNs;
    this.ctimeNs = later(ctimeNs, this.ctimeNs + 1n);
    if (change === 'names') this.mtimeNs = later(found.mtimeNs, this.mtimeNs + 1n);
    this.#latestNs = later(this.#latestNs, this.ctimeNs);
  }
}

const blocks = (bytes: number): number => Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;
const later = (a: bigint, b: bigint): bigint => (a > b ? a : b);

/** A change of a file's bytes, size or mtime on its way. Never cancelled: what becomes of it is part of the attributes. */
export abstract class Modification implements ModifyRequest {
  readonly kind: 'write' | 'truncate' | 'stamp';
  readonly inode: Inode;
  readonly offset: number;
  readonly length: number;
  readonly timeNs: bigint;
  /** The ctime that it leads to. */
  readonly changedNs: bigint;
  readonly data: Buffer;
  readonly cancelled = false;
  next: Modification | null = null;
  ended = false;
  fault: Fault | null = null;

  constructor(
    inode: Inode,
    kind: 'write' | 'truncate' | 'stamp',
    offset: number,
    data: Buffer,
    timeNs: bigint,
    changedNs: bigint,
  ) {
    this.inode = inode;
    this.kind = kind;
    this.offset = offset;
    this.length = data.length;
    this.data = data;
    this.timeNs = timeNs;
    this.changedNs = changedNs;
  }

  get target(): ObjectId {
    return this.inode.id;
  }

  done(fault: Fault | null): void {
    assert(!this.ended, 'a modification is answered once');
    this.ended = true;
    this.fault = fault;
    this.inode.settle();
  }

  /** It has taken effect, and so has all that was submitted before it; or it failed and changed nothing. */
  abstract settled(fault: Fault | null, before: WccBefore): void;
}

/** A change of size or mtime that somebody awaits. */
export class AwaitedModification extends Modification {
  readonly #resolve: (fault: Fault | null) => void;

  constructor(
    inode: Inode,
    kind: 'truncate' | 'stamp',
    sizeBytes: number,
    timeNs: bigint,
    changedNs: bigint,
    resolve: (fault: Fault | null) => void,
  ) {
    super(inode, kind, sizeBytes, NO_BYTES, timeNs, changedNs);
    this.#resolve = resolve;
  }

  settled(fault: Fault | null): void {
    this.#resolve(fault);
  }
}

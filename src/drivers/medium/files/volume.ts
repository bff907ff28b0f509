/**
 * An open files volume: the bytes of its objects, written, read and synced by their ids, and its tree (tree.ts). An object
 * that was removed takes modifications without effect, so that what is in the log for it does not hold up what follows.
 *
 * `sync` makes stable what was touched since the last good one: the touched files one by one while they are few, side by
 * side, else the whole file system. After a failed sync everything counts as touched, until one has succeeded.
 */
import { close } from 'node:fs';
import { type Done, Fault, type Result } from '../../../base/fault.ts';
import type { Extent, MediumAbilities, MediumVolume } from '../../../ports/medium.ts';
import { REPLIES, type MediumTree, type ObjectId } from '../../../ports/tree.ts';
import { type CachedRead, readCached } from '../../linux/cached-read.ts';
import { codeOf, ErrorNumber, faultOfErrno } from '../../linux/errno.ts';
import { type Call, READ_BYTES_MAX, WriteCall, ReadCall } from '../raw-calls.ts';
import { ExtentsCall } from '../raw-ranges.ts';
import { CallQueue } from './call-queue.ts';
import type { Committer } from './committer.ts';
import type { Crew } from './crew.ts';
import { ObjectZeroCall, ResizeCall } from './object-calls.ts';
import { type OpenObject, OpenObjects } from './open-objects.ts';
import { StampCall } from './stamp-call.ts';
import { Touched } from './touched.ts';
import { FilesTree } from './tree.ts';
import { treeFault } from './tree-fault.ts';
import type { TreeLimits } from '../../../ports/tree.ts';

/** Reads up to this size are tried in the kernel's cache first, on this thread. */
const CACHED_READ_BYTES_MAX = 64 << 10;
/** Writes up to this size go with others of their turn in one call. */
const BATCHED_WRITE_BYTES_MAX = 64 << 10;

export interface FilesVolumeParts {
  /** For messages: the volume's directory. */
  readonly path: string;
  readonly crew: Crew;
  readonly committer: Committer;
  readonly secret: Buffer;
  readonly limits: TreeLimits;
  readonly rootId: ObjectId;
  readonly rootFd: number;
  readonly newFd: number;
  readonly repliesFd: number;
  readonly punch: boolean;
  /** Other machines write to the medium too. */
  readonly shared: boolean;
}

/** What is done with an object once it is open. */
type Use = (object: OpenObject) => void;
/** Why it could not be opened; null: it was removed. */
type Unused = (fault: Fault | null) => void;

export class FilesVolume implements MediumVolume {
  readonly abilities: MediumAbilities;
  readonly #parts: FilesVolumeParts;
  readonly #tree: FilesTree;
  readonly #open: OpenObjects;
  readonly #queue: CallQueue;
  readonly #touched: Touched;
  /** Who waits for an object that is being opened. */
  readonly #opening = new Map<ObjectId, { readonly use: Use; readonly unused: Unused }[]>();
  #readsCached = true;
  /** Everything on its way: calls on the tree, objects being opened, syncs, calls on bytes. */
  #out = 0;
  #closing: Done[] | null = null;
  #closed = false;

  constructor(parts: FilesVolumeParts) {
    this.#parts = parts;
    this.abilities = { punch: parts.punch, reserve: false, extents: true, generations: false };
    this.#open = new OpenObjects({
      path: parts.path,
      syncsRanges: parts.shared,
      returned: this.#returned,
      closeMany: (fds, done) => {
        this.#out += 1;
        parts.crew.ask('close', { fds }, () => {
          this.#left();
          done();
        });
      },
    });
    this.#queue = new CallQueue(!parts.shared);
    this.#touched = new Touched(this.#open, parts.rootFd);
    // Held for good, so it is never closed for want of use.
    this.#replies = this.#open.adopt(REPLIES, parts.repliesFd, 'file');
    this.#tree = new FilesTree({
      ...parts,
      open: this.#open,
      refusal: () => this.#refusal(),
      entered: () => {
        this.#out += 1;
      },
      left: () => this.#left(),
    });
  }
  readonly #replies: OpenObject;

  get tree(): MediumTree {
    return this.#tree;
  }

  sizeBytes(_target: string): number {
    return this.#parts.limits.largestFileBytes;
  }

  read(target: string, offset: number, length: number, done: Result<Buffer>): void {
    const refusal = this.#refusal() ?? this.#outside(offset, length);
    if (refusal !== null) return process.nextTick(done, refusal, null);
    if (length > READ_BYTES_MAX)
      return process.nextTick(done, new Fault('refused', 'One read takes 1 GiB at most.'), null);
    const use = (object: OpenObject): void => {
      if (!this.#readsCached || length > CACHED_READ_BYTES_MAX)
        return this.#run(object, new ReadCall(object, offset, length, true, done));
      const buffer = Buffer.allocUnsafe(length);
      const outcome: CachedRead = readCached(object.fd, buffer, offset);
      if (outcome === 'read') {
        this.#open.release(object);
        return process.nextTick(done, null, buffer);
      }
      if (outcome === 'unsupported') this.#readsCached = false;
      this.#run(object, new ReadCall(object, offset, length, true, done));
    };
    this.#with(target, use, (fault) => done(fault ?? this.#missing(target), null));
  }

  write(target: string, offset: number, data: readonly Buffer[], done: Done): void {
    let length = 0;
    for (const piece of data) length += piece.length;
    const refusal = this.#refusal() ?? this.#outside(offset, length);
    if (refusal !== null) return process.nextTick(done, refusal);
    const use = (object: OpenObject): void => {
      const call = new WriteCall(object, offset, data, length, this.#modified(object, done));
      if (data.length === 1 && length <= BATCHED_WRITE_BYTES_MAX) this.#gather(object, call);
      else this.#run(object, call);
    };
    this.#with(target, use, done);
  }

  zero(target: string, offset: number, length: number, punch: boolean, done: Done): void {
    const refusal = this.#refusal() ?? this.#outside(offset, length);
    if (refusal !== null) return process.nextTick(done, refusal);
    const use = (object: OpenObject): void => {
      const punches = punch && this.abilities.punch;
      this.#run(object, new ObjectZeroCall(object, offset, length, punches, this.#modified(object, done)));
    };
    this.#with(target, use, done);
  }

  resize(target: string, sizeBytes: number, done: Done): void {
    const isSize = Number.isSafeInteger(sizeBytes) && sizeBytes >= 0 && sizeBytes <= this.sizeBytes(target);
    const refusal = this.#refusal() ?? (isSize ? null : new Fault('refused', `No object has ${sizeBytes} bytes.`));
    if (refusal !== null) return process.nextTick(done, refusal);
    const use = (object: OpenObject): void =>
      this.#run(object, new ResizeCall(object, sizeBytes, this.#modified(object, done)));
    this.#with(target, use, done);
  }

  stamp(target: string, timeNs: bigint, done: Done): void {
    const refusal = this.#refusal();
    if (refusal !== null) return process.nextTick(done, refusal);
    const use = (object: OpenObject): void =>
      this.#run(object, new StampCall(this.#parts.crew, object, timeNs, this.#modified(object, done)));
    this.#with(target, use, done);
  }

  sync(done: Done): void {
    const refusal = this.#refusal();
    if (refusal !== null) return process.nextTick(done, refusal);
    this.#out += 1;
    this.#touched.sync((errno) => {
      this.#left();
      done(errno === 0 ? null : faultOfErrno(errno, `Syncing ${this.#parts.path}`));
    });
  }

  /** Room cannot be held for objects that are not there yet: who accepts writes asks the tree for its usage. */
  reserve(_target: string, offset: number, length: number, done: Done): void {
    process.nextTick(done, this.#refusal() ?? this.#outside(offset, length));
  }

  extents(target: string, offset: number, length: number, done: Result<readonly Extent[]>): void {
    const refusal = this.#refusal() ?? this.#outside(offset, length);
    if (refusal !== null) return process.nextTick(done, refusal, null);
    const use = (object: OpenObject): void => this.#run(object, new ExtentsCall(object, offset, length, done));
    this.#with(target, use, (fault) => done(fault ?? this.#missing(target), null));
  }

  close(done: Done): void {
    if (this.#closed) return process.nextTick(done, null);
    if (this.#closing !== null) return void this.#closing.push(done);
    this.#closing = [done];
    this.#out += 1;
    process.nextTick(() => this.#left());
  }

  /** The target, open and held; opens it where that is needed. Neither is called from within but for one that is open. */
  #with(target: string, use: Use, unused: Unused): void {
    const object = this.#open.hold(target);
    if (object !== null && object.type === 'file') return use(object);
    if (object !== null) {
      this.#open.release(object);
      return process.nextTick(unused, this.#noFile(target));
    }
    const waiting = this.#opening.get(target);
    if (waiting !== undefined) return void waiting.push({ use, unused });
    this.#opening.set(target, [{ use, unused }]);
    this.#out += 1;
    this.#parts.crew.ask('open', { id: target }, (errno, answer) => {
      const users = this.#opening.get(target) ?? [];
      this.#opening.delete(target);
      const opened = answer === null ? null : this.#open.adopt(target, answer.opened, this.#openType(answer.type));
      for (const user of users) {
        if (opened === null || opened.type !== 'file') user.unused(this.#whyUnused(target, errno));
        else {
          opened.holders += 1;
          user.use(opened);
        }
      }
      if (opened !== null) this.#open.release(opened);
      this.#left();
    });
  }

  #openType(type: string): 'file' | 'directory' {
    return type === 'directory' ? 'directory' : 'file';
  }

  /** Null when the object was removed: then nothing is wrong. */
  #whyUnused(target: string, errno: number): Fault | null {
    if (errno === ErrorNumber.ESTALE) return null;
    if (errno === 0 || errno === ErrorNumber.ENOTDIR) return this.#noFile(target);
    return treeFault(errno, `Opening the object ${target} of ${this.#parts.path}`);
  }

  #noFile(target: string): Fault {
    return new Fault('refused', `The object ${target} of ${this.#parts.path} is no file.`);
  }

  #missing(target: string): Fault {
    return new Fault('missing', `The object ${target} of ${this.#parts.path} was removed.`);
  }

  /** What is to happen when a modification of the object has returned. */
  #modified(object: OpenObject, done: Done): Done {
    this.#tree.enter(object.id);
    object.holders += 1;
    return (fault) => {
      this.#tree.leave(object.id);
      // Not before: a sync that is on its way by then does not cover it.
      this.#touched.add(object);
      this.#open.release(object);
      // Where the medium is a network's file system, it may tell only now that the object was removed.
      done(fault !== null && isStale(fault) ? null : fault);
    };
  }

  #run(object: OpenObject, call: Call): void {
    this.#out += 1;
    this.#queue.run(object, call);
  }

  #gather(object: OpenObject, call: WriteCall): void {
    this.#out += 1;
    this.#queue.gather(object, call);
  }

  readonly #returned = (object: OpenObject): void => {
    this.#open.release(object);
    this.#queue.returned();
    this.#left();
  };

  #left(): void {
    this.#out -= 1;
    if (this.#out > 0 || this.#closing === null || this.#closed) return;
    this.#closed = true;
    // What has returned is told to its asker before the close is.
    setImmediate(() => this.#close());
  }

  #close(): void {
    const waiting = this.#closing ?? [];
    this.#open.end();
    this.#touched.forget();
    this.#open.release(this.#replies);
    this.#queue.release();
    this.#parts.committer.release();
    this.#parts.crew.end(() =>
      this.#open.closeAll(() =>
        close(this.#parts.newFd, () =>
          close(this.#parts.rootFd, () => {
            for (const done of waiting) done(null);
          }),
        ),
      ),
    );
  }

  #refusal(): Fault | null {
    return this.#closing === null ? null : new Fault('refused', `The volume ${this.#parts.path} is closed.`);
  }

  #outside(offset: number, length: number): Fault | null {
    const largest = this.#parts.limits.largestFileBytes;
    const end = offset + length;
    if (Number.isSafeInteger(end) && Number.isInteger(offset) && offset >= 0 && length > 0 && end <= largest)
      return null;
    const range = `${length} bytes from ${offset}`;
    return new Fault(
      'refused',
      `${range} do not lie within the ${largest} bytes that an object of ${this.#parts.path} may have.`,
    );
  }
}

function isStale(fault: Fault): boolean {
  const { cause } = fault;
  return typeof cause === 'object' && cause !== null && 'code' in cause && cause.code === codeOf(ErrorNumber.ESTALE);
}

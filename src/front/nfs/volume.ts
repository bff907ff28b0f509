/**
 * A files volume as its procedures see it: what is known of its tree, and the few steps that all of them are made of.
 * A step returns what it was asked for or the failure that the request ends with.
 */
import { Fault } from '../../base/fault.ts';
import type { VolumeService } from '../../ports/service.ts';
import type { AttributeChange, ObjectId, TreeLimits } from '../../ports/tree.ts';
import { NfsStatus } from '../../wire/nfs/types.ts';
import type { WccBefore, WccData } from '../../wire/nfs/types.ts';
import { DirectoryNames } from './directory-names.ts';
import { failureOf, isFailure, isTrouble, type Failure } from './faults.ts';
import type { Handles } from './handles.ts';
import { AwaitedModification, type Inode } from './inode.ts';
import { Inodes } from './inodes.ts';
import { Locks } from './locks.ts';
import { isDot, isDotDot, nameError } from './name-rules.ts';
import { NFS_MAX_PAYLOAD_BYTES } from './limits.ts';
import { AuthorityCall, crash } from './on-tree.ts';
import type { Calls, Tree } from './on-tree.ts';
import type { NfsExport } from './program.ts';
import { Ring } from './replies/ring.ts';
import type { Scope } from './scope.ts';

/** How much of a volume's tree is kept in memory. */
export interface CacheLimits {
  /** Inodes: about 600 bytes each. */
  readonly inodes: number;
  /** Names of directories: about 200 bytes each. */
  readonly names: number;
}

export interface VolumeParts {
  readonly service: VolumeService;
  readonly calls: Calls;
  readonly handles: Handles;
  readonly exported: NfsExport;
  /** What the medium's tree can. */
  readonly limits: TreeLimits;
  /** Unique to this opening of the volume. */
  readonly verifier: bigint;
  /** The owner's wall clock. */
  readonly nowNs: () => bigint;
  readonly caches: CacheLimits;
}

export class Volume {
  readonly service: VolumeService;
  readonly calls: Calls;
  readonly handles: Handles;
  readonly exported: NfsExport;
  readonly limits: TreeLimits;
  readonly verifier: bigint;
  readonly nowNs: () => bigint;
  readonly inodes: Inodes;
  readonly names: DirectoryNames;
  readonly locks = new Locks();
  readonly ring: Ring;

  constructor(parts: VolumeParts) {
    this.service = parts.service;
    this.calls = parts.calls;
    this.handles = parts.handles;
    this.exported = parts.exported;
    this.limits = parts.limits;
    this.verifier = parts.verifier;
    this.nowNs = parts.nowNs;
    this.inodes = new Inodes(parts.service, parts.calls, parts.handles, parts.nowNs, parts.caches.inodes);
    this.names = new DirectoryNames(parts.caches.names);
    this.ring = new Ring(parts.service, parts.nowNs);
  }

  /** Nothing is known any more. */
  clear(): void {
    this.inodes.clear();
    this.names.clear();
  }

  // ---- looking

  /** The object of a handle. */
  async object(handle: Buffer, scope: Scope): Promise<Inode | Failure> {
    const inode = await this.inodes.ofHandle(handle);
    return isFailure(inode) ? inode : scope.hold(inode);
  }

  /** The object of an id. */
  async ofId(id: ObjectId, scope: Scope): Promise<Inode | Failure> {
    const inode = await this.inodes.ofId(id);
    return isFailure(inode) ? inode : scope.hold(inode);
  }

  /** The directory of a handle. */
  async directory(handle: Buffer, scope: Scope): Promise<Inode | Failure> {
    const inode = await this.object(handle, scope);
    if (isFailure(inode)) return inode;
    return inode.type === 'directory' ? inode : NfsStatus.notdir;
  }

  nameError(name: Buffer): Failure | null {
    return nameError(name, this.limits.nameBytes);
  }

  /** The object of that name, or null when the name is free. Permissions are the caller's matter. */
  async lookup(directory: Inode, name: Buffer, scope: Scope): Promise<Inode | Failure | null> {
    if (isDot(name)) return directory;
    const parent = isDotDot(name);
    const known = parent ? undefined : this.names.get(directory, name);
    if (known === null) return null;
    if (known !== undefined) {
      const inode = await this.ofId(known, scope);
      if (inode !== NfsStatus.stale) return inode;
      this.names.forget(directory, name);
    }
    const { namesMark } = directory;
    const { mark } = this.inodes;
    const found = await this.calls.look((tree) => tree.lookup(directory.id, name));
    if (found instanceof Fault) {
      const failure = failureOf(found);
      if (failure !== NfsStatus.noent) return this.goneOr(directory, failure);
      this.names.keep(directory, name, null, namesMark);
      return null;
    }
    if (!parent) this.names.keep(directory, name, found.id, namesMark);
    const inode = await this.inodes.found(found, mark);
    return isFailure(inode) ? inode : scope.hold(inode);
  }

  /** A failure that met an operation on `inode`: when the object is gone, that is remembered. */
  goneOr(inode: Inode, failure: Failure): Failure {
    if (failure === NfsStatus.stale) inode.stale = true;
    return failure;
  }

  /** Calls `then` with null when an answer may be given from what is known here; else with how the request ends. */
  whenAuthorised(then: (failure: Failure | null) => void): void {
    this.service.submit(new AuthorityCall((fault) => then(fault === null ? null : failureOf(fault))));
  }

  /** Of one READ or WRITE. */
  get payloadBytes(): { readonly read: number; readonly write: number } {
    return { read: NFS_MAX_PAYLOAD_BYTES, write: Math.min(NFS_MAX_PAYLOAD_BYTES, this.service.maxRequestBytes) };
  }

  get largestFileBytes(): number {
    return this.limits.largestFileBytes;
  }

  /** Locks the name. */
  nameKey(directory: Inode, name: Buffer): string {
    return `${directory.id}/${name.toString('latin1')}`;
  }

  /** Locks the object's attributes; sorted behind no name of a directory that is locked with it. */
  objectKey(inode: Inode): string {
    return `${inode.id}//`;
  }

  /**
   * The room that a file takes is estimated while data are on their way to the medium. Once they have arrived, the medium
   * is asked, in passing: who asks next is told.
   */
  freshenUsed(inode: Inode): void {
    if (!inode.usedIsEstimate || !inode.settledAll || this.service.pending(inode.id) !== null) return;
    const { changes } = inode;
    inode.pins += 1;
    inode.usedIsEstimate = false;
    void this.calls
      .once((tree) => tree.attributes(inode.id))
      .then((found) => {
        inode.pins -= 1;
        if (inode.changes !== changes) inode.usedIsEstimate = true;
        else if (!(found instanceof Fault)) inode.usedBytes = found.usedBytes;
      }, crash);
  }

  // ---- changing

  /** Cuts or extends a file to `sizeBytes`. */
  truncate(file: Inode, sizeBytes: number): Promise<Fault | null> {
    const timeNs = file.nextTimeNs(this.nowNs());
    return this.#modify(file, 'truncate', sizeBytes, timeNs, timeNs);
  }

  /** Sets a file's mtime. */
  stamp(file: Inode, timeNs: bigint): Promise<Fault | null> {
    return this.#modify(file, 'stamp', 0, timeNs, file.nextTimeNs(this.nowNs()));
  }

  #modify(
    file: Inode,
    kind: 'truncate' | 'stamp',
    size: number,
    timeNs: bigint,
    changedNs: bigint,
  ): Promise<Fault | null> {
    return new Promise((resolve) => {
      file.submit(this.service, new AwaitedModification(file, kind, size, timeNs, changedNs, resolve));
    });
  }

  /**
   * Asks for the attributes of `inode` after a change on the medium; to be used within the call that made the change.
   * What it returns takes them over. A fault: the medium is in trouble, and what is known is no longer so.
   */
  async refreshed(tree: Tree, inode: Inode): Promise<Refresh | Fault> {
    const ticket = inode.ask();
    const found = await tree.attributes(inode.id);
    if (found instanceof Fault && isTrouble(found)) return found;
    return (change) => {
      if (!(found instanceof Fault)) inode.refresh(found, ticket, change, this.nowNs());
      else if (failureOf(found) === NfsStatus.stale || failureOf(found) === NfsStatus.noent) inode.stale = true;
    };
  }

  /** `refreshed` for each object that the change touched, one after the other; null stays null. */
  async refreshedEach<T extends Readonly<Record<string, Inode | null>>>(
    tree: Tree,
    inodes: T,
  ): Promise<{ readonly [K in keyof T]: T[K] extends Inode ? Refresh : Refresh | null } | Fault> {
    const refreshes: Record<string, Refresh | null> = {};
    for (const [key, inode] of Object.entries(inodes)) {
      const refresh = inode === null ? null : await this.refreshed(tree, inode);
      if (refresh instanceof Fault) return refresh;
      refreshes[key] = refresh;
    }
    return refreshes as { [K in keyof T]: T[K] extends Inode ? Refresh : Refresh | null };
  }

  /**
   * Changes attributes on the medium, within a call. Who asked meanwhile may have read them before the change, and be told
   * later than this: then they are asked for once more, so that what is shown last has the change in it.
   */
  async changeAttributes(tree: Tree, inode: Inode, change: AttributeChange): Promise<Refresh | Fault> {
    const ticket = inode.ask();
    const found = await tree.change(inode.id, change);
    if (found instanceof Fault) return found;
    if (!inode.isNewest(ticket)) return this.refreshed(tree, inode);
    return (why) => inode.refresh(found, ticket, why, this.nowNs());
  }

  /** The same in a call of its own: something was changed that nobody knew of. */
  async changedBefore(inode: Inode, change: 'names' | 'attributes'): Promise<void> {
    const refresh = await this.calls.look((tree) => this.refreshed(tree, inode));
    if (!(refresh instanceof Fault)) refresh(change);
  }
}

/** Takes over attributes, knowing what was changed of the object. */
export type Refresh = (change: 'names' | 'attributes' | null) => void;

/** wcc data of an object that is as it was. */
export function unchanged(inode: Inode | Failure): WccData {
  if (isFailure(inode) || inode.stale) return NO_WCC;
  return { before: inode.before, after: inode.shown() };
}

/** wcc data of an object that changed since it was `before`. */
export function wccSince(before: WccBefore, inode: Inode): WccData {
  return { before, after: inode.stale ? null : inode.shown() };
}

export const NO_WCC: WccData = { before: null, after: null };

/**
 * A tree of files in memory behind the port `MediumTree`: what the NFS front end is tried against without a disk. Plain on
 * purpose: a map of nodes, names in maps, POSIX's rules where the port leaves them to the medium. It knows no permissions.
 */
import { assert, Fault } from '../src/base/fault.ts';
import type { Done, Result } from '../src/base/fault.ts';
import { TreeFault } from '../src/ports/tree.ts';
import type {
  AttributeChange,
  Attributes,
  Creation,
  DirectoryEntry,
  Listing,
  MediumTree,
  ObjectId,
  ObjectType,
  TreeLimits,
  TreeObject,
  Usage,
} from '../src/ports/tree.ts';

interface Node {
  readonly id: ObjectId;
  readonly type: ObjectType;
  readonly fileNumber: bigint;
  readonly to: Buffer;
  readonly major: number;
  readonly minor: number;
  /** Of a directory: names (latin1) in the order of their cookies. */
  readonly names: Map<string, { readonly id: ObjectId; readonly cookie: bigint }>;
  parent: ObjectId;
  data: Buffer;
  mode: number;
  uid: number;
  gid: number;
  links: number;
  atimeNs: bigint;
  mtimeNs: bigint;
  ctimeNs: bigint;
}

export interface MemoryTreeOptions {
  /** The medium's clock, ns. Default: one that grows by a millisecond with every look. */
  readonly nowNs?: () => bigint;
  readonly limits?: Partial<TreeLimits>;
  /** Whose everything is when nobody is named. */
  readonly uid?: number;
}

const LIMITS: TreeLimits = { largestFileBytes: 2 ** 44 - 4096, nameBytes: 255, links: 100, changesOwners: true };
const BLOCK_BYTES = 4096;

export class MemoryTree implements MediumTree {
  readonly secret = Buffer.alloc(32, 7);
  readonly limits: TreeLimits;
  readonly nodes = new Map<ObjectId, Node>();
  readonly rootId: ObjectId;
  /** Calls made, by name; and those that succeeded, in order. */
  readonly counts = new Map<string, number>();
  readonly succeeded: string[] = [];
  usageNow: Usage = {
    totalBytes: 1 << 30,
    freeBytes: 1 << 29,
    availableBytes: 1 << 28,
    totalObjects: 1000,
    freeObjects: 900,
  };
  readonly #nowNs: () => bigint;
  readonly #uid: number;
  #numbers = 0;
  #cookies = 0n;
  readonly #faults: { readonly of: string; readonly fault: Fault; readonly done: boolean }[] = [];

  constructor(options: MemoryTreeOptions = {}) {
    let tick = 1_700_000_000_000_000_000n;
    this.#nowNs = options.nowNs ?? (() => (tick += 1_000_000n));
    this.#uid = options.uid ?? 0;
    this.limits = { ...LIMITS, ...options.limits };
    const root = this.#make('directory', { type: 'directory', attributes: { ...NO_CHANGE, mode: 0o755 } });
    root.links = 2;
    root.parent = root.id;
    this.rootId = root.id;
  }

  /** The next call of that name fails; `done`: it is carried out all the same. */
  failNext(of: string, fault: Fault, done = false): void {
    this.#faults.push({ of, fault, done });
  }

  node(id: ObjectId): Node {
    const node = this.nodes.get(id);
    if (node === undefined) throw new TreeFault('ESTALE', `there is no object ${id}`);
    return node;
  }

  // ---- the port

  root(done: Result<TreeObject>): void {
    this.#later('root', done, () => objectOf(this.node(this.rootId)));
  }

  attributes(id: ObjectId, done: Result<Attributes>): void {
    this.#later('attributes', done, () => attributesOf(this.node(id)));
  }

  lookup(directory: ObjectId, name: Buffer, done: Result<TreeObject>): void {
    this.#later('lookup', done, () => {
      const parent = this.#directory(directory);
      if (name.equals(Buffer.from('.'))) return objectOf(parent);
      if (name.equals(Buffer.from('..'))) return objectOf(this.node(parent.parent));
      const entry = parent.names.get(name.toString('latin1'));
      if (entry === undefined) throw new TreeFault('ENOENT', 'there is no such name');
      return objectOf(this.node(entry.id));
    });
  }

  readLink(id: ObjectId, done: Result<Buffer>): void {
    this.#later('readLink', done, () => this.node(id).to);
  }

  list(directory: ObjectId, cookie: bigint, most: number, done: Result<Listing>): void {
    this.#later('list', done, () => {
      const entries: DirectoryEntry[] = [];
      // Names stand in the order in which they were entered, which is that of their cookies.
      for (const [name, entry] of this.#directory(directory).names) {
        if (entry.cookie <= cookie) continue;
        if (entries.length === most) return { entries, end: false };
        const { fileNumber } = this.node(entry.id);
        entries.push({ name: Buffer.from(name, 'latin1'), fileNumber, cookie: entry.cookie });
      }
      return { entries, end: true };
    });
  }

  usage(done: Result<Usage>): void {
    this.#later('usage', done, () => this.usageNow);
  }

  create(directory: ObjectId, name: Buffer, what: Creation, done: Result<TreeObject>): void {
    this.#later('create', done, () => {
      const parent = this.#free(directory, name);
      const node = this.#make(what.type, what);
      node.parent = parent.id;
      this.#enter(parent, name, node);
      if (node.type === 'directory') {
        node.links = 2;
        parent.links += 1;
      }
      return objectOf(node);
    });
  }

  change(id: ObjectId, change: AttributeChange, done: Result<Attributes>): void {
    this.#later('change', done, () => {
      const node = this.node(id);
      if ((change.uid !== null || change.gid !== null) && !this.limits.changesOwners)
        throw new TreeFault('EPERM', 'owners stay');
      node.mode = change.mode ?? node.mode;
      node.uid = change.uid ?? node.uid;
      node.gid = change.gid ?? node.gid;
      node.atimeNs = change.atimeNs ?? node.atimeNs;
      node.mtimeNs = change.mtimeNs ?? node.mtimeNs;
      node.ctimeNs = this.#nowNs();
      return attributesOf(node);
    });
  }

  link(id: ObjectId, directory: ObjectId, name: Buffer, done: Done): void {
    this.#laterDone('link', done, () => {
      const parent = this.#free(directory, name);
      const node = this.node(id);
      if (node.type === 'directory') throw new TreeFault('EPERM', 'a directory has one name');
      if (node.links >= this.limits.links) throw new TreeFault('EMLINK', 'it has names enough');
      this.#enter(parent, name, node);
      node.links += 1;
      node.ctimeNs = this.#nowNs();
    });
  }

  remove(directory: ObjectId, name: Buffer, done: Done): void {
    this.#laterDone('remove', done, () => {
      const { parent, node } = this.#entry(directory, name);
      if (node.type === 'directory') throw new TreeFault('EISDIR', 'it is a directory');
      this.#leave(parent, name, node);
    });
  }

  removeDirectory(directory: ObjectId, name: Buffer, done: Done): void {
    this.#laterDone('removeDirectory', done, () => {
      const { parent, node } = this.#entry(directory, name);
      if (node.type !== 'directory') throw new TreeFault('ENOTDIR', 'it is no directory');
      if (node.names.size > 0) throw new TreeFault('ENOTEMPTY', 'it is not empty');
      this.#leave(parent, name, node);
    });
  }

  rename(from: ObjectId, fromName: Buffer, to: ObjectId, toName: Buffer, done: Done): void {
    this.#laterDone('rename', done, () => {
      const { parent, node } = this.#entry(from, fromName);
      const target = this.#directory(to);
      for (let at = target; at.id !== this.rootId; at = this.node(at.parent))
        if (at === node) throw new TreeFault('EINVAL', 'a directory does not go below itself');
      const taken = target.names.get(toName.toString('latin1'));
      const replaced = taken === undefined ? null : this.node(taken.id);
      if (replaced === node) return;
      if (replaced !== null) {
        if (node.type === 'directory' && replaced.type !== 'directory') throw new TreeFault('ENOTDIR', 'no directory');
        if (node.type !== 'directory' && replaced.type === 'directory') throw new TreeFault('EISDIR', 'a directory');
        if (replaced.names.size > 0) throw new TreeFault('ENOTEMPTY', 'it is not empty');
        this.#leave(target, toName, replaced);
      }
      parent.names.delete(fromName.toString('latin1'));
      this.#enter(target, toName, node);
      this.#touch(parent);
      node.ctimeNs = this.#nowNs();
      if (node.type !== 'directory') return;
      node.parent = target.id;
      parent.links -= 1;
      target.links += 1;
    });
  }

  // ---- within

  #later<T>(name: string, done: Result<T>, work: () => T): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    const at = this.#faults.findIndex(({ of }) => of === name);
    const [ordered] = at < 0 ? [] : this.#faults.splice(at, 1);
    setImmediate(() => {
      let value: T;
      try {
        if (ordered !== undefined && !ordered.done) throw ordered.fault;
        value = work();
        this.succeeded.push(name);
        if (ordered !== undefined) throw ordered.fault;
      } catch (fault) {
        assert(fault instanceof Fault, 'a tree fails with faults');
        return done(fault, null);
      }
      done(null, value);
    });
  }

  #laterDone(name: string, done: Done, work: () => void): void {
    this.#later(
      name,
      (fault) => done(fault),
      () => {
        work();
        return true;
      },
    );
  }

  #directory(id: ObjectId): Node {
    const node = this.node(id);
    if (node.type !== 'directory') throw new TreeFault('ENOTDIR', 'it is no directory');
    return node;
  }

  #entry(directory: ObjectId, name: Buffer): { readonly parent: Node; readonly node: Node } {
    const parent = this.#directory(directory);
    const entry = parent.names.get(name.toString('latin1'));
    if (entry === undefined) throw new TreeFault('ENOENT', 'there is no such name');
    return { parent, node: this.node(entry.id) };
  }

  #free(directory: ObjectId, name: Buffer): Node {
    const parent = this.#directory(directory);
    assert(name.length > 0 && name.length <= this.limits.nameBytes, 'a name has bytes, and not too many');
    assert(!name.includes(0) && !name.includes(0x2f), 'a name has neither NUL nor slash');
    assert(!/^\.\.?$/.test(name.toString('latin1')), 'a name is neither dot nor two');
    if (parent.names.has(name.toString('latin1'))) throw new TreeFault('EEXIST', 'the name is taken');
    return parent;
  }

  #enter(parent: Node, name: Buffer, node: Node): void {
    this.#cookies += 1n;
    parent.names.set(name.toString('latin1'), { id: node.id, cookie: this.#cookies });
    this.#touch(parent);
  }

  /** Takes the name away, and with the last one the object. */
  #leave(parent: Node, name: Buffer, node: Node): void {
    parent.names.delete(name.toString('latin1'));
    this.#touch(parent);
    node.links -= node.type === 'directory' ? 2 : 1;
    node.ctimeNs = this.#nowNs();
    if (node.type === 'directory') parent.links -= 1;
    if (node.links === 0) this.nodes.delete(node.id);
  }

  #touch(directory: Node): void {
    directory.mtimeNs = this.#nowNs();
    directory.ctimeNs = directory.mtimeNs;
  }

  #make(type: ObjectType, what: Creation): Node {
    this.#numbers += 1;
    const bytes = Buffer.alloc(12, 0x5a);
    bytes.writeUInt32BE(this.#numbers, 4);
    const { mode, uid, gid, atimeNs, mtimeNs } = what.attributes;
    const nowNs = this.#nowNs();
    const node: Node = {
      id: bytes.toString('base64url'),
      type,
      fileNumber: BigInt(this.#numbers),
      to: what.type === 'symlink' ? Buffer.from(what.to) : Buffer.alloc(0),
      major: 'major' in what ? what.major : 0,
      minor: 'minor' in what ? what.minor : 0,
      names: new Map(),
      parent: '',
      data: Buffer.alloc(0),
      mode: mode ?? 0,
      uid: uid ?? this.#uid,
      gid: gid ?? this.#uid,
      links: 1,
      atimeNs: atimeNs ?? nowNs,
      mtimeNs: mtimeNs ?? nowNs,
      ctimeNs: nowNs,
    };
    this.nodes.set(node.id, node);
    return node;
  }

  // ---- what is destaged

  write(id: ObjectId, offset: number, data: Buffer): void {
    const node = this.nodes.get(id);
    if (node === undefined) return;
    if (offset + data.length > node.data.length) this.resize(id, offset + data.length);
    data.copy(node.data, offset);
    node.ctimeNs = this.#nowNs();
  }

  resize(id: ObjectId, sizeBytes: number): void {
    const node = this.nodes.get(id);
    if (node === undefined) return;
    const data = Buffer.alloc(sizeBytes);
    node.data.copy(data, 0, 0, Math.min(sizeBytes, node.data.length));
    node.data = data;
    node.ctimeNs = this.#nowNs();
  }

  stamp(id: ObjectId, timeNs: bigint): void {
    const node = this.nodes.get(id);
    if (node === undefined) return;
    node.mtimeNs = timeNs;
    node.ctimeNs = this.#nowNs();
  }
}

const NO_CHANGE: AttributeChange = { mode: null, uid: null, gid: null, atimeNs: null, mtimeNs: null };

function objectOf(node: Node): TreeObject {
  return { id: node.id, attributes: attributesOf(node) };
}

function attributesOf(node: Node): Attributes {
  const { type, mode, links, uid, gid, major, minor, fileNumber, atimeNs, mtimeNs, ctimeNs, data, to } = node;
  const sizeBytes = type === 'directory' ? BLOCK_BYTES : type === 'symlink' ? to.length : data.length;
  const usedBytes = Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
  return { type, mode, links, uid, gid, sizeBytes, usedBytes, major, minor, fileNumber, atimeNs, mtimeNs, ctimeNs };
}

/**
 * The tree of a simulated files volume as values: a state is never changed, a change makes the next one, or says why there
 * is none, as a POSIX file system would (suites/tree.ts holds it to that). Bytes, sizes and times of files are elsewhere
 * (`platter.ts`).
 */
import type { AttributeChange, Creation, ObjectId, ObjectType, TreeErrno } from '../../src/ports/tree.ts';

export interface Entry {
  readonly id: ObjectId;
  readonly cookie: bigint;
}

export interface Node {
  readonly id: ObjectId;
  readonly number: bigint;
  readonly type: ObjectType;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly atimeNs: bigint;
  /** Of what is no file. */
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly to: Buffer;
  readonly major: number;
  readonly minor: number;
  /** Of a directory; the root is its own. */
  readonly parent: ObjectId;
  /** Of a directory: names (latin1) in the order of their cookies. */
  readonly entries: ReadonlyMap<string, Entry>;
}

export type Tree = ReadonlyMap<ObjectId, Node>;

export const ROOT: ObjectId = 'root';
const NAME_BYTES = 255;
const LINKS = 100;
const NO_ENTRIES: ReadonlyMap<string, Entry> = new Map();
const NO_BYTES = Buffer.alloc(0);

/** A tree in which one root is all there is. */
export function emptyTree(): Tree {
  return new Map([[ROOT, { ...bare(ROOT, 'directory', 1n), links: 2, mode: 0o755, parent: ROOT }]]);
}

function bare(id: ObjectId, type: ObjectType, number: bigint): Node {
  return {
    id,
    number,
    type,
    mode: 0o644,
    uid: 0,
    gid: 0,
    links: 1,
    atimeNs: 0n,
    mtimeNs: 0n,
    ctimeNs: 0n,
    to: NO_BYTES,
    major: 0,
    minor: 0,
    parent: '',
    entries: NO_ENTRIES,
  };
}

/** What is wrong with the name; null: nothing. `.` and `..` are no names to be changed. */
export function nameError(name: string): TreeErrno | null {
  if (name.length > NAME_BYTES) return 'ENAMETOOLONG';
  return name === '' || name.includes('\0') || name.includes('/') ? 'EINVAL' : null;
}
const isDots = (name: string): boolean => name === '.' || name === '..';

export function lookup(tree: Tree, directory: ObjectId, name: string): Node | TreeErrno {
  const at = directoryOf(tree, directory);
  if (typeof at === 'string') return at;
  const wrong = nameError(name);
  if (wrong !== null) return wrong;
  if (name === '.') return at;
  const id = name === '..' ? at.parent : at.entries.get(name)?.id;
  return id === undefined ? 'ENOENT' : (tree.get(id) ?? 'ENOENT');
}

function directoryOf(tree: Tree, id: ObjectId): Node | TreeErrno {
  const node = tree.get(id);
  if (node === undefined) return 'ESTALE';
  return node.type === 'directory' ? node : 'ENOTDIR';
}

/** A change in the making: nodes of the next tree. */
class Draft {
  readonly #nodes: Map<ObjectId, Node>;
  readonly #nowNs: bigint;

  constructor(tree: Tree, nowNs: bigint) {
    this.#nodes = new Map(tree);
    this.#nowNs = nowNs;
  }

  get tree(): Tree {
    return this.#nodes;
  }

  /** `touched` names: the directory's mtime moves as well. */
  put(node: Node, touched = false): void {
    this.#nodes.set(node.id, { ...node, ctimeNs: this.#nowNs, ...(touched ? { mtimeNs: this.#nowNs } : {}) });
  }

  at(id: ObjectId): Node {
    return this.#nodes.get(id) as Node;
  }

  enter(directory: ObjectId, name: string, id: ObjectId, cookie: bigint, links = 0): void {
    const at = this.at(directory);
    this.put({ ...at, links: at.links + links, entries: new Map(at.entries).set(name, { id, cookie }) }, true);
  }

  /** Takes the name away, and with the last one the object. */
  leave(directory: ObjectId, name: string, links = 0): void {
    const at = this.at(directory);
    const entries = new Map(at.entries);
    entries.delete(name);
    this.put({ ...at, links: at.links + links, entries }, true);
  }

  unlink(node: Node): void {
    if (node.type === 'directory' || node.links === 1) this.#nodes.delete(node.id);
    else this.put({ ...node, links: node.links - 1 });
  }
}

/** What is made: its number and its cookie, and the moment. */
export interface Making {
  readonly id: ObjectId;
  readonly number: bigint;
  readonly cookie: bigint;
  readonly nowNs: bigint;
}

export function create(
  tree: Tree,
  directory: ObjectId,
  name: string,
  what: Creation,
  making: Making,
): Tree | TreeErrno {
  const at = free(tree, directory, name);
  if (typeof at === 'string') return at;
  const { id, number, cookie, nowNs } = making;
  const { mode, uid, gid, atimeNs, mtimeNs } = what.attributes;
  const isDirectory = what.type === 'directory';
  const inherits = (at.mode & 0o2000) !== 0;
  const draft = new Draft(tree, nowNs);
  draft.put({
    ...bare(id, what.type, number),
    mode: what.type === 'symlink' ? 0o777 : (mode ?? (isDirectory ? 0o755 : 0o644)),
    uid: uid ?? 0,
    gid: gid ?? (inherits ? at.gid : 0),
    links: isDirectory ? 2 : 1,
    atimeNs: atimeNs ?? nowNs,
    mtimeNs: mtimeNs ?? nowNs,
    to: what.type === 'symlink' ? Buffer.from(what.to) : NO_BYTES,
    major: 'major' in what ? what.major : 0,
    minor: 'minor' in what ? what.minor : 0,
    parent: directory,
  });
  draft.enter(directory, name, id, cookie, isDirectory ? 1 : 0);
  return draft.tree;
}

function free(tree: Tree, directory: ObjectId, name: string): Node | TreeErrno {
  const at = directoryOf(tree, directory);
  if (typeof at === 'string') return at;
  const wrong = nameError(name);
  if (wrong !== null) return wrong;
  return isDots(name) || at.entries.has(name) ? 'EEXIST' : at;
}

export function link(
  tree: Tree,
  id: ObjectId,
  directory: ObjectId,
  name: string,
  cookie: bigint,
  nowNs: bigint,
): Tree | TreeErrno {
  const node = tree.get(id);
  if (node === undefined) return 'ESTALE';
  const at = free(tree, directory, name);
  if (typeof at === 'string') return at;
  if (node.type === 'directory') return 'EPERM';
  if (node.links >= LINKS) return 'EMLINK';
  const draft = new Draft(tree, nowNs);
  draft.put({ ...node, links: node.links + 1 });
  draft.enter(directory, name, id, cookie);
  return draft.tree;
}

export function remove(tree: Tree, directory: ObjectId, name: string, nowNs: bigint): Tree | TreeErrno {
  if (isDots(name)) return 'EISDIR';
  const node = lookup(tree, directory, name);
  if (typeof node === 'string') return node;
  if (node.type === 'directory') return 'EISDIR';
  const draft = new Draft(tree, nowNs);
  draft.leave(directory, name);
  draft.unlink(node);
  return draft.tree;
}

export function removeDirectory(tree: Tree, directory: ObjectId, name: string, nowNs: bigint): Tree | TreeErrno {
  if (isDots(name)) return name === '.' ? 'EINVAL' : 'ENOTEMPTY';
  const node = lookup(tree, directory, name);
  if (typeof node === 'string') return node;
  if (node.type !== 'directory') return 'ENOTDIR';
  if (node.entries.size > 0) return 'ENOTEMPTY';
  const draft = new Draft(tree, nowNs);
  draft.leave(directory, name, -1);
  draft.unlink(node);
  return draft.tree;
}

export interface Place {
  readonly directory: ObjectId;
  readonly name: string;
}

export function rename(tree: Tree, from: Place, to: Place, cookie: bigint, nowNs: bigint): Tree | TreeErrno {
  const wrong = nameError(from.name) ?? nameError(to.name);
  if (wrong !== null) return wrong;
  if (isDots(from.name) || isDots(to.name)) return 'EBUSY';
  const node = lookup(tree, from.directory, from.name);
  if (typeof node === 'string') return node;
  const target = directoryOf(tree, to.directory);
  if (typeof target === 'string') return target;
  const isDirectory = node.type === 'directory';
  if (isDirectory && isWithin(tree, target, node.id)) return 'EINVAL';
  const taken = target.entries.get(to.name);
  const replaced = taken === undefined ? undefined : tree.get(taken.id);
  // Two names of one object: nothing is done.
  if (replaced === node) return tree;
  if (replaced !== undefined) {
    if (isDirectory && replaced.type !== 'directory') return 'ENOTDIR';
    if (!isDirectory && replaced.type === 'directory') return 'EISDIR';
    if (replaced.entries.size > 0) return 'ENOTEMPTY';
  }
  const draft = new Draft(tree, nowNs);
  if (replaced !== undefined) {
    draft.leave(to.directory, to.name, replaced.type === 'directory' ? -1 : 0);
    draft.unlink(draft.at(replaced.id));
  }
  draft.leave(from.directory, from.name, isDirectory ? -1 : 0);
  draft.enter(to.directory, to.name, node.id, cookie, isDirectory ? 1 : 0);
  // A directory may be the one that names are taken from: its newest state is in the draft.
  const moved = draft.at(node.id);
  draft.put(isDirectory ? { ...moved, parent: to.directory } : moved);
  return draft.tree;
}

function isWithin(tree: Tree, from: Node, ancestor: ObjectId): boolean {
  for (let at = from; ; at = tree.get(at.parent) as Node) {
    if (at.id === ancestor) return true;
    if (at.id === ROOT) return false;
  }
}

export function change(tree: Tree, id: ObjectId, asked: AttributeChange, nowNs: bigint): Tree | TreeErrno {
  const node = tree.get(id);
  if (node === undefined) return 'ESTALE';
  const draft = new Draft(tree, nowNs);
  draft.put({
    ...node,
    mode: asked.mode ?? node.mode,
    uid: asked.uid ?? node.uid,
    gid: asked.gid ?? node.gid,
    atimeNs: asked.atimeNs ?? node.atimeNs,
    mtimeNs: asked.mtimeNs ?? node.mtimeNs,
  });
  return draft.tree;
}

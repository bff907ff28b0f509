/**
 * A file system as short as it can be told, for root alone: what the NFS front end's answers are held against. Statuses
 * are NFS version 3's.
 */
export interface ModelNode {
  readonly type: 'file' | 'directory' | 'symlink';
  readonly names: Map<string, ModelNode>;
  parent: ModelNode | null;
  data: Buffer;
  mode: number;
  links: number;
  mtimeNs: bigint | null;
}

const OK = 0;
const NOENT = 2;
const EXIST = 17;
const NOTDIR = 20;
const ISDIR = 21;
const INVAL = 22;
const NOTEMPTY = 66;
const STALE = 70;

export class FilesModel {
  readonly root: ModelNode = newNode('directory', 0o755);

  constructor() {
    this.root.links = 2;
    this.root.parent = this.root;
  }

  /** The status that a directory's handle is met with, or OK. */
  #directory(node: ModelNode): number {
    if (node.links === 0) return STALE;
    return node.type === 'directory' ? OK : NOTDIR;
  }

  make(directory: ModelNode, name: string, type: ModelNode['type'], mode: number): number | ModelNode {
    const status = this.#directory(directory);
    if (status !== OK) return status;
    if (directory.names.has(name)) return EXIST;
    const node = newNode(type, mode);
    node.parent = directory;
    directory.names.set(name, node);
    if (type === 'directory') {
      node.links = 2;
      directory.links += 1;
    }
    return node;
  }

  lookup(directory: ModelNode, name: string): number | ModelNode {
    const status = this.#directory(directory);
    if (status !== OK) return status;
    if (name === '..') return directory.parent ?? STALE;
    return directory.names.get(name) ?? NOENT;
  }

  write(node: ModelNode, offset: number, data: Buffer): number {
    if (node.links === 0) return STALE;
    if (node.type === 'directory') return ISDIR;
    if (node.type !== 'file') return INVAL;
    if (data.length === 0) return OK;
    this.#resize(node, Math.max(node.data.length, offset + data.length));
    data.copy(node.data, offset);
    node.mtimeNs = null;
    return OK;
  }

  truncate(node: ModelNode, size: number): number {
    if (node.links === 0) return STALE;
    if (node.type === 'directory') return ISDIR;
    if (node.type !== 'file') return INVAL;
    this.#resize(node, size);
    node.mtimeNs = null;
    return OK;
  }

  #resize(node: ModelNode, size: number): void {
    const data = Buffer.alloc(size);
    node.data.copy(data);
    node.data = data;
  }

  change(node: ModelNode, mode: number, mtimeNs: bigint): number {
    if (node.links === 0) return STALE;
    node.mode = mode;
    node.mtimeNs = mtimeNs;
    return OK;
  }

  remove(directory: ModelNode, name: string, isDirectory: boolean): number {
    const node = this.lookup(directory, name);
    if (typeof node === 'number') return node;
    if (isDirectory && node.type !== 'directory') return NOTDIR;
    if (!isDirectory && node.type === 'directory') return ISDIR;
    if (node.names.size > 0) return NOTEMPTY;
    this.#leave(directory, name, node);
    return OK;
  }

  #leave(directory: ModelNode, name: string, node: ModelNode): void {
    directory.names.delete(name);
    node.links -= node.type === 'directory' ? 2 : 1;
    if (node.type === 'directory') directory.links -= 1;
  }

  link(node: ModelNode, directory: ModelNode, name: string): number {
    if (node.links === 0) return STALE;
    const status = this.#directory(directory);
    if (status !== OK) return status;
    if (node.type === 'directory') return ISDIR;
    if (directory.names.has(name)) return EXIST;
    directory.names.set(name, node);
    node.links += 1;
    return OK;
  }

  rename(from: ModelNode, fromName: string, to: ModelNode, toName: string): number {
    const status = this.#directory(from) || this.#directory(to);
    if (status !== OK) return status;
    const node = this.lookup(from, fromName);
    if (typeof node === 'number') return node;
    const replaced = to.names.get(toName);
    if (replaced === node) return OK;
    if (replaced !== undefined && node.type === 'directory' && replaced.type !== 'directory') return NOTDIR;
    if (replaced !== undefined && node.type !== 'directory' && replaced.type === 'directory') return ISDIR;
    for (let at = to; at !== this.root; at = at.parent ?? this.root) if (at === node) return INVAL;
    if (replaced !== undefined && replaced.names.size > 0) return NOTEMPTY;
    if (replaced !== undefined) this.#leave(to, toName, replaced);
    from.names.delete(fromName);
    to.names.set(toName, node);
    if (node.type !== 'directory') return OK;
    node.parent = to;
    from.links -= 1;
    to.links += 1;
    return OK;
  }
}

function newNode(type: ModelNode['type'], mode: number): ModelNode {
  return { type, names: new Map(), parent: null, data: Buffer.alloc(0), mode, links: 1, mtimeNs: null };
}

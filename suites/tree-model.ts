/**
 * A tree in memory, as plain as can be, beside which a medium's tree is put: the same changes made to both must end alike.
 * It knows names, types, links, modes and contents, and the errors that a POSIX file system may give.
 */
import type { ObjectId, TreeErrno } from '../src/ports/tree.ts';

export interface Node {
  readonly type: 'file' | 'directory' | 'symlink';
  mode: number;
  links: number;
  content: Buffer;
  readonly children: Map<string, Node>;
  parent: Node | null;
  /** As the medium calls it; set when it was made. */
  id: ObjectId;
}

/** Errors that a change may end with; empty: it is done. */
export type Outcome = readonly TreeErrno[];
const DONE: Outcome = [];

export function node(type: Node['type'], mode: number, content: Buffer, parent: Node | null): Node {
  return { type, mode, links: type === 'directory' ? 2 : 1, content, children: new Map(), parent, id: '' };
}

export class TreeModel {
  readonly root = node('directory', 0o755, Buffer.alloc(0), null);

  /** Every object that has a name, the root first, each once. */
  all(): Node[] {
    const found = new Set<Node>([this.root]);
    for (const each of found) for (const child of each.children.values()) found.add(child);
    return [...found];
  }

  create(directory: Node, name: string, made: Node): Outcome {
    if (!this.#isThere(directory)) return ['ESTALE', 'ENOTDIR'];
    if (directory.type !== 'directory') return ['ENOTDIR'];
    if (directory.children.has(name)) return ['EEXIST'];
    directory.children.set(name, made);
    if (made.type === 'directory') {
      made.parent = directory;
      directory.links += 1;
    }
    return DONE;
  }

  link(object: Node, directory: Node, name: string): Outcome {
    if (!this.#isThere(object) || !this.#isThere(directory)) return ['ESTALE', 'ENOTDIR', 'EPERM', 'EEXIST'];
    if (directory.type !== 'directory') return ['ENOTDIR', 'EPERM'];
    if (object.type === 'directory') return ['EPERM', 'EEXIST'];
    if (directory.children.has(name)) return ['EEXIST'];
    directory.children.set(name, object);
    object.links += 1;
    return DONE;
  }

  remove(directory: Node, name: string): Outcome {
    const object = this.#child(directory, name);
    if (!('type' in object)) return object;
    if (object.type === 'directory') return ['EISDIR', 'EPERM'];
    this.#unname(directory, name, object);
    return DONE;
  }

  removeDirectory(directory: Node, name: string): Outcome {
    const object = this.#child(directory, name);
    if (!('type' in object)) return object;
    if (object.type !== 'directory') return ['ENOTDIR'];
    if (object.children.size > 0) return ['ENOTEMPTY', 'EEXIST'];
    this.#unname(directory, name, object);
    return DONE;
  }

  rename(from: Node, name: string, to: Node, toName: string): Outcome {
    const object = this.#child(from, name);
    if (!('type' in object))
      return this.#isThere(to) && to.type === 'directory' ? object : [...object, 'ESTALE', 'ENOTDIR'];
    if (!this.#isThere(to)) return ['ESTALE', 'ENOTDIR'];
    if (to.type !== 'directory') return ['ENOTDIR'];
    if (object.type === 'directory' && this.#isWithin(to, object)) return ['EINVAL', 'ENOTEMPTY', 'EEXIST'];
    const replaced = to.children.get(toName);
    if (replaced === object) return DONE;
    if (replaced !== undefined) {
      // What lies on the way to what is moved is never empty.
      if (object.type === 'directory' && replaced.type !== 'directory') return ['ENOTDIR'];
      if (object.type !== 'directory' && replaced.type === 'directory') return ['EISDIR', 'ENOTEMPTY', 'EEXIST'];
      if (replaced.children.size > 0) return ['ENOTEMPTY', 'EEXIST', 'EINVAL'];
      this.#unname(to, toName, replaced);
    }
    from.children.delete(name);
    to.children.set(toName, object);
    if (object.type === 'directory') {
      from.links -= 1;
      to.links += 1;
      object.parent = to;
    }
    return DONE;
  }

  #child(directory: Node, name: string): Node | Outcome {
    if (!this.#isThere(directory)) return ['ESTALE', 'ENOTDIR'];
    if (directory.type !== 'directory') return ['ENOTDIR'];
    return directory.children.get(name) ?? ['ENOENT'];
  }

  #unname(directory: Node, name: string, object: Node): void {
    directory.children.delete(name);
    object.links -= object.type === 'directory' ? 2 : 1;
    if (object.type === 'directory') directory.links -= 1;
  }

  #isThere(object: Node): boolean {
    return object.links > 0;
  }

  #isWithin(at: Node, ancestor: Node): boolean {
    for (let each: Node | null = at; each !== null; each = each.parent) if (each === ancestor) return true;
    return false;
  }
}

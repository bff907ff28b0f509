/**
 * Which object a name of a directory is, as far as it is known; also that a name is free. At most so many names, the least
 * used go first. As with inodes, nobody else changes the tree; what was looked up while a name of the same directory was
 * being changed is not kept, since nobody knows which of the two came first.
 */
import type { ObjectId } from '../../ports/tree.ts';
import type { Inode } from './inode.ts';

interface Known {
  readonly id: ObjectId | null;
  recent: boolean;
}

/** Candidates looked at for one eviction. */
const LOOKED_AT = 16;

export class DirectoryNames {
  readonly #names = new Map<string, Known>();
  readonly #most: number;
  /** Goes through the names, the oldest first; kept, since the way to a map's first entry grows with those that went. */
  #oldest: MapIterator<[string, Known]>;

  constructor(most: number) {
    this.#most = most;
    this.#oldest = this.#names.entries();
  }

  get size(): number {
    return this.#names.size;
  }

  /** The object's id, null for a name that is free, undefined for one that has to be looked up. */
  get(directory: Inode, name: Buffer): ObjectId | null | undefined {
    const known = this.#names.get(key(directory, name));
    if (known === undefined) return undefined;
    known.recent = true;
    return known.id;
  }

  /** @param mark the directory's `namesMark` when the question was asked */
  keep(directory: Inode, name: Buffer, id: ObjectId | null, mark: number | null): void {
    if (mark !== null && directory.namesMark === mark) this.set(directory, name, id);
  }

  set(directory: Inode, name: Buffer, id: ObjectId | null): void {
    if (this.#names.size >= this.#most) this.#evict();
    this.#names.set(key(directory, name), { id, recent: false });
  }

  forget(directory: Inode, name: Buffer): void {
    this.#names.delete(key(directory, name));
  }

  clear(): void {
    this.#names.clear();
  }

  #evict(): void {
    let left = LOOKED_AT;
    while (left > 0) {
      const { value: oldest } = this.#oldest.next();
      if (oldest === undefined) this.#oldest = this.#names.entries();
      else {
        const [name, known] = oldest;
        this.#names.delete(name);
        if (!known.recent || left === 1) return;
        known.recent = false;
        this.#names.set(name, known);
      }
      left -= 1;
    }
  }
}

const key = (directory: Inode, name: Buffer): string => `${directory.id}/${name.toString('latin1')}`;

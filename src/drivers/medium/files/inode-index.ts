/**
 * Where objects are, by inode number: for volumes whose handles are not the kernel's. The index remembers for an object its
 * directory and one of its names, as they were seen last; a walk of the tree finds what it does not know. What it says is
 * only a hint: who opens an object by it compares inode number and birth time.
 *
 * A walk reads every directory's names and numbers, without looking at the objects, and goes on in slices, so that
 * other questions are answered meanwhile. One walk looks for everything that is missed at that time. Its memory is the
 * names of the directories still ahead of it; the index itself keeps `max` objects, and what was put in first goes first.
 */
import { closeFd, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from '../../linux/at-calls.ts';
import { type DirectoryReader, DT_DIR, DT_UNKNOWN } from './directory-reader.ts';
import { Inode } from './inode.ts';

interface Place {
  readonly parent: bigint;
  readonly name: string;
}

/** Deeper than this no path leads. */
const DEPTH_MAX = 4096;

export class InodeIndex {
  readonly #places = new Map<bigint, Place>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#places.size;
  }
  get isFull(): boolean {
    return this.#places.size >= this.#max;
  }

  put(inode: bigint, parent: bigint, name: string): void {
    this.#places.delete(inode);
    if (this.#places.size >= this.#max) {
      const [oldest] = this.#places.keys();
      if (oldest !== undefined) this.#places.delete(oldest);
    }
    this.#places.set(inode, { parent, name });
  }

  /** The object has lost this name; another one may be known. */
  drop(inode: bigint, parent: bigint, name: string): void {
    const place = this.#places.get(inode);
    if (place !== undefined && place.parent === parent && place.name === name) this.#places.delete(inode);
  }

  forget(inode: bigint): void {
    this.#places.delete(inode);
  }

  /** The names that lead from `root` to the object; null when some of them are not known. */
  path(inode: bigint, root: bigint): readonly string[] | null {
    const names: string[] = [];
    for (let at = inode; at !== root;) {
      const place = this.#places.get(at);
      if (place === undefined || names.length >= DEPTH_MAX) return null;
      names.push(place.name);
      at = place.parent;
    }
    return names.reverse();
  }
}

interface Level {
  readonly fd: number;
  readonly inode: bigint;
  /** In the level above. */
  readonly name: string;
  /** Directories in it that are still to be visited. */
  readonly ahead: string[];
}

/** Opens a name in an open directory: a descriptor, or a negative errno. */
export type OpenIn = (directory: number, name: string, flags: number) => number;

/** One walk of the whole tree below an open directory. */
export class TreeWalk {
  readonly #index: InodeIndex;
  readonly #reader: DirectoryReader;
  readonly #wanted: Set<bigint>;
  readonly #device: string;
  readonly #levels: Level[] = [];
  readonly #inode = new Inode();
  /** Negative errno of a directory that could not be read for want of something; then not finding means nothing. */
  #failed = 0;

  readonly #openIn: OpenIn;

  /** Looks for the inodes of `wanted`, and takes out of it those that it found. */
  constructor(index: InodeIndex, reader: DirectoryReader, rootFd: number, wanted: Set<bigint>, openIn: OpenIn) {
    this.#index = index;
    this.#openIn = openIn;
    this.#reader = reader;
    this.#wanted = wanted;
    this.#inode.lookFd(rootFd);
    this.#device = this.#inode.device;
    this.#enter(rootFd, '.');
  }

  /** Negative errno when it could not look everywhere. */
  get failed(): number {
    return this.#failed;
  }

  /** Visits one more directory; false when the walk is over. */
  step(): boolean {
    for (let level = this.#levels.at(-1); level !== undefined && this.#wanted.size > 0; level = this.#levels.at(-1)) {
      const next = level.ahead.pop();
      if (next !== undefined) {
        this.#enter(level.fd, next);
        return true;
      }
      this.#levels.pop();
      closeFd(level.fd);
    }
    this.end();
    return false;
  }

  /** Lets go of everything, over or not. */
  end(): void {
    for (const { fd } of this.#levels.splice(0)) closeFd(fd);
  }

  #enter(parent: number, name: string): void {
    const fd = this.#openIn(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0) return this.#refused(fd);
    if (this.#inode.lookFd(fd) < 0 || this.#inode.device !== this.#device) return closeFd(fd);
    const level: Level = { fd, inode: this.#inode.number, name, ahead: [] };
    this.#levels.push(level);
    const result = this.#reader.readAll(fd, (number, type, child) => this.#see(level, number, type, child));
    if (result < 0) this.#refused(result);
  }

  #refused(errno: number): void {
    const gone = [-2 /* ENOENT */, -20 /* ENOTDIR */, -40 /* ELOOP */];
    if (!gone.includes(errno)) this.#failed = errno;
  }

  #see(level: Level, number: bigint, type: number, name: string): void {
    let isDirectory = type === DT_DIR;
    if (type === DT_UNKNOWN) isDirectory = this.#inode.lookAt(level.fd, name) === 0 && this.#inode.isDirectory;
    if (isDirectory) level.ahead.push(name);
    if (this.#wanted.delete(number)) this.#found(number, level, name);
    else if (isDirectory || !this.#index.isFull) this.#index.put(number, level.inode, name);
  }

  /** Puts in the whole way to it, anew: a small index must not have lost the beginning of the way by now. */
  #found(number: bigint, level: Level, name: string): void {
    this.#levels.forEach((each, depth) => {
      const above = this.#levels[depth - 1];
      if (above !== undefined) this.#index.put(each.inode, above.inode, each.name);
    });
    this.#index.put(number, level.inode, name);
  }
}

/**
 * How a thread of the tree comes from an object's id to the object, and from an open object to its id.
 *
 * With kernel handles an id opens its object wherever it is on the file system of the tree. That the id was given out by
 * this volume is the front end's to know: its handles are signed with the volume's secret. Beyond that, a directory is used
 * only when the way up from it leads to the root; files have no way up, and are taken as they are.
 *
 * Without kernel handles the index (inode-index.ts) says where an object was seen last; an id whose object is not there is
 * a MISS, and the thread walks the tree before it asks again.
 */
import {
  changeMode,
  closeFd,
  dropCached,
  handleOf,
  HANDLE_BYTES_MAX,
  O_DIRECTORY,
  O_DSYNC,
  O_NOATIME,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  openAt,
  openByHandle,
  reopen,
} from '../../linux/at-calls.ts';
import { ErrorNumber } from '../../linux/errno.ts';
import type { ObjectId } from '../../../ports/tree.ts';
import { DirectoryReader } from './directory-reader.ts';
import { InodeIndex } from './inode-index.ts';
import { Inode } from './inode.ts';
import { indexId, indexOf, kernelHandle, kernelId } from './object-id.ts';
import type { ThreadSetup } from './words.ts';

/** In place of an errno: the index does not know the object; a walk will tell. */
export const MISS = -10_000;

const { EACCES, EINVAL, ENODEV, ENOENT, EPERM, ESTALE, EXDEV } = ErrorNumber;

/** Directories that are known to lie in the tree; then they are looked at anew. */
const INSIDE_MAX = 16_384;
/** Directories between one and the root. */
const DEPTH_MAX = 4096;
/** Ids that a walk did not find. */
const GONE_MAX = 16_384;
const GONE_MS = 10_000;

export class ObjectsAt {
  readonly setup: ThreadSetup;
  /** Of whatever was looked at last. */
  readonly inode = new Inode();
  readonly reader = new DirectoryReader();
  readonly rootId: ObjectId;
  readonly rootNumber: bigint;
  readonly device: string;
  /** Null with kernel handles. */
  readonly index: InodeIndex | null;
  /** Until when they are believed to be gone. */
  readonly #gone = new Map<ObjectId, number>();
  readonly #inside = new Set<ObjectId>();
  readonly #handle = Buffer.alloc(8 + HANDLE_BYTES_MAX);
  readonly #up = new Inode();
  #moves = 0;

  constructor(setup: ThreadSetup) {
    this.setup = setup;
    this.index = setup.handles === 'index' ? new InodeIndex(setup.indexMax) : null;
    this.inode.lookFd(setup.rootFd);
    this.device = this.inode.device;
    this.rootNumber = this.inode.number;
    const id = this.idOf(setup.rootFd);
    this.rootId = typeof id === 'string' ? id : '';
  }

  /** The id of what `fd` leads to, which `inode` has looked at; or the negative errno. */
  idOf(fd: number): ObjectId | number {
    if (this.inode.device !== this.device) return -EXDEV;
    if (this.index !== null) return indexId(this.inode.number, this.inode.bornNs ?? 0n);
    const result = handleOf(fd, this.#handle);
    return result < 0 ? result : (kernelId(this.#handle) ?? -EXDEV);
  }

  /** Opens the object as O_PATH: a descriptor, or a negative errno, or MISS. Never one that was removed. */
  open(id: ObjectId): number {
    const fd = this.index === null ? this.#byHandle(id, O_PATH) : this.#byIndex(id, this.index);
    if (fd < 0) return fd;
    const result = this.inode.lookFd(fd);
    if (result === 0 && this.inode.links > 0) return fd;
    closeFd(fd);
    return result < 0 ? result : -ESTALE;
  }

  /** Opens a directory for reading. ENOTDIR when it is none, ESTALE when it is not in the tree. */
  openDirectory(id: ObjectId): number {
    const path = this.open(id);
    if (path < 0) return path;
    const isDirectory = this.inode.isDirectory;
    const fd = isDirectory ? this.openAnew(path, O_RDONLY | O_DIRECTORY) : -ErrorNumber.ENOTDIR;
    closeFd(path);
    if (fd < 0 || this.index !== null || this.#isInside(id, fd)) return fd;
    closeFd(fd);
    return -ESTALE;
  }

  /** Opens a regular file for reading and writing. EINVAL when it is none. */
  openFile(id: ObjectId): number {
    const path = this.open(id);
    if (path < 0) return path;
    const fd = this.inode.isFile ? this.openAnew(path, this.fileFlags) : -EINVAL;
    closeFd(path);
    if (fd >= 0 && this.setup.shared) dropCached(fd);
    return fd;
  }

  /** Reading for a client is no access: what a front end reads may come from the store, and is not to be seen at all. */
  get fileFlags(): number {
    return O_RDWR | O_NOATIME | (this.setup.shared ? O_DSYNC : 0);
  }

  /**
   * Opens with other flags what `fd` (O_PATH) leads to, and `inode` has looked at. The permission bits are for clients: where
   * they keep the owner itself out (a server that is not root), it lets itself in for the moment.
   */
  openAnew(fd: number, flags: number): number {
    const result = reopen(fd, flags);
    // Whose file is another's must not read it unseen, though he may read it.
    if (result === -EPERM && (flags & O_NOATIME) !== 0) return this.openAnew(fd, flags & ~O_NOATIME);
    if (result !== -EACCES) return result;
    const { mode } = this.inode;
    if (changeMode(fd, (mode & 0o7777) | 0o700) < 0) return result;
    const again = reopen(fd, flags);
    changeMode(fd, mode & 0o7777);
    return again;
  }

  /** Opens a name in an open directory, as `openAnew` does it also through directories that keep the owner out. */
  openIn(directory: number, name: string, flags: number): number {
    const result = openAt(directory, name, flags, 0);
    if (result !== -EACCES || this.#up.lookFd(directory) < 0) return result;
    const mode = this.#up.mode & 0o7777;
    if ((mode & 0o700) !== 0o700) {
      if (changeMode(directory, mode | 0o700) < 0) return result;
      const again = openAt(directory, name, flags, 0);
      changeMode(directory, mode);
      if (again !== -EACCES) return again;
    }
    // Not the way to it, but the object itself is shut.
    const path = (flags & O_PATH) === 0 ? this.openIn(directory, name, O_PATH | O_NOFOLLOW) : -EACCES;
    if (path < 0) return path;
    this.inode.lookFd(path);
    const opened = this.openAnew(path, flags);
    closeFd(path);
    return opened;
  }

  /** The directory is known to lie in the tree: it was found from one that does. */
  knowInside(id: ObjectId): void {
    if (this.#inside.size >= INSIDE_MAX) this.#inside.clear();
    this.#inside.add(id);
  }

  #isInside(id: ObjectId, fd: number): boolean {
    if (id === this.rootId || this.#inside.has(id)) return true;
    if (!this.leadsToRoot(fd)) return false;
    this.knowInside(id);
    return true;
  }

  /** True when the way up from the open directory leads to the root. */
  leadsToRoot(fd: number): boolean {
    let at = fd;
    let found = false;
    this.#up.lookFd(at);
    for (let depth = 0; depth < DEPTH_MAX && !found; depth += 1) {
      if (this.#up.device !== this.device) break;
      found = this.#up.number === this.rootNumber;
      const below = this.#up.number;
      const next = found ? -ENOENT : openAt(at, '..', O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
      if (next < 0) break;
      if (at !== fd) closeFd(at);
      at = next;
      // The file system's own root is its own parent.
      if (this.#up.lookFd(at) < 0 || this.#up.number === below) break;
    }
    if (at !== fd) closeFd(at);
    return found;
  }

  #byHandle(id: ObjectId, flags: number): number {
    if (!kernelHandle(id, this.#handle)) return -ESTALE;
    const fd = openByHandle(this.setup.rootFd, this.#handle, flags);
    return fd === -EINVAL || fd === -ENOENT || fd === -ENODEV ? -ESTALE : fd;
  }

  #byIndex(id: ObjectId, index: InodeIndex): number {
    const wanted = indexOf(id);
    if (wanted === null || this.#isGone(id)) return -ESTALE;
    const path = index.path(wanted.inode, this.rootNumber);
    if (path === null) return MISS;
    let at = openAt(this.setup.rootFd, '.', O_PATH | O_DIRECTORY, 0);
    for (const name of path) {
      if (at < 0) break;
      const next = this.openIn(at, name, O_PATH | O_NOFOLLOW);
      closeFd(at);
      at = next;
    }
    if (at === -EACCES) return at;
    if (at >= 0) {
      this.inode.lookFd(at);
      const isNumber = this.inode.number === wanted.inode && this.inode.device === this.device;
      if (isNumber && this.inode.bornNs === wanted.bornNs) return at;
      closeFd(at);
      // Another object has its number: it is gone.
      if (isNumber) return -ESTALE;
    }
    index.forget(wanted.inode);
    return MISS;
  }

  /** Objects that were moved so far: a walk on its way may have missed what moved meanwhile. */
  get moves(): number {
    return this.#moves;
  }

  moved(number: bigint, parent: bigint, name: string): void {
    this.#moves += 1;
    this.index?.put(number, parent, name);
  }

  /** The object has lost this name. */
  lostName(id: ObjectId, parent: bigint, name: string): void {
    const found = this.index === null ? null : indexOf(id);
    if (found !== null) this.index?.drop(found.inode, parent, name);
  }

  /** A walk of the whole tree did not find it; so much is believed for a while. */
  giveUp(id: ObjectId): void {
    if (this.#gone.size >= GONE_MAX) this.#gone.clear();
    this.#gone.set(id, performance.now() + GONE_MS);
  }

  #isGone(id: ObjectId): boolean {
    const until = this.#gone.get(id);
    if (until === undefined) return false;
    if (until > performance.now()) return true;
    this.#gone.delete(id);
    return false;
  }
}

/**
 * Making objects: prepared under a name of its own outside of the tree, with owner, mode and times, and then moved to the
 * name that it is to have, if that is free. So an object is in the tree wholly or not at all, and what a crash leaves
 * behind is found in one place and removed when the volume is opened next.
 */
import {
  closeFd,
  linkFd,
  makeDirectory,
  makeNode,
  makeSymlink,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  openAt,
  renameAt,
  renameNew,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFSOCK,
  statAt,
  unlinkAt,
} from '../../linux/at-calls.ts';
import { ErrorNumber } from '../../linux/errno.ts';
import { apply, attributesOf } from './alter.ts';
import { directoryOf, discard, inDirectory } from './look.ts';
import type { ObjectsAt } from './objects-at.ts';
import type { Answer, Ask, CreationWords } from './words.ts';

const { EEXIST, EINVAL, EIO, ENOENT, ENOSYS } = ErrorNumber;

const S_ISGID = 0o2000;
/** What is made with no mode given. */
const FILE_MODE = 0o644;
const DIRECTORY_MODE = 0o755;
/** Objects made within this time may have the same birth time. */
const SAME_TIME_MS = 100;
/** Times that another inode is tried for. */
const BIRTHS_MAX = 64;
const BIRTH_PAUSE_MS = 2;

const NODE_TYPES = { fifo: S_IFIFO, socket: S_IFSOCK, block: S_IFBLK, character: S_IFCHR } as const;

/** A made object that has no place yet. */
interface Prepared {
  readonly name: string;
  /** Open for reading (and writing, a file); -1 when it is neither file nor directory. */
  readonly fd: number;
  readonly id: string;
}

/** Makes objects for one thread. */
export class Maker {
  readonly #objects: ObjectsAt;
  #count = 0;
  /** Inodes made lately, with the time of birth: see `#isNew`. */
  readonly #births = new Map<string, number>();
  readonly #statAt = Buffer.alloc(256);

  constructor(objects: ObjectsAt) {
    this.#objects = objects;
  }

  create(ask: Ask<'create'>): Answer<'create'> | number {
    const objects = this.#objects;
    const directory = directoryOf(objects, ask.id, ask.fd);
    if (typeof directory === 'number') return directory;
    let result = this.#refusal(directory.fd, ask.name);
    if (result === 0) {
      const prepared = this.#prepare(ask.what, this.#inherited(directory.fd, ask.what));
      result = typeof prepared === 'number' ? prepared : this.#place(prepared, directory.fd, ask.name);
      if (result === 0 && typeof prepared !== 'number') return this.#made(prepared, directory, ask.name);
    }
    result = inDirectory(objects, directory.fd, result);
    discard(directory);
    return result;
  }

  /** Sees that the name is free before anything is prepared; the last word has the move. */
  #refusal(directory: number, name: string): number {
    const found = statAt(directory, name, this.#statAt);
    return found === 0 ? -EEXIST : found === -ENOENT ? 0 : found;
  }

  #made(
    prepared: Prepared,
    directory: { readonly fd: number; readonly opened: number },
    name: string,
  ): Answer<'create'> {
    const objects = this.#objects;
    const after = attributesOf(objects, directory.fd);
    if (prepared.fd >= 0) objects.inode.lookFd(prepared.fd);
    else objects.inode.lookAt(directory.fd, name);
    const attributes = objects.inode.attributes();
    objects.index?.put(attributes.fileNumber, after.fileNumber, name);
    if (attributes.type === 'directory') objects.knowInside(prepared.id);
    return { id: prepared.id, attributes, fd: prepared.fd, opened: directory.opened, directory: after };
  }

  /** As the kernel does it for an object made in place: a setgid directory hands on its group. */
  #inherited(directory: number, what: CreationWords): number | null {
    if (what.attributes.gid !== null) return what.attributes.gid;
    this.#objects.inode.lookFd(directory);
    return (this.#objects.inode.mode & S_ISGID) !== 0 ? this.#objects.inode.gid : null;
  }

  /** Makes the object outside of the tree, with its attributes. */
  #prepare(what: CreationWords, gid: number | null): Prepared | number {
    const twins: string[] = [];
    for (let tries = 0; ; tries += 1) {
      const name = this.#freshName();
      const born = this.#bear(what, name);
      if (typeof born === 'number') return this.#clear([...twins, name], born);
      const { fd } = born;
      const path = openAt(this.#objects.setup.newFd, name, O_PATH | O_NOFOLLOW, 0);
      const result = path < 0 ? path : this.#dress(path, what, gid);
      const id = result < 0 ? result : this.#objects.idOf(path);
      const isNew = typeof id === 'string' && this.#isNew(id);
      if (path >= 0) closeFd(path);
      if (isNew) {
        this.#clear(twins, 0);
        return { name, fd, id };
      }
      if (fd >= 0) closeFd(fd);
      twins.push(name);
      if (typeof id === 'number' || tries >= BIRTHS_MAX) return this.#clear(twins, typeof id === 'number' ? id : -EIO);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BIRTH_PAUSE_MS);
    }
  }

  /** Makes the bare object: its descriptor, where it can have one; or the negative errno. */
  #bear(what: CreationWords, name: string): { readonly fd: number } | number {
    const { newFd } = this.#objects.setup;
    switch (what.type) {
      case 'file': {
        const flags = this.#objects.fileFlags | O_CREAT | O_EXCL | O_NOFOLLOW;
        const fd = openAt(newFd, name, flags, 0o600);
        return fd < 0 ? fd : { fd };
      }
      case 'directory': {
        const made = makeDirectory(newFd, name, 0o700);
        const fd = made < 0 ? made : openAt(newFd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        return fd < 0 ? fd : { fd };
      }
      case 'symlink': {
        const made = makeSymlink(what.to, newFd, name);
        return made < 0 ? made : { fd: -1 };
      }
      default: {
        const made = makeNode(newFd, name, NODE_TYPES[what.type] | 0o600, what.major, what.minor);
        return made < 0 ? made : { fd: -1 };
      }
    }
  }

  #dress(path: number, what: CreationWords, gid: number | null): number {
    const objects = this.#objects;
    objects.inode.lookFd(path);
    const owners = objects.setup.changesOwners;
    const mode = what.attributes.mode ?? (what.type === 'directory' ? DIRECTORY_MODE : FILE_MODE);
    const uid = owners ? what.attributes.uid : null;
    const result = apply(objects, path, { ...what.attributes, mode, uid, gid: owners ? gid : null });
    return result < 0 ? result : objects.inode.lookFd(path);
  }

  /**
   * With ids of inode number and birth time, two objects made and removed within one tick of the file system's clock could
   * be taken for each other. Such a twin is kept until another inode was found.
   */
  #isNew(id: string): boolean {
    if (this.#objects.index === null) return true;
    const now = performance.now();
    for (const [old, at] of this.#births) {
      if (now - at < SAME_TIME_MS) break;
      this.#births.delete(old);
    }
    if (this.#births.has(id)) return false;
    this.#births.set(id, now);
    return true;
  }

  /** Moves it to where it is to be, unless there is something: 0, or the negative errno and nothing is left of it. */
  #place({ name, fd }: Prepared, directory: number, as: string): number {
    const { newFd } = this.#objects.setup;
    let result = renameNew(newFd, name, directory, as);
    if (result === -EINVAL || result === -ENOSYS) result = this.#placeWithoutFlag(name, directory, as);
    if (result === 0) return 0;
    // The preparation itself is gone: somebody has cleared it away, who thinks that nobody works here.
    if (result === -ENOENT && statAt(newFd, name, this.#statAt) === -ENOENT) result = -EIO;
    if (fd >= 0) closeFd(fd);
    return this.#clear([name], result);
  }

  /** Where rename always replaces: a link never does; of directories only an empty one could be replaced. */
  #placeWithoutFlag(name: string, directory: number, as: string): number {
    const { newFd } = this.#objects.setup;
    const path = openAt(newFd, name, O_PATH | O_NOFOLLOW, 0);
    if (path < 0) return path;
    this.#objects.inode.lookFd(path);
    let result;
    if (this.#objects.inode.isDirectory) {
      const found = statAt(directory, as, this.#statAt);
      result = found === 0 ? -EEXIST : found === -ENOENT ? renameAt(newFd, name, directory, as) : found;
    } else {
      result = linkFd(path, directory, as);
      if (result === 0) unlinkAt(newFd, name, false);
    }
    closeFd(path);
    return result;
  }

  /** Removes preparations; gives back `errno`. */
  #clear(names: readonly string[], errno: number): number {
    for (const name of names) {
      if (unlinkAt(this.#objects.setup.newFd, name, false) < 0) unlinkAt(this.#objects.setup.newFd, name, true);
    }
    return errno;
  }

  #freshName(): string {
    this.#count += 1;
    return `${this.#objects.setup.tag}-${this.#count}`;
  }
}

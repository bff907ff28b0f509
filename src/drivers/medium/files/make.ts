/**
 * Making objects. A file is made in its place with owner and mode (owned-files.ts); where that does not do, without a name,
 * given owner, mode and times, and then its name, if that is free. What cannot be made without a name is prepared under one
 * of its own outside of the tree, and moved from there. So an object is in the tree wholly or not at all, and what a crash
 * leaves behind is found in one place and removed when the volume is opened next.
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
  O_TMPFILE,
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
import { OwnedFiles } from '../../linux/owned-files.ts';
import { apply, attributesOf } from './alter.ts';
import { directoryOf, discard, inDirectory } from './look.ts';
import type { ObjectsAt } from './objects-at.ts';
import type { Answer, Ask, CreationWords } from './words.ts';

const { EACCES, EEXIST, EINVAL, EIO, EISDIR, ENOENT, ENOSYS, EOPNOTSUPP, EPERM, ESTALE } = ErrorNumber;

type Made = Omit<Answer<'create'>, 'opened'>;

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
  /** What it is called where it is prepared; null when it has no name yet. */
  readonly name: string | null;
  /** Open for reading (and writing, a file), or O_PATH when it is neither file nor directory. */
  readonly fd: number;
  readonly isPath: boolean;
}

/** Makes objects for one thread. */
export class Maker {
  readonly #objects: ObjectsAt;
  /** Makes files in their place; null where it cannot. */
  readonly #owned: OwnedFiles | null;
  #count = 0;
  /** Files can be made without a name: found out at the first one. */
  #makesNameless = true;
  /** Inodes made lately, with the time of birth: see `#isNew`. */
  readonly #births = new Map<string, number>();
  readonly #statAt = Buffer.alloc(256);

  constructor(objects: ObjectsAt) {
    this.#objects = objects;
    const { handles, rootFd } = objects.setup;
    // With an index an object is looked at before it has its name: see `#isNew`.
    this.#owned = handles === 'kernel' ? OwnedFiles.take(rootFd) : null;
  }

  create(ask: Ask<'create'>): Answer<'create'> | number {
    const objects = this.#objects;
    const directory = directoryOf(objects, ask.id, ask.fd);
    if (typeof directory === 'number') return directory;
    const made = this.#createIn(ask, directory.fd);
    if (typeof made !== 'number') return { ...made, opened: directory.opened };
    const errno = inDirectory(objects, directory.fd, made);
    discard(directory);
    return errno;
  }

  #createIn({ name, what }: Ask<'create'>, directory: number): Made | number {
    const objects = this.#objects;
    const inPlace = what.type === 'file' ? this.#createInPlace(name, what, directory) : null;
    if (inPlace !== null) return inPlace;
    // Whether the name is free is seen before anything is prepared; the last word has the move.
    const found = statAt(directory, name, this.#statAt);
    if (found !== -ENOENT) return found === 0 ? -EEXIST : found;
    objects.inode.lookFd(directory);
    if (objects.inode.links === 0) return -ESTALE;
    const prepared = this.#prepare(what, directory, this.#inherited(what));
    if (typeof prepared === 'number') return prepared;
    const result = this.#place(prepared, directory, name);
    if (result < 0) {
      closeFd(prepared.fd);
      return result;
    }
    return this.#made(prepared, directory, name);
  }

  /** A file with nothing out of the ordinary is made with all that it has at once. Null: it is to be made in the other way. */
  #createInPlace(name: string, what: CreationWords, directory: number): Made | number | null {
    const objects = this.#objects;
    const { uid, mode, atimeNs, mtimeNs } = what.attributes;
    if (this.#owned === null || atimeNs !== null || mtimeNs !== null) return null;
    const looked = objects.inode.lookFd(directory);
    if (looked < 0) return looked;
    const gid = this.#inherited(what);
    // Of a setgid directory the kernel takes the group, whatever was asked for.
    if ((objects.inode.mode & S_ISGID) !== 0 && gid !== objects.inode.gid) return null;
    const owners = objects.setup.changesOwners;
    const flags = objects.fileFlags;
    const [asUid, asGid] = owners ? [uid, gid] : [null, null];
    const fd = this.#owned.create(directory, name, flags, mode ?? FILE_MODE, asUid, asGid);
    if (fd === null || fd === -EACCES || fd === -EPERM) return null;
    return fd < 0 ? fd : this.#made({ name, fd, isPath: false }, directory, name);
  }

  /** What is told of an object that has its place. */
  #made({ fd, isPath }: Prepared, directory: number, name: string): Made | number {
    const objects = this.#objects;
    const after = attributesOf(objects, directory);
    objects.inode.lookFd(fd);
    const id = objects.idOf(fd);
    const attributes = objects.inode.attributes();
    objects.index?.put(attributes.fileNumber, after.fileNumber, name);
    if (isPath || typeof id === 'number') closeFd(fd);
    if (typeof id === 'number') return id;
    if (attributes.type === 'directory') objects.knowInside(id);
    return { id, attributes, fd: isPath ? -1 : fd, directory: after };
  }

  /** As the kernel does it for an object made in place: a setgid directory, which was looked at, hands on its group. */
  #inherited(what: CreationWords): number | null {
    if (what.attributes.gid !== null) return what.attributes.gid;
    return (this.#objects.inode.mode & S_ISGID) !== 0 ? this.#objects.inode.gid : null;
  }

  /** Makes the object outside of the tree, with its attributes. */
  #prepare(what: CreationWords, directory: number, gid: number | null): Prepared | number {
    const twins: Prepared[] = [];
    let outcome: Prepared | number = -EIO;
    for (let tries = 0; tries < BIRTHS_MAX; tries += 1) {
      const born = this.#bear(what, directory);
      if (typeof born === 'number') {
        outcome = born;
        break;
      }
      const result = this.#dress(born, what, gid);
      if (result === 0 && this.#isNew()) {
        outcome = born;
        break;
      }
      twins.push(born);
      if (result < 0) {
        outcome = result;
        break;
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BIRTH_PAUSE_MS);
    }
    for (const { name, fd } of twins) {
      closeFd(fd);
      if (name !== null) this.#clear(name);
    }
    return outcome;
  }

  /** Makes the bare object, or gives the negative errno. */
  #bear(what: CreationWords, directory: number): Prepared | number {
    if (what.type === 'file' && this.#makesNameless) {
      const fd = openAt(directory, '.', this.#objects.fileFlags | O_TMPFILE, 0o600);
      if (fd >= 0) return { name: null, fd, isPath: false };
      if (fd !== -EOPNOTSUPP && fd !== -EISDIR && fd !== -ENOENT && fd !== -EINVAL) return fd;
      this.#makesNameless = false;
    }
    const name = this.#freshName();
    const made = this.#bearNamed(what, name);
    if (made < 0) {
      this.#clear(name);
      return made;
    }
    return { name, fd: made, isPath: what.type !== 'file' && what.type !== 'directory' };
  }

  #bearNamed(what: CreationWords, name: string): number {
    const { newFd } = this.#objects.setup;
    switch (what.type) {
      case 'file':
        return openAt(newFd, name, this.#objects.fileFlags | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
      case 'directory': {
        const made = makeDirectory(newFd, name, 0o700);
        return made < 0 ? made : openAt(newFd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
      }
      case 'symlink': {
        const made = makeSymlink(what.to, newFd, name);
        return made < 0 ? made : openAt(newFd, name, O_PATH | O_NOFOLLOW, 0);
      }
      default: {
        const made = makeNode(newFd, name, NODE_TYPES[what.type] | 0o600, what.major, what.minor);
        return made < 0 ? made : openAt(newFd, name, O_PATH | O_NOFOLLOW, 0);
      }
    }
  }

  #dress({ fd, isPath }: Prepared, what: CreationWords, gid: number | null): number {
    const objects = this.#objects;
    const result = objects.inode.lookFd(fd);
    if (result < 0) return result;
    const owners = objects.setup.changesOwners;
    const mode = what.attributes.mode ?? (what.type === 'directory' ? DIRECTORY_MODE : FILE_MODE);
    const uid = owners ? what.attributes.uid : null;
    return apply(objects, fd, isPath, { ...what.attributes, mode, uid, gid: owners ? gid : null });
  }

  /**
   * With ids of inode number and birth time, two objects made and removed within one tick of the file system's clock could
   * be taken for each other. Such a twin is kept until another inode was found.
   */
  #isNew(): boolean {
    const { index, inode } = this.#objects;
    if (index === null) return true;
    const birth = `${inode.number} ${inode.bornNs}`;
    const now = performance.now();
    for (const [old, at] of this.#births) {
      if (now - at < SAME_TIME_MS) break;
      this.#births.delete(old);
    }
    if (this.#births.has(birth)) return false;
    this.#births.set(birth, now);
    return true;
  }

  /** Moves it to where it is to be, unless there is something: 0, or the negative errno and nothing but `fd` is left of it. */
  #place({ name, fd }: Prepared, directory: number, as: string): number {
    if (name === null) return linkFd(fd, directory, as);
    const { newFd } = this.#objects.setup;
    let result = renameNew(newFd, name, directory, as);
    if (result === -EINVAL || result === -ENOSYS) result = this.#placeWithoutFlag(name, fd, directory, as);
    if (result === 0) return 0;
    // The preparation itself is gone: somebody has cleared it away, who thinks that nobody works here.
    if (result === -ENOENT && statAt(newFd, name, this.#statAt) === -ENOENT) result = -EIO;
    this.#clear(name);
    return result;
  }

  /** Where rename always replaces: a link never does; of directories only an empty one could be replaced. */
  #placeWithoutFlag(name: string, fd: number, directory: number, as: string): number {
    const { newFd } = this.#objects.setup;
    this.#objects.inode.lookFd(fd);
    if (this.#objects.inode.isDirectory) {
      const found = statAt(directory, as, this.#statAt);
      return found === 0 ? -EEXIST : found === -ENOENT ? renameAt(newFd, name, directory, as) : found;
    }
    const result = linkFd(fd, directory, as);
    if (result === 0) unlinkAt(newFd, name, false);
    return result;
  }

  /** Removes a preparation. */
  #clear(name: string): void {
    if (unlinkAt(this.#objects.setup.newFd, name, false) < 0) unlinkAt(this.#objects.setup.newFd, name, true);
  }

  #freshName(): string {
    this.#count += 1;
    return `${this.#objects.setup.tag}-${this.#count}`;
  }
}

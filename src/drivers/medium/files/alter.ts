/**
 * The tree's changes, as a thread makes them. All of a volume's changes are made by one thread, one behind the other. What an
 * answer says was done is not yet durable: the asker syncs (committer.ts) before it tells anybody.
 *
 * Each question resolves every id in it before it changes anything, so that one that is a MISS can be asked again.
 */
import {
  changeMode,
  changeModeOpen,
  changeOwner,
  changeTimes,
  closeFd,
  linkFd,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  openAt,
  renameAt,
  unlinkAt,
} from '../../linux/at-calls.ts';
import { ErrorNumber } from '../../linux/errno.ts';
import type { AttributeChange, Attributes, ObjectId } from '../../../ports/tree.ts';
import { directoryOf, discard, inDirectory } from './look.ts';
import { MISS, type ObjectsAt } from './objects-at.ts';
import type { Answer, Ask, LostName } from './words.ts';

const { EPERM, ESTALE } = ErrorNumber;

/** The last descriptor of an object larger than this is closed by the asker, elsewhere: giving its room back takes time. */
const LARGE_BYTES = 4 << 20;

/**
 * Sets what is to be changed of the object of `fd`, which `inode` has looked at: 0, or the negative errno. `isPath`: the
 * descriptor is O_PATH.
 */
export function apply(objects: ObjectsAt, fd: number, isPath: boolean, change: AttributeChange): number {
  const { inode } = objects;
  const uid = change.uid === null || change.uid === inode.uid ? -1 : change.uid;
  const gid = change.gid === null || change.gid === inode.gid ? -1 : change.gid;
  if (uid !== -1 || gid !== -1) {
    const result = changeOwner(fd, uid, gid);
    if (result < 0) return objects.setup.changesOwners ? result : -EPERM;
  }
  if (change.mode !== null && inode.type !== 'symlink') {
    const mode = change.mode & 0o7777;
    const result = isPath ? changeMode(fd, mode) : changeModeOpen(fd, mode);
    if (result < 0) return result;
  }
  if (change.atimeNs === null && change.mtimeNs === null) return 0;
  return changeTimes(fd, change.atimeNs, change.mtimeNs);
}

export function change(objects: ObjectsAt, ask: Ask<'change'>): Answer<'change'> | number {
  const path = ask.id === objects.rootId ? openAt(objects.setup.rootFd, '.', O_PATH, 0) : objects.open(ask.id);
  if (path < 0) return path;
  objects.inode.lookFd(path);
  const { isDirectory, isFile } = objects.inode;
  let opened = -1;
  // To be synced, files and directories have to be open; opened before the mode may forbid it.
  if (ask.fd < 0 && isFile) opened = objects.openAnew(path, objects.fileFlags);
  else if (ask.fd < 0 && isDirectory) opened = objects.openAnew(path, O_RDONLY | O_DIRECTORY);
  const result = apply(objects, path, true, ask.change);
  if (result === 0) objects.inode.lookFd(path);
  closeFd(path);
  if (result === 0) return { attributes: objects.inode.attributes(), opened };
  if (opened >= 0) closeFd(opened);
  return result;
}

export function link(objects: ObjectsAt, ask: Ask<'link'>): Answer<'link'> | number {
  const directory = directoryOf(objects, ask.id, ask.fd);
  if (typeof directory === 'number') return directory;
  const path = objects.open(ask.object);
  const errno = path < 0 ? path : objects.inode.isDirectory ? -EPERM : linkFd(path, directory.fd, ask.name);
  if (errno < 0) {
    const why = path < 0 ? errno : inDirectory(objects, directory.fd, errno);
    if (path >= 0) closeFd(path);
    discard(directory);
    return why;
  }
  objects.inode.lookFd(path);
  const attributes = objects.inode.attributes();
  const objectOpened = ask.objectFd < 0 && objects.inode.isFile ? objects.openAnew(path, objects.fileFlags) : -1;
  closeFd(path);
  const after = attributesOf(objects, directory.fd);
  objects.index?.put(attributes.fileNumber, after.fileNumber, ask.name);
  return { attributes, opened: directory.opened, objectOpened, directory: after };
}

export function remove(objects: ObjectsAt, ask: Ask<'remove'>): Answer<'remove'> | number {
  const directory = directoryOf(objects, ask.id, ask.fd);
  if (typeof directory === 'number') return directory;
  const target = openAt(directory.fd, ask.name, O_PATH | O_NOFOLLOW, 0);
  let errno = target < 0 ? target : unlinkAt(directory.fd, ask.name, ask.isDirectory);
  if (errno < 0) {
    if (target >= 0) closeFd(target);
    errno = inDirectory(objects, directory.fd, errno);
    discard(directory);
    return errno;
  }
  const lost = lose(objects, target);
  const after = attributesOf(objects, directory.fd);
  objects.lostName(lost.id, after.fileNumber, ask.name);
  return { lost, opened: directory.opened, directory: after };
}

/** What the object of `fd` (O_PATH) is after it has lost a name; closes `fd`, or hands it on. */
function lose(objects: ObjectsAt, fd: number): LostName {
  const { inode } = objects;
  inode.lookFd(fd);
  const identity = objects.idOf(fd);
  const id = typeof identity === 'string' ? identity : '';
  const gone = inode.links === 0;
  if (gone && inode.isFile && inode.sizeBytes > LARGE_BYTES) return { id, gone, last: fd };
  closeFd(fd);
  return { id, gone, last: -1 };
}

export function attributesOf(objects: ObjectsAt, fd: number): Attributes {
  objects.inode.lookFd(fd);
  return objects.inode.attributes();
}

export function rename(objects: ObjectsAt, ask: Ask<'rename'>): Answer<'rename'> | number {
  const from = directoryOf(objects, ask.id, ask.fd);
  if (typeof from === 'number') return from;
  const same = ask.to === ask.id;
  const to = same ? { fd: from.fd, opened: -1 } : directoryOf(objects, ask.to, ask.toFd);
  const answer = typeof to === 'number' ? to : renameBetween(objects, ask, from.fd, to.fd);
  if (typeof answer === 'number' || typeof to === 'number') {
    discard(from);
    if (typeof to !== 'number') discard(to);
    return typeof answer === 'number' ? answer : MISS;
  }
  return { ...answer, opened: from.opened, toOpened: to.opened };
}

type Renamed = Omit<Answer<'rename'>, 'opened' | 'toOpened'>;

function renameBetween(objects: ObjectsAt, ask: Ask<'rename'>, fromFd: number, toFd: number): Renamed | number {
  const moved = identify(objects, fromFd, ask.name);
  if (typeof moved === 'number') return inDirectory(objects, fromFd, moved);
  const number = objects.inode.number;
  const replaced = openAt(toFd, ask.toName, O_PATH | O_NOFOLLOW, 0);
  const same = replaced >= 0 && objects.inode.lookFd(replaced) === 0 && objects.inode.number === number;
  const result = renameAt(fromFd, ask.name, toFd, ask.toName);
  if (result < 0) {
    if (replaced >= 0) closeFd(replaced);
    const errno = inDirectory(objects, fromFd, result);
    return errno === -ESTALE ? errno : inDirectory(objects, toFd, errno);
  }
  const lost = replaced < 0 ? null : lose(objects, replaced);
  const toDirectory = attributesOf(objects, toFd);
  const directory = attributesOf(objects, fromFd);
  // Two names of one object: nothing was done, and both are still there.
  if (!same) objects.moved(number, toDirectory.fileNumber, ask.toName);
  return { moved, replaced: same ? null : lost, directory, toDirectory };
}

function identify(objects: ObjectsAt, fd: number, name: string): ObjectId | number {
  const object = openAt(fd, name, O_PATH | O_NOFOLLOW, 0);
  if (object < 0) return object;
  const result = objects.inode.lookFd(object);
  const id = result < 0 ? result : objects.idOf(object);
  closeFd(object);
  return id;
}

export function stamp(_objects: ObjectsAt, { fd, timeNs }: Ask<'stamp'>): Answer<'stamp'> | number {
  const result = changeTimes(fd, null, timeNs);
  return result < 0 ? result : {};
}

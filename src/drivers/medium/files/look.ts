/**
 * The tree's questions that change nothing, as a thread answers them: with the answer, or a negative errno, or MISS.
 */
import {
  closeFd,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  openAt,
  readLinkFd,
  usageOf,
} from '../../linux/at-calls.ts';
import { ErrorNumber } from '../../linux/errno.ts';
import type { ObjectId, Usage } from '../../../ports/tree.ts';
import { readListing } from './directory-reader.ts';
import type { ObjectsAt } from './objects-at.ts';
import type { Answer, Ask, FoundObject } from './words.ts';

const { EACCES, EINVAL, ENOENT, ENOTDIR, ESTALE } = ErrorNumber;

const linkTarget = Buffer.alloc(4096);

/** An open directory: the asker's, the root's, or `opened` on the way and to be handed over or closed. */
export interface OpenDirectory {
  readonly fd: number;
  readonly opened: number;
}

/** The directory `id`, which the asker may have open as `fd`; or a negative errno, or MISS. */
export function directoryOf(objects: ObjectsAt, id: ObjectId, fd: number): OpenDirectory | number {
  if (fd >= 0) return { fd, opened: -1 };
  if (id === objects.rootId) return { fd: objects.setup.rootFd, opened: -1 };
  const opened = objects.openDirectory(id);
  return opened < 0 ? opened : { fd: opened, opened };
}

export function discard(directory: OpenDirectory): void {
  if (directory.opened >= 0) closeFd(directory.opened);
}

/** What failed in a directory because the directory itself was removed is ESTALE. */
export function inDirectory(objects: ObjectsAt, fd: number, errno: number): number {
  if (errno !== -ENOENT) return errno;
  return objects.inode.lookFd(fd) === 0 && objects.inode.links === 0 ? -ESTALE : errno;
}

export function attributes(objects: ObjectsAt, { id, fd }: Ask<'attributes'>): Answer<'attributes'> | number {
  if (id === objects.rootId) return looked(objects, objects.setup.rootFd);
  if (fd >= 0) return looked(objects, fd);
  const path = objects.open(id);
  if (path < 0) return path;
  closeFd(path);
  // `open` has looked at it.
  return { attributes: objects.inode.attributes() };
}

function looked(objects: ObjectsAt, fd: number): Answer<'attributes'> | number {
  const result = objects.inode.lookFd(fd);
  if (result < 0) return result;
  return objects.inode.links === 0 ? -ESTALE : { attributes: objects.inode.attributes() };
}

export function lookup(objects: ObjectsAt, { id, fd, name }: Ask<'lookup'>): Answer<'lookup'> | number {
  const directory = directoryOf(objects, id, fd);
  if (typeof directory === 'number') return directory;
  const found = find(objects, directory.fd, id, name);
  if (typeof found === 'number') {
    const errno = inDirectory(objects, directory.fd, found);
    discard(directory);
    return errno;
  }
  if (name !== '.' && name !== '..') {
    if (objects.index !== null) {
      objects.inode.lookFd(directory.fd);
      objects.index.put(found.attributes.fileNumber, objects.inode.number, name);
    }
    if (found.attributes.type === 'directory') objects.knowInside(found.id);
  }
  return { id: found.id, attributes: found.attributes, opened: directory.opened };
}

function find(objects: ObjectsAt, directory: number, id: ObjectId, name: string): FoundObject | number {
  const own = name === '.' || (name === '..' && id === objects.rootId);
  const object = objects.openIn(directory, own ? '.' : name, O_PATH | O_NOFOLLOW);
  if (object < 0) return object;
  const result = objects.inode.lookFd(object);
  const identity = result < 0 ? result : objects.idOf(object);
  const isInside = name !== '..' || own || identity === objects.rootId || objects.leadsToRoot(object);
  closeFd(object);
  if (typeof identity === 'number') return identity;
  if (!isInside || objects.inode.links === 0) return -ESTALE;
  return { id: identity, attributes: objects.inode.attributes() };
}

export function readLink(objects: ObjectsAt, { id }: Ask<'readLink'>): Answer<'readLink'> | number {
  const path = objects.open(id);
  if (path < 0) return path;
  const length = objects.inode.type === 'symlink' ? readLinkFd(path, linkTarget) : -EINVAL;
  closeFd(path);
  return length < 0 ? length : { to: linkTarget.toString('latin1', 0, length) };
}

export function list(objects: ObjectsAt, { id, fd, cookie, most }: Ask<'list'>): Answer<'list'> | number {
  const directory = directoryOf(objects, id, fd);
  if (typeof directory === 'number') return directory;
  // A descriptor of its own: the position in a shared one would be everybody's.
  let reading = directory.opened;
  if (reading < 0) {
    reading = openAt(directory.fd, '.', O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (reading === -EACCES && objects.inode.lookFd(directory.fd) === 0)
      reading = objects.openAnew(directory.fd, O_RDONLY | O_DIRECTORY);
    if (reading < 0) return inDirectory(objects, directory.fd, reading);
  }
  const listed = readListing(reading, cookie, most);
  const errno = typeof listed === 'number' ? inDirectory(objects, reading, listed) : 0;
  closeFd(reading);
  return typeof listed === 'number' ? errno : listed;
}

export function usage(objects: ObjectsAt): Usage | number {
  const found = usageOf(objects.setup.rootFd);
  if (typeof found === 'number') return found;
  return {
    totalBytes: found.blocks * found.unitBytes,
    freeBytes: found.freeBlocks * found.unitBytes,
    availableBytes: found.availableBlocks * found.unitBytes,
    totalObjects: found.objects,
    freeObjects: found.freeObjects,
  };
}

export function open(objects: ObjectsAt, { id }: Ask<'open'>): Answer<'open'> | number {
  const file = objects.openFile(id);
  if (file >= 0) return { opened: file, type: 'file' };
  if (file !== -EINVAL || !objects.inode.isDirectory) return file === -EINVAL ? -ENOTDIR : file;
  const directory = objects.openDirectory(id);
  return directory < 0 ? directory : { opened: directory, type: 'directory' };
}

export function close({ fds }: Ask<'close'>): Answer<'close'> {
  for (const fd of fds) closeFd(fd);
  return {};
}

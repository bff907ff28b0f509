/**
 * The system calls on directories, names and handles that Node has not, or not for a name given as bytes below an open
 * directory. They block, and are made on the tree's own threads (src/drivers/medium/files/thread.ts): a dozen of them in a row
 * there cost less than one journey through the thread pool. Names are strings of bytes ('latin1'), so that they pass from
 * thread to thread without a copy of the buffer they came from. A negative result is an errno.
 */
import { endianness } from 'node:os';
import { Fault } from '../../base/fault.ts';
import { foreignLibrary } from './libc.ts';

export const O_RDONLY = 0;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_NONBLOCK = 0o4000;
export const O_DSYNC = 0o10000;
/** These two have other numbers on arm64. */
export const O_DIRECTORY = process.arch === 'arm64' ? 0o40000 : 0o200000;
export const O_NOFOLLOW = process.arch === 'arm64' ? 0o100000 : 0o400000;
export const O_NOATIME = 0o1000000;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;
/** A file without a name, in the directory that is opened. */
export const O_TMPFILE = 0o20000000 | O_DIRECTORY;

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
const AT_SYMLINK_FOLLOW = 0x400;
const AT_EMPTY_PATH = 0x1000;
const RENAME_NOREPLACE = 1;
const STATX_BASIC_AND_BIRTH = 0xfff;
const UTIME_OMIT = 0x3fff_fffe;
const POSIX_FADV_DONTNEED = 4;
const PC_LINK_MAX = 0;
const SEEK_SET = 0;
const NS_PER_S = 1_000_000_000n;
const GETDENTS64: Readonly<Record<string, number>> = { x64: 217, arm64: 61 };

/** Longest path that the kernel takes, its end mark included. */
const PATH_BYTES = 4096;
/** Bytes of the longest kernel handle. */
export const HANDLE_BYTES_MAX = 128;

interface AtCalls {
  openat(fd: number, path: Buffer, flags: number, mode: number): number;
  close(fd: number): number;
  statx(fd: number, path: Buffer, flags: number, mask: number, into: Buffer): number;
  nameToHandle(fd: number, path: Buffer, handle: Buffer, mount: Buffer, flags: number): number;
  openByHandle(mount: number, handle: Buffer, flags: number): number;
  mkdirat(fd: number, path: Buffer, mode: number): number;
  mknodat(fd: number, path: Buffer, mode: number, device: bigint): number;
  symlinkat(to: Buffer, fd: number, path: Buffer): number;
  linkat(fd: number, path: Buffer, toFd: number, toPath: Buffer, flags: number): number;
  unlinkat(fd: number, path: Buffer, flags: number): number;
  renameat(fd: number, path: Buffer, toFd: number, toPath: Buffer): number;
  renameat2(fd: number, path: Buffer, toFd: number, toPath: Buffer, flags: number): number;
  utimensat(fd: number, path: Buffer, times: Buffer, flags: number): number;
  fchownat(fd: number, path: Buffer, uid: number, gid: number, flags: number): number;
  fchmod(fd: number, mode: number): number;
  fchmodat(fd: number, path: Buffer, mode: number, flags: number): number;
  readlinkat(fd: number, path: Buffer, into: Buffer, size: number): number;
  fstatvfs(fd: number, into: Buffer): number;
  fpathconf(fd: number, name: number): number | bigint;
  lseek(fd: number, offset: bigint, whence: number): number | bigint;
  ftruncate(fd: number, size: bigint): number;
  fadvise(fd: number, offset: number, length: number, advice: number): number;
  fsync(fd: number): number;
  syncfs(fd: number): number;
  syscall(number: number, fd: number, into: Buffer, size: number): number;
}

let bound: { readonly calls: AtCalls; readonly errno: () => number } | null = null;

function bind(): { readonly calls: AtCalls; readonly errno: () => number } {
  if (endianness() !== 'LE') throw new Fault('refused', 'Files volumes need a little-endian machine.');
  const library = foreignLibrary();
  const func = (definition: string): unknown => library.func(definition);
  const calls = {
    openat: func('int openat(int fd, const void *path, int flags, unsigned int mode)'),
    close: func('int close(int fd)'),
    statx: func('int statx(int fd, const void *path, int flags, unsigned int mask, void *into)'),
    nameToHandle: func('int name_to_handle_at(int fd, const void *path, void *handle, void *mount, int flags)'),
    openByHandle: func('int open_by_handle_at(int mount, void *handle, int flags)'),
    mkdirat: func('int mkdirat(int fd, const void *path, unsigned int mode)'),
    mknodat: func('int mknodat(int fd, const void *path, unsigned int mode, uint64_t device)'),
    symlinkat: func('int symlinkat(const void *to, int fd, const void *path)'),
    linkat: func('int linkat(int fd, const void *path, int toFd, const void *toPath, int flags)'),
    unlinkat: func('int unlinkat(int fd, const void *path, int flags)'),
    renameat: func('int renameat(int fd, const void *path, int toFd, const void *toPath)'),
    renameat2: func('int renameat2(int fd, const void *path, int toFd, const void *toPath, unsigned int flags)'),
    utimensat: func('int utimensat(int fd, const void *path, const void *times, int flags)'),
    fchownat: func('int fchownat(int fd, const void *path, unsigned int uid, unsigned int gid, int flags)'),
    fchmod: func('int fchmod(int fd, unsigned int mode)'),
    fchmodat: func('int fchmodat(int fd, const void *path, unsigned int mode, int flags)'),
    readlinkat: func('int64_t readlinkat(int fd, const void *path, void *into, size_t size)'),
    fstatvfs: func('int fstatvfs(int fd, void *into)'),
    fpathconf: func('int64_t fpathconf(int fd, int name)'),
    lseek: func('int64_t lseek(int fd, int64_t offset, int whence)'),
    ftruncate: func('int ftruncate(int fd, int64_t size)'),
    fadvise: func('int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)'),
    fsync: func('int fsync(int fd)'),
    syncfs: func('int syncfs(int fd)'),
    syscall: func('int64_t syscall(int64_t number, int64_t fd, void *into, int64_t size)'),
  } as unknown as AtCalls;
  return { calls, errno: () => library.errno() };
}

function at(): AtCalls {
  bound ??= bind();
  return bound.calls;
}

/** The result, or the negative errno. */
function checked(result: number): number {
  return result < 0 ? -(bound?.errno() ?? 0) : result;
}

/** One path each for calls that take two; a call at a time uses them. */
const here = Buffer.alloc(PATH_BYTES);
const there = Buffer.alloc(PATH_BYTES);
const EMPTY = Buffer.alloc(1);
const ENAMETOOLONG = -36;

/** Puts the name into `path`; false when it is longer than the kernel takes. */
function put(path: Buffer, name: string): boolean {
  if (name.length >= PATH_BYTES) return false;
  path.write(name, 0, 'latin1');
  path[name.length] = 0;
  return true;
}

/** What an open descriptor leads to, as a path. Follows to the very object, whatever it is called now. */
const descriptorPath = (fd: number): string => `/proc/self/fd/${fd}`;

/** Opens `name` in the directory `fd` ('' is no name). Never inherited by other programs. */
export function openAt(fd: number, name: string, flags: number, mode: number): number {
  if (!put(here, name)) return ENAMETOOLONG;
  return checked(at().openat(fd, here, flags | O_CLOEXEC, mode));
}

/** Opens anew, with other flags, what `fd` (O_PATH) leads to; not a symbolic link. */
export function reopen(fd: number, flags: number): number {
  put(here, descriptorPath(fd));
  return checked(at().openat(AT_FDCWD, here, flags | O_CLOEXEC, 0));
}

export function closeFd(fd: number): void {
  at().close(fd);
}

/** struct statx of what `fd` leads to, which may be O_PATH. */
export function statFd(fd: number, into: Buffer): number {
  return checked(at().statx(fd, EMPTY, AT_EMPTY_PATH, STATX_BASIC_AND_BIRTH, into));
}

/** struct statx of `name` in `fd`, a symbolic link itself. */
export function statAt(fd: number, name: string, into: Buffer): number {
  if (!put(here, name)) return ENAMETOOLONG;
  return checked(at().statx(fd, here, AT_SYMLINK_NOFOLLOW, STATX_BASIC_AND_BIRTH, into));
}

const mountId = Buffer.alloc(8);

/** struct file_handle of what `fd` leads to: bytes (4), type (4), the bytes. EOPNOTSUPP where the file system has none. */
export function handleOf(fd: number, into: Buffer): number {
  into.writeUInt32LE(HANDLE_BYTES_MAX, 0);
  return checked(at().nameToHandle(fd, EMPTY, into, mountId, AT_EMPTY_PATH));
}

/** Opens the object of a handle on the file system of `mount`. EPERM without CAP_DAC_READ_SEARCH; ESTALE when it is gone. */
export function openByHandle(mount: number, handle: Buffer, flags: number): number {
  return checked(at().openByHandle(mount, handle, flags | O_CLOEXEC));
}

export function makeDirectory(fd: number, name: string, mode: number): number {
  return put(here, name) ? checked(at().mkdirat(fd, here, mode)) : ENAMETOOLONG;
}

/** A device, fifo or socket; `mode` carries the type. */
export function makeNode(fd: number, name: string, mode: number, major: number, minor: number): number {
  const [M, m] = [BigInt(major), BigInt(minor)];
  const device = ((M & 0xffff_f000n) << 32n) | ((M & 0xfffn) << 8n) | ((m & 0xffff_ff00n) << 12n) | (m & 0xffn);
  return put(here, name) ? checked(at().mknodat(fd, here, mode, device)) : ENAMETOOLONG;
}

export function makeSymlink(to: string, fd: number, name: string): number {
  if (!put(there, to) || !put(here, name)) return ENAMETOOLONG;
  return checked(at().symlinkat(there, fd, here));
}

/** One more name for what `fd` leads to; O_PATH will do. By its path in /proc: by the descriptor alone it takes a capability. */
export function linkFd(fd: number, toFd: number, toName: string): number {
  if (!put(there, toName)) return ENAMETOOLONG;
  put(here, descriptorPath(fd));
  return checked(at().linkat(AT_FDCWD, here, toFd, there, AT_SYMLINK_FOLLOW));
}

export function unlinkAt(fd: number, name: string, directory: boolean): number {
  if (!put(here, name)) return ENAMETOOLONG;
  return checked(at().unlinkat(fd, here, directory ? AT_REMOVEDIR : 0));
}

/** As rename(2): replaces what is called so. */
export function renameAt(fd: number, name: string, toFd: number, toName: string): number {
  if (!put(here, name) || !put(there, toName)) return ENAMETOOLONG;
  return checked(at().renameat(fd, here, toFd, there));
}

/** As rename, but EEXIST when there is something called so. EINVAL, ENOSYS where the file system or kernel cannot. */
export function renameNew(fd: number, name: string, toFd: number, toName: string): number {
  if (!put(here, name) || !put(there, toName)) return ENAMETOOLONG;
  return checked(at().renameat2(fd, here, toFd, there, RENAME_NOREPLACE));
}

/** Owner and group of what `fd` leads to, a symbolic link itself; -1 leaves one as it is. */
export function changeOwner(fd: number, uid: number, gid: number): number {
  return checked(at().fchownat(fd, EMPTY, uid >>> 0, gid >>> 0, AT_EMPTY_PATH));
}

/** Mode of what `fd` leads to; not of a symbolic link, which has none. */
export function changeMode(fd: number, mode: number): number {
  put(here, descriptorPath(fd));
  return checked(at().fchmodat(AT_FDCWD, here, mode, 0));
}

/** The same, where `fd` is no O_PATH. */
export function changeModeOpen(fd: number, mode: number): number {
  return checked(at().fchmod(fd, mode));
}

const times = Buffer.alloc(32);

/** atime and mtime of what `fd` leads to, ns since 1970; null leaves one as it is. */
export function changeTimes(fd: number, atimeNs: bigint | null, mtimeNs: bigint | null): number {
  putTime(0, atimeNs);
  putTime(16, mtimeNs);
  const result = checked(at().utimensat(fd, EMPTY, times, AT_EMPTY_PATH));
  // Kernels before 5.8 do not know the flag here.
  if (result !== -22) return result;
  put(here, descriptorPath(fd));
  return checked(at().utimensat(AT_FDCWD, here, times, 0));
}

function putTime(where: number, timeNs: bigint | null): void {
  let seconds = (timeNs ?? 0n) / NS_PER_S;
  let rest = (timeNs ?? 0n) % NS_PER_S;
  if (rest < 0n) {
    rest += NS_PER_S;
    seconds -= 1n;
  }
  times.writeBigInt64LE(seconds, where);
  times.writeBigInt64LE(timeNs === null ? BigInt(UTIME_OMIT) : rest, where + 8);
}

/** The target of the symbolic link that `fd` (O_PATH) leads to: its bytes into `into`, their number. */
export function readLinkFd(fd: number, into: Buffer): number {
  return checked(at().readlinkat(fd, EMPTY, into, into.length));
}

/** Moves a directory's descriptor behind the entry with this cookie. EINVAL: none can have it. */
export function seekDirectory(fd: number, cookie: bigint): number {
  const result = at().lseek(fd, cookie, SEEK_SET);
  return result < 0 ? -(bound?.errno() ?? 0) : 0;
}

/** linux_dirent64 entries from the descriptor's position on: bytes filled, 0 at the end. */
export function readDirectory(fd: number, into: Buffer): number {
  const number = GETDENTS64[process.arch];
  if (number === undefined) throw new Fault('refused', `Files volumes are not made for ${process.arch}.`);
  return checked(at().syscall(number, fd, into, into.length));
}

export function truncateFd(fd: number, size: number): number {
  return checked(at().ftruncate(fd, BigInt(size)));
}

/** Waits until the file or directory is on stable storage. */
export function syncFd(fd: number): number {
  return checked(at().fsync(fd));
}

/** Waits until everything of the file system that `fd` lies on is on stable storage. */
export function syncFileSystemOf(fd: number): number {
  return checked(at().syncfs(fd));
}

/** What this machine cached of the file, and is clean, is dropped. */
export function dropCached(fd: number): void {
  at().fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

/** struct statvfs, as far as it is used. */
export interface FileSystemUsage {
  readonly unitBytes: number;
  readonly blocks: number;
  readonly freeBlocks: number;
  readonly availableBlocks: number;
  readonly objects: number;
  readonly freeObjects: number;
  readonly nameBytes: number;
}

const statvfs = Buffer.alloc(256);

/** The file system's usage, or the negative errno. */
export function usageOf(fd: number): FileSystemUsage | number {
  const result = checked(at().fstatvfs(fd, statvfs));
  if (result < 0) return result;
  const word = (index: number): number => Number(statvfs.readBigUInt64LE(index * 8));
  return {
    unitBytes: word(1),
    blocks: word(2),
    freeBlocks: word(3),
    availableBlocks: word(4),
    objects: word(5),
    freeObjects: word(6),
    nameBytes: word(10),
  };
}

/** Names that one object may have at most. */
export function linksMax(fd: number): number {
  const most = Number(at().fpathconf(fd, PC_LINK_MAX));
  return most > 0 ? Math.min(most, 0x7fff_ffff) : 1;
}

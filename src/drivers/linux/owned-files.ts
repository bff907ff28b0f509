/**
 * Makes a file that has its owner, group and mode from its first moment on, by one system call: the thread takes the owner's
 * identity for files (setfsuid(2), which is each thread's own) and has no mask for modes. So nobody sees the file, and no
 * crash leaves it, with other ones. Only for threads that do nothing else meanwhile (src/drivers/medium/files/thread.ts).
 */
import { readFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { O_CREAT, O_EXCL, O_NOFOLLOW, openAt } from './at-calls.ts';
import { foreignLibrary } from './libc.ts';

/** An owner that nobody is, to try with. */
const NOBODY = 65_533;
/** unshare(2): a mask, working directory and root of the thread's own. */
const CLONE_FS = 0x200;
/** setfsuid and setfsgid change nothing when told this, and return what is set. */
const ASK = 0xffff_ffff;
/** Set-id and sticky bits are subject to rules of the kernel's own. */
const PERMISSIONS = 0o777;
/** A directory's default list takes the place of the mask, and goes with it to what is made there. */
const DEFAULT_ACL = Buffer.from('system.posix_acl_default\0', 'latin1');

interface Calls {
  setfsuid(uid: number): number;
  setfsgid(gid: number): number;
  unshare(flags: number): number;
  umask(mask: number): number;
  fgetxattr(fd: number, name: Buffer, value: null, size: number): number | bigint;
}

export class OwnedFiles {
  readonly #calls: Calls;
  readonly #uid: number;
  readonly #gid: number;
  readonly #changesOwners: boolean;
  readonly #mask: number;

  private constructor(calls: Calls, changesOwners: boolean, mask: number) {
    this.#calls = calls;
    this.#uid = calls.setfsuid(ASK);
    this.#gid = calls.setfsgid(ASK);
    this.#changesOwners = changesOwners;
    this.#mask = mask;
  }

  /** For one thread and the files below `rootFd`; null where a file's mode is not only its maker's to say. */
  static take(rootFd: number): OwnedFiles | null {
    const library = foreignLibrary();
    const calls = {
      setfsuid: library.func('int setfsuid(unsigned int uid)'),
      setfsgid: library.func('int setfsgid(unsigned int gid)'),
      unshare: library.func('int unshare(int flags)'),
      umask: library.func('unsigned int umask(unsigned int mask)'),
      fgetxattr: library.func('int64_t fgetxattr(int fd, const void *name, void *value, size_t size)'),
    } as unknown as Calls;
    // Directories have such a list from the one they are made in; nobody gives them one while a server works here.
    if (Number(calls.fgetxattr(rootFd, DEFAULT_ACL, null, 0)) >= 0) return null;
    return new OwnedFiles(calls, takesIdentities(calls), ownMask(calls));
  }

  /**
   * Opens a new file with these flags beside O_CREAT: a descriptor, or the negative errno, -EEXIST when the name is taken. Null: a
   * file with this owner and mode cannot be made so. -EACCES, -EPERM: perhaps in another way.
   */
  create(fd: number, name: string, flags: number, mode: number, uid: number | null, gid: number | null): number | null {
    const [asUid, asGid] = [uid ?? this.#uid, gid ?? this.#gid];
    const others = asUid !== this.#uid || asGid !== this.#gid;
    if ((mode & ~PERMISSIONS) !== 0 || (mode & this.#mask) !== 0 || (others && !this.#changesOwners)) return null;
    if (!others) return openAt(fd, name, flags | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
    // The group first: the right to set it goes with the owner's identity.
    this.#calls.setfsgid(asGid);
    this.#calls.setfsuid(asUid);
    const result = openAt(fd, name, flags | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
    this.#calls.setfsuid(this.#uid);
    this.#calls.setfsgid(this.#gid);
    return result;
  }
}

/** Whether the thread can take identities and comes back from them with its rights. */
function takesIdentities(calls: Calls): boolean {
  const [uid, gid] = [calls.setfsuid(ASK), calls.setfsgid(ASK)];
  calls.setfsgid(NOBODY);
  calls.setfsuid(NOBODY);
  const took = calls.setfsuid(ASK) === NOBODY && calls.setfsgid(ASK) === NOBODY;
  calls.setfsuid(uid);
  calls.setfsgid(gid);
  return took && calls.setfsuid(ASK) === uid && calls.setfsgid(ASK) === gid;
}

/** The mask that holds for this thread: none, where it can have one of its own. */
function ownMask(calls: Calls): number {
  if (!isMainThread && calls.unshare(CLONE_FS) === 0) {
    calls.umask(0);
    return 0;
  }
  try {
    const told = /^Umask:\s*([0-7]+)$/m.exec(readFileSync('/proc/thread-self/status', 'latin1'))?.[1];
    return told === undefined ? PERMISSIONS : Number.parseInt(told, 8);
  } catch {
    return PERMISSIONS;
  }
}

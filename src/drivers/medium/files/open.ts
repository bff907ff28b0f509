/**
 * Opening a files volume: nothing is created but the preparations' trial file, nothing is believed that is not looked at
 * now, and what a crash has left half made is removed.
 */
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { readdir, readFile, rmdir, unlink } from 'node:fs/promises';
import { promisify } from 'node:util';
import { Fault } from '../../../base/fault.ts';
import type { VolumeName } from '../../../base/names.ts';
import type { MediumVolume } from '../../../ports/medium.ts';
import { errorCode, faultOfErrno, faultOfError } from '../../linux/errno.ts';
import { dropCachedRange, punchRange } from '../../linux/ranges.ts';
import type { Sharing } from '../raw-file.ts';
import { kernelHandlesWork, limitsOf } from './abilities.ts';
import { Committer } from './committer.ts';
import { Crew } from './crew.ts';
import { type FilesHome, filesHome, SECRET_BYTES } from './home.ts';
import { keepsOrder } from './keeps-order.ts';
import { ObjectsAt } from './objects-at.ts';
import { FilesVolume } from './volume.ts';
import type { HandleKind, Syncs, ThreadSetup } from './words.ts';

/** Objects that the index of a volume without kernel handles remembers: some 64 MiB of memory. */
const INDEX_MAX = 500_000;

/** The volume of which `volume.json` says that it is one of files, with these handles. Faults as those of `Medium.open`. */
export async function openFilesVolume(
  directory: string,
  volume: VolumeName,
  handles: HandleKind,
  sharing: Sharing,
): Promise<MediumVolume> {
  const at = filesHome(directory, volume);
  checkHandles(at, handles);
  const secret = await readSecret(at.secret);
  const fds = await openAll(at, sharing);
  try {
    await clear(at.fresh);
    if (sharing === 'machines') await forget(fds.replies);
    return await assemble(at, handles, sharing, secret, fds);
  } catch (error) {
    for (const fd of [fds.root, fds.fresh, fds.replies]) await closeFd(fd);
    throw error;
  }
}

function checkHandles(at: FilesHome, handles: HandleKind): void {
  let works: boolean;
  try {
    works = handles === 'index' || kernelHandlesWork(at.tree);
  } catch (error) {
    throw faultOfError(error, `Opening the tree ${at.tree}`);
  }
  if (works) return;
  const message =
    `The objects of ${at.tree} are named by the kernel's file handles, as its creator could open them; ` +
    'this process may not, or the file system has none (CAP_DAC_READ_SEARCH is needed).';
  throw new Fault('refused', message);
}

async function readSecret(path: string): Promise<Buffer> {
  const secret = await readFile(path).catch((error: unknown) => {
    throw faultOfError(error, `Reading the volume's secret ${path}`);
  });
  if (secret.length === SECRET_BYTES) return secret;
  throw new Fault('corrupt', `${path} is no secret of a volume: it has ${secret.length} bytes.`);
}

/** What stays open for as long as the volume. */
interface HomeFds {
  readonly root: number;
  readonly fresh: number;
  readonly replies: number;
}

const openPath = promisify(fs.open);
const closeFd = promisify(fs.close);

async function openAll(at: FilesHome, sharing: Sharing): Promise<HomeFds> {
  const { O_RDONLY, O_RDWR, O_DIRECTORY, O_NOFOLLOW, O_DSYNC } = fs.constants;
  const opened: number[] = [];
  const take = async (path: string, flags: number): Promise<number> => {
    const fd = await openPath(path, flags | O_NOFOLLOW);
    opened.push(fd);
    return fd;
  };
  try {
    return {
      root: await take(at.tree, O_RDONLY | O_DIRECTORY),
      fresh: await take(at.fresh, O_RDONLY | O_DIRECTORY),
      replies: await take(at.replies, O_RDWR | (sharing === 'machines' ? O_DSYNC : 0)),
    };
  } catch (error) {
    for (const fd of opened) await closeFd(fd);
    throw faultOfError(error, `Opening the parts of ${at.home}`);
  }
}

/** With an index the thread that changes is the one that looks, too: it is not to wait for syncs. */
async function syncsOf(at: FilesHome, handles: HandleKind): Promise<Syncs> {
  if (handles === 'index') return 'asker';
  return (await keepsOrder(at.tree)) ? 'last' : 'each';
}

/** Removes what was being made when its owner died. */
async function clear(directory: string): Promise<void> {
  for (const name of await readdir(directory, { encoding: 'buffer' })) {
    const path = Buffer.concat([Buffer.from(`${directory}/`), name]);
    await unlink(path).catch((error: unknown) => {
      const isDirectory = errorCode(error) === 'EISDIR' || errorCode(error) === 'EPERM';
      return isDirectory ? rmdir(path) : Promise.reject(faultOfError(error, `Clearing ${directory}`));
    });
  }
}

/** Where other machines write too, what this one cached earlier is not believed. */
async function forget(fd: number): Promise<void> {
  const errno = await new Promise<number>((resolve) => dropCachedRange(fd, 0, 0, resolve));
  if (errno !== 0) throw faultOfErrno(errno, 'Dropping what this machine cached of the replies');
}

/** Whether files give room back: tried behind the end of one, where there is nothing. */
function punches(fd: number): Promise<boolean> {
  return new Promise((resolve) => punchRange(fd, 1 << 30, 4096, (errno) => resolve(errno === 0)));
}

async function assemble(
  at: FilesHome,
  handles: HandleKind,
  sharing: Sharing,
  secret: Buffer,
  fds: HomeFds,
): Promise<MediumVolume> {
  const shared = sharing === 'machines';
  // The threads of one owner, and those of another that thinks it is one, must not meet in their preparations.
  const tag = randomBytes(8).toString('hex');
  const limits = limitsOf(fds.root, fds.fresh, `${tag}-trial`);
  const setup: ThreadSetup = {
    rootFd: fds.root,
    newFd: fds.fresh,
    handles,
    shared,
    changesOwners: limits.changesOwners,
    indexMax: INDEX_MAX,
    tag,
    syncs: await syncsOf(at, handles),
  };
  const objects = new ObjectsAt(setup);
  if (handles === 'index' && objects.inode.bornNs === null) {
    throw new Fault(
      'refused',
      `The file system of ${at.tree} has neither file handles nor birth times to name files by.`,
    );
  }
  return new FilesVolume({
    path: at.home,
    crew: new Crew(setup),
    committer: new Committer(fds.root),
    secret,
    limits,
    rootId: objects.rootId,
    rootFd: fds.root,
    newFd: fds.fresh,
    repliesFd: fds.replies,
    punch: await punches(fds.replies),
    shared,
  });
}

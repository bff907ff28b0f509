/**
 * A files volume's place on a directory medium, and its creation:
 *
 *     volumes/NAME/volume.json   what volume this is
 *     volumes/NAME/tree/         the exported directory: an ordinary tree for whoever mounts the medium without Holdfast
 *     volumes/NAME/new/          what is being made; empty but for what a crash has left, which the next owner removes
 *     volumes/NAME/replies       the object that keeps intents and replies, a ring of slots (docs/decisions/0007)
 *     volumes/NAME/secret        32 bytes: file handles are signed with them
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, chown, link, lstat, open, opendir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '../../../base/fault.ts';
import type { VolumeName } from '../../../base/names.ts';
import { createFile, ensureDirectory, removeQuietly, syncDirectory } from '../../linux/durable.ts';
import { errorCode } from '../../linux/errno.ts';
import { checkName } from '../../linux/small-files.ts';
import { creating, exists } from '../creating.ts';
import { formatFile, readMediumFile } from '../identity.ts';
import { kernelHandlesWork } from './abilities.ts';
import type { HandleKind } from './words.ts';

/** The ring of replies: 4,096 slots of 1 KiB. Written at creation, so that it has its room even on a full medium. */
export const REPLIES_BYTES = 4 << 20;
export const SECRET_BYTES = 32;

export interface FilesHome {
  readonly home: string;
  readonly description: string;
  readonly tree: string;
  readonly fresh: string;
  readonly replies: string;
  readonly secret: string;
}

/** Where things are, for the volume on the medium at `directory`. */
export function filesHome(directory: string, volume: VolumeName): FilesHome {
  const home = join(directory, 'volumes', volume);
  return {
    home,
    description: join(home, 'volume.json'),
    tree: join(home, 'tree'),
    fresh: join(home, 'new'),
    replies: join(home, 'replies'),
    secret: join(home, 'secret'),
  };
}

export interface FilesVolumeOptions {
  /** Permission bits of the exported directory. */
  readonly mode: number;
  /** Its owner and group; null: the creator's own. */
  readonly uid: number | null;
  readonly gid: number | null;
  /** How objects are named; left out: by kernel handles where the creator may open them, else by an index. */
  readonly handles?: HandleKind;
}

/**
 * Makes a files volume, empty; for an explicit create command alone. Durable when it returns, and one that was interrupted can be
 * repeated. Faults: `conflict` when there is a volume of that name, or anything in its place that a creation would
 * not have left; `missing` when there is no medium; `refused`, `full`, `io`.
 */
export async function createFilesVolume(
  directory: string,
  volume: VolumeName,
  options: FilesVolumeOptions,
): Promise<void> {
  checkName(volume, 'volume');
  const { mode } = options;
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o7777)
    throw new Fault('refused', `A directory cannot have the mode ${mode}.`);
  await readMediumFile(join(directory, 'holdfast-medium.json'));
  await creating(`the volume ${volume} in ${directory}`, () => make(directory, volume, options));
}

async function make(directory: string, volume: VolumeName, options: FilesVolumeOptions): Promise<void> {
  const at = filesHome(directory, volume);
  await ensureDirectory(at.home);
  if (await exists(at.description)) {
    throw new Fault('conflict', `There is a volume ${volume} in ${directory} already.`);
  }
  if (await exists(join(at.home, 'disk.img'))) {
    throw new Fault('conflict', `There is something at ${join(at.home, 'disk.img')} already; it is left alone.`);
  }
  await ensureOwnDirectory(at.tree);
  await ensureOwnDirectory(at.fresh);
  await chmod(at.fresh, 0o700);
  if (options.uid !== null || options.gid !== null) {
    const found = await stat(at.tree);
    await chown(at.tree, options.uid ?? found.uid, options.gid ?? found.gid);
  }
  await chmod(at.tree, options.mode);
  await ensureFile(at.replies, Buffer.alloc(REPLIES_BYTES));
  await ensureFile(at.secret, randomBytes(SECRET_BYTES));
  const handles = options.handles ?? (kernelHandlesWork(at.tree) ? 'kernel' : 'index');
  if (handles === 'kernel' && !kernelHandlesWork(at.tree)) {
    const message = `There are no kernel file handles for ${at.tree} that this process may open (CAP_DAC_READ_SEARCH).`;
    throw new Fault('refused', message);
  }
  await syncPath(at.tree);
  await syncPath(at.fresh);
  await syncDirectory(at.home);
  const created = new Date().toISOString();
  const content = formatFile({ format: 'holdfast-volume-1', kind: 'files', volume, handles, created });
  await createFile(at.description, content);
}

/** Makes the directory; takes one that an interrupted creation has left, which is empty. */
async function ensureOwnDirectory(path: string): Promise<void> {
  if (await ensureDirectory(path)) return;
  const found = await lstat(path);
  if (found.isDirectory() && found.nlink <= 2 && (await isEmpty(path))) return;
  throw new Fault('conflict', `There is something at ${path} already; it is left alone.`);
}

async function isEmpty(path: string): Promise<boolean> {
  const directory = await opendir(path);
  try {
    return (await directory.read()) === null;
  } finally {
    await directory.close();
  }
}

/** Makes a private file with this content at once; takes one of that length that an interrupted creation has left. */
async function ensureFile(path: string, content: Buffer): Promise<void> {
  const temporary = `${path}.${randomBytes(8).toString('hex')}.new`;
  const file = await open(temporary, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
    await link(temporary, path);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
    const found = await lstat(path);
    if (!found.isFile() || found.size !== content.length)
      throw new Fault('conflict', `There is something at ${path} already; it is left alone.`, error);
  } finally {
    await file.close();
    await removeQuietly(temporary);
  }
}

async function syncPath(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

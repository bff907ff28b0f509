/**
 * Files that outlive a loss of power, and that are there wholly or not at all. Used by everything that an explicit
 * create command makes, and by the coordinator.
 */
import { randomBytes } from 'node:crypto';
import { link, mkdir, open, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errorCode } from './errno.ts';

/** Makes the directory's entries durable: what was created, linked, renamed or removed in it stays so. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** A new file beside `path` with a name nobody else uses, holding `content`, synced; returns its path. */
export async function writeBeside(path: string, content: string): Promise<string> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(8).toString('hex')}.new`);
  const file = await open(temporary, 'wx', 0o644);
  try {
    await file.writeFile(content);
    await file.sync();
  } catch (error) {
    await removeQuietly(temporary);
    throw error;
  } finally {
    await file.close();
  }
  return temporary;
}

/**
 * Creates `path` with `content`, at once and for good; throws EEXIST when there is something already. A link to a
 * complete and synced file appears whole or not at all, and never replaces anything.
 */
export async function createFile(path: string, content: string): Promise<void> {
  const temporary = await writeBeside(path, content);
  try {
    await link(temporary, path);
  } finally {
    await removeQuietly(temporary);
  }
  await syncDirectory(dirname(path));
}

/** Makes the directory unless it is there; its parent must exist. True when it was made. Durable either way. */
export async function ensureDirectory(path: string): Promise<boolean> {
  let made = true;
  try {
    await mkdir(path);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
    made = false;
  }
  // Also when it was there: whoever made it may not have come to this.
  await syncDirectory(dirname(path));
  return made;
}

/** Removes a file that only takes room; one that cannot be removed does no harm. */
export async function removeQuietly(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch {
    // Somebody else removed it, or it stays: nothing rests on it.
  }
}

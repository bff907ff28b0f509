/** Small durable steps on the file system, for what is done once: creating, renaming, listing. Each throws a Fault. */
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errorCode, faultOfError } from '../../linux/errno.ts';

/** Names, creations and removals in the directory are stable afterwards. */
export async function syncDirectory(path: string): Promise<void> {
  await doing(`Syncing the directory ${path}`, async () => {
    const handle = await open(path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  });
}

/** The directory exists afterwards, and is stable. Nobody but its owner may look into it when it is created. */
export async function ensureDirectory(path: string): Promise<void> {
  await doing(`Creating the directory ${path}`, async () => {
    const first = await mkdir(path, { recursive: true, mode: 0o700 });
    if (first === undefined) return;
    for (let at = path; at.length >= first.length; at = dirname(at)) await syncDirectory(dirname(at));
  });
}

/** The file's text, or null when there is none. */
export async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw faultOfError(error, `Reading ${path}`);
  }
}

/** Writes a new file and syncs it; it must not exist. `write` is given the file's place (see `placeOf`). */
export async function writeNewFile(path: string, text: (place: string) => string): Promise<void> {
  await doing(`Writing ${path}`, async () => {
    const handle = await open(path, 'wx', 0o600);
    try {
      await handle.writeFile(text(placeOf(await handle.stat({ bigint: true }))));
      await handle.sync();
    } finally {
      await handle.close();
    }
  });
}

/** Renames within one file system, stable afterwards in both directories. */
export async function renameDurably(from: string, to: string): Promise<void> {
  await doing(`Renaming ${from} to ${to}`, () => rename(from, to));
  await syncDirectory(dirname(to));
  if (dirname(from) !== dirname(to)) await syncDirectory(dirname(from));
}

/** Removes a file or a directory with all that is in it; nothing happens when there is none. */
export async function remove(...path: string[]): Promise<void> {
  const whole = join(...path);
  await doing(`Removing ${whole}`, () => rm(whole, { recursive: true, force: true }));
}

export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw faultOfError(error, `Looking for ${path}`);
  }
}

/**
 * What tells a file from every copy of it: its inode number and the moment of its creation, which no tool can set.
 * Device numbers are left out: they change with the order in which disks are found.
 */
export function placeOf(stats: { readonly ino: bigint; readonly birthtimeNs: bigint }): string {
  return `${stats.ino}:${stats.birthtimeNs}`;
}

/** The place of the file at `path`. */
export async function placeAt(path: string): Promise<string> {
  return doing(`Looking at ${path}`, async () => placeOf(await stat(path, { bigint: true })));
}

/** Runs `step`; what it throws becomes a Fault that says what was being done. */
export async function doing<T>(what: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw faultOfError(error, what);
  }
}

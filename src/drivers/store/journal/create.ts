/** Making a ring file: zeroes to its full size, synced, so that later writes overwrite blocks that exist. */
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Done, Fault } from '../../../base/fault.ts';
import type { StoreId } from '../../../base/names.ts';
import { encodeSuperblock, SUPERBLOCK_BYTES } from '../../../wire/journal.ts';
import { doing, placeOf, remove, renameDurably } from './disk.ts';
import { openJournalFile, type NodeJournalFile } from './file.ts';
import { GroupWriter } from './group-writer.ts';
import type { LiveLog } from './live-log.ts';
import { RingSpace, type RingSizes } from './space.ts';

export const RING_FILE = 'ring';
const DRAFT_FILE = 'ring.new';
const PIECE_BYTES = 4 << 20;
/** Zeroes are synced in portions, so that what is told as written is, and nothing waits long behind one large sync. */
const SYNC_BYTES = 32 << 20;

/** Told while a ring is made: so many of its bytes are on the disk. */
export type Progress = (writtenBytes: number, ofBytes: number) => void;

/**
 * Makes `ring` in `directory`, holding `log` (all of whose operations wait to be written) and at least one group, and
 * puts it in the place of the one that is there, if any, in one step. Throws a Fault, `full` when the disk is.
 */
export async function createRing(
  directory: string,
  store: StoreId,
  key: Buffer,
  sizes: RingSizes,
  log: LiveLog,
  progress: Progress = () => {},
): Promise<void> {
  const draft = join(directory, DRAFT_FILE);
  await remove(draft);
  try {
    await doing(`Preparing a journal of ${sizes.ringBytes} bytes, ${draft},`, async () => {
      const handle = await open(draft, 'wx', 0o600);
      try {
        await fillWithZeroes(handle, SUPERBLOCK_BYTES + sizes.ringBytes, progress);
        const place = placeOf(await handle.stat({ bigint: true }));
        await handle.write(encodeSuperblock({ store, key, ...sizes, place }), 0, SUPERBLOCK_BYTES, 0);
        await handle.sync();
      } finally {
        await handle.close();
      }
    });
    await fill(await openFile(draft), key, sizes, log);
    await renameDurably(draft, join(directory, RING_FILE));
  } catch (error) {
    await remove(draft).catch(() => {});
    throw error;
  }
}

export async function openFile(path: string): Promise<NodeJournalFile> {
  return new Promise((resolve, reject) => {
    openJournalFile(path, (fault, file) => {
      if (file === null) reject(fault ?? new Fault('io', `Opening ${path} failed.`));
      else resolve(file);
    });
  });
}

/** Writes a group; throws the Fault it ends with. */
export async function writeGroup(writer: GroupWriter, log: LiveLog): Promise<void> {
  const ends: Done[] = [];
  await promisify((done: Done) => writer.write(log, ends, done))();
}

async function fill(file: NodeJournalFile, key: Buffer, sizes: RingSizes, log: LiveLog): Promise<void> {
  try {
    const space = new RingSpace(sizes, { number: 1, position: 0 }, 0);
    const writer = new GroupWriter(file, key, space, {
      previousPosition: 0,
      previousCrc: 0,
      logNumber: 0,
      logSerial: -1,
    });
    do await writeGroup(writer, log);
    while (log.hasPending);
  } finally {
    await promisify(file.close.bind(file))();
  }
}

async function fillWithZeroes(handle: FileHandle, bytes: number, progress: Progress): Promise<void> {
  const zeroes = Buffer.alloc(Math.min(bytes, PIECE_BYTES));
  progress(0, bytes);
  for (let at = 0, synced = 0; at < bytes;) {
    const { bytesWritten } = await handle.write(zeroes, 0, Math.min(zeroes.length, bytes - at), at);
    if (bytesWritten === 0) throw new Fault('full', 'Nothing was written.');
    at += bytesWritten;
    if (at - synced < SYNC_BYTES && at < bytes) continue;
    await handle.datasync();
    synced = at;
    progress(at, bytes);
  }
}

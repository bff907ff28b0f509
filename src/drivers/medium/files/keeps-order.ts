/**
 * Whether one sync makes durable what was changed before it, elsewhere on the file system, too. POSIX promises of fsync only
 * the one file. But a file system that writes its metadata through one log, in order, cannot make a change durable
 * without all that were logged before it:
 *
 * - ext4 with a journal: fsync of an inode waits until the transaction that changed it last is committed
 *   (`ext4_fsync_journal`: `i_sync_tid`; a fast commit writes everything changed since the last full one). Whoever changed
 *   something earlier did so in this transaction or in an older one, and transactions are committed in order.
 * - xfs: fsync forces the log up to the checkpoint in which the inode was logged last (`xfs_log_force_seq`); checkpoints
 *   are written in order, and recovered in order.
 *
 * ext4 without a journal, ext2 (of the same magic number), btrfs (a log per inode), overlays, network and other file systems
 * promise nothing of the kind: there everything that was changed is synced by itself.
 */
import { readFile, readlink, stat, statfs } from 'node:fs/promises';
import { basename } from 'node:path';

const EXT4 = 0xef53;
const XFS = 0x5846_5342;

/** False also where it cannot be found out. */
export async function keepsOrder(directory: string): Promise<boolean> {
  try {
    const { type } = await statfs(directory);
    if (type === XFS) return true;
    return type === EXT4 && hasJournal(await journalTask((await stat(directory, { bigint: true })).dev));
  } catch {
    return false;
  }
}

/** What the kernel says is the process of an ext4's journal: its number, or that there is none. */
async function journalTask(device: bigint): Promise<string> {
  const major = ((device >> 32n) & 0xffff_f000n) | ((device >> 8n) & 0xfffn);
  const minor = ((device >> 12n) & 0xffff_ff00n) | (device & 0xffn);
  const name = basename(await readlink(`/sys/dev/block/${major}:${minor}`));
  return readFile(`/sys/fs/ext4/${name}/journal_task`, 'latin1');
}

/** For tests. 0 is a process of another name space: there is one. */
export function hasJournal(task: string): boolean {
  return /^\d+\n?$/.test(task);
}

/**
 * One volume's record as a directory of files, one per version: a linearizable register with compare-and-swap, made of
 * nothing but exclusive links, listings and fsync.
 *
 *     record/00000000000000000041.json      a version of the record, complete and never changed
 *     record/00000000000000000042.json      the newest one is the record
 *     record/.00000000000000000043.json.5f…a1.new      a version being prepared by somebody
 *
 * **Swap to version v.** Prepare the whole content in a file of one's own and fsync it; *then* list: v-1 must be the
 * newest version; link the prepared file to v's name; fsync the directory. link(2) is atomic, exclusive, and what
 * appears is complete: of several servers that try, one succeeds, and nobody ever sees half a record.
 *
 * **Removal of old versions.** A server whose version n is made and durable removes everything up to
 * n - KEPT_VERSIONS: first the files *prepared* for those versions, then the versions, in ascending order; it stops at
 * the first file that it cannot remove.
 *
 * **Why a frozen server cannot make an old version again (trap T28).** It is frozen before its link to version 8, wakes up
 * when the record is at 80, and version 8 is not there any more. Whoever removed version 8 had made a version of 72 or more,
 * so after the frozen server's listing, which saw 7 as the newest. The file it had prepared existed before that listing,
 * so the remover's own listing showed it, and it was removed before version 8 was: the link fails with ENOENT, and has
 * not happened. A server that froze before its listing finds there that the record has moved on. Hence a link that
 * succeeds made the first v ever; its maker had read v-1, nobody can have made v+1 without reading v: at the moment
 * of the link v was the newest. The winner lists once more all the same, and claims nothing if the record went on by
 * KEPT_VERSIONS meanwhile.
 *
 * **Read.** List, take the newest version n, read and verify it; make the directory durable, so that no loss of power
 * can take back what was told; then prove that it is the record: look for n+1, find nothing, and *after that* look for n
 * and find the very file that was read (device, inode, time, size). If n+1 had existed before the first look, it had been
 * removed by then; but n is removed before n+1, and the second look would not have found it. So n was the newest at
 * the first look, which lies between call and answer.
 *
 * The proof costs two system calls and needs no listing: while nothing changes, it is all that a read does.
 *
 * **Unknown outcomes.** An error after the link may have happened is `unknown`. Where the reply to a link was lost and
 * the retransmission finds the name taken (NFS), the nonce in the file tells whose it is.
 *
 * All this rests on directories and names being seen alike by all servers at once: true for one machine and for
 * cluster file systems, for NFS only without attribute caching. `probe.ts` refuses what it can find out to be otherwise.
 */
import { link, open, readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { assert, Fault } from '../../base/fault.ts';
import type { Version, VolumeName } from '../../base/names.ts';
import type { SwapOutcome, VolumeRecord } from '../../ports/coordinator.ts';
import { removeQuietly, syncDirectory, writeBeside } from '../linux/durable.ts';
import { errorCode, faultOfError } from '../linux/errno.ts';
import { decodeRecord, encodeRecord, FILE_BYTES_MAX } from './codec.ts';

/** Versions that are never removed: the newest and those before it. */
export const KEPT_VERSIONS = 64;
/** A record that changes under every look is given up on after so many. */
const ROUNDS_MAX = 32;
/** link(2) failed before it could do anything. */
const NOT_LINKED: ReadonlySet<string> = new Set([
  'ENOENT',
  'ENOTDIR',
  'EACCES',
  'EPERM',
  'EROFS',
  'ENOSPC',
  'EDQUOT',
  'EMLINK',
  'ELOOP',
  'EXDEV',
  'EOPNOTSUPP',
]);

export interface Swapped {
  readonly outcome: SwapOutcome;
  readonly fault: Fault | null;
}

/** The file operations that can be made to fail, to freeze or to lie in a test. */
export interface RecordFiles {
  /** A new synced file beside `path` that holds `content`; returns its path. */
  prepare(path: string, content: string): Promise<string>;
  link(from: string, to: string): Promise<void>;
  list(path: string): Promise<string[]>;
  syncDirectory(path: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Which file it is; null when there is none. */
  look(path: string): Promise<FileIdentity | null>;
  /** Removes a prepared file; never throws. */
  discard(path: string): Promise<void>;
}

export const REAL_FILES: RecordFiles = {
  prepare: writeBeside,
  link,
  list: (path) => readdir(path),
  syncDirectory,
  remove: unlink,
  look: identify,
  discard: removeQuietly,
};

/** Which file it was: no other one ever has the same four. */
export interface FileIdentity {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly mtimeNs: bigint;
  readonly size: bigint;
}

interface Known {
  readonly record: VolumeRecord;
  readonly file: FileIdentity;
}

export class RecordDirectory {
  readonly #volume: VolumeName;
  readonly #path: string;
  #known: Known | null = null;
  #pruning = false;
  readonly #files: RecordFiles;

  constructor(volume: VolumeName, path: string, files: RecordFiles = REAL_FILES) {
    this.#volume = volume;
    this.#path = path;
    this.#files = files;
  }

  /** The newest record, as of a moment during the call. Throws Fault `missing`, `corrupt`, `retry`, `io`. */
  async read(): Promise<VolumeRecord> {
    const known = this.#known;
    if (known !== null && (await this.#isNewest(known))) return known.record;
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const newest = (await this.versions()).at(-1);
      if (newest === undefined) throw this.#missing();
      const found = await this.#load(newest);
      if (found === null) continue;
      await this.#files.syncDirectory(this.#path);
      if (!(await this.#isNewest(found))) continue;
      // A slower read of ours may end after a faster one: never go back to an older version.
      if (this.#known === null || this.#known.record.version < newest) this.#known = found;
      return found.record;
    }
    throw new Fault('retry', `The record of ${this.#volume} changes faster than it can be read.`);
  }

  /** Makes `next` the record if it is the next version; never throws. */
  async swap(next: VolumeRecord): Promise<Swapped> {
    const path = this.#fileOf(next.version);
    let prepared: string;
    try {
      prepared = await this.#files.prepare(path, encodeRecord(this.#volume, next));
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return { outcome: 'conflict', fault: this.#missing() };
      return { outcome: 'conflict', fault: faultOfError(error, `Preparing ${path}`) };
    }
    try {
      return (await this.#notInTurn(next.version)) ?? (await this.#install(prepared, next));
    } finally {
      await this.#files.discard(prepared);
    }
  }

  /** The versions in the directory, ascending. Throws Fault `missing` when there is no such directory. */
  async versions(): Promise<readonly Version[]> {
    const found: Version[] = [];
    for (const name of await this.#names()) {
      const version = versionOf(name);
      if (version !== null) found.push(version);
    }
    return found.sort((a, b) => a - b);
  }

  /** Null when the record is at the version before; else why the swap did not happen. Nothing was linked yet. */
  async #notInTurn(version: Version): Promise<Swapped | null> {
    try {
      const newest = (await this.versions()).at(-1) ?? 0;
      if (newest === version - 1) return null;
      if (newest >= version) return { outcome: 'conflict', fault: null };
      if (newest === 0) return { outcome: 'conflict', fault: this.#missing() };
      const message = `The record of ${this.#volume} is at version ${newest} and was at ${version - 1} before.`;
      return { outcome: 'conflict', fault: new Fault('corrupt', `${message} Was an old copy put in its place?`) };
    } catch (error) {
      return { outcome: 'conflict', fault: faultOfError(error, `Listing ${this.#path}`) };
    }
  }

  /** Links the prepared file, makes that durable, and looks once more. */
  async #install(prepared: string, next: VolumeRecord): Promise<Swapped> {
    const { version } = next;
    try {
      await this.#files.link(prepared, this.#fileOf(version));
    } catch (error) {
      const refusal = await this.#judgeFailedLink(error, next);
      if (refusal !== null) return refusal;
    }
    try {
      await this.#files.syncDirectory(this.#path);
      const newest = (await this.versions()).at(-1) ?? 0;
      if (newest < version || newest >= version + KEPT_VERSIONS) {
        const message = `Version ${version} of the record of ${this.#volume} was made, but the newest one is ${newest}.`;
        return { outcome: 'unknown', fault: new Fault('retry', message) };
      }
    } catch (error) {
      const fault = faultOfError(error, `Making version ${version} of the record of ${this.#volume} durable`);
      return { outcome: 'unknown', fault };
    }
    void this.#prune(version);
    return { outcome: 'done', fault: null };
  }

  /** What a failed link means; null when the file is there after all. */
  async #judgeFailedLink(error: unknown, next: VolumeRecord): Promise<Swapped | null> {
    const what = `Creating version ${next.version} of the record of ${this.#volume}`;
    const code = errorCode(error) ?? '';
    if (NOT_LINKED.has(code)) return { outcome: 'conflict', fault: faultOfError(error, what) };
    try {
      const found = await this.#load(next.version);
      if (found?.record.nonce === next.nonce) return null;
      if (found !== null) return { outcome: 'conflict', fault: null };
    } catch {
      // Unreadable now: nothing is known of it.
    }
    return { outcome: 'unknown', fault: faultOfError(error, what) };
  }

  /** The proof that a read rests on: nothing after it, and then still itself. */
  async #isNewest(known: Known): Promise<boolean> {
    const { version } = known.record;
    if ((await this.#files.look(this.#fileOf((version + 1) as Version))) !== null) return false;
    const file = await this.#files.look(this.#fileOf(version));
    return file !== null && isSame(file, known.file);
  }

  /** Reads and verifies one version; null when it is not there. Throws Fault `corrupt` or `io`. */
  async #load(version: Version): Promise<Known | null> {
    const path = this.#fileOf(version);
    let handle;
    try {
      handle = await open(path, 'r');
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return null;
      throw faultOfError(error, `Opening ${path}`);
    }
    try {
      const file = await handle.stat({ bigint: true });
      if (file.size > FILE_BYTES_MAX) throw new Fault('corrupt', `${path} is too long for a record.`);
      const text = await handle.readFile('utf8');
      return { record: decodeRecord(text, this.#volume, version, path), file };
    } catch (error) {
      throw faultOfError(error, `Reading ${path}`);
    } finally {
      await handle.close();
    }
  }

  /**
   * Removes what version `newest`, which exists and is durable, leaves behind: what was prepared for old versions, then
   * the versions in ascending order, and nothing after a failure. Reads and swaps rest on this order.
   */
  async #prune(newest: Version): Promise<void> {
    const last = newest - KEPT_VERSIONS;
    if (last <= 0 || this.#pruning) return;
    this.#pruning = true;
    try {
      // Sorted by name, prepared files (with their leading dot) come first, and versions ascend.
      for (const name of (await this.#names()).sort()) {
        const version = versionOf(name) ?? preparedFor(name);
        if (version !== null && version <= last) await this.#remove(join(this.#path, name));
      }
    } catch {
      // What could not be removed does no harm; the next swap tries again.
    } finally {
      this.#pruning = false;
    }
  }

  async #remove(path: string): Promise<void> {
    try {
      await this.#files.remove(path);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
    }
  }

  async #names(): Promise<string[]> {
    try {
      return await this.#files.list(this.#path);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') throw this.#missing();
      throw faultOfError(error, `Listing ${this.#path}`);
    }
  }

  #fileOf(version: Version): string {
    assert(Number.isSafeInteger(version) && version > 0, 'a version is a positive number');
    return join(this.#path, `${String(version).padStart(20, '0')}.json`);
  }

  #missing(): Fault {
    return new Fault('missing', `There is no record of the volume ${this.#volume} in ${this.#path}.`);
  }
}

/** The version that a file's name says; null for any other name. */
function versionOf(name: string): Version | null {
  const match = /^(\d{20})\.json$/.exec(name);
  return match === null ? null : (Number(match[1]) as Version);
}

/** The version that a prepared file was meant to become; null for any other name. */
function preparedFor(name: string): Version | null {
  const match = /^\.(\d{20})\.json\.[0-9a-f]+\.new$/.exec(name);
  return match === null ? null : (Number(match[1]) as Version);
}

async function identify(path: string): Promise<FileIdentity | null> {
  try {
    return await stat(path, { bigint: true });
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw faultOfError(error, `Looking at ${path}`);
  }
}

function isSame(a: FileIdentity, b: FileIdentity): boolean {
  return a.dev === b.dev && a.ino === b.ino && a.mtimeNs === b.mtimeNs && a.size === b.size;
}

/**
 * Opens the journal of one (server, volume), creating it where there is none: lock, identity, recovery. What is wrong
 * is a Fault that names the file and says what an administrator can do; nothing is ever discarded on the way.
 *
 * The directory holds `lock`, `identity`, `ring` and `aside/`.
 */
import { join } from 'node:path';
import { callbackify, promisify } from 'node:util';
import { Fault, type Result } from '../../../base/fault.ts';
import type { StoreId } from '../../../base/names.ts';
import { costBytes, dataBytes } from '../../../base/operation.ts';
import type { RecoveredLog, Store } from '../../../ports/store.ts';
import { decodeSuperblock, SUPERBLOCK_BYTES, type Superblock } from '../../../wire/journal.ts';
import { DATA_BYTES_MAX } from '../../../wire/operation.ts';
import { faultOfError } from '../../linux/errno.ts';
import { type FileLock, tryLockExclusive } from '../../linux/flock.ts';
import { AsideDirectory } from './aside.ts';
import { createRing, openFile, RING_FILE, writeGroup } from './create.ts';
import { ensureDirectory, exists, placeAt, remove } from './disk.ts';
import type { JournalFile } from './file.ts';
import { GroupWriter } from './group-writer.ts';
import { type Identity, IDENTITY_FILE, readIdentity, writeIdentity } from './identity.ts';
import { JournalStore } from './journal.ts';
import { LiveLog } from './live-log.ts';
import { checkOptions, type JournalOptions, type JournalSeams, type OpenedJournal } from './options.ts';
import { recoverRing, type Recovery } from './recovery.ts';
import { ringSizes, type RingSizes, RingSpace } from './space.ts';

export type { JournalOptions, OpenedJournal } from './options.ts';

const REAL_SEAMS: JournalSeams = { openRing: openFile, lock: tryLockExclusive };

/**
 * Opens the journal. Faults: `refused` (another process has it open, or it is a copy, or another's, or holds more than
 * the new capacity), `corrupt` (damaged, and `onDamage` is 'refuse'), `full` and `io` (the disk).
 */
export function openJournal(options: JournalOptions, done: Result<OpenedJournal>): void {
  callbackify(() => openLocked(options))((error: unknown, opened) => {
    if (error === null) done(null, opened);
    else done(faultOfError(error, `Opening the journal in ${options.directory}`), null);
  });
}

async function openLocked(options: JournalOptions): Promise<OpenedJournal> {
  checkOptions(options);
  await ensureDirectory(options.directory);
  const lock = (options.seams ?? REAL_SEAMS).lock(join(options.directory, 'lock'));
  if (lock === null) {
    throw new Fault('refused', `The journal in ${options.directory} is open already, here or in another process.`);
  }
  try {
    return await new Opening(options, lock).open();
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** A ring that was opened, and what was found in it. */
interface Found {
  readonly file: JournalFile;
  readonly superblock: Superblock;
  readonly recovery: Recovery;
}

class Opening {
  readonly #options: JournalOptions;
  readonly #lock: Pick<FileLock, 'release'>;
  readonly #maxDataBytes: number;
  readonly #sizes: RingSizes;
  readonly #ringPath: string;
  readonly #now: () => Date;

  constructor(options: JournalOptions, lock: Pick<FileLock, 'release'>) {
    this.#options = options;
    this.#lock = lock;
    this.#maxDataBytes = options.maxDataBytes ?? DATA_BYTES_MAX;
    this.#sizes = ringSizes(options.capacityBytes, this.#maxDataBytes);
    this.#ringPath = join(options.directory, RING_FILE);
    this.#now = options.now ?? (() => new Date());
  }

  async open(): Promise<OpenedJournal> {
    const asides = await AsideDirectory.open(this.#options.directory, this.#now);
    let damage: OpenedJournal['damage'] = null;
    let created = false;
    let identity: Identity | null = null;
    let found: Found | null = null;
    try {
      identity = await readIdentity(this.#options.directory, this.#options.server, this.#options.volume);
      if (identity !== null) found = await this.#find(identity);
    } catch (error) {
      const fault = faultOfError(error, `Opening the journal in ${this.#options.directory}`);
      if (fault.kind !== 'corrupt' || this.#options.onDamage === 'refuse') throw fault;
      const files = [IDENTITY_FILE, RING_FILE];
      damage = { aside: await asides.keepFiles(files, this.#options.directory, fault.message), fault };
      identity = null;
    }
    if (identity === null || found === null) {
      damage ??= await this.#keepUnowned(asides);
      identity = await this.#create();
      found = await this.#find(identity);
      created = true;
    } else if (this.#sizesDiffer(found.superblock)) {
      found = await this.#resize(identity, found);
    }
    const store = await this.#start(identity, found, asides);
    return { store, created, damage };
  }

  /** A ring without an identity: left over from a creation that was cut short, or its identity was removed. */
  async #keepUnowned(asides: AsideDirectory): Promise<OpenedJournal['damage']> {
    if (!(await exists(this.#ringPath))) return null;
    if (await this.#isUnused()) {
      await remove(this.#ringPath);
      return null;
    }
    const why = `The journal ${this.#ringPath} had no identity: it was removed, or the journal's making was cut short.`;
    return {
      aside: await asides.keepFiles([RING_FILE], this.#options.directory, why),
      fault: new Fault('missing', why),
    };
  }

  /** Whether the ring is whole and no store has ever opened it: its making was cut short before its identity. */
  async #isUnused(): Promise<boolean> {
    const file = await openFile(this.#ringPath);
    try {
      const block = Buffer.alloc(SUPERBLOCK_BYTES);
      await promisify(file.read.bind(file))(block, 0);
      const superblock = decodeSuperblock(block);
      if (superblock instanceof Fault) return false;
      return (await recoverRing(file, superblock)).newest.number === 1;
    } catch (error) {
      if (error instanceof Fault && error.kind === 'corrupt') return false;
      throw error;
    } finally {
      await promisify(file.close.bind(file))();
    }
  }

  async #create(): Promise<Identity> {
    const { directory, server, volume, ids, progress } = this.#options;
    const identity: Identity = { store: ids.draw() as StoreId, server, volume, key: ids.draw() };
    const key = Buffer.from(identity.key, 'hex');
    await createRing(directory, identity.store, key, this.#sizes, new LiveLog(0, null), progress);
    await writeIdentity(directory, identity, this.#now());
    return identity;
  }

  async #find(identity: Identity): Promise<Found> {
    if (!(await exists(this.#ringPath))) {
      throw new Fault('corrupt', `The journal ${this.#ringPath} is gone, though its identity is there.`);
    }
    const file = await (this.#options.seams ?? REAL_SEAMS).openRing(this.#ringPath);
    try {
      const superblock = await this.#superblock(identity, file);
      return { file, superblock, recovery: await recoverRing(file, superblock) };
    } catch (error) {
      file.close(() => {});
      throw error;
    }
  }

  async #superblock(identity: Identity, file: JournalFile): Promise<Superblock> {
    const damaged = (what: string): Fault => new Fault('corrupt', `The journal ${file.path} is damaged: ${what}.`);
    const block = Buffer.alloc(SUPERBLOCK_BYTES);
    await promisify(file.read.bind(file))(block, 0);
    const superblock = decodeSuperblock(block);
    if (superblock instanceof Fault) throw damaged(superblock.message);
    if (superblock.store !== identity.store || superblock.key.toString('hex') !== identity.key) {
      throw damaged('it belongs to another store than its identity says');
    }
    const place = await placeAt(file.path);
    if (superblock.place !== place) {
      throw new Fault(
        'refused',
        `The journal ${file.path} is a copy, or was restored: it was made as file ${superblock.place} (inode, creation), ` +
          `and is ${place} now. A copy may lack acknowledged writes and is never used. To go on with a new, empty store, ` +
          `remove ${join(this.#options.directory, IDENTITY_FILE)}; what is there now is then put aside.`,
      );
    }
    if (file.sizeBytes !== SUPERBLOCK_BYTES + superblock.ringBytes) {
      throw damaged(`it has ${file.sizeBytes} bytes and was made with ${SUPERBLOCK_BYTES + superblock.ringBytes}`);
    }
    return superblock;
  }

  #sizesDiffer(superblock: Superblock): boolean {
    return superblock.ringBytes !== this.#sizes.ringBytes || superblock.groupBytesMax !== this.#sizes.groupBytesMax;
  }

  /** Another capacity than the ring was made for: a new ring with the same log takes its place in one step. */
  async #resize(identity: Identity, found: Found): Promise<Found> {
    await promisify(found.file.close.bind(found.file))();
    const held = found.recovery.log;
    if (held !== null) this.#checkFits(held);
    const log = held === null ? new LiveLog(0, null) : LiveLog.recovered(0, held, true);
    const { directory, progress } = this.#options;
    await createRing(directory, identity.store, Buffer.from(identity.key, 'hex'), this.#sizes, log, progress);
    const resized = await this.#find(identity);
    // How much was cut is known only to the first look.
    if (held === null || resized.recovery.log === null) return resized;
    return {
      ...resized,
      recovery: { ...resized.recovery, log: { ...resized.recovery.log, tornBytes: held.tornBytes } },
    };
  }

  #checkFits(log: RecoveredLog): void {
    let cost = 0;
    let largest = 0;
    for (const operation of log.operations) {
      cost += costBytes(operation);
      largest = Math.max(largest, dataBytes(operation));
    }
    if (cost <= this.#options.capacityBytes && largest <= this.#maxDataBytes) return;
    throw new Fault(
      'refused',
      `The journal ${this.#ringPath} holds ${cost} bytes that are not yet on the medium, more than its new capacity of ` +
        `${this.#options.capacityBytes} bytes: start with the old capacity once more, until they are.`,
    );
  }

  /** Writes the first group of this opening: it makes a cut durable and shows that the disk can be written. */
  async #start(identity: Identity, found: Found, asides: AsideDirectory): Promise<Store> {
    const { file, recovery } = found;
    const held = recovery.log;
    const log = held === null ? new LiveLog(0, null) : LiveLog.recovered(0, held);
    const writer = writerAfter(file, identity, this.#sizes, recovery, log);
    try {
      await writeGroup(writer, log);
    } catch (error) {
      file.close(() => {});
      throw error;
    }
    return new JournalStore({
      id: identity.store,
      capacityBytes: this.#options.capacityBytes,
      maxDataBytes: this.#maxDataBytes,
      recovered: held,
      log,
      writer,
      file,
      lock: this.#lock,
      asides,
      clock: this.#options.clock,
    });
  }
}

/** A writer that goes on behind the newest group. */
export function writerAfter(
  file: JournalFile,
  identity: Pick<Identity, 'key'>,
  sizes: RingSizes,
  recovery: Recovery,
  log: LiveLog,
): GroupWriter {
  const { newest } = recovery;
  const space = new RingSpace(sizes, newest.tail, newest.tail.position);
  for (const group of recovery.groups) space.take(group.bytes, log.serial, rangesOf(group.sequences));
  return new GroupWriter(file, Buffer.from(identity.key, 'hex'), space, {
    previousPosition: newest.position,
    previousCrc: newest.crc,
    logNumber: newest.logNumber,
    logSerial: log.serial,
  });
}

/** Pairs of first and last of each run. */
function rangesOf(sequences: readonly number[]): number[] {
  const pairs: number[] = [];
  for (const sequence of sequences) {
    if (pairs.length > 0 && pairs[pairs.length - 1] === sequence - 1) pairs[pairs.length - 1] = sequence;
    else pairs.push(sequence, sequence);
  }
  return pairs;
}

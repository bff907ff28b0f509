/** What a journal is opened with, and what opening it yields. */
import { assert, Fault } from '../../../base/fault.ts';
import type { ServerId, VolumeName } from '../../../base/names.ts';
import type { Clock, Ids } from '../../../ports/clock.ts';
import type { Store } from '../../../ports/store.ts';
import { DATA_BYTES_MAX } from '../../../wire/operation.ts';
import type { FileLock } from '../../linux/flock.ts';
import type { JournalFile } from './file.ts';

/** Less would not hold a few requests. */
export const CAPACITY_BYTES_MIN = 64 << 10;
/** More than a process can keep in memory beside everything else. */
export const CAPACITY_BYTES_MAX = 64 * 2 ** 30;

export interface JournalOptions {
  /** The directory of this journal alone; created with its parents when missing. On a local disk. */
  readonly directory: string;
  readonly server: ServerId;
  readonly volume: VolumeName;
  /** Bytes of operations that fit, from CAPACITY_BYTES_MIN to CAPACITY_BYTES_MAX. May change between openings. */
  readonly capacityBytes: number;
  readonly clock: Pick<Clock, 'after' | 'soon'>;
  readonly ids: Pick<Ids, 'draw'>;
  /** What to do with a damaged journal: refuse to open, or keep it aside and go on with a new store of a new id. */
  readonly onDamage: 'refuse' | 'set-aside';
  /** The largest payload of one operation; 32 MiB when not given. A smaller one makes a smaller file. */
  readonly maxDataBytes?: number;
  /** Told now and then while a new ring is written, which takes a disk's time for its whole size. */
  readonly progress?: (writtenBytes: number, ofBytes: number) => void;
  /** The time of day, for names and descriptions that people read. */
  readonly now?: () => Date;
  /** Other bodies for the file and the lock: the tests', which lose power and end without a word. */
  readonly seams?: JournalSeams;
}

/** What the journal asks of the machine while it runs. */
export interface JournalSeams {
  /** Opens the ring for the life of the store. */
  openRing(path: string): Promise<JournalFile>;
  /** As `tryLockExclusive`. */
  lock(path: string): Pick<FileLock, 'release'> | null;
}

export interface OpenedJournal {
  readonly store: Store;
  /** The store was made now: its id is new. */
  readonly created: boolean;
  /** A journal that was there and could not be used, where it is now, and why; null when there was none. */
  readonly damage: { readonly aside: string; readonly fault: Fault } | null;
}

/** Throws the Fault that says what is wrong with the options. */
export function checkOptions(options: JournalOptions): void {
  const { capacityBytes, maxDataBytes = DATA_BYTES_MAX } = options;
  if (
    !Number.isSafeInteger(capacityBytes) ||
    capacityBytes < CAPACITY_BYTES_MIN ||
    capacityBytes > CAPACITY_BYTES_MAX
  ) {
    throw new Fault(
      'refused',
      `A journal's capacity is from ${CAPACITY_BYTES_MIN} to ${CAPACITY_BYTES_MAX} bytes, not ${capacityBytes}.`,
    );
  }
  assert(maxDataBytes >= 1 && maxDataBytes <= DATA_BYTES_MAX, 'an operation carries at most 32 MiB');
}

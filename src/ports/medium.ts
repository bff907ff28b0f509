/**
 * The medium: the shared storage that all servers reach. Only the owner of a volume (or its claimant, in replay)
 * touches the volume's objects on it.
 */
import type { Done, Result } from '../base/fault.ts';
import type { MediumId, VolumeName } from '../base/names.ts';
import type { MediumTree } from './tree.ts';

/** Part of an object and how it is kept. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
  /** True: reads as zeroes and takes no room. */
  readonly hole: boolean;
}

/** What a driver can; callers ask and fall back in one place. */
export interface MediumAbilities {
  /** `zero` with `punch` gives room back. */
  readonly punch: boolean;
  /** `reserve` guarantees that a later write into the range finds room. */
  readonly reserve: boolean;
  /** `extents` tells holes from data. */
  readonly extents: boolean;
  /** New owners write new objects, so that late I/O of an old owner cannot land (object stores). */
  readonly generations: boolean;
}

/**
 * One volume's objects, opened afresh by one owner or claimant. Modifications that overlap are never on their way at
 * the same time; a read may overlap a modification, and then sees each 512-byte sector before or after it. An object that was
 * removed meanwhile takes modifications without effect; reading it is a fault `missing`.
 */
export interface MediumVolume {
  readonly abilities: MediumAbilities;
  /** The names of a files volume, whose objects grow; null for a block volume, whose one object '' has a fixed size. */
  readonly tree: MediumTree | null;
  /** Bytes of `target` that can be addressed: a block volume's size, or what an object may grow to. */
  sizeBytes(target: string): number;
  /** Reads exactly `length` bytes, within the size; what lies beyond the end of an object that grows is zeroes. */
  read(target: string, offset: number, length: number, done: Result<Buffer>): void;
  /** Writes the buffers one behind the other from `offset` on. Stable only after `sync`. */
  write(target: string, offset: number, data: readonly Buffer[], done: Done): void;
  /** The range reads as zeroes afterwards; `punch` gives its room back where the medium can, else it stays reserved. */
  zero(target: string, offset: number, length: number, punch: boolean, done: Done): void;
  /**
   * Files volumes only: the object ends at `sizeBytes`; what lay beyond is gone, what was not there reads as zeroes. May
   * be under way together with writes below that size.
   */
  resize(target: string, sizeBytes: number, done: Done): void;
  /** Files volumes only: sets mtime, ns since 1970, when all modifications of the object have returned. */
  stamp(target: string, timeNs: bigint, done: Done): void;
  /** Everything written before is on stable storage when `done` is called. After a fault, none of it may be assumed to be. */
  sync(done: Done): void;
  /** Room for writes into the range is held; fault `full` when there is none. A no-op without the ability. */
  reserve(target: string, offset: number, length: number, done: Done): void;
  /** How the range is kept, contiguous and covering it. Without the ability: one extent of data. */
  extents(target: string, offset: number, length: number, done: Result<readonly Extent[]>): void;
  /**
   * From now on `may` is asked again when a modification that had to wait inside the driver is about to begin; when it says
   * no, the call ends with fault `refused` and nothing was done. Drivers in which nothing waits do without.
   */
  onlyWhile?(may: () => boolean): void;
  /** Lets go. Calls still on their way end with a fault or finish; `done` comes when all have returned. */
  close(done: Done): void;
}

export interface Medium {
  /**
   * Opens the volume's objects afresh: nothing cached before is trusted. Faults: `missing` (no such medium, volume or
   * object; nothing is ever created here), `refused` when the medium's id is not `expected`, `io`.
   */
  open(volume: VolumeName, expected: MediumId, done: Result<MediumVolume>): void;
  /** Real I/O with a deadline of the driver's: does this server reach the medium, and does a sync sync? */
  probe(expected: MediumId, done: Done): void;
}

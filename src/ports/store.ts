/**
 * A store: one server's temporary copy of one volume's undestaged operations. It is the first store while its server
 * owns the volume and the second store while its server mirrors it; it is never both at a time.
 *
 * The core keeps the operations' bytes in memory itself (it must read, resend and destage them); the store's part is to
 * make them outlive what its kind promises: `memory` the other server's death, `journal` also the loss of power.
 */
import type { Done, Fault } from '../base/fault.ts';
import type { Epoch, Generation, Sequence, StoreId } from '../base/names.ts';
import type { Operation } from '../base/operation.ts';

export type StoreKind = 'memory' | 'journal';

/** What a log is a copy of, and whether it may be used. Kept as durably as the operations. */
export interface LogHead {
  readonly epoch: Epoch;
  /**
   * The lives of the mirror for which this log is a valid copy. Usually one; two while a swap that names the next
   * generation is on its way. At most 4.
   */
  readonly generations: readonly Generation[];
  /** The log holds the operations after `base`; everything up to it was on the synced medium when the log began. */
  readonly base: Sequence;
  /** False while a partner's copy is being built: such a log is never replayed. */
  readonly complete: boolean;
}

/** A log as it was found when the store was opened. */
export interface RecoveredLog {
  readonly head: LogHead;
  /** Everything up to here was on the synced medium, as far as this store was told. Never below `head.base`. */
  readonly released: Sequence;
  /** The highest sequence this store knows to have been acknowledged to a client. */
  readonly acknowledged: Sequence;
  /** Contiguous, from `released` + 1 on, every checksum verified. */
  readonly operations: readonly Operation[];
  /** Bytes cut off behind the last whole group, 0 when the log ended cleanly. They were never reported as stored. */
  readonly tornBytes: number;
}

/** A log that was put aside because it may hold what nobody else had. */
export interface AsideLog {
  readonly name: string;
  readonly epoch: Epoch;
  readonly firstSequence: Sequence;
  readonly lastSequence: Sequence;
  readonly bytes: number;
}

export interface StoreEvents {
  /**
   * Everything appended up to `sequence` is stored as durably as the store's kind promises. Cumulative, ascending,
   * and never called from within a call of the store's methods.
   */
  stored(sequence: Sequence): void;
  /** The store can hold nothing more (I/O error, lost lock). What was reported as stored stays so. Called at most once. */
  failed(fault: Fault): void;
}

export interface Store {
  readonly id: StoreId;
  readonly kind: StoreKind;
  /** Bytes (as `costBytes` counts them) of operations that fit. The core never appends beyond it. */
  readonly capacityBytes: number;
  /** What was found at opening; null when the store held no log. Damage below the tail fails the opening instead. */
  readonly recovered: RecoveredLog | null;
  /** Logs put aside, oldest first. */
  readonly aside: readonly AsideLog[];

  /** Who is told. Set once, before the first append. */
  listen(events: StoreEvents): void;
  /**
   * Voids whatever log there is and begins another; durable when `done` is called. Appends may follow at once, without
   * waiting for `done`; the first `stored` comes after it.
   */
  begin(head: LogHead, done: Done): void;
  /** Changes `generations` and `complete` of the current log's head; durable when `done` is called. */
  mark(generations: readonly Generation[], complete: boolean, done: Done): void;
  /**
   * Appends operations in order; their sequences go on without a gap. `acknowledged` is the highest number known to
   * be acknowledged; it is kept with the next group. The caller never changes the operations' bytes afterwards.
   */
  append(operations: readonly Operation[], acknowledged: Sequence): void;
  /** Everything up to `through` may be dropped; the room is free again at once. Made durable some time later. */
  release(through: Sequence, acknowledged: Sequence): void;
  /**
   * Puts the current log aside under a name that says epoch and time of arrival and goes on empty. A journal's aside
   * log stays on disk until an administrator removes it; a memory store's is kept until the process ends.
   */
  setAside(done: Done): void;
  /** Waits for what is on its way and lets go of files and locks. */
  close(done: Done): void;
}

/**
 * Destage: writes confirmed operations to the medium, batch by batch, and syncs it. One batch at a time, so nothing on
 * its way ever overlaps; of each range only the newest version within the batch is written.
 */
import type { Fault } from '../../base/fault.ts';
import { NO_SEQUENCE, after, higher } from '../../base/names.ts';
import type { Sequence } from '../../base/names.ts';
import { costBytes } from '../../base/operation.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { MediumVolume } from '../../ports/medium.ts';
import type { OperationLog } from '../log.ts';
import { MediumWriter } from '../medium-writer.ts';
import { Newest } from './newest.ts';
import { stepsOf } from './plan.ts';
import type { Step } from './plan.ts';

/**
 * Operations of one batch, in bytes: a quarter of the store, within these bounds. The larger a batch, the more of it is
 * coalesced, and the less a medium has to sync for each block; the smaller, the sooner a full store has room again.
 */
const BATCH_BYTES_MIN = 16 << 20;
const BATCH_BYTES_MAX = 64 << 20;

/** What one batch takes of a store of that capacity, in bytes. */
export function batchBytes(capacityBytes: number): number {
  return Math.min(BATCH_BYTES_MAX, Math.max(BATCH_BYTES_MIN, capacityBytes / 4));
}

export interface DestageEvents {
  /** The highest sequence that may go to the medium now (I6). */
  destageable(): Sequence;
  /** The owner may issue medium I/O now (I4). */
  mayIssue(): boolean;
  mayPunch(step: Step): boolean;
  /** The synced medium holds everything up to `through`; `writes` steps brought it there. */
  synced(through: Sequence, writes: number): void;
  failed(fault: Fault): void;
}

export interface AtOnce {
  /** Of one batch, at least that of one operation. */
  readonly bytes: number;
  /** Taken into a plan before clients have their turn. */
  readonly operations: number;
}

/** Operations that are gathered to go to the medium together. */
interface Batch {
  /** The last of them. */
  through: Sequence;
  bytes: number;
}

export class Destager {
  readonly #medium: MediumVolume;
  readonly #log: () => OperationLog;
  readonly #clock: Clock;
  readonly #retryMs: number;
  readonly #atOnce: AtOnce;
  readonly #events: DestageEvents;
  #synced: Sequence = NO_SEQUENCE;
  #issued: Sequence = NO_SEQUENCE;
  /** What is gathered of the batch. */
  readonly #newest = new Newest();
  #steps: readonly Step[] = [];
  #running = false;
  #failingSinceMs: number | null = null;
  #stopped = false;
  #retry: Timer | null = null;
  #idle: (() => void)[] = [];

  constructor(
    medium: MediumVolume,
    log: () => OperationLog,
    clock: Clock,
    retryMs: number,
    atOnce: AtOnce,
    events: DestageEvents,
  ) {
    this.#medium = medium;
    this.#log = log;
    this.#clock = clock;
    this.#retryMs = retryMs;
    this.#atOnce = atOnce;
    this.#events = events;
  }

  /** The synced medium holds everything up to here. */
  get synced(): Sequence {
    return this.#synced;
  }
  /** No operation after this one is in the batch on its way, or was in the last one. */
  get issued(): Sequence {
    return higher(this.#issued, this.#synced);
  }
  /** Steps of the batch on its way. */
  get steps(): readonly Step[] {
    return this.#steps;
  }
  /** Since when every batch has failed, by this server's clock; null while the last one did not. */
  get failingSinceMs(): number | null {
    return this.#failingSinceMs;
  }
  /** True while medium I/O is on its way. */
  get running(): boolean {
    return this.#running;
  }

  /** Begins a batch when there is something to destage and none is on its way. */
  poke(): void {
    if (this.#running || this.#stopped || this.#retry !== null || !this.#events.mayIssue()) return;
    const limit = this.#events.destageable();
    if (limit <= this.#synced || this.#log().at(after(this.#synced)) === undefined) return;
    this.#running = true;
    this.#issued = limit;
    this.#gather({ through: this.#synced, bytes: 0 }, limit);
  }

  /** Takes operations up to `limit` into the batch, a piece of it at a time, then writes it. */
  #gather(batch: Batch, limit: Sequence): void {
    const log = this.#log();
    for (let taken = 0; taken < this.#atOnce.operations; taken += 1) {
      const operation = batch.through < limit ? log.at(after(batch.through)) : undefined;
      if (operation === undefined || batch.bytes >= this.#atOnce.bytes) return this.#write(batch.through);
      this.#newest.add(operation);
      batch.bytes += costBytes(operation);
      batch.through = operation.sequence;
    }
    this.#clock.later(() => {
      if (!this.#stopped) return this.#gather(batch, limit);
      this.#newest.clear();
      this.#ended();
    });
  }

  #write(through: Sequence): void {
    this.#issued = through;
    this.#steps = stepsOf(this.#newest);
    this.#newest.clear();
    const writes = this.#steps.length;
    new MediumWriter(this.#medium, this.#steps, {
      mayIssue: () => !this.#stopped && this.#events.mayIssue(),
      mayPunch: (step) => this.#events.mayPunch(step),
      finished: (fault, refused) => {
        if (fault === null && !refused) {
          this.#synced = through;
          this.#failingSinceMs = null;
        }
        this.#ended();
        if (this.#stopped) return;
        if (fault !== null) this.#again(fault);
        else if (!refused) this.#events.synced(through, writes);
      },
    }).run();
  }

  #ended(): void {
    this.#running = false;
    this.#steps = [];
    for (const run of this.#idle.splice(0)) run();
  }

  /** The same batch is planned and written anew after a pause: nothing of it may be assumed to be on the medium. */
  #again(fault: Fault): void {
    this.#failingSinceMs ??= this.#clock.nowMs();
    this.#retry = this.#clock.after(this.#retryMs, () => {
      this.#retry = null;
      this.poke();
    });
    this.#events.failed(fault);
  }

  /** No further I/O is issued; `idle` runs once what was issued has returned. */
  stop(idle: () => void): void {
    this.#stopped = true;
    this.#retry?.cancel();
    if (this.#running) this.#idle.push(idle);
    else idle();
  }
}

/**
 * The store that survives the loss of power: operations go, in groups, into a preallocated ring file, and count as
 * stored when their group is synced. One write is on its way at a time; whatever arrives meanwhile is the next group.
 *
 * When nothing is left to write, an empty group follows some 100 ms later. It makes releases durable, and it is the
 * proof that the group before it had been synced: damage to that one is then damage, never a torn tail.
 */
import { assert, type Done, Fault } from '../../../base/fault.ts';
import { type Generation, NO_SEQUENCE, type Sequence, type StoreId } from '../../../base/names.ts';
import { dataBytes, type Operation } from '../../../base/operation.ts';
import { makeRoomInSlabs } from '../../../base/slab.ts';
import type { Clock, Timer } from '../../../ports/clock.ts';
import type { AsideLog, LogHead, RecoveredLog, Store, StoreEvents } from '../../../ports/store.ts';
import type { FileLock } from '../../linux/flock.ts';
import type { AsideDirectory } from './aside.ts';
import type { JournalFile } from './file.ts';
import type { GroupWriter } from './group-writer.ts';
import { LiveLog } from './live-log.ts';

/** How long after the last write an empty group follows. */
const REST_MS = 100;
/** Logs that may wait to be put aside at a time: more is a bug. */
const ASIDE_JOBS_MAX = 16;

/** What a journal is made of once it has been opened (`openJournal`). */
export interface JournalParts {
  readonly id: StoreId;
  readonly capacityBytes: number;
  readonly maxDataBytes: number;
  readonly recovered: RecoveredLog | null;
  readonly log: LiveLog;
  readonly writer: GroupWriter;
  readonly file: JournalFile;
  readonly lock: Pick<FileLock, 'release'>;
  readonly asides: Pick<AsideDirectory, 'logs' | 'put'>;
  readonly clock: Pick<Clock, 'after' | 'soon'>;
}

/** A log on its way to the aside directory. */
interface AsideJob {
  readonly log: LiveLog;
  /** The serial of the empty log that took its place. */
  readonly successor: number;
  /** Who waited for the next group when it was given up. */
  readonly ends: Done[];
  readonly done: Done;
}

export class JournalStore implements Store {
  readonly id: StoreId;
  readonly kind = 'journal';
  readonly capacityBytes: number;
  readonly recovered: RecoveredLog | null;
  readonly #parts: JournalParts;
  #log: LiveLog;
  #serial: number;
  #events: StoreEvents | null = null;
  #failed: Fault | null = null;
  #closing: Done | null = null;
  #closed = false;
  /** A group is on its way, or a log is being put aside. */
  #busy = false;
  #scheduled = false;
  /** A group is wanted although no operation waits. */
  #due = false;
  /** Who is told when the next group is stored, in order: first those up to a log that has been put aside. */
  #settledEnds: Done[] = [];
  #ends: Done[] = [];
  readonly #asideJobs: AsideJob[] = [];
  #rest: Timer | null = null;
  /** What the newest group says: when somebody waited for it, or it is behind, another follows after a rest. */
  #groupHeld = false;
  #groupReleased: Sequence = NO_SEQUENCE;
  #groupAcknowledged: Sequence = NO_SEQUENCE;
  #groupLog: LiveLog;
  #groupEnds: Done[] = [];

  constructor(parts: JournalParts) {
    this.#parts = parts;
    this.id = parts.id;
    this.capacityBytes = parts.capacityBytes;
    makeRoomInSlabs(parts.capacityBytes);
    this.recovered = parts.recovered;
    this.#log = parts.log;
    this.#serial = parts.log.serial;
    this.#groupLog = parts.log;
    this.#groupReleased = parts.log.released;
    this.#groupAcknowledged = parts.log.acknowledged;
  }

  get aside(): readonly AsideLog[] {
    return this.#parts.asides.logs;
  }

  listen(events: StoreEvents): void {
    assert(this.#events === null, 'one listener');
    this.#events = events;
    const fault = this.#failed;
    if (fault !== null) this.#parts.clock.soon(() => events.failed(fault));
  }

  begin(head: LogHead, done: Done): void {
    if (this.#refuses(done)) return;
    this.#log.abandonMarks(this.#ends);
    this.#ends.push(done);
    this.#replaceLog({ ...head, generations: [...head.generations] });
  }

  mark(generations: readonly Generation[], complete: boolean, done: Done): void {
    if (this.#refuses(done)) return;
    this.#log.mark(generations, complete, done);
    this.#schedule();
  }

  append(operations: readonly Operation[], acknowledged: Sequence): void {
    if (this.#failed !== null || this.#closed || operations.length === 0) return;
    const log = this.#log;
    for (let i = 0; i < operations.length; i += 1) {
      const operation = operations[i]!;
      assert(
        dataBytes(operation) <= this.#parts.maxDataBytes,
        'an operation is no larger than the journal was made for',
      );
      log.append(operation);
    }
    assert(log.usedBytes <= this.capacityBytes, 'the core never appends beyond the capacity');
    log.acknowledge(acknowledged);
    this.#schedule();
  }

  release(through: Sequence, acknowledged: Sequence): void {
    if (this.#failed !== null || this.#closed) return;
    const released = this.#log.release(through);
    if ((this.#log.acknowledge(acknowledged) || released) && !this.#busy && !this.#scheduled) this.#restThenWrite();
  }

  setAside(done: Done): void {
    if (this.#refuses(done)) return;
    const log = this.#log;
    if (log.latestHead === null || log.empty) {
      log.abandonMarks(this.#ends);
      this.#ends.push(done);
    } else {
      assert(this.#asideJobs.length < ASIDE_JOBS_MAX, 'few logs wait to be put aside');
      this.#asideJobs.push({ log, successor: this.#serial + 1, ends: this.#ends, done });
      this.#ends = [];
    }
    this.#replaceLog(null);
  }

  close(done: Done): void {
    assert(this.#closing === null && !this.#closed, 'a store is closed once');
    this.#closing = done;
    if (this.#failed !== null && !this.#busy) this.#letGo();
    else this.#schedule();
  }

  /** True when there is nothing this store can do any more; `done` is told so, later. */
  #refuses(done: Done): boolean {
    const fault =
      this.#failed ??
      (this.#closing !== null || this.#closed ? new Fault('refused', 'The journal has been closed.') : null);
    if (fault === null) return false;
    this.#parts.clock.soon(() => done(fault));
    return true;
  }

  #replaceLog(head: LogHead | null): void {
    this.#serial += 1;
    this.#log = new LiveLog(this.#serial, head);
    this.#due = true;
    this.#schedule();
  }

  /** Looks for work after what is running now: what arrives in one turn goes into one group. */
  #schedule(): void {
    if (this.#busy || this.#scheduled) return;
    this.#scheduled = true;
    this.#parts.clock.soon(this.#run);
  }

  readonly #run = (): void => {
    this.#scheduled = false;
    this.#pump();
  };

  #pump(): void {
    if (this.#busy || this.#closed) return;
    if (this.#failed !== null) {
      if (this.#closing !== null) this.#letGo();
      return;
    }
    const job = this.#asideJobs[0];
    if (job !== undefined) this.#putAside(job);
    else if (this.#log.hasPending || this.#log.hasMarks || this.#due) this.#writeGroup();
    else if (!this.#isBehind()) {
      if (this.#closing !== null) this.#letGo();
    } else if (this.#closing !== null) this.#writeGroup();
    else this.#restThenWrite();
  }

  /** Whether another, empty group would say more than the newest one does. */
  #isBehind(): boolean {
    const log = this.#log;
    return this.#groupHeld || log.released !== this.#groupReleased || log.acknowledged !== this.#groupAcknowledged;
  }

  #restThenWrite(): void {
    if (this.#rest !== null) return;
    this.#rest = this.#parts.clock.after(REST_MS, () => {
      this.#rest = null;
      // A busy journal has groups on their way that say it all; when they end, it rests again.
      if (this.#busy || this.#failed !== null || !this.#isBehind()) return;
      this.#due = true;
      this.#pump();
    });
  }

  #writeGroup(): void {
    this.#busy = true;
    this.#due = false;
    const log = this.#log;
    const before = log.written;
    this.#groupLog = log;
    this.#groupEnds = this.#settledEnds.length === 0 ? this.#ends : [...this.#settledEnds, ...this.#ends];
    this.#settledEnds = [];
    this.#ends = [];
    this.#parts.writer.write(log, this.#groupEnds, this.#groupWritten);
    this.#groupHeld = log.written !== before || this.#groupEnds.length > 0;
    this.#groupReleased = log.released;
    this.#groupAcknowledged = log.acknowledged;
  }

  readonly #groupWritten = (fault: Fault | null): void => {
    this.#busy = false;
    const ends = this.#groupEnds;
    const log = this.#groupLog;
    if (fault !== null) {
      this.#fail(fault, ends);
      return;
    }
    log.stored = log.written;
    // The next group is on its way before anybody is told of this one: the disk never waits for the answers.
    this.#pump();
    for (let i = 0; i < ends.length; i += 1) ends[i]!(null);
    this.#report(log);
  };

  /** Tells what is stored of the current log; of one that was voided meanwhile, nothing. */
  #report(log: LiveLog): void {
    if (log !== this.#log || log.stored <= log.reported) return;
    log.reported = log.stored;
    this.#events?.stored(log.stored);
  }

  #putAside(job: AsideJob): void {
    this.#busy = true;
    this.#parts.asides.put(job.log, (fault) => {
      this.#busy = false;
      this.#asideJobs.shift();
      if (fault === null) {
        this.#settledEnds.push(...job.ends);
        job.log.abandonMarks(this.#settledEnds);
        this.#settledEnds.push(job.done);
        this.#due = true;
        this.#pump();
      } else if (this.#log.serial === job.successor && this.#failed === null) {
        // Nothing was begun in its place: the log stays what it was.
        this.#log = job.log;
        this.#ends = [...job.ends, ...this.#ends];
        job.done(fault);
        this.#report(job.log);
        this.#pump();
      } else {
        this.#asideJobs.unshift(job);
        this.#fail(fault, []);
      }
    });
  }

  #fail(fault: Fault, ends: Done[]): void {
    this.#failed = fault;
    this.#rest?.cancel();
    const all = [...ends, ...this.#settledEnds];
    for (const job of this.#asideJobs.splice(0)) {
      all.push(...job.ends);
      job.log.abandonMarks(all);
      all.push(job.done);
    }
    all.push(...this.#ends);
    this.#settledEnds = [];
    this.#ends = [];
    this.#log.abandonMarks(all);
    for (const end of all) end(fault);
    this.#events?.failed(fault);
    if (this.#closing !== null) this.#letGo();
  }

  /** The end: file and lock are let go of. */
  #letGo(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#rest?.cancel();
    const done = this.#closing;
    this.#parts.file.close((fault) => {
      this.#parts.lock.release();
      done?.(fault);
    });
  }
}

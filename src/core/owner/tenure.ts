/**
 * A tenure: this server's ownership of one volume in one epoch, from the moment it serves until it is deposed, hands
 * over or dies. It admits requests in order, numbers them, stores and mirrors them at the same time, answers them when
 * the rule of every possible record is met (I1), and lets the destager and the partnership do the rest.
 */
import { assert } from '../../base/fault.ts';
import { NO_SEQUENCE, after, higher, lower } from '../../base/names.ts';
import type { Epoch, Sequence } from '../../base/names.ts';
import { LARGEST_OBJECT_BYTES, OPERATION_HEADER_BYTES, OperationKind, dataCrcOf } from '../../base/operation.ts';
import type { Operation } from '../../base/operation.ts';
import { Ring } from '../../base/ring.ts';
import type { MediumVolume } from '../../ports/medium.ts';
import type { ModifyRequest, PendingObject, ServiceRequest, VolumeService } from '../../ports/service.ts';
import type { Authority } from '../authority.ts';
import type { Replica } from '../replica.ts';
import { Destager, batchBytes } from './destager.ts';
import { Overlay } from './overlay.ts';
import { Partnership } from './partnership.ts';
import type { Step } from './plan.ts';
import { Reads } from './reads.ts';
import { refusal } from './refusal.ts';
import { Room, chunksAround } from './room.ts';

/** Largest payload of one write. */
const REQUEST_BYTES = 32 << 20;
/** A medium that fails a read for so many retries makes the read fail to the client. */
const READ_RETRIES = 25;

/** The requests that modify nothing: they pass the queue by, unless clients are held. */
type Lookup = Exclude<ServiceRequest, ModifyRequest>;

export class Tenure implements VolumeService {
  readonly epoch: Epoch;
  readonly maxRequestBytes: number;
  readonly destager: Destager;
  readonly partnership: Partnership;
  readonly #replica: Replica;
  readonly #medium: MediumVolume;
  readonly #authority: Authority;
  readonly #overlay = new Overlay();
  readonly #reads: Reads;
  readonly #room: Room;
  /** Requests not yet admitted, in order of arrival. */
  readonly #queue = new Ring<ServiceRequest>();
  /** Requests of the operations after `acknowledged`, in order. */
  readonly #unanswered = new Ring<ModifyRequest>();
  /** Operations that arrived together, on their way to the stores. */
  #batch: Operation[] = [];
  /** The last sequence of past heartbeats, oldest first: how old what is not yet done is. */
  readonly #ages = new Ring<{ readonly last: Sequence; readonly atMs: number }>();
  #ackable: Sequence = NO_SEQUENCE;
  #acknowledged: Sequence = NO_SEQUENCE;
  #reserving = false;
  #releasing = false;
  #holding = false;
  #over = false;
  counts = { acknowledged: 0, mirrored: 0, destagedOperations: 0, destagedWrites: 0 };

  constructor(replica: Replica, epoch: Epoch, medium: MediumVolume, authority: Authority) {
    const { clock, timings, copy } = replica;
    this.#replica = replica;
    this.epoch = epoch;
    this.#medium = medium;
    this.#authority = authority;
    this.maxRequestBytes = Math.min(
      REQUEST_BYTES,
      Math.floor(copy.store.capacityBytes / 2) - 2 * OPERATION_HEADER_BYTES,
    );
    this.#room = new Room(medium, () => copy.log.bytes);
    this.#reads = new Reads({
      overlay: this.#overlay,
      medium,
      clock,
      retryMs: timings.retryMs,
      giveUpMs: timings.retryMs * READ_RETRIES,
      mayAnswer: () => this.mayAct(),
      confirmedSince: (gatheredMs) => replica.settings.reads === 'leased' || authority.confirmedSince(gatheredMs),
      askGrant: () => {
        if (replica.settings.reads === 'confirmed') replica.askGrant();
      },
      failed: (fault) => replica.mediumFailed(fault),
      idle: () => {
        if (this.#holding) replica.planned.tick();
      },
    });
    const atOnce = { bytes: batchBytes(copy.store.capacityBytes), operations: replica.settings.operationsAtOnce };
    this.destager = new Destager(medium, () => copy.log, clock, timings.retryMs, atOnce, {
      destageable: () => this.#destageable(),
      mayIssue: () => this.mayAct(),
      mayPunch: (step) => this.#mayPunch(step),
      synced: (through, writes) => this.#synced(through, writes),
      failed: (fault) => replica.mediumFailed(fault),
    });
    this.partnership = new Partnership(replica, this);
    copy.use({ stored: () => this.advance() });
  }

  // ---- what clients ask -------------------------------------------------------------------------------------------

  sizeBytes(target: string): number {
    return this.#medium.sizeBytes(target);
  }

  pending(target: string): PendingObject | null {
    return this.#overlay.pending(target);
  }

  submit(request: ServiceRequest): void {
    if (this.#over) return;
    if (!this.#holding && isLookup(request)) return this.#lookup(request);
    this.#queue.push(request);
    if (this.#queue.length === 1) this.#admit();
  }

  #lookup(request: Lookup): void {
    const fault = refusal(request, this.#medium, this.maxRequestBytes);
    if (fault === null) this.#reads.submit(request);
    else this.#replica.clock.soon(() => request.done(fault, null));
  }

  /** Admits from the head of the queue as long as there is room; one that must wait holds up those behind it (2.1). */
  #admit(): void {
    while (!this.#over && !this.#holding && !this.#reserving) {
      const request = this.#queue.at(0);
      if (request === undefined) return;
      if (request.cancelled) this.#queue.shift();
      else if (isLookup(request)) {
        this.#queue.shift();
        this.#lookup(request);
      } else if (!this.#admitModify(request)) return;
    }
  }

  /** True when the request has left the queue. */
  #admitModify(request: ModifyRequest): boolean {
    const fault = refusal(request, this.#medium, this.maxRequestBytes);
    if (fault !== null) {
      this.#queue.shift();
      this.#replica.clock.soon(() => request.done(fault));
      return true;
    }
    if (!this.partnership.acceptsWrites) return false;
    const targetBytes = request.target === '' ? 0 : Buffer.byteLength(request.target);
    const cost = OPERATION_HEADER_BYTES + targetBytes + request.data.length;
    if (this.#replica.copy.log.bytes + cost > this.partnership.mirrors.capacityBytes) {
      this.destager.poke();
      return false;
    }
    if (needsRoom(request) && !this.#room.holds(request.target, request.offset, request.length)) {
      this.#reserve(request);
      return false;
    }
    this.#queue.shift();
    this.#accept(request);
    return true;
  }

  /** Room on the medium first; while a trim in the same place is on its way, after it. */
  #reserve(request: ModifyRequest): void {
    if (this.destager.steps.some((step) => step.kind === 'trim' && meets(step, request))) return;
    if (!this.mayAct()) return;
    this.#reserving = true;
    this.#room.reserve(request.target, request.offset, request.length, (fault) => {
      this.#reserving = false;
      if (this.#over || this.#queue.at(0) !== request) return this.#admit();
      if (fault === null) {
        this.#queue.shift();
        if (!request.cancelled) this.#accept(request);
      } else if (fault.kind === 'full' || fault.kind === 'refused') {
        this.#queue.shift();
        request.done(fault);
      } else {
        this.#replica.mediumFailed(fault);
        return;
      }
      this.#admit();
    });
  }

  #accept(request: ModifyRequest): void {
    const { copy, clock } = this.#replica;
    const operation: Operation = {
      epoch: this.epoch,
      sequence: after(copy.log.last),
      kind: OperationKind[request.kind],
      target: request.target,
      offset: request.offset,
      length: request.kind === 'truncate' ? LARGEST_OBJECT_BYTES - request.offset : request.length,
      data: request.data,
      dataCrc: dataCrcOf(request.data),
      timeNs: request.timeNs,
    };
    copy.take(operation);
    this.#overlay.add(operation);
    this.#unanswered.push(request);
    this.#batch.push(operation);
    if (this.#batch.length > 1) return;
    // A journal's group costs the same however many it holds, so it waits for what else arrives in this round. A store in
    // memory gains nothing by that: its partner begins with the first operations while the next are read.
    if (copy.store.kind === 'journal') clock.together(this.#flush);
    else clock.soon(this.#flush);
  }

  /** What arrived together goes to both stores together: over the link first, so that the two overlap. */
  readonly #flush = (): void => {
    const batch = this.#batch;
    if (batch.length === 0 || this.#over) return;
    this.#batch = [];
    this.partnership.forward(batch);
    this.#replica.copy.flush(batch, this.#acknowledged);
  };

  // ---- what may be answered, destaged, released ---------------------------------------------------------------------

  /** The highest sequence that every possible record's rule lets be acknowledged. */
  get ackable(): Sequence {
    return this.#ackable;
  }
  get acknowledged(): Sequence {
    return this.#acknowledged;
  }
  get holding(): boolean {
    return this.#holding;
  }
  get waitingRequests(): number {
    return this.#queue.length + this.#unanswered.length + this.#reads.waiting;
  }
  get reads(): number {
    return this.#reads.answered;
  }
  get last(): Sequence {
    return this.#replica.copy.log.last;
  }

  /** Answers may be sent and medium I/O issued: not over, and authority holds at this moment (I4). */
  mayAct(): boolean {
    if (this.#over || this.#replica.register.known?.epoch !== this.epoch) return false;
    return this.#authority.holds(this.#replica.clock.nowMs());
  }

  /** Something that a mark depends on changed: answers what may be answered, wakes what waited. */
  advance(): void {
    // A record of another epoch was read: nothing follows from the marks any more (the replica ends this tenure).
    if (this.#over || this.#replica.register.known?.epoch !== this.epoch) return;
    this.#ackable = higher(
      this.#ackable,
      lower(this.#replica.copy.stored, this.partnership.mirrors.ackable(this.destager.synced)),
    );
    this.#answer();
    this.#reads.wake(this.#ackable);
    this.#poke();
    if (this.#holding) this.#replica.planned.tick();
  }

  #answer(): void {
    if (this.#acknowledged >= this.#ackable || !this.mayAct()) return;
    const before = this.#acknowledged;
    while (this.#acknowledged < this.#ackable) {
      const request = this.#unanswered.shift();
      assert(request !== undefined, 'every unacknowledged operation has its request');
      this.#acknowledged = after(this.#acknowledged);
      request.done(null);
      if (this.#over) return;
    }
    this.counts.acknowledged += this.#acknowledged - before;
    if (this.partnership.inSync) this.counts.mirrored += this.#acknowledged - before;
  }

  #destageable(): Sequence {
    return lower(this.#replica.copy.stored, this.partnership.mirrors.destageable());
  }

  /** Destages at once when somebody waits for it, else when the oldest is old enough or the store fills up. */
  #poke(): void {
    const { copy, clock, timings } = this.#replica;
    if (this.destager.synced >= copy.log.last) return;
    const oldest = this.#oldestAfter(this.destager.synced);
    const old = oldest !== null && clock.nowMs() - oldest >= timings.destageMs;
    const filling = copy.log.bytes * 4 >= this.partnership.mirrors.capacityBytes;
    if (old || filling || this.#holding || this.#queue.length > 0 || this.partnership.wantsDestage)
      this.destager.poke();
  }

  #synced(through: Sequence, writes: number): void {
    this.counts.destagedWrites += writes;
    this.partnership.synced();
    this.#replica.observer.note('destaged', this.#replica.volume, { through, writes });
    this.release();
    this.advance();
    this.#admit();
  }

  /** Drops from memory and store what the medium and every partner that mirrors have seen the end of. */
  release(): void {
    const { copy, clock, settings } = this.#replica;
    const limit = lower(this.destager.synced, this.partnership.mirrors.releasable());
    const through = lower(limit, (copy.log.base + settings.operationsAtOnce) as Sequence);
    if (through <= copy.log.base) return;
    this.counts.destagedOperations += through - copy.log.base;
    for (let sequence = after(copy.log.base); sequence <= through; sequence = after(sequence)) {
      const operation = copy.log.at(sequence);
      if (operation !== undefined) this.#overlay.remove(operation);
    }
    copy.release(through, this.#acknowledged);
    for (let age = this.#ages.at(0); age !== undefined && age.last <= through; age = this.#ages.at(0))
      this.#ages.shift();
    if (through < limit && !this.#releasing) {
      this.#releasing = true;
      clock.later(() => {
        this.#releasing = false;
        if (!this.#over) this.release();
      });
    }
    this.#admit();
  }

  /** A trim may give its room back only when no later operation counts on it; later ones reserve their chunks anew. */
  #mayPunch(step: Step): boolean {
    // A reservation on its way may be for a write into this very place.
    if (step.kind !== 'trim' || this.#reserving) return false;
    let later = false;
    this.#overlay.visit(step.target, step.offset, step.length, (_from, _to, operation) => {
      if (operation.kind !== OperationKind.trim) later = true;
    });
    if (!later) this.#room.punched(step);
    return !later;
  }

  // ---- time -----------------------------------------------------------------------------------------------------------

  /** When the oldest operation after `sequence` was accepted, at latest; null when there is none of a past heartbeat. */
  #oldestAfter(sequence: Sequence): number | null {
    for (let i = 0; i < this.#ages.length; i += 1) {
      const age = this.#ages.at(i);
      if (age !== undefined && age.last > sequence) return age.atMs;
    }
    return null;
  }

  /** Age in ms of the oldest operation that is not on the medium; null when there is none. */
  oldestMs(): number | null {
    if (this.destager.synced >= this.last) return null;
    const atMs = this.#oldestAfter(this.destager.synced);
    return atMs === null ? 0 : this.#replica.clock.nowMs() - atMs;
  }

  /** How long the oldest operation that `stored` does not cover has been waiting, in ms, by the heartbeat. */
  waitedMs(stored: Sequence): number {
    const atMs = this.#oldestAfter(stored);
    return atMs === null ? 0 : this.#replica.clock.nowMs() - atMs;
  }

  /** Once per heartbeat. */
  tick(): void {
    if (this.#over) return;
    const last = this.last;
    if (last > (this.#ages.at(this.#ages.length - 1)?.last ?? this.destager.synced))
      this.#ages.push({ last, atMs: this.#replica.clock.nowMs() });
    this.partnership.tick();
    this.wake();
  }

  /** Authority or the record changed: goes on with whatever waited for it. */
  wake(): void {
    if (this.#over) return;
    this.partnership.judge();
    if (this.#over) return;
    this.release();
    this.advance();
    this.#reads.answerWaiting();
    this.#admit();
  }

  /** A grant arrived: reads that asked for one may be answered. */
  confirmed(): void {
    if (!this.#over) this.#reads.answerWaiting();
  }

  // ---- the end --------------------------------------------------------------------------------------------------------

  /** Planned: requests wait from now on; what was admitted is still answered and destaged. */
  hold(): void {
    this.#holding = true;
    this.advance();
  }

  /** Planned, given up before the agreement: serves on. */
  unhold(): void {
    this.#holding = false;
    this.wake();
  }

  /** True once everything accepted is answered and on the synced medium, and no medium I/O is on its way. */
  get drained(): boolean {
    return (
      this.destager.synced === this.last &&
      this.#acknowledged === this.last &&
      !this.destager.running &&
      !this.#reserving &&
      this.#reads.calling === 0
    );
  }

  /** Ends for good: nothing is answered or issued any more; `idle` once the medium's I/O has returned and it is closed. */
  end(idle: () => void): void {
    if (this.#over) return this.destager.stop(idle);
    this.#over = true;
    // The log and the store stay the same log, whoever asks for its tail.
    if (this.#batch.length > 0) this.#replica.copy.flush(this.#batch.splice(0), this.#acknowledged);
    this.#authority.end();
    this.#reads.end();
    this.#queue.clear();
    this.#unanswered.clear();
    this.partnership.end();
    this.#replica.copy.use(null);
    this.destager.stop(() => this.#medium.close(() => idle()));
  }
}

function isLookup(request: ServiceRequest): request is Lookup {
  return request.kind === 'read' || request.kind === 'status' || request.kind === 'call';
}

/** What is given back, and what moves no bytes, finds room in any case. */
function needsRoom({ kind }: ModifyRequest): boolean {
  return kind === 'write' || kind === 'zero';
}

function meets(step: Step, request: ModifyRequest): boolean {
  if (step.target !== request.target) return false;
  const around = chunksAround(step);
  return request.offset < around.offset + around.length && around.offset < request.offset + request.length;
}

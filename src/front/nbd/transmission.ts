/**
 * The transmission phase of one connection: takes requests from the parser as long as the bounds allow, passes them to
 * the volume's service and puts the answers, in the order in which they come. It touches no socket: the connection
 * pushes what it received and offers three calls (`TransmissionPort`).
 *
 * Every answered write is stable (docs/protocol.md, section 2): FUA asks for nothing more, FLUSH is answered at once,
 * and both hold for all connections of the volume, which is what CAN_MULTI_CONN promises.
 */
import { assert, type Fault } from '../../base/fault.ts';
import type { Extent } from '../../ports/medium.ts';
import type { ReadPiece, VolumeService } from '../../ports/service.ts';
import { Command, CommandFlag, type NbdError, type ReplyStyle } from '../../wire/nbd.ts';
import type { ReplyTo } from '../../wire/nbd-replies.ts';
import { type RequestFields, RequestParser } from '../../wire/nbd-requests.ts';
import type { ByteQueue } from '../../wire/nbd-gather.ts';
import { Answers } from './answers.ts';
import type { Budget, BudgetWaiter } from '../clients/budget.ts';
import { refusalOf, type RequestRules } from './check.ts';
import { errorOf, Refusals } from './faults.ts';
import { CacheJob, Carriers, type Job, type JobOwner, ModifyJob, ReadJob, SplitWriteJob, StatusJob } from './jobs.ts';
import type { NbdLimits } from './limits.ts';
import type { ReplyWriter } from '../clients/reply-writer.ts';

/** A volume as its connections see it. */
export interface Export {
  readonly name: string;
  readonly service: VolumeService;
  readonly sizeBytes: number;
  readonly limits: NbdLimits;
  readonly budget: Budget;
}

/** What the handshake agreed on. */
export interface Agreement {
  readonly style: ReplyStyle;
  /** `base:allocation` was selected for the export that was then opened. */
  readonly allocation: boolean;
}

/** What the transmission asks of its connection. */
export interface TransmissionPort {
  /** Stop or go on receiving. Called only on a change. */
  receive(on: boolean): void;
  /** Everything is answered and the client has said goodbye: close behind the last reply. */
  finish(): void;
  /** The bytes are no protocol: close at once. */
  fail(reason: string): void;
}

export class Transmission implements JobOwner, BudgetWaiter {
  gone = false;
  /** Requests taken and replies that carried an error, for the log. */
  requests = 0;
  errors = 0;
  readonly #exported: Export;
  readonly #answers: Answers;
  readonly #rules: RequestRules;
  readonly #parser: RequestParser;
  readonly #out: ReplyWriter;
  readonly #port: TransmissionPort;
  readonly #carriers = new Carriers();
  #inFlight = 0;
  /** Counted in the bounds: of unanswered requests, and of answers with data that the socket still holds. */
  #chargedBytes = 0;
  /** Of these, data of answers that leave with this turn's batch. */
  #leavingBytes = 0;
  #receiving = true;
  #held = false;
  #leaving = false;
  #turnDue = false;

  /** @param received bytes that came behind the handshake */
  constructor(exported: Export, agreed: Agreement, out: ReplyWriter, port: TransmissionPort, received: ByteQueue) {
    const { maxPayloadBytes } = exported.limits;
    const extended = agreed.style === 'extended';
    this.#exported = exported;
    this.#answers = new Answers(out, agreed.style, exported.limits.maxStatusStretches);
    this.#rules = {
      sizeBytes: exported.sizeBytes,
      maxPayloadBytes,
      extended,
      chunked: agreed.style !== 'simple',
      allocation: agreed.allocation,
    };
    const awaitBytes = Math.floor(exported.limits.lookaheadBytes / 2);
    this.#parser = new RequestParser(extended, maxPayloadBytes, received, awaitBytes);
    this.#out = out;
    this.#port = port;
  }

  /** The client has said goodbye: it may close its side while the last requests are being answered. */
  get leaving(): boolean {
    return this.#leaving;
  }

  /** Takes what came behind the handshake. */
  begin(): void {
    this.#take();
  }

  /** Bytes were received; after its goodbye a client has nothing more to say. True when any of them are kept. */
  push(piece: Buffer): boolean {
    if (this.#leaving) return false;
    this.#parser.push(piece);
    this.#take();
    return this.#parser.keeps;
  }

  /** The client took replies off the socket. */
  drained(): void {
    this.#turnSoon();
  }

  roomAgain(): void {
    this.#turnSoon();
  }

  /** No new requests, and nothing is said to the client that would keep it from asking the next owner instead. */
  hold(): void {
    this.#held = true;
    if (this.#receiving) this.#setReceiving(false);
  }

  /** The connection is gone: what was not admitted is dropped, answers that still come go nowhere. */
  end(): void {
    if (this.gone) return;
    this.gone = true;
    this.#carriers.letGo();
    const { budget } = this.#exported;
    budget.leave(this);
    budget.give(this.#chargedBytes);
  }

  // ---- requests in

  /** Takes requests while there are any and the bounds allow. */
  #take(): void {
    const { limits, budget } = this.#exported;
    const parser = this.#parser;
    while (!this.#held && !this.#leaving && !this.gone) {
      if (this.#inFlight >= limits.maxRequests || this.#chargedBytes >= limits.maxInFlightBytes) break;
      if (this.#out.backlogBytes >= limits.maxBacklogBytes) break;
      if (!budget.open) {
        budget.wait(this);
        break;
      }
      const verdict = parser.next();
      if (verdict === 'garbage') return this.#port.fail(parser.reason ?? 'garbage');
      if (verdict === 'starved') break;
      this.#dispatch(parser.fields);
    }
    if (this.gone || this.#held) return;
    const wanted = this.#leaving || parser.queue.costBytes < limits.lookaheadBytes;
    if (wanted !== this.#receiving) this.#setReceiving(wanted);
  }

  #setReceiving(on: boolean): void {
    this.#receiving = on;
    this.#port.receive(on);
  }

  #dispatch(fields: RequestFields): void {
    this.requests++;
    const refusal = fields.oversized ? Refusals.tooLong : refusalOf(fields, this.#rules);
    if (refusal !== null) return this.#putError(fields, refusal.error, refusal.message);
    const { service, limits } = this.#exported;
    switch (fields.type) {
      case Command.read: {
        const job = new ReadJob(this, fields);
        this.#count(job);
        return service.submit(job);
      }
      case Command.write:
        return this.#write(fields);
      case Command.trim:
        return this.#modify(fields, 'trim');
      case Command.writeZeroes:
        // without NO_HOLE the room may be given back; either way only a range is mirrored, so FAST_ZERO is always met
        return this.#modify(fields, (fields.flags & CommandFlag.noHole) !== 0 ? 'zero' : 'trim');
      case Command.cache: {
        const job = new CacheJob(this, fields);
        this.#count(job);
        return service.submit(job);
      }
      case Command.blockStatus: {
        const job = new StatusJob(this, fields, limits.maxStatusBytes);
        this.#count(job);
        return service.submit(job);
      }
      case Command.flush:
        return this.#putOk(fields);
      case Command.disconnect:
        this.#leaving = true;
        return this.#turnSoon();
      default:
        assert(false, 'unknown commands are refused before they are dispatched');
    }
  }

  #modify(fields: RequestFields, kind: 'write' | 'zero' | 'trim'): void {
    const job = new ModifyJob(this, fields, kind);
    this.#carriers.add(job);
    this.#count(job);
    this.#exported.service.submit(job);
  }

  #write(fields: RequestFields): void {
    const { service } = this.#exported;
    if (fields.length <= service.maxRequestBytes) return this.#modify(fields, 'write');
    const job = new SplitWriteJob(this, fields, service.maxRequestBytes);
    this.#carriers.add(job);
    this.#count(job);
    for (const part of job.parts) service.submit(part);
  }

  #count(job: Job): void {
    this.#inFlight++;
    this.#chargedBytes += job.costBytes;
    this.#exported.budget.take(job.costBytes);
  }

  #discharge(bytes: number): void {
    this.#chargedBytes -= bytes;
    this.#exported.budget.give(bytes);
  }

  // ---- answers out

  modifyEnded(job: ModifyJob | SplitWriteJob, fault: Fault | null): void {
    if (this.gone) return;
    this.#carriers.remove(job);
    this.#ended(job, fault);
  }

  cacheEnded(job: CacheJob, fault: Fault | null): void {
    this.#ended(job, fault);
  }

  #ended(job: Job, fault: Fault | null): void {
    if (!this.#settle(job, job.costBytes)) return;
    if (fault === null) this.#putOk(job);
    else this.#putFault(job, fault);
  }

  readEnded(job: ReadJob, fault: Fault | null, pieces: readonly ReadPiece[] | null): void {
    if (!this.#settle(job, fault === null ? 0 : job.costBytes)) return;
    if (fault !== null) return this.#putFault(job, fault);
    assert(pieces !== null, 'a read ends with a fault or with its bytes');
    this.#leavingBytes += job.costBytes;
    this.#answers.read(job, pieces);
  }

  statusEnded(job: StatusJob, fault: Fault | null, extents: readonly Extent[] | null): void {
    if (!this.#settle(job, job.costBytes)) return;
    if (fault !== null) return this.#putFault(job, fault);
    assert(extents !== null, 'a status request ends with a fault or with extents');
    this.#answers.status(job, extents);
  }

  /** Takes the request and `bytes` of its charge out of the bounds; false when there is nobody left to answer. */
  #settle(job: Job, bytes: number): boolean {
    if (this.gone) return false;
    assert(job.costBytes >= bytes, 'a request gives back at most what it took');
    this.#inFlight--;
    this.#discharge(bytes);
    this.#turnSoon();
    return true;
  }

  #putOk(to: ReplyTo): void {
    this.#answers.ok(to);
    this.#turnSoon();
  }

  /** A held connection passes no faults on: the end of the connection tells the client to ask the next owner. */
  #putFault(to: ReplyTo, fault: Fault): void {
    if (!this.#held) this.#putError(to, errorOf(fault), fault.message);
  }

  #putError(to: ReplyTo, error: NbdError, message: string): void {
    this.errors++;
    this.#answers.error(to, error, message);
    this.#turnSoon();
  }

  #turnSoon(): void {
    if (this.#turnDue) return;
    this.#turnDue = true;
    process.nextTick(this.#turn);
  }

  /** Once behind everything that was answered in this turn: sends it, then uses the room that it left. */
  readonly #turn = (): void => {
    this.#turnDue = false;
    if (this.gone) return;
    const bytes = this.#leavingBytes;
    this.#leavingBytes = 0;
    this.#out.flush(bytes === 0 ? null : () => this.#left(bytes));
    if (this.#leaving) {
      if (this.#inFlight === 0) this.#port.finish();
      return;
    }
    this.#take();
  };

  /** The socket has passed on answers with so many bytes of data. */
  #left(bytes: number): void {
    if (this.gone) return;
    this.#discharge(bytes);
    this.#turnSoon();
  }
}

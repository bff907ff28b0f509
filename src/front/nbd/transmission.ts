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
import {
  ChunkType,
  Command,
  CommandFlag,
  EXTENDED_REPLY_BYTES,
  type NbdError,
  type ReplyStyle,
} from '../../wire/nbd.ts';
import { errorChunk, putChunkHeader, putSimpleReply, type ReplyTo, statusChunk } from '../../wire/nbd-replies.ts';
import { type RequestFields, RequestParser } from '../../wire/nbd-requests.ts';
import type { ByteQueue } from '../../wire/nbd-gather.ts';
import type { Budget, BudgetWaiter } from './budget.ts';
import { refusalOf, type RequestRules } from './check.ts';
import { errorOf, Refusals } from './faults.ts';
import { CacheJob, type Job, type JobOwner, ModifyJob, ReadJob, SplitWriteJob, StatusJob } from './jobs.ts';
import type { NbdLimits } from './limits.ts';
import { putRead } from './read-reply.ts';
import type { ReplyWriter } from './reply-writer.ts';
import { ALLOCATION_CONTEXT_ID, stretchesOf } from './status-reply.ts';

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
  readonly #style: ReplyStyle;
  readonly #rules: RequestRules;
  readonly #parser: RequestParser;
  readonly #out: ReplyWriter;
  readonly #port: TransmissionPort;
  #inFlight = 0;
  #inFlightBytes = 0;
  #receiving = true;
  #held = false;
  #leaving = false;
  #turnDue = false;

  /** @param received bytes that came behind the handshake */
  constructor(exported: Export, agreed: Agreement, out: ReplyWriter, port: TransmissionPort, received: ByteQueue) {
    const { maxPayloadBytes } = exported.limits;
    const extended = agreed.style === 'extended';
    this.#exported = exported;
    this.#style = agreed.style;
    this.#rules = {
      sizeBytes: exported.sizeBytes,
      maxPayloadBytes,
      extended,
      chunked: agreed.style !== 'simple',
      allocation: agreed.allocation,
    };
    this.#parser = new RequestParser(extended, maxPayloadBytes, received);
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

  /** Bytes were received; after its goodbye a client has nothing more to say. */
  push(piece: Buffer): void {
    if (this.#leaving) return;
    this.#parser.push(piece);
    this.#take();
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
    this.gone = true;
    this.#exported.budget.leave(this);
  }

  // ---- requests in

  /** Takes requests while there are any and the bounds allow. */
  #take(): void {
    const { limits, budget } = this.#exported;
    const parser = this.#parser;
    while (!this.#held && !this.#leaving && !this.gone) {
      if (this.#inFlight >= limits.maxRequests || this.#inFlightBytes >= limits.maxInFlightBytes) break;
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
    this.#count(job);
    this.#exported.service.submit(job);
  }

  #write(fields: RequestFields): void {
    const { service } = this.#exported;
    if (fields.length <= service.maxRequestBytes) return this.#modify(fields, 'write');
    const job = new SplitWriteJob(this, fields, service.maxRequestBytes);
    this.#count(job);
    for (const part of job.parts()) service.submit(part);
  }

  #count(job: Job): void {
    this.#inFlight++;
    this.#inFlightBytes += job.costBytes;
    this.#exported.budget.take(job.costBytes);
  }

  // ---- answers out

  ended(job: Job, fault: Fault | null): void {
    if (!this.#settle(job)) return;
    if (fault === null) this.#putOk(job);
    else this.#putFault(job, fault);
  }

  readEnded(job: ReadJob, fault: Fault | null, pieces: readonly ReadPiece[] | null): void {
    if (!this.#settle(job)) return;
    if (fault !== null) return this.#putFault(job, fault);
    assert(pieces !== null, 'a read ends with a fault or with its bytes');
    putRead(this.#out, this.#style, (job.flags & CommandFlag.dontFragment) !== 0, job, pieces);
  }

  statusEnded(job: StatusJob, fault: Fault | null, extents: readonly Extent[] | null): void {
    if (!this.#settle(job)) return;
    if (fault !== null) return this.#putFault(job, fault);
    assert(extents !== null, 'a status request ends with a fault or with extents');
    const most = (job.flags & CommandFlag.reqOne) !== 0 ? 1 : this.#exported.limits.maxStatusStretches;
    const stretches = stretchesOf(extents, job.offset, job.length, most);
    this.#out.data(statusChunk(this.#rules.extended, job, ALLOCATION_CONTEXT_ID, stretches));
  }

  /** Takes the request out of the bounds; false when there is nobody left to answer. */
  #settle(job: Job): boolean {
    this.#inFlight--;
    this.#inFlightBytes -= job.costBytes;
    this.#exported.budget.give(job.costBytes);
    if (this.gone) return false;
    this.#turnSoon();
    return true;
  }

  #putOk(to: ReplyTo): void {
    const out = this.#out;
    out.reserve(EXTENDED_REPLY_BYTES);
    out.at = this.#rules.extended
      ? putChunkHeader(out.page, out.at, true, to, ChunkType.none, true, 0)
      : putSimpleReply(out.page, out.at, to, 0);
    this.#turnSoon();
  }

  /** A held connection passes no faults on: the end of the connection tells the client to ask the next owner. */
  #putFault(to: ReplyTo, fault: Fault): void {
    if (!this.#held) this.#putError(to, errorOf(fault), fault.message);
  }

  #putError(to: ReplyTo, error: NbdError, message: string): void {
    this.errors++;
    const out = this.#out;
    if (this.#rules.chunked) out.data(errorChunk(this.#rules.extended, to, error, message));
    else {
      out.reserve(EXTENDED_REPLY_BYTES);
      out.at = putSimpleReply(out.page, out.at, to, error);
    }
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
    this.#out.flush();
    if (this.#leaving) {
      if (this.#inFlight === 0) this.#port.finish();
      return;
    }
    this.#take();
  };
}

/**
 * One client's connection: records in, calls to the program and to MOUNT, answers out. Whatever the client sends can
 * end the connection, with a reason that is logged, and nothing else.
 *
 * Several calls are on their way at once and are answered as they end; what is answered in one turn leaves in one write.
 */
import type { Socket } from 'node:net';
import { assert } from '../../base/fault.ts';
import { receiveFrom } from '../../base/inlet.ts';
import { LAST_MOUNT_PROCEDURE, MOUNT_PROGRAM, MOUNT_VERSION } from '../../wire/mount.ts';
import type { NfsResult } from '../../wire/nfs/results.ts';
import { procedureNumber, readArguments } from '../../wire/nfs/table.ts';
import { type NfsArguments, NFS_PROGRAM, NFS_VERSION, PROCEDURES } from '../../wire/nfs/types.ts';
import { AcceptStatus, AuthStatus, CallHeader } from '../../wire/rpc.ts';
import { RecordReader } from '../../wire/rpc-record.ts';
import { XdrReader } from '../../wire/xdr.ts';
import { NO_BYTES } from '../../base/operation.ts';
import type { Budget, BudgetWaiter } from '../clients/budget.ts';
import { ReplyWriter } from '../clients/reply-writer.ts';
import { Answers } from './answers.ts';
import { maxRecordBytes, type NfsLimits } from './limits.ts';
import type { MountProgram } from './mount.ts';
import type { Credential, NfsClient, NfsProgram } from './program.ts';
import { costOf, Request, type RequestOwner } from './request.ts';

/** A volume as its connections see it. */
export interface Served {
  readonly program: NfsProgram;
  readonly mount: MountProgram;
  readonly limits: NfsLimits;
  readonly budget: Budget;
  /** The program takes calls; until then they wait, within the bounds. */
  ready: boolean;
}

/** Whom a connection tells. */
export interface ConnectionOwner {
  /** Its first whole record is here. */
  spoke(connection: Connection): void;
  /** It is closed, for `why`. */
  closed(connection: Connection, why: string): void;
}

const WRITE = procedureNumber('write');
/** What a MOUNT call counts for: its path, and an answer of ordinary length. */
const MOUNT_COST_BYTES = 64 << 10;
/** Arguments up to this size are copied into shared pages of Node's. */
const SMALL_BYTES = 1024;
/** What an answer without a result counts for. */
const BARE_COST_BYTES = 256;

export class Connection implements RequestOwner, BudgetWaiter {
  readonly client: NfsClient;
  /** The client's address may use the volume. */
  readonly allowed: boolean;
  gone = false;
  /** Whole records taken. */
  requests = 0;
  readonly #socket: Socket;
  readonly #served: Served;
  readonly #owner: ConnectionOwner;
  readonly #reader: RecordReader;
  readonly #xdr = new XdrReader();
  readonly #header = new CallHeader();
  readonly #out: ReplyWriter;
  readonly #answers: Answers;
  #why: string | null = null;
  #inFlight = 0;
  /** Of requests that are not answered, and of answers that the system has not taken. */
  #chargedBytes = 0;
  /** Of these, what leaves with this turn's batch, and what is with the socket. */
  #leavingBytes = 0;
  #sendingBytes = 0;
  #receiving = true;
  /** Bytes come by an inlet, or will soon. */
  #inlet = false;
  #starved = true;
  #held = false;
  #turnDue = false;
  /** For `tick`: how long a record has been halfway and answers have been stuck, and where both stood. */
  #halfwayTicks = 0;
  #stuckTicks = 0;
  #ticks = 0;
  #seenRequests = 0;
  #seenSent = 0;

  constructor(socket: Socket, client: NfsClient, permitted: boolean, served: Served, owner: ConnectionOwner) {
    this.#socket = socket;
    this.client = client;
    this.allowed = permitted;
    this.#served = served;
    this.#owner = owner;
    this.#reader = new RecordReader(maxRecordBytes(served.limits), WRITE);
    this.#out = new ReplyWriter(socket);
    this.#answers = new Answers(this.#out);
    socket.on('data', this.#received);
    socket.on('drain', () => this.#turnSoon());
    socket.on('end', () => this.close('the client closed the connection'));
    socket.on('error', (error) => (this.#why ??= error.message));
    socket.on('close', () => this.#end());
  }

  /** No more requests; the connection stays open and says nothing but the answers that are on their way. */
  hold(): void {
    this.#held = true;
    if (this.#receiving) this.#setReceiving(false);
  }

  /** Closes at once. */
  close(why: string): void {
    this.#why ??= why;
    this.#socket.destroy();
    this.#end();
  }

  /** Once a second: ends what makes no progress. */
  tick(): void {
    const { limits } = this.#served;
    if (this.#held || this.gone) return;
    this.#ticks++;
    const halfway = this.#starved && this.#reader.halfway && this.requests === this.#seenRequests;
    this.#halfwayTicks = halfway ? this.#halfwayTicks + 1 : 0;
    this.#seenRequests = this.requests;
    const sent = this.#socket.bytesWritten - this.#socket.writableLength;
    const stuck = this.#socket.writableLength > 0 && sent === this.#seenSent;
    this.#stuckTicks = stuck ? this.#stuckTicks + 1 : 0;
    this.#seenSent = sent;
    if (this.requests === 0 && this.#ticks > limits.firstRecordSeconds) return this.close('it never sent a request');
    if (this.#halfwayTicks > limits.recordSeconds) return this.close('a request did not come to its end');
    if (this.#stuckTicks > limits.stallSeconds) return this.close('it does not take its answers');
  }

  roomAgain(): void {
    this.#turnSoon();
  }

  // ---- requests in

  /** True when any of the bytes are kept. */
  readonly #received = (piece: Buffer): boolean => {
    if (this.gone) return false;
    this.#reader.push(piece);
    this.#take();
    return this.#reader.keeps;
  };

  /**
   * Payloads stay where they were received, so who writes gets an inlet: memory of its own that is read into. Others do not:
   * it is large, and connections that say little may be many. Not while the stream holds bytes that came the other way.
   */
  readonly #openInlet = (): void => {
    if (this.gone) return;
    if (!this.#receiving || this.#socket.readableLength > 0) {
      this.#inlet = false;
      return;
    }
    this.#socket.off('data', this.#received);
    receiveFrom(this.#socket, this.#received);
  };

  /** Takes records while there are any and the bounds allow. */
  #take(): void {
    const { limits, budget } = this.#served;
    const reader = this.#reader;
    this.#starved = false;
    while (this.#served.ready && !this.#held && !this.gone) {
      if (this.#inFlight >= limits.maxRequests || this.#chargedBytes >= limits.maxInFlightBytes) break;
      if (!budget.open) {
        budget.wait(this);
        break;
      }
      const verdict = reader.next();
      if (verdict === 'garbage') return this.close(reader.reason ?? 'garbage');
      if (verdict === 'starved') {
        this.#starved = true;
        break;
      }
      this.requests++;
      if (this.requests === 1) this.#owner.spoke(this);
      this.#message();
    }
    if (this.gone || this.#held) return;
    const wanted = this.#starved || reader.costBytes < limits.lookaheadBytes;
    if (wanted !== this.#receiving) this.#setReceiving(wanted);
  }

  #setReceiving(on: boolean): void {
    this.#receiving = on;
    if (on) this.#socket.resume();
    else this.#socket.pause();
  }

  /** One record: a call, or the end of the connection. */
  #message(): void {
    const { bytes, from, to } = this.#reader;
    const xdr = this.#xdr.reset(bytes, from, to);
    const header = this.#header;
    const verdict = header.read(xdr);
    switch (verdict) {
      case 'garbage':
        return this.close('what it sent is no RPC call');
      case 'mismatch':
        this.#answers.rpcMismatch(header.xid);
        return this.#bare();
      case 'auth':
        this.#answers.authError(header.xid, header.authStatus);
        return this.#bare();
      case 'call':
        if (header.program === NFS_PROGRAM) return this.#nfs(xdr, to - from);
        if (header.program === MOUNT_PROGRAM) return this.#mount(xdr);
        return this.#accept(AcceptStatus.programUnavailable);
    }
  }

  #nfs(xdr: XdrReader, recordBytes: number): void {
    const { xid, version, procedure, credential } = this.#header;
    if (version !== NFS_VERSION) return this.#mismatch(NFS_VERSION);
    if (procedure === 0) return this.#accept(AcceptStatus.success);
    if (procedure >= PROCEDURES.length) return this.#accept(AcceptStatus.procedureUnavailable);
    if (!this.allowed) {
      this.#answers.authError(xid, AuthStatus.tooWeak);
      return this.#bare();
    }
    if (procedure === WRITE && !this.#inlet) {
      this.#inlet = true;
      setImmediate(this.#openInlet);
    }
    if (!this.#reader.mayPin) this.#copyOut(xdr);
    const { bytes, at } = xdr;
    const args = readArguments(procedure, xdr);
    if (args === null) return this.#accept(AcceptStatus.garbageArguments);
    this.#call(xid, credential, args, recordBytes, bytes, at, xdr.at);
  }

  #call(
    xid: number,
    credential: Credential | null,
    args: NfsArguments,
    recordBytes: number,
    bytes: Buffer,
    from: number,
    to: number,
  ): void {
    const cost = costOf(args, recordBytes, this.#served.limits.maxPayloadBytes);
    const request = new Request(this, xid, credential, args, cost, bytes, from, to);
    this.#count(cost);
    this.#served.program.call(request, request);
  }

  /** The arguments get bytes of their own, so that no large piece stays in memory for their sake. */
  #copyOut(xdr: XdrReader): void {
    const length = xdr.left;
    const own = length > SMALL_BYTES ? Buffer.allocUnsafeSlow(length) : Buffer.allocUnsafe(length);
    xdr.bytes.copy(own, 0, xdr.at, xdr.end);
    xdr.reset(own);
  }

  #mount(xdr: XdrReader): void {
    const { xid, version, procedure, credential } = this.#header;
    if (version !== MOUNT_VERSION) return this.#mismatch(MOUNT_VERSION);
    if (procedure > LAST_MOUNT_PROCEDURE) return this.#accept(AcceptStatus.procedureUnavailable);
    this.#count(MOUNT_COST_BYTES);
    this.#served.mount.call(procedure, xdr, { peer: this, credential }, (status, result) => {
      if (!this.#settle(MOUNT_COST_BYTES)) return;
      if (result === null) return this.#dropped('this server cannot answer now');
      this.#answers.encoded(xid, status, result);
      if (result.length > MOUNT_COST_BYTES) this.#weigh(result.length - MOUNT_COST_BYTES);
    });
  }

  #mismatch(version: number): void {
    this.#answers.programMismatch(this.#header.xid, version, version);
    this.#bare();
  }

  /** An answer without a result. */
  #accept(status: AcceptStatus): void {
    this.#answers.encoded(this.#header.xid, status, NO_BYTES);
    this.#bare();
  }

  /** An answer was put that no request was counted for: it counts until the client has taken it, like all others. */
  #bare(): void {
    this.#count(BARE_COST_BYTES);
    this.#settle(BARE_COST_BYTES);
  }

  #count(bytes: number): void {
    this.#inFlight++;
    this.#chargedBytes += bytes;
    this.#served.budget.take(bytes);
  }

  // ---- answers out

  answered(request: Request, result: NfsResult): void {
    if (this.#settle(request.costBytes)) this.#answers.result(request.xid, result);
  }

  answeredEncoded(request: Request, result: Buffer): void {
    if (this.#settle(request.costBytes)) this.#answers.encoded(request.xid, AcceptStatus.success, result);
  }

  dropped(request: Request, why: string): void {
    if (this.#settle(request.costBytes)) this.#dropped(why);
  }

  /** On TCP a request without an answer is waited for; the end of the connection makes the client ask again. */
  #dropped(why: string): void {
    if (!this.#held) this.close(why);
  }

  /** A request has ended; its bytes count until the system has its answer. False when there is nobody left to answer. */
  #settle(bytes: number): boolean {
    this.#inFlight--;
    assert(this.#inFlight >= 0, 'what ends has begun');
    if (this.gone) {
      this.#discharge(bytes);
      return false;
    }
    this.#leavingBytes += bytes;
    this.#turnSoon();
    return true;
  }

  /** An answer is longer than its request counted for: it counts as what it is until the system has it. */
  #weigh(bytes: number): void {
    this.#chargedBytes += bytes;
    this.#leavingBytes += bytes;
    this.#served.budget.take(bytes);
  }

  #discharge(bytes: number): void {
    this.#chargedBytes -= bytes;
    this.#served.budget.give(bytes);
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
    this.#sendingBytes += bytes;
    this.#out.flush(bytes === 0 ? null : () => this.#left(bytes));
    this.#take();
  };

  /** The system has taken answers that counted for so many bytes. */
  #left(bytes: number): void {
    if (this.gone) return;
    this.#sendingBytes -= bytes;
    this.#discharge(bytes);
    this.#turnSoon();
  }

  // ---- the end

  /** Answers that still come go nowhere; what is not answered counts in the volume's bounds until it is. */
  #end(): void {
    if (this.gone) return;
    this.gone = true;
    const { budget } = this.#served;
    budget.leave(this);
    this.#discharge(this.#leavingBytes + this.#sendingBytes);
    this.#owner.closed(this, this.#why ?? 'the connection closed');
  }
}

/**
 * The requests of the transmission phase, from bytes (document: "Request message"). A pull parser: the session pushes
 * what it received and takes one request after the other, when it has room for it; what it does not take stays here
 * and is bounded by the session (`queue.costBytes`). Nothing is allocated per request but the payload's buffer.
 */
import { NO_BYTES } from '../base/operation.ts';
import { COMPACT_REQUEST_BYTES, Command, CommandFlag, EXTENDED_REQUEST_BYTES, Magic } from './nbd.ts';
import { newSlab } from '../base/slab.ts';
import { ByteQueue } from './nbd-gather.ts';

/** One request's fields. The parser has a single one and overwrites it with every request it finds. */
export interface RequestFields {
  flags: number;
  type: number;
  /** The client's handle, as two halves: opaque, echoed in every reply. */
  cookieHigh: number;
  cookieLow: number;
  /** The offset as two halves, exact: extended replies echo it. */
  offsetHigh: number;
  offsetLow: number;
  /** Effect or payload length in bytes; inexact beyond 2^53, where no request is valid anyway. */
  length: number;
  /** The payload, `length` bytes of it, or NO_BYTES when there is none or it was skipped. */
  payload: Buffer;
  /** The payload was longer than the parser's maximum and was dropped: to be answered with an error. */
  oversized: boolean;
}

/** `request`: `fields` holds the next one. `starved`: more bytes are needed. `garbage`: `reason` says what is wrong. */
export type RequestVerdict = 'request' | 'starved' | 'garbage';

const TWO_32 = 0x1_0000_0000;
/** Payloads that are gathered into memory of their own: below this, that is ordinary memory. */
const SLAB_FROM_BYTES = 64 << 10;

/** The offset of a request as one number; inexact beyond 2^53, where every export has ended. */
export const offsetOf = (fields: { readonly offsetHigh: number; readonly offsetLow: number }): number =>
  fields.offsetHigh * TWO_32 + fields.offsetLow;

/** The halves of an offset below 2^53. */
export const highOf = (offset: number): number => Math.floor(offset / TWO_32);
export const lowOf = (offset: number): number => offset >>> 0;

export class RequestParser {
  readonly queue: ByteQueue;
  readonly fields: RequestFields = {
    flags: 0,
    type: 0,
    cookieHigh: 0,
    cookieLow: 0,
    offsetHigh: 0,
    offsetLow: 0,
    length: 0,
    payload: NO_BYTES,
    oversized: false,
  };
  /** Why the bytes are no requests; set when `next` said `garbage`, which it then says for ever. */
  reason: string | null = null;

  readonly #extended: boolean;
  readonly #maxPayloadBytes: number;
  readonly #headerBytes: number;
  /** A header that came in pieces, and how much of it is here. */
  readonly #header: Buffer;
  #headerAt = 0;
  /** A payload that came in pieces, or null; and how much of it is here. */
  #payload: Buffer | null = null;
  #payloadAt = 0;
  /** Length of a payload that has begun in the current piece, and may go on there; 0 when there is none. */
  #awaited = 0;
  readonly #awaitBytes: number;
  #pinned = false;
  /** Bytes of an oversized payload still to be dropped. */
  #toSkip = 0;
  #skipping = false;
  /** The piece for which `#mayPin` was found out, and whether payloads in it may stay where they are. */
  #judged: Buffer | null = null;
  #mayPin = false;

  /**
   * @param extended       extended headers were negotiated
   * @param maxPayloadBytes longest payload that is kept, in bytes
   * @param queue           bytes already received behind the handshake
   * @param awaitBytes      payloads up to this length may wait in the queue for their rest, instead of being gathered
   */
  constructor(extended: boolean, maxPayloadBytes: number, queue = new ByteQueue(), awaitBytes = 0) {
    this.#extended = extended;
    this.#maxPayloadBytes = maxPayloadBytes;
    this.#headerBytes = extended ? EXTENDED_REQUEST_BYTES : COMPACT_REQUEST_BYTES;
    this.#header = Buffer.alloc(this.#headerBytes);
    this.queue = queue;
    this.#awaitBytes = awaitBytes;
  }

  push(piece: Buffer): void {
    this.#pinned = false;
    this.queue.push(piece);
  }

  /** Whether anything of what was pushed last is still referred to: by a payload, or because it was not taken yet. */
  get keeps(): boolean {
    return this.#pinned || this.queue.length > 0;
  }

  /** Bytes set aside for a payload that has begun to arrive. */
  get gatheringBytes(): number {
    return this.#payload?.length ?? 0;
  }

  /** Goes on to the next request. The payload found belongs to the caller, `fields` to the parser. */
  next(): RequestVerdict {
    if (this.reason !== null) return 'garbage';
    if (this.#payload !== null) return this.#gather(this.#payload);
    if (this.#awaited > 0) return this.#takePayload(this.#awaited);
    if (this.#skipping) return this.#skip();
    const queue = this.queue;
    if (this.#headerAt === 0 && queue.ready >= this.#headerBytes) {
      const { piece, at } = queue;
      queue.advance(this.#headerBytes);
      return this.#begin(piece, at);
    }
    this.#headerAt = queue.fill(this.#header, this.#headerAt);
    if (this.#headerAt < this.#headerBytes) return 'starved';
    this.#headerAt = 0;
    return this.#begin(this.#header, 0);
  }

  /** A whole header is at `at`; its payload, if any, is next in the queue. */
  #begin(bytes: Buffer, at: number): RequestVerdict {
    const fields = this.fields;
    const magic = bytes.readUInt32BE(at);
    if (magic !== (this.#extended ? Magic.extendedRequest : Magic.request)) {
      this.reason = `a request began with 0x${magic.toString(16)} instead of the magic number`;
      return 'garbage';
    }
    fields.flags = bytes.readUInt16BE(at + 4);
    fields.type = bytes.readUInt16BE(at + 6);
    fields.cookieHigh = bytes.readUInt32BE(at + 8);
    fields.cookieLow = bytes.readUInt32BE(at + 12);
    fields.offsetHigh = bytes.readUInt32BE(at + 16);
    fields.offsetLow = bytes.readUInt32BE(at + 20);
    fields.length = this.#extended
      ? bytes.readUInt32BE(at + 24) * TWO_32 + bytes.readUInt32BE(at + 28)
      : bytes.readUInt32BE(at + 24);
    fields.payload = NO_BYTES;
    fields.oversized = false;
    const hasPayload = this.#extended
      ? (fields.flags & CommandFlag.payloadLength) !== 0
      : fields.type === Command.write;
    return hasPayload && fields.length > 0 ? this.#takePayload(fields.length) : 'request';
  }

  #takePayload(length: number): RequestVerdict {
    if (length > this.#maxPayloadBytes) return this.#refusePayload(length);
    const queue = this.queue;
    this.#awaited = 0;
    if (queue.ready >= length) {
      const { piece, at } = queue;
      const whole = piece.subarray(at, at + length);
      if (this.#pinning(piece, at, length)) {
        this.#pinned = true;
        this.fields.payload = whole;
      } else this.fields.payload = copyOf(whole);
      queue.advance(length);
      return 'request';
    }
    if (length <= this.#awaitBytes && queue.mayGrow) {
      this.#awaited = length;
      return 'starved';
    }
    this.#payload = length < SLAB_FROM_BYTES ? Buffer.allocUnsafeSlow(length) : newSlab(length);
    this.#payloadAt = 0;
    return this.#gather(this.#payload);
  }

  /**
   * Too long. With extended headers a server should disconnect (document: "Request message"); a compact one is dropped
   * as it comes, without holding it, and the request answered with an error.
   */
  #refusePayload(length: number): RequestVerdict {
    if (this.#extended) {
      this.reason = `a payload of ${length} bytes is longer than the ${this.#maxPayloadBytes} that were advertised`;
      return 'garbage';
    }
    this.fields.oversized = true;
    this.#toSkip = length;
    this.#skipping = true;
    return this.#skip();
  }

  #gather(payload: Buffer): RequestVerdict {
    this.#payloadAt = this.queue.fill(payload, this.#payloadAt);
    if (this.#payloadAt < payload.length) return 'starved';
    this.fields.payload = payload;
    this.#payload = null;
    return 'request';
  }

  #skip(): RequestVerdict {
    this.#toSkip = this.queue.drop(this.#toSkip);
    if (this.#toSkip > 0) return 'starved';
    this.#skipping = false;
    return 'request';
  }

  /**
   * May the payload at `at` stay in the received piece? A slice keeps the whole piece in memory for as long as the
   * operation lives, so only when payloads make up at least half of it; found out once per piece, at its first payload.
   * The inlet reads over again what is not kept, so that pieces alone take up its memory that are mostly payload.
   */
  #pinning(piece: Buffer, at: number, length: number): boolean {
    if (this.#judged !== piece) {
      this.#judged = piece;
      this.#mayPin = this.#payloadBytesFrom(piece, at, length) * 2 >= piece.length;
    }
    return this.#mayPin;
  }

  /** Bytes of payloads that lie whole in `piece`, the first one at `at`. */
  #payloadBytesFrom(piece: Buffer, at: number, length: number): number {
    const magic = this.#extended ? Magic.extendedRequest : Magic.request;
    let sum = 0;
    while (at + length <= piece.length) {
      sum += length;
      at += length;
      if (at + this.#headerBytes > piece.length || piece.readUInt32BE(at) !== magic) break;
      length = piece.readUInt16BE(at + 6) === Command.write ? piece.readUInt32BE(at + this.#headerBytes - 4) : 0;
      at += this.#headerBytes;
    }
    return sum;
  }
}

function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  copy.set(bytes);
  return copy;
}

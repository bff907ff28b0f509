/**
 * Record marking (RFC 5531, section 11): RPC messages out of a byte stream, each in one or more fragments. A pull
 * parser: the connection pushes what it received and takes one record after the other; what it does not take stays in
 * the queue and is bounded by the connection (`costBytes`).
 *
 * A record that lies whole in a received piece is handed out where it is; one that has begun there is waited for, since it
 * may go on behind it in memory (src/base/inlet.ts). Any other is gathered in a buffer that grows with what has really
 * come, whatever was announced.
 */
import { assert } from '../base/fault.ts';
import { NO_BYTES } from '../base/operation.ts';
import { newSlab } from '../base/slab.ts';
import { ByteQueue } from './nbd-gather.ts';

const MARK_BYTES = 4;
const LAST_FRAGMENT = 0x8000_0000;
/** Room that a record in pieces gets at first; later four times what has come, so that each byte moves about once. */
const FIRST_ROOM_BYTES = 4096;
/** Records of real clients have one fragment, or as many as the client's buffers; more is a way to keep a server busy. */
const MAX_FRAGMENTS = 1024;
/** Records up to this size are waited for where they began. */
const AWAIT_BYTES = 512 << 10;
/** Room from this size on is taken from slabs. */
const SLAB_FROM_BYTES = 64 << 10;
/** Words behind the mark: xid, type, version of RPC, program, version, procedure. */
const PROCEDURE_AT = MARK_BYTES + 20;

/** `record`: it lies in `bytes`, between `from` and `to`. `starved`: more is needed. `garbage`: `reason` says why. */
export type RecordVerdict = 'record' | 'starved' | 'garbage';

export class RecordReader {
  /** The record that was found last. */
  bytes: Buffer = NO_BYTES;
  from = 0;
  to = 0;
  /** Slices of the record may be kept. False where that would keep a large received piece in memory for little. */
  mayPin = false;
  /** Why the bytes are no records; set when `next` said `garbage`, which it then says for ever. */
  reason: string | null = null;

  readonly #maxRecordBytes: number;
  /** The procedure whose payloads are kept for long: records of it justify to pin a piece. */
  readonly #payloadProcedure: number;
  readonly #queue = new ByteQueue();
  readonly #mark = Buffer.alloc(MARK_BYTES);
  #markAt = 0;
  /** A record that came in pieces, what of it is here, and where the current fragment ends in it. */
  #room: Buffer = NO_BYTES;
  #have = 0;
  #need = 0;
  #last = false;
  #fragments = 0;
  /** The piece for which `#piecePins` was found out. */
  #judged: Buffer | null = null;
  #piecePins = false;
  #pinned = false;

  /** @param maxRecordBytes longest record, all its fragments together */
  constructor(maxRecordBytes: number, payloadProcedure: number) {
    assert(maxRecordBytes >= FIRST_ROOM_BYTES, 'a record has room for any header');
    this.#maxRecordBytes = maxRecordBytes;
    this.#payloadProcedure = payloadProcedure;
  }

  push(piece: Buffer): void {
    this.#pinned = false;
    this.#queue.push(piece);
  }

  /** Whether anything of what was pushed last is still referred to: by a record that may be kept, or not taken yet. */
  get keeps(): boolean {
    return this.#pinned || this.#queue.length > 0;
  }

  /** What is held of bytes that were not taken as records, in bytes. */
  get costBytes(): number {
    return this.#queue.costBytes + this.#room.length;
  }

  /** Bytes set aside for a record that has begun to arrive. */
  get gatheringBytes(): number {
    return this.#room.length;
  }

  /** A record has begun and is not complete. */
  get halfway(): boolean {
    return this.#fragments > 0 || this.#markAt > 0 || this.#queue.length > 0;
  }

  /** Goes on to the next record. */
  next(): RecordVerdict {
    if (this.reason !== null) return 'garbage';
    const queue = this.#queue;
    for (;;) {
      if (this.#fragments === 0 && this.#markAt === 0) {
        const whole = this.#takeWhole();
        if (whole !== null) return whole;
      }
      if (this.#have < this.#need) this.#gather();
      if (this.#have < this.#need) return 'starved';
      if (this.#last) return this.#gathered();
      this.#markAt = queue.fill(this.#mark, this.#markAt);
      if (this.#markAt < MARK_BYTES) return 'starved';
      this.#markAt = 0;
      if (!this.#beginFragment(this.#mark.readUInt32BE(0))) return 'garbage';
    }
  }

  /** The common case: a record of one fragment, wholly in the current piece or on its way there; else null. */
  #takeWhole(): 'record' | 'starved' | null {
    const queue = this.#queue;
    const { ready } = queue;
    if (ready < MARK_BYTES) return queue.mayGrow ? 'starved' : null;
    const { piece, at } = queue;
    const mark = piece.readUInt32BE(at);
    const length = mark - LAST_FRAGMENT;
    if (length < 0 || length > this.#maxRecordBytes) return null;
    if (length > ready - MARK_BYTES) return length <= AWAIT_BYTES && queue.mayGrow ? 'starved' : null;
    if (this.#judged !== piece) this.#judge(piece, at);
    this.bytes = piece;
    this.from = at + MARK_BYTES;
    this.to = this.from + length;
    this.mayPin = this.#piecePins;
    this.#pinned ||= this.#piecePins;
    queue.advance(MARK_BYTES + length);
    return 'record';
  }

  #beginFragment(mark: number): boolean {
    this.#last = mark >= LAST_FRAGMENT;
    const length = this.#last ? mark - LAST_FRAGMENT : mark;
    this.#fragments++;
    this.#need += length;
    if (this.#need > this.#maxRecordBytes) {
      this.reason = `a record of ${this.#need} bytes is longer than the ${this.#maxRecordBytes} that are allowed`;
    } else if (this.#fragments > MAX_FRAGMENTS) {
      this.reason = `a record has more than ${MAX_FRAGMENTS} fragments`;
    }
    return this.reason === null;
  }

  /** Moves what there is of the current fragment into the room, which grows as bytes come. */
  #gather(): void {
    const queue = this.#queue;
    while (this.#have < this.#need && queue.ready > 0) {
      if (this.#have === this.#room.length) this.#grow();
      const now = Math.min(queue.ready, this.#need - this.#have, this.#room.length - this.#have);
      queue.piece.copy(this.#room, this.#have, queue.at, queue.at + now);
      queue.advance(now);
      this.#have += now;
    }
  }

  #grow(): void {
    const wanted = Math.max(FIRST_ROOM_BYTES, 4 * (this.#have + this.#queue.length));
    const bytes = Math.min(this.#need, wanted);
    const room = bytes < SLAB_FROM_BYTES ? Buffer.allocUnsafeSlow(bytes) : newSlab(bytes);
    this.#room.copy(room, 0, 0, this.#have);
    this.#room = room;
  }

  #gathered(): RecordVerdict {
    this.bytes = this.#room;
    this.from = 0;
    this.to = this.#have;
    this.mayPin = true;
    this.#room = NO_BYTES;
    this.#have = 0;
    this.#need = 0;
    this.#last = false;
    this.#fragments = 0;
    return 'record';
  }

  /**
   * Slices keep the whole piece in memory for as long as their operations live, so they are only worth it where records
   * with payloads make up at least half of it. Found out once per piece, from its first whole record on.
   */
  #judge(piece: Buffer, at: number): void {
    let sum = 0;
    while (at + PROCEDURE_AT + 4 <= piece.length) {
      const length = piece.readUInt32BE(at) - LAST_FRAGMENT;
      const end = at + MARK_BYTES + length;
      if (length < 0 || end > piece.length) break;
      if (piece.readUInt32BE(at + PROCEDURE_AT) === this.#payloadProcedure) sum += length;
      at = end;
    }
    this.#judged = piece;
    this.#piecePins = sum * 2 >= piece.length;
  }
}

/** The mark of a record that is one fragment of `length` bytes. */
export const wholeRecordMark = (length: number): number => LAST_FRAGMENT + length;

/**
 * The server's side of the transmission phase as a client reads it: bytes in, ended requests out. Whatever the document
 * does not allow breaks the connection with a sentence that names it.
 */
import { ChunkType, Command, Magic } from '../src/wire/nbd.ts';

/** The server answered a request with an error value. */
export class NbdReplyError extends Error {
  readonly error: number;
  constructor(error: number, message: string) {
    super(`the server answered with error ${error}${message === '' ? '' : `: ${message}`}`);
    this.name = 'NbdReplyError';
    this.error = error;
  }
}

/** One content chunk of a structured read. */
export interface ReadChunk {
  readonly offset: number;
  readonly length: number;
  readonly hole: boolean;
}
/** What one request was answered by. */
export interface Answer {
  /** Bytes of a read, else empty. */
  readonly data: Buffer;
  /** Content chunks of a read, in order of arrival; empty with simple replies. */
  readonly chunks: readonly ReadChunk[];
  /** Descriptors of a block status by context id. */
  readonly status: ReadonlyMap<number, readonly StatusDescriptor[]>;
}
export interface StatusDescriptor {
  readonly length: number;
  readonly flags: number;
}

/** A request on its way and what has been answered of it so far. */
export interface Pending {
  readonly type: number;
  readonly offset: bigint;
  readonly length: number;
  readonly data: Buffer;
  readonly chunks: ReadChunk[];
  readonly status: Map<number, StatusDescriptor[]>;
  covered: number;
  error: NbdReplyError | null;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

/** How replies are framed. */
export type ClientStyle = 'simple' | 'structured' | 'extended';

export class AnswerReader {
  /** Cookies in the order in which their replies ended: tests of ordering read it. Bounded to the last 4096. */
  readonly answered: bigint[] = [];
  readonly #style: ClientStyle;
  readonly #contexts: ReadonlyMap<number, string>;
  readonly #pending: Map<bigint, Pending>;
  readonly #broken: (why: string) => void;
  /** Bytes of a message that is not whole yet, and how many are needed before looking at it again. */
  #received: Buffer[] = [];
  #receivedBytes = 0;
  #needed = 16;

  /** @param pending requests by cookie; a request that has ended is taken out and settled */
  constructor(
    style: ClientStyle,
    contexts: ReadonlyMap<number, string>,
    pending: Map<bigint, Pending>,
    broken: (why: string) => void,
  ) {
    this.#style = style;
    this.#contexts = contexts;
    this.#pending = pending;
    this.#broken = broken;
  }

  push(piece: Buffer): void {
    this.#received.push(piece);
    this.#receivedBytes += piece.length;
    if (this.#receivedBytes < this.#needed) return;
    let bytes = this.#received.length === 1 ? piece : Buffer.concat(this.#received);
    try {
      for (;;) {
        const used = this.#message(bytes);
        if (used === 0) break;
        bytes = bytes.subarray(used);
      }
    } catch (error) {
      this.#broken(error instanceof Error ? error.message : String(error));
    }
    this.#received = [bytes];
    this.#receivedBytes = bytes.length;
  }

  /** Whether the first `count` bytes of a message are here; if not, it is looked at again when they are. */
  #has(bytes: Buffer, count: number): boolean {
    this.#needed = count;
    return bytes.length >= count;
  }

  /** Handles one whole message at the start of `bytes`; returns its length, 0 when it is not all there. */
  #message(bytes: Buffer): number {
    if (!this.#has(bytes, 16)) return 0;
    const magic = bytes.readUInt32BE(0);
    if (magic === Magic.simpleReply && this.#style !== 'extended') return this.#simple(bytes);
    if (magic === Magic.structuredReply && this.#style === 'structured') {
      if (!this.#has(bytes, 20) || !this.#has(bytes, 20 + bytes.readUInt32BE(16))) return 0;
      return this.#chunk(bytes, 20, bytes.readUInt32BE(16));
    }
    if (magic === Magic.extendedReply && this.#style === 'extended') {
      if (!this.#has(bytes, 32)) return 0;
      const length = Number(bytes.readBigUInt64BE(24));
      if (!this.#has(bytes, 32 + length)) return 0;
      const { offset } = this.#find(bytes.readBigUInt64BE(8));
      if (bytes.readBigUInt64BE(16) !== offset)
        throw new Error('an extended reply names another offset than its request');
      return this.#chunk(bytes, 32, length);
    }
    throw new Error(`a ${this.#style} reply began with 0x${magic.toString(16)}`);
  }

  #simple(bytes: Buffer): number {
    const cookie = bytes.readBigUInt64BE(8);
    const pending = this.#find(cookie);
    const error = bytes.readUInt32BE(4);
    if (pending.type === Command.read && this.#style !== 'simple')
      throw new Error('a read was answered by a simple reply');
    if (error !== 0) {
      pending.error = new NbdReplyError(error, '');
      this.#finish(cookie, pending);
      return 16;
    }
    const dataBytes = pending.type === Command.read ? pending.length : 0;
    if (!this.#has(bytes, 16 + dataBytes)) return 0;
    bytes.copy(pending.data, 0, 16, 16 + dataBytes);
    pending.covered = dataBytes;
    this.#finish(cookie, pending);
    return 16 + dataBytes;
  }

  #chunk(bytes: Buffer, head: number, length: number): number {
    const flags = bytes.readUInt16BE(4);
    const type = bytes.readUInt16BE(6);
    const cookie = bytes.readBigUInt64BE(8);
    const pending = this.#find(cookie);
    const payload = bytes.subarray(head, head + length);
    switch (type) {
      case ChunkType.none:
        if (length !== 0 || (flags & 1) === 0) throw new Error('a NONE chunk with data, or not the last');
        break;
      case ChunkType.offsetData:
        if (length < 9) throw new Error('an OFFSET_DATA chunk without data');
        this.#content(pending, Number(payload.readBigUInt64BE(0)), payload.subarray(8), length - 8);
        break;
      case ChunkType.offsetHole:
        if (length !== 12) throw new Error('an OFFSET_HOLE chunk of the wrong length');
        this.#content(pending, Number(payload.readBigUInt64BE(0)), null, payload.readUInt32BE(8));
        break;
      case ChunkType.blockStatus:
        this.#status(pending, payload, 4, 8);
        break;
      case ChunkType.blockStatusExtended:
        if (this.#style !== 'extended') throw new Error('an extended block status without extended headers');
        this.#status(pending, payload, 8, 16);
        break;
      default: {
        if ((type & 0x8000) === 0) throw new Error(`a chunk of unknown type ${type}`);
        const messageBytes = payload.readUInt16BE(4);
        if (messageBytes > length - 6 || messageBytes > 4096) throw new Error('an error message beyond its chunk');
        if (payload.readUInt32BE(0) === 0) throw new Error('an error chunk without an error');
        pending.error ??= new NbdReplyError(payload.readUInt32BE(0), payload.toString('utf8', 6, 6 + messageBytes));
      }
    }
    if ((flags & 1) !== 0) this.#finish(cookie, pending);
    return head + length;
  }

  #content(pending: Pending, offset: number, data: Buffer | null, length: number): void {
    const start = Number(pending.offset);
    if (pending.type !== Command.read) throw new Error('content in the answer to something other than a read');
    if (length === 0 || offset < start || offset + length > start + pending.length)
      throw new Error('content out of range');
    if (pending.chunks.some((chunk) => offset < chunk.offset + chunk.length && chunk.offset < offset + length)) {
      throw new Error('content chunks overlap');
    }
    if (data !== null) data.copy(pending.data, offset - start);
    pending.chunks.push({ offset, length, hole: data === null });
    pending.covered += length;
  }

  #status(pending: Pending, payload: Buffer, head: number, each: number): void {
    if (pending.type !== Command.blockStatus) throw new Error('a status in the answer to something else');
    const count = (payload.length - head) / each;
    if (count < 1 || !Number.isInteger(count)) throw new Error('a block status chunk of the wrong length');
    if (each === 16 && ![0, count].includes(payload.readUInt32BE(4))) throw new Error('a wrong descriptor count');
    const context = payload.readUInt32BE(0);
    if (!this.#contexts.has(context)) throw new Error(`a status for context ${context}, which was not selected`);
    if (pending.status.has(context)) throw new Error('two status chunks for one context');
    const descriptors: StatusDescriptor[] = [];
    for (let at = head; at < payload.length; at += each) {
      const length = each === 16 ? Number(payload.readBigUInt64BE(at)) : payload.readUInt32BE(at);
      const flags = each === 16 ? Number(payload.readBigUInt64BE(at + 8)) : payload.readUInt32BE(at + 4);
      if (length === 0) throw new Error('an empty status descriptor');
      descriptors.push({ length, flags });
    }
    pending.status.set(context, descriptors);
  }

  #find(cookie: bigint): Pending {
    const pending = this.#pending.get(cookie);
    if (pending === undefined) throw new Error(`an answer to ${cookie}, which is not outstanding`);
    return pending;
  }

  #finish(cookie: bigint, pending: Pending): void {
    if (pending.error === null && pending.type === Command.read && pending.covered !== pending.length) {
      throw new Error(`a read of ${pending.length} bytes was answered with ${pending.covered}`);
    }
    if (pending.error === null && pending.type === Command.blockStatus && pending.status.size !== this.#contexts.size) {
      throw new Error('a block status was not answered for every context');
    }
    this.#pending.delete(cookie);
    this.answered.push(cookie);
    if (this.answered.length > 4096) this.answered.shift();
    if (pending.error !== null) return pending.reject(pending.error);
    pending.resolve({ data: pending.data, chunks: pending.chunks, status: pending.status });
  }
}

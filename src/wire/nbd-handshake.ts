/**
 * The handshake as a server sees it, without a socket: client flags and options from bytes, and the server's answers as
 * bytes (document: "Fixed newstyle negotiation", "Option types", "Option reply types").
 */
import { NO_BYTES } from '../base/operation.ts';
import { ByteQueue } from './nbd-gather.ts';
import { Info, Magic, MAX_STRING_BYTES, OptionReply } from './nbd.ts';
import { cutString } from './nbd-replies.ts';

/** What the client said next; `starved` when it has not said enough. */
export type HandshakeEvent =
  | { readonly kind: 'starved' }
  /** The client flags, first and once. */
  | { readonly kind: 'flags'; readonly flags: number }
  /** An option. `data` is NO_BYTES and `tooBig` set when it was longer than the parser keeps: it was dropped. */
  | { readonly kind: 'option'; readonly option: number; readonly data: Buffer; readonly tooBig: boolean }
  /** Not the protocol; repeated for ever. */
  | { readonly kind: 'garbage'; readonly reason: string };

const STARVED: HandshakeEvent = { kind: 'starved' };
const OPTION_HEADER_BYTES = 16;

/** Longest option data that are parsed: a name and a few hundred queries. */
export const MAX_OPTION_BYTES = 64 << 10;
/** Longest option data that are dropped politely; beyond it the connection is not worth keeping. */
export const MAX_SKIPPED_OPTION_BYTES = 1 << 20;

/** A pull parser: push what was received, take events. What lies behind the last option stays in `queue`. */
export class HandshakeParser {
  readonly queue = new ByteQueue();
  readonly #header = Buffer.alloc(OPTION_HEADER_BYTES);
  #headerAt = 0;
  #flagsSeen = false;
  #option = 0;
  /** Option data under way, or null while a header is. */
  #data: Buffer | null = null;
  #dataAt = 0;
  #toSkip = 0;
  #skipping = false;
  #garbage: HandshakeEvent | null = null;

  push(piece: Buffer): void {
    this.queue.push(piece);
  }

  next(): HandshakeEvent {
    if (this.#garbage !== null) return this.#garbage;
    if (this.#data !== null) return this.#gather(this.#data);
    if (this.#skipping) return this.#skip();
    const wanted = this.#flagsSeen ? OPTION_HEADER_BYTES : 4;
    this.#headerAt = this.queue.fill(this.#header.subarray(0, wanted), this.#headerAt);
    if (this.#headerAt < wanted) return STARVED;
    this.#headerAt = 0;
    if (this.#flagsSeen) return this.#begin();
    this.#flagsSeen = true;
    return { kind: 'flags', flags: this.#header.readUInt32BE(0) };
  }

  #begin(): HandshakeEvent {
    const header = this.#header;
    if (header.readUInt32BE(0) !== Magic.optionHigh || header.readUInt32BE(4) !== Magic.optionLow) {
      return this.#refuse(`an option began with 0x${header.toString('hex', 0, 8)} instead of the magic number`);
    }
    this.#option = header.readUInt32BE(8);
    const length = header.readUInt32BE(12);
    if (length > MAX_SKIPPED_OPTION_BYTES) return this.#refuse(`option ${this.#option} claims ${length} bytes of data`);
    if (length > MAX_OPTION_BYTES) {
      this.#toSkip = length;
      this.#skipping = true;
      return this.#skip();
    }
    this.#data = length === 0 ? NO_BYTES : Buffer.allocUnsafeSlow(length);
    this.#dataAt = 0;
    return this.#gather(this.#data);
  }

  #gather(data: Buffer): HandshakeEvent {
    this.#dataAt = this.queue.fill(data, this.#dataAt);
    if (this.#dataAt < data.length) return STARVED;
    this.#data = null;
    return { kind: 'option', option: this.#option, data, tooBig: false };
  }

  #skip(): HandshakeEvent {
    this.#toSkip = this.queue.drop(this.#toSkip);
    if (this.#toSkip > 0) return STARVED;
    this.#skipping = false;
    return { kind: 'option', option: this.#option, data: NO_BYTES, tooBig: true };
  }

  #refuse(reason: string): HandshakeEvent {
    this.#garbage = { kind: 'garbage', reason };
    return this.#garbage;
  }
}

/** INFO and GO: the export asked for and the kinds of information wanted. */
export interface InfoRequest {
  readonly name: string;
  readonly wanted: readonly number[];
}

/** The data of INFO and GO; null when they are malformed. */
export function decodeInfoRequest(data: Buffer): InfoRequest | null {
  if (data.length < 6) return null;
  const nameBytes = data.readUInt32BE(0);
  if (nameBytes > data.length - 6) return null;
  const name = decodeString(data.subarray(4, 4 + nameBytes));
  const count = data.readUInt16BE(4 + nameBytes);
  if (name === null || data.length !== 6 + nameBytes + 2 * count) return null;
  const wanted: number[] = [];
  for (let i = 0; i < count; i++) wanted.push(data.readUInt16BE(6 + nameBytes + 2 * i));
  return { name, wanted };
}

/** LIST_META_CONTEXT and SET_META_CONTEXT: the export and the queries. */
export interface MetaRequest {
  readonly name: string;
  readonly queries: readonly string[];
}

/** The data of LIST_META_CONTEXT and SET_META_CONTEXT; null when they are malformed. */
export function decodeMetaRequest(data: Buffer): MetaRequest | null {
  let at = 0;
  const string = (): string | null => {
    if (data.length - at < 4) return null;
    const length = data.readUInt32BE(at);
    if (length > data.length - at - 4) return null;
    at += 4 + length;
    return decodeString(data.subarray(at - length, at));
  };
  const name = string();
  if (name === null || data.length - at < 4) return null;
  const count = data.readUInt32BE(at);
  at += 4;
  const queries: string[] = [];
  for (let i = 0; i < count; i++) {
    const query = string();
    if (query === null) return null;
    queries.push(query);
  }
  return at === data.length ? { name, queries } : null;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A string of the protocol; null when it is too long, holds a NUL or is no UTF-8 (document: "Conventions"). */
export function decodeString(bytes: Buffer): string | null {
  if (bytes.length > MAX_STRING_BYTES || bytes.includes(0)) return null;
  try {
    return utf8.decode(bytes);
  } catch {
    return null;
  }
}

/** What the server says first. */
export function greeting(handshakeFlags: number): Buffer {
  const out = Buffer.alloc(18);
  out.writeUInt32BE(Magic.initHigh, 0);
  out.writeUInt32BE(Magic.initLow, 4);
  out.writeUInt32BE(Magic.optionHigh, 8);
  out.writeUInt32BE(Magic.optionLow, 12);
  out.writeUInt16BE(handshakeFlags, 16);
  return out;
}

/** One reply to an option. */
export function optionReply(option: number, type: number, data: Buffer = NO_BYTES): Buffer {
  const out = Buffer.alloc(20 + data.length);
  out.writeUInt32BE(Magic.optionReplyHigh, 0);
  out.writeUInt32BE(Magic.optionReplyLow, 4);
  out.writeUInt32BE(option, 8);
  out.writeUInt32BE(type, 12);
  out.writeUInt32BE(data.length, 16);
  data.copy(out, 20);
  return out;
}

/** An error reply with a sentence for the client's user. */
export function optionError(option: number, type: number, message: string): Buffer {
  return optionReply(option, type, cutString(message));
}

/** The answer to EXPORT_NAME: no option reply, but the export itself. */
export function exportNameReply(sizeBytes: number, transmissionFlags: number, zeroes: boolean): Buffer {
  const out = Buffer.alloc(zeroes ? 10 + 124 : 10);
  out.writeBigUInt64BE(BigInt(sizeBytes), 0);
  out.writeUInt16BE(transmissionFlags, 8);
  return out;
}

/** REP_SERVER: one line of LIST. */
export function serverReply(option: number, name: string, description: string): Buffer {
  const nameBytes = Buffer.from(name);
  const data = Buffer.concat([Buffer.alloc(4), nameBytes, cutString(description)]);
  data.writeUInt32BE(nameBytes.length, 0);
  return optionReply(option, OptionReply.server, data);
}

/** REP_INFO: the export's size and abilities. */
export function infoExport(option: number, sizeBytes: number, transmissionFlags: number): Buffer {
  const data = Buffer.alloc(12);
  data.writeUInt16BE(Info.export, 0);
  data.writeBigUInt64BE(BigInt(sizeBytes), 2);
  data.writeUInt16BE(transmissionFlags, 10);
  return optionReply(option, OptionReply.info, data);
}

/** REP_INFO: name or description. */
export function infoString(option: number, type: number, text: string): Buffer {
  const data = Buffer.concat([Buffer.alloc(2), cutString(text)]);
  data.writeUInt16BE(type, 0);
  return optionReply(option, OptionReply.info, data);
}

/** REP_INFO: block size constraints, in bytes. */
export function infoBlockSize(option: number, minimum: number, preferred: number, maximum: number): Buffer {
  const data = Buffer.alloc(14);
  data.writeUInt16BE(Info.blockSize, 0);
  data.writeUInt32BE(minimum, 2);
  data.writeUInt32BE(preferred, 6);
  data.writeUInt32BE(maximum, 10);
  return optionReply(option, OptionReply.info, data);
}

/** REP_META_CONTEXT: one context, listed (id 0) or selected. */
export function metaContextReply(option: number, id: number, name: string): Buffer {
  const data = Buffer.concat([Buffer.alloc(4), Buffer.from(name)]);
  data.writeUInt32BE(id, 0);
  return optionReply(option, OptionReply.metaContext, data);
}

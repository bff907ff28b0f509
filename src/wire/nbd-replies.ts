/**
 * The replies of the transmission phase, as bytes (document: "Simple reply message", "Structured reply chunk message",
 * the extended headers extension). Each function writes at a position of a buffer that has room and returns the
 * position behind what it wrote, so that replies of one turn share one buffer.
 */
import type { RequestFields } from './nbd-requests.ts';
import {
  AllocationState,
  ChunkType,
  EXTENDED_REPLY_BYTES,
  Magic,
  MAX_STRING_BYTES,
  ReplyFlag,
  SIMPLE_REPLY_BYTES,
  STRUCTURED_REPLY_BYTES,
} from './nbd.ts';

/** What a reply echoes of its request. */
export type ReplyTo = Pick<RequestFields, 'cookieHigh' | 'cookieLow' | 'offsetHigh' | 'offsetLow'>;

/** The most bytes that a chunk's header and the fixed part of its payload take. */
export const MAX_CHUNK_HEAD_BYTES = EXTENDED_REPLY_BYTES + 16;

const TWO_32 = 0x1_0000_0000;

/** Writes a 64 bit number of at most 2^53. */
function put64(out: Buffer, at: number, value: number): number {
  const high = Math.floor(value / TWO_32);
  out.writeUInt32BE(high, at);
  return out.writeUInt32BE(value - high * TWO_32, at + 4);
}

export function putSimpleReply(out: Buffer, at: number, to: ReplyTo, error: number): number {
  out.writeUInt32BE(Magic.simpleReply, at);
  out.writeUInt32BE(error, at + 4);
  out.writeUInt32BE(to.cookieHigh, at + 8);
  out.writeUInt32BE(to.cookieLow, at + 12);
  return at + SIMPLE_REPLY_BYTES;
}

/** A chunk's header; `payloadBytes` more bytes have to follow. */
export function putChunkHeader(
  out: Buffer,
  at: number,
  extended: boolean,
  to: ReplyTo,
  type: number,
  done: boolean,
  payloadBytes: number,
): number {
  out.writeUInt32BE(extended ? Magic.extendedReply : Magic.structuredReply, at);
  out.writeUInt16BE(done ? ReplyFlag.done : 0, at + 4);
  out.writeUInt16BE(type, at + 6);
  out.writeUInt32BE(to.cookieHigh, at + 8);
  out.writeUInt32BE(to.cookieLow, at + 12);
  if (!extended) {
    out.writeUInt32BE(payloadBytes, at + 16);
    return at + STRUCTURED_REPLY_BYTES;
  }
  out.writeUInt32BE(to.offsetHigh, at + 16);
  out.writeUInt32BE(to.offsetLow, at + 20);
  return put64(out, at + 24, payloadBytes);
}

/** OFFSET_DATA up to its data: `length` bytes of them have to follow. */
export function putDataHead(
  out: Buffer,
  at: number,
  extended: boolean,
  to: ReplyTo,
  done: boolean,
  offset: number,
  length: number,
): number {
  at = putChunkHeader(out, at, extended, to, ChunkType.offsetData, done, 8 + length);
  return put64(out, at, offset);
}

/** OFFSET_HOLE, whole. */
export function putHole(
  out: Buffer,
  at: number,
  extended: boolean,
  to: ReplyTo,
  done: boolean,
  offset: number,
  length: number,
): number {
  at = putChunkHeader(out, at, extended, to, ChunkType.offsetHole, done, 12);
  at = put64(out, at, offset);
  return out.writeUInt32BE(length, at);
}

/** An error chunk of its own size, the last of its reply. `message` is cut at the document's longest string. */
export function errorChunk(extended: boolean, to: ReplyTo, error: number, message: string): Buffer {
  const text = cutString(message);
  const head = extended ? EXTENDED_REPLY_BYTES : STRUCTURED_REPLY_BYTES;
  const out = Buffer.alloc(head + 6 + text.length);
  let at = putChunkHeader(out, 0, extended, to, ChunkType.error, true, 6 + text.length);
  at = out.writeUInt32BE(error, at);
  at = out.writeUInt16BE(text.length, at);
  text.copy(out, at);
  return out;
}

/** One stretch of a block status reply, in bytes. */
export interface StatusStretch {
  readonly length: number;
  readonly hole: boolean;
}

/**
 * A block status chunk of its own size, the last of its reply. Extended headers carry 64 bit lengths; otherwise every
 * stretch has to be below 2^32.
 */
export function statusChunk(
  extended: boolean,
  to: ReplyTo,
  contextId: number,
  stretches: readonly StatusStretch[],
): Buffer {
  const payload = extended ? 8 + 16 * stretches.length : 4 + 8 * stretches.length;
  const out = Buffer.alloc((extended ? EXTENDED_REPLY_BYTES : STRUCTURED_REPLY_BYTES) + payload);
  const type = extended ? ChunkType.blockStatusExtended : ChunkType.blockStatus;
  let at = putChunkHeader(out, 0, extended, to, type, true, payload);
  at = out.writeUInt32BE(contextId, at);
  if (extended) at = out.writeUInt32BE(stretches.length, at);
  for (const stretch of stretches) {
    const state = stretch.hole ? AllocationState.hole | AllocationState.zero : 0;
    // the extended descriptor has its flags in the low half of a 64 bit field
    at = extended
      ? put64(out, put64(out, at, stretch.length), state)
      : out.writeUInt32BE(state, out.writeUInt32BE(stretch.length, at));
  }
  return out;
}

/** A string as the document allows it: at most 4096 bytes of UTF-8, cut between characters. */
export function cutString(text: string): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.length <= MAX_STRING_BYTES) return bytes;
  let end = MAX_STRING_BYTES;
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end);
}

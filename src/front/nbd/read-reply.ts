/**
 * The answer to a successful READ in each style (document: "NBD_CMD_READ"). All bytes are at hand before the first one
 * is sent, so the last content chunk ends the reply.
 */
import { assert } from '../../base/fault.ts';
import type { ReadPiece } from '../../ports/service.ts';
import type { ReplyStyle } from '../../wire/nbd.ts';
import { MAX_CHUNK_HEAD_BYTES, putDataHead, putHole, putSimpleReply, type ReplyTo } from '../../wire/nbd-replies.ts';
import type { ReplyWriter } from '../clients/reply-writer.ts';

/** Shorter runs of zeroes are sent as data: chunks should be multiples of 512 where possible. */
const HOLE_MIN_BYTES = 512;

/** The request that is answered: `offset` and `length` in bytes. */
export interface ReadTo extends ReplyTo {
  readonly offset: number;
  readonly length: number;
}

/** @param whole DF: one content chunk, zeroes and all */
export function putRead(
  out: ReplyWriter,
  style: ReplyStyle,
  whole: boolean,
  to: ReadTo,
  pieces: readonly ReadPiece[],
): void {
  let sum = 0;
  for (const piece of pieces) {
    assert(piece.length > 0, 'a read piece is not empty');
    assert(piece.data === null || piece.data.length === piece.length, 'a read piece is as long as it says');
    sum += piece.length;
  }
  assert(sum === to.length, 'a read is answered with exactly the bytes that were asked for');
  out.reserve(MAX_CHUNK_HEAD_BYTES);
  if (style === 'simple') out.at = putSimpleReply(out.page, out.at, to, 0);
  else if (!whole) return putChunks(out, style === 'extended', to, pieces);
  else out.at = putDataHead(out.page, out.at, style === 'extended', to, true, to.offset, to.length);
  for (const piece of pieces) putPiece(out, piece);
}

const isHole = (piece: ReadPiece): boolean => piece.data === null && piece.length >= HOLE_MIN_BYTES;

/** One chunk for each run of data and each run of zeroes. */
function putChunks(out: ReplyWriter, extended: boolean, to: ReadTo, pieces: readonly ReadPiece[]): void {
  let offset = to.offset;
  let first = 0;
  while (first < pieces.length) {
    const hole = isHole(pieces[first]!);
    let end = first;
    let length = 0;
    while (end < pieces.length && isHole(pieces[end]!) === hole) length += pieces[end++]!.length;
    const done = end === pieces.length;
    out.reserve(MAX_CHUNK_HEAD_BYTES);
    if (hole) out.at = putHole(out.page, out.at, extended, to, done, offset, length);
    else {
      out.at = putDataHead(out.page, out.at, extended, to, done, offset, length);
      for (let i = first; i < end; i++) putPiece(out, pieces[i]!);
    }
    offset += length;
    first = end;
  }
}

function putPiece(out: ReplyWriter, piece: ReadPiece): void {
  if (piece.data === null) out.zeroes(piece.length);
  else out.data(piece.data);
}

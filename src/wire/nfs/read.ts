/** READ (RFC 1813, section 3.3.6). A door sends `putReadHead` and the pieces behind it, without copying them. */
import { assert } from '../../base/fault.ts';
import { padded, type XdrWriter } from '../xdr.ts';
import { type Codec, PLAIN_RESULT_BYTES, plainArguments } from './codec.ts';
import { POST_OP_BYTES, putPostOp, readHandle, readPostOp, readStatus } from './fields.ts';
import type { ReadResult } from './results.ts';
import { NfsStatus } from './types.ts';

/** The longest that `putReadHead` writes. */
export const READ_HEAD_BYTES = 4 + POST_OP_BYTES + 12;

/** Everything before the data; behind them comes their padding. */
export function putReadHead(xdr: XdrWriter, result: ReadResult): void {
  xdr.u32(result.status);
  putPostOp(xdr, result.attributes);
  if (result.status !== NfsStatus.ok) return;
  xdr.u32(result.count);
  xdr.bool(result.eof);
  xdr.u32(result.count);
}

/** Exactly the bytes that a result takes. */
export function readResultBytes(result: ReadResult): number {
  const head = result.attributes === null ? 8 : 8 + POST_OP_BYTES - 4;
  return result.status === NfsStatus.ok ? head + 12 + padded(result.count) : head;
}

export const readCodec: Codec<'read'> = {
  readArguments: (xdr) => ({ procedure: 'read', handle: readHandle(xdr), offset: xdr.u64(), count: xdr.u32() }),
  putArguments: (xdr, args) => {
    xdr.opaque(args.handle);
    xdr.u64(args.offset);
    xdr.u32(args.count);
  },
  argumentsBound: plainArguments,
  readResult: (xdr) => {
    const status = readStatus(xdr);
    const attributes = readPostOp(xdr);
    if (status !== NfsStatus.ok) return { procedure: 'read', status, attributes };
    const count = xdr.u32();
    const eof = xdr.bool();
    const data = xdr.opaque(xdr.left);
    if (data.length !== count) xdr.fail();
    return { procedure: 'read', status, attributes, count, eof, pieces: count === 0 ? [] : [{ length: count, data }] };
  },
  putResult: (xdr, result) => {
    putReadHead(xdr, result);
    if (result.status !== NfsStatus.ok) return;
    const from = xdr.at;
    for (const { data, length } of result.pieces) {
      if (data === null) xdr.zeroes(length);
      else xdr.at += data.copy(xdr.bytes, xdr.at, 0, length);
    }
    assert(xdr.at - from === result.count, 'the pieces of a read are as long as its count');
    xdr.pad(result.count);
  },
  resultBound: (result) => PLAIN_RESULT_BYTES + (result.status === NfsStatus.ok ? result.count : 0),
};

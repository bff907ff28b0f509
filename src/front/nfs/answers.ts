/**
 * The answers of one connection as records, put one behind the other into what leaves with this turn's write.
 */
import { assert } from '../../base/fault.ts';
import { putReadHead, READ_HEAD_BYTES, readResultBytes } from '../../wire/nfs/read.ts';
import { putResult, resultBound } from '../../wire/nfs/table.ts';
import type { NfsResult, ReadResult } from '../../wire/nfs/results.ts';
import { NfsStatus } from '../../wire/nfs/types.ts';
import {
  ACCEPTED_BYTES,
  type AcceptStatus,
  AcceptStatus as Accepted,
  type AuthStatus,
  MAX_BARE_REPLY_BYTES,
  putAccepted,
  putAuthError,
  putProgramMismatch,
  putRpcMismatch,
} from '../../wire/rpc.ts';
import { wholeRecordMark } from '../../wire/rpc-record.ts';
import { padded, XdrWriter } from '../../wire/xdr.ts';
import type { ReplyWriter } from '../clients/reply-writer.ts';

const MARK_BYTES = 4;
const HEAD_BYTES = MARK_BYTES + ACCEPTED_BYTES;
/** Results up to this size are written where they leave from; others get a buffer of their own. */
const IN_PLACE_BYTES = 16 << 10;

export class Answers {
  readonly #out: ReplyWriter;
  readonly #xdr = new XdrWriter();
  /** Where the record that is being written began. */
  #from = 0;

  constructor(out: ReplyWriter) {
    this.#out = out;
  }

  result(xid: number, result: NfsResult): void {
    if (result.procedure === 'read') return this.#read(xid, result);
    const room = resultBound(result);
    if (room > IN_PLACE_BYTES) return this.#large(xid, result, room);
    const xdr = this.#begin(xid, Accepted.success, room);
    putResult(xdr, result);
    this.#end();
  }

  /** A result that is encoded already, or none: then `status` says why. The bytes must not change any more. */
  encoded(xid: number, status: AcceptStatus, result: Buffer): void {
    const out = this.#out;
    const xdr = this.#begin(xid, status, 0);
    this.#end(result.length);
    assert(xdr.at === out.at, 'the header is written');
    if (result.length > 0) out.data(result);
  }

  programMismatch(xid: number, lowest: number, highest: number): void {
    putProgramMismatch(this.#beginBare(), xid, lowest, highest);
    this.#end();
  }

  rpcMismatch(xid: number): void {
    putRpcMismatch(this.#beginBare(), xid);
    this.#end();
  }

  authError(xid: number, status: AuthStatus): void {
    putAuthError(this.#beginBare(), xid, status);
    this.#end();
  }

  /** The head in place, the pieces by reference where they are large, the padding. */
  #read(xid: number, result: ReadResult): void {
    const out = this.#out;
    const bytes = readResultBytes(result);
    const xdr = this.#begin(xid, Accepted.success, READ_HEAD_BYTES);
    putReadHead(xdr, result);
    const headEnd = xdr.at;
    const headBytes = headEnd - this.#from - HEAD_BYTES;
    this.#end(bytes - headBytes);
    if (result.status !== NfsStatus.ok) return;
    let count = 0;
    for (const { length, data } of result.pieces) {
      assert(data === null || data.length === length, 'a piece of a read is as long as it says');
      if (data === null) out.zeroes(length);
      else out.data(data);
      count += length;
    }
    assert(count === result.count, 'the pieces of a read are as long as its count');
    out.zeroes(padded(count) - count);
  }

  #large(xid: number, result: NfsResult, room: number): void {
    const xdr = this.#xdr.reset(Buffer.allocUnsafeSlow(room));
    putResult(xdr, result);
    this.encoded(xid, Accepted.success, xdr.done());
  }

  #begin(xid: number, status: AcceptStatus, room: number): XdrWriter {
    const out = this.#out;
    out.reserve(HEAD_BYTES + room);
    this.#from = out.at;
    const xdr = this.#xdr.reset(out.page, out.at + MARK_BYTES);
    putAccepted(xdr, xid, status);
    return xdr;
  }

  #beginBare(): XdrWriter {
    const out = this.#out;
    out.reserve(MARK_BYTES + MAX_BARE_REPLY_BYTES);
    this.#from = out.at;
    return this.#xdr.reset(out.page, out.at + MARK_BYTES);
  }

  /** Writes the mark of the record that ends here, but for `behind` bytes that follow. */
  #end(behind = 0): void {
    const out = this.#out;
    const xdr = this.#xdr;
    const end = xdr.at;
    xdr.check();
    xdr.at = this.#from;
    xdr.u32(wholeRecordMark(end - this.#from - MARK_BYTES + behind));
    xdr.at = end;
    out.at = end;
  }
}

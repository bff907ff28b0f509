/** READDIRPLUS (RFC 1813, section 3.3.17). */
import { type Codec, PLAIN_RESULT_BYTES, plainArguments } from './codec.ts';
import { entryPlusBytes, putEntriesPlus, readEntriesPlus } from './entries.ts';
import { putPostOp, readHandle, readPostOp, readStatus } from './fields.ts';
import { NfsStatus } from './types.ts';

export const readdirplusCodec: Codec<'readdirplus'> = {
  readArguments: (xdr) => ({
    procedure: 'readdirplus',
    handle: readHandle(xdr),
    cookie: xdr.big64(),
    verifier: xdr.big64(),
    dirCount: xdr.u32(),
    maxCount: xdr.u32(),
  }),
  putArguments: (xdr, args) => {
    xdr.opaque(args.handle);
    xdr.big64(args.cookie);
    xdr.big64(args.verifier);
    xdr.u32(args.dirCount);
    xdr.u32(args.maxCount);
  },
  argumentsBound: plainArguments,
  readResult: (xdr) => {
    const status = readStatus(xdr);
    const attributes = readPostOp(xdr);
    if (status !== NfsStatus.ok) return { procedure: 'readdirplus', status, attributes };
    return {
      procedure: 'readdirplus',
      status,
      attributes,
      verifier: xdr.big64(),
      entries: readEntriesPlus(xdr),
      eof: xdr.bool(),
    };
  },
  putResult: (xdr, result) => {
    xdr.u32(result.status);
    putPostOp(xdr, result.attributes);
    if (result.status !== NfsStatus.ok) return;
    xdr.big64(result.verifier);
    putEntriesPlus(xdr, result.entries);
    xdr.bool(result.eof);
  },
  resultBound: (result) => {
    if (result.status !== NfsStatus.ok) return PLAIN_RESULT_BYTES;
    let sum = PLAIN_RESULT_BYTES;
    for (const { name, handle } of result.entries) sum += entryPlusBytes(name.length, true, handle?.length ?? null);
    return sum;
  },
};

/** READDIR (RFC 1813, section 3.3.16). */
import { type Codec, PLAIN_RESULT_BYTES, plainArguments } from './codec.ts';
import { entryBytes, putEntries, readEntries } from './entries.ts';
import { putPostOp, readHandle, readPostOp, readStatus } from './fields.ts';
import { NfsStatus } from './types.ts';

export const readdirCodec: Codec<'readdir'> = {
  readArguments: (xdr) => ({
    procedure: 'readdir',
    handle: readHandle(xdr),
    cookie: xdr.big64(),
    verifier: xdr.big64(),
    count: xdr.u32(),
  }),
  putArguments: (xdr, args) => {
    xdr.opaque(args.handle);
    xdr.big64(args.cookie);
    xdr.big64(args.verifier);
    xdr.u32(args.count);
  },
  argumentsBound: plainArguments,
  readResult: (xdr) => {
    const status = readStatus(xdr);
    const attributes = readPostOp(xdr);
    if (status !== NfsStatus.ok) return { procedure: 'readdir', status, attributes };
    return {
      procedure: 'readdir',
      status,
      attributes,
      verifier: xdr.big64(),
      entries: readEntries(xdr),
      eof: xdr.bool(),
    };
  },
  putResult: (xdr, result) => {
    xdr.u32(result.status);
    putPostOp(xdr, result.attributes);
    if (result.status !== NfsStatus.ok) return;
    xdr.big64(result.verifier);
    putEntries(xdr, result.entries);
    xdr.bool(result.eof);
  },
  resultBound: (result) => {
    if (result.status !== NfsStatus.ok) return PLAIN_RESULT_BYTES;
    return result.entries.reduce((sum, { name }) => sum + entryBytes(name.length), PLAIN_RESULT_BYTES);
  },
};

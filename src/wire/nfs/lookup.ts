/** LOOKUP (RFC 1813, section 3.3.3). */
import { type Codec, namedArguments, plainResult } from './codec.ts';
import { putNameIn, putPostOp, readHandle, readName, readPostOp, readStatus } from './fields.ts';
import { NfsStatus } from './types.ts';

export const lookupCodec: Codec<'lookup'> = {
  readArguments: (xdr) => ({ procedure: 'lookup', directory: readHandle(xdr), name: readName(xdr) }),
  putArguments: putNameIn,
  argumentsBound: namedArguments,
  readResult: (xdr) => {
    const status = readStatus(xdr);
    if (status !== NfsStatus.ok) return { procedure: 'lookup', status, directory: readPostOp(xdr) };
    return {
      procedure: 'lookup',
      status,
      handle: readHandle(xdr),
      attributes: readPostOp(xdr),
      directory: readPostOp(xdr),
    };
  },
  putResult: (xdr, result) => {
    xdr.u32(result.status);
    if (result.status === NfsStatus.ok) {
      xdr.opaque(result.handle);
      putPostOp(xdr, result.attributes);
    }
    putPostOp(xdr, result.directory);
  },
  resultBound: plainResult,
};

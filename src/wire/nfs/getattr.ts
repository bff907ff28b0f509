/** GETATTR (RFC 1813, section 3.3.1). */
import { type Codec, plainArguments, plainResult } from './codec.ts';
import { putFattr, readFattr, readHandle, readStatus } from './fields.ts';
import { NfsStatus } from './types.ts';

export const getattrCodec: Codec<'getattr'> = {
  readArguments: (xdr) => ({ procedure: 'getattr', handle: readHandle(xdr) }),
  putArguments: (xdr, args) => xdr.opaque(args.handle),
  argumentsBound: plainArguments,
  readResult: (xdr) => {
    const status = readStatus(xdr);
    if (status !== NfsStatus.ok) return { procedure: 'getattr', status };
    return { procedure: 'getattr', status, attributes: readFattr(xdr) };
  },
  putResult: (xdr, result) => {
    xdr.u32(result.status);
    if (result.status === NfsStatus.ok) putFattr(xdr, result.attributes);
  },
  resultBound: plainResult,
};

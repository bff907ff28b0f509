/** ACCESS (RFC 1813, section 3.3.4). */
import { type Codec, plainArguments, plainResult } from './codec.ts';
import { putPostOp, readHandle, readPostOp, readStatus } from './fields.ts';
import { NfsStatus } from './types.ts';

export const accessCodec: Codec<'access'> = {
  readArguments: (xdr) => ({ procedure: 'access', handle: readHandle(xdr), access: xdr.u32() }),
  putArguments: (xdr, args) => {
    xdr.opaque(args.handle);
    xdr.u32(args.access);
  },
  argumentsBound: plainArguments,
  readResult: (xdr) => {
    const status = readStatus(xdr);
    const attributes = readPostOp(xdr);
    if (status !== NfsStatus.ok) return { procedure: 'access', status, attributes };
    return { procedure: 'access', status, attributes, access: xdr.u32() };
  },
  putResult: (xdr, result) => {
    xdr.u32(result.status);
    putPostOp(xdr, result.attributes);
    if (result.status === NfsStatus.ok) xdr.u32(result.access);
  },
  resultBound: plainResult,
};

/** PATHCONF (RFC 1813, section 3.3.20). */
import { type Codec, plainArguments, plainResult } from './codec.ts';
import { putPostOp, readHandle, readPostOp, readStatus } from './fields.ts';
import { NfsStatus } from './types.ts';

export const pathconfCodec: Codec<'pathconf'> = {
  readArguments: (xdr) => ({ procedure: 'pathconf', handle: readHandle(xdr) }),
  putArguments: (xdr, args) => xdr.opaque(args.handle),
  argumentsBound: plainArguments,
  readResult: (xdr) => {
    const status = readStatus(xdr);
    const attributes = readPostOp(xdr);
    if (status !== NfsStatus.ok) return { procedure: 'pathconf', status, attributes };
    return {
      procedure: 'pathconf',
      status,
      attributes,
      linkMax: xdr.u32(),
      nameMax: xdr.u32(),
      noTruncation: xdr.bool(),
      chownRestricted: xdr.bool(),
      caseInsensitive: xdr.bool(),
      casePreserving: xdr.bool(),
    };
  },
  putResult: (xdr, result) => {
    xdr.u32(result.status);
    putPostOp(xdr, result.attributes);
    if (result.status !== NfsStatus.ok) return;
    xdr.u32(result.linkMax);
    xdr.u32(result.nameMax);
    xdr.bool(result.noTruncation);
    xdr.bool(result.chownRestricted);
    xdr.bool(result.caseInsensitive);
    xdr.bool(result.casePreserving);
  },
  resultBound: plainResult,
};

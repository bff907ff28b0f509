/** FSSTAT (RFC 1813, section 3.3.18). */
import { type Codec, plainArguments, plainResult } from './codec.ts';
import { putPostOp, readHandle, readPostOp, readStatus } from './fields.ts';
import { NfsStatus } from './types.ts';

export const fsstatCodec: Codec<'fsstat'> = {
  readArguments: (xdr) => ({ procedure: 'fsstat', handle: readHandle(xdr) }),
  putArguments: (xdr, args) => xdr.opaque(args.handle),
  argumentsBound: plainArguments,
  readResult: (xdr) => {
    const status = readStatus(xdr);
    const attributes = readPostOp(xdr);
    if (status !== NfsStatus.ok) return { procedure: 'fsstat', status, attributes };
    return {
      procedure: 'fsstat',
      status,
      attributes,
      totalBytes: xdr.u64(),
      freeBytes: xdr.u64(),
      availableBytes: xdr.u64(),
      totalObjects: xdr.u64(),
      freeObjects: xdr.u64(),
      availableObjects: xdr.u64(),
      invariantSeconds: xdr.u32(),
    };
  },
  putResult: (xdr, result) => {
    xdr.u32(result.status);
    putPostOp(xdr, result.attributes);
    if (result.status !== NfsStatus.ok) return;
    xdr.u64(result.totalBytes);
    xdr.u64(result.freeBytes);
    xdr.u64(result.availableBytes);
    xdr.u64(result.totalObjects);
    xdr.u64(result.freeObjects);
    xdr.u64(result.availableObjects);
    xdr.u32(result.invariantSeconds);
  },
  resultBound: plainResult,
};

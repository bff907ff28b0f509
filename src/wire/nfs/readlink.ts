/** READLINK (RFC 1813, section 3.3.5). */
import { type Codec, PLAIN_RESULT_BYTES, plainArguments } from './codec.ts';
import { putPostOp, readHandle, readName, readPostOp, readStatus } from './fields.ts';
import { NfsStatus } from './types.ts';

export const readlinkCodec: Codec<'readlink'> = {
  readArguments: (xdr) => ({ procedure: 'readlink', handle: readHandle(xdr) }),
  putArguments: (xdr, args) => xdr.opaque(args.handle),
  argumentsBound: plainArguments,
  readResult: (xdr) => {
    const status = readStatus(xdr);
    const attributes = readPostOp(xdr);
    if (status !== NfsStatus.ok) return { procedure: 'readlink', status, attributes };
    return { procedure: 'readlink', status, attributes, to: readName(xdr) };
  },
  putResult: (xdr, result) => {
    xdr.u32(result.status);
    putPostOp(xdr, result.attributes);
    if (result.status === NfsStatus.ok) xdr.opaque(result.to);
  },
  resultBound: (result) => PLAIN_RESULT_BYTES + (result.status === NfsStatus.ok ? result.to.length : 0),
};

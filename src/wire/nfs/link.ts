/** LINK (RFC 1813, section 3.3.15). */
import { type Codec, namedArguments, plainResult } from './codec.ts';
import { putNameIn, putPostOp, putWcc, readHandle, readName, readPostOp, readStatus, readWcc } from './fields.ts';

export const linkCodec: Codec<'link'> = {
  readArguments: (xdr) => ({
    procedure: 'link',
    handle: readHandle(xdr),
    directory: readHandle(xdr),
    name: readName(xdr),
  }),
  putArguments: (xdr, args) => {
    xdr.opaque(args.handle);
    putNameIn(xdr, args);
  },
  argumentsBound: namedArguments,
  readResult: (xdr) => ({
    procedure: 'link',
    status: readStatus(xdr),
    attributes: readPostOp(xdr),
    directory: readWcc(xdr),
  }),
  putResult: (xdr, result) => {
    xdr.u32(result.status);
    putPostOp(xdr, result.attributes);
    putWcc(xdr, result.directory);
  },
  resultBound: plainResult,
};

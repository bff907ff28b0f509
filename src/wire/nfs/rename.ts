/** RENAME (RFC 1813, section 3.3.14). */
import { type Codec, PLAIN_ARGUMENTS_BYTES, plainResult } from './codec.ts';
import { putNameIn, putWcc, readNameIn, readStatus, readWcc } from './fields.ts';

export const renameCodec: Codec<'rename'> = {
  readArguments: (xdr) => ({ procedure: 'rename', from: readNameIn(xdr), to: readNameIn(xdr) }),
  putArguments: (xdr, args) => {
    putNameIn(xdr, args.from);
    putNameIn(xdr, args.to);
  },
  argumentsBound: (args) => PLAIN_ARGUMENTS_BYTES + args.from.name.length + args.to.name.length,
  readResult: (xdr) => ({ procedure: 'rename', status: readStatus(xdr), from: readWcc(xdr), to: readWcc(xdr) }),
  putResult: (xdr, result) => {
    xdr.u32(result.status);
    putWcc(xdr, result.from);
    putWcc(xdr, result.to);
  },
  resultBound: plainResult,
};

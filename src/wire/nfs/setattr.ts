/** SETATTR (RFC 1813, section 3.3.2). */
import { type Codec, plainArguments, plainResult } from './codec.ts';
import { putSattr, putWcc, readHandle, readSattr, readStatus, readWcc } from './fields.ts';

export const setattrCodec: Codec<'setattr'> = {
  readArguments: (xdr) => ({
    procedure: 'setattr',
    handle: readHandle(xdr),
    change: readSattr(xdr),
    guardNs: xdr.bool() ? xdr.timeNs() : null,
  }),
  putArguments: (xdr, args) => {
    xdr.opaque(args.handle);
    putSattr(xdr, args.change);
    xdr.bool(args.guardNs !== null);
    if (args.guardNs !== null) xdr.timeNs(args.guardNs);
  },
  argumentsBound: plainArguments,
  readResult: (xdr) => ({ procedure: 'setattr', status: readStatus(xdr), wcc: readWcc(xdr) }),
  putResult: (xdr, result) => {
    xdr.u32(result.status);
    putWcc(xdr, result.wcc);
  },
  resultBound: plainResult,
};

/** FSINFO (RFC 1813, section 3.3.19). */
import { type Codec, plainArguments, plainResult } from './codec.ts';
import { putPostOp, readHandle, readPostOp, readStatus } from './fields.ts';
import { NfsStatus } from './types.ts';

export const fsinfoCodec: Codec<'fsinfo'> = {
  readArguments: (xdr) => ({ procedure: 'fsinfo', handle: readHandle(xdr) }),
  putArguments: (xdr, args) => xdr.opaque(args.handle),
  argumentsBound: plainArguments,
  readResult: (xdr) => {
    const status = readStatus(xdr);
    const attributes = readPostOp(xdr);
    if (status !== NfsStatus.ok) return { procedure: 'fsinfo', status, attributes };
    return {
      procedure: 'fsinfo',
      status,
      attributes,
      rtmax: xdr.u32(),
      rtpref: xdr.u32(),
      rtmult: xdr.u32(),
      wtmax: xdr.u32(),
      wtpref: xdr.u32(),
      wtmult: xdr.u32(),
      dtpref: xdr.u32(),
      maxFileBytes: xdr.u64(),
      timeDeltaNs: xdr.timeNs(),
      properties: xdr.u32(),
    };
  },
  putResult: (xdr, result) => {
    xdr.u32(result.status);
    putPostOp(xdr, result.attributes);
    if (result.status !== NfsStatus.ok) return;
    xdr.u32(result.rtmax);
    xdr.u32(result.rtpref);
    xdr.u32(result.rtmult);
    xdr.u32(result.wtmax);
    xdr.u32(result.wtpref);
    xdr.u32(result.wtmult);
    xdr.u32(result.dtpref);
    xdr.u64(result.maxFileBytes);
    xdr.timeNs(result.timeDeltaNs);
    xdr.u32(result.properties);
  },
  resultBound: plainResult,
};

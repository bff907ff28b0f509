/** COMMIT (RFC 1813, section 3.3.21). */
import { type Codec, plainArguments, plainResult } from './codec.ts';
import { putWcc, readHandle, readStatus, readWcc } from './fields.ts';
import { NfsStatus } from './types.ts';

export const commitCodec: Codec<'commit'> = {
  readArguments: (xdr) => ({ procedure: 'commit', handle: readHandle(xdr), offset: xdr.u64(), count: xdr.u32() }),
  putArguments: (xdr, args) => {
    xdr.opaque(args.handle);
    xdr.u64(args.offset);
    xdr.u32(args.count);
  },
  argumentsBound: plainArguments,
  readResult: (xdr) => {
    const status = readStatus(xdr);
    const wcc = readWcc(xdr);
    if (status !== NfsStatus.ok) return { procedure: 'commit', status, wcc };
    return { procedure: 'commit', status, wcc, verifier: xdr.big64() };
  },
  putResult: (xdr, result) => {
    xdr.u32(result.status);
    putWcc(xdr, result.wcc);
    if (result.status === NfsStatus.ok) xdr.big64(result.verifier);
  },
  resultBound: plainResult,
};

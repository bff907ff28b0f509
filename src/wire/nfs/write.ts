/** WRITE (RFC 1813, section 3.3.7). The payload is a slice of what was received. */
import { type Codec, PLAIN_ARGUMENTS_BYTES, plainResult } from './codec.ts';
import { putWcc, readHandle, readStatus, readWcc } from './fields.ts';
import { NfsStatus, Stable } from './types.ts';
import type { XdrReader } from '../xdr.ts';

function readStable(xdr: XdrReader): Stable {
  const stable = xdr.u32();
  if (stable > Stable.fileSync) xdr.fail();
  return stable as Stable;
}

export const writeCodec: Codec<'write'> = {
  readArguments: (xdr) => {
    const handle = readHandle(xdr);
    const offset = xdr.u64();
    const count = xdr.u32();
    const stable = readStable(xdr);
    const data = xdr.opaque(xdr.left);
    if (data.length !== count) xdr.fail();
    return { procedure: 'write', handle, offset, stable, data };
  },
  putArguments: (xdr, args) => {
    xdr.opaque(args.handle);
    xdr.u64(args.offset);
    xdr.u32(args.data.length);
    xdr.u32(args.stable);
    xdr.opaque(args.data);
  },
  argumentsBound: (args) => PLAIN_ARGUMENTS_BYTES + args.data.length,
  readResult: (xdr) => {
    const status = readStatus(xdr);
    const wcc = readWcc(xdr);
    if (status !== NfsStatus.ok) return { procedure: 'write', status, wcc };
    return { procedure: 'write', status, wcc, count: xdr.u32(), committed: readStable(xdr), verifier: xdr.big64() };
  },
  putResult: (xdr, result) => {
    xdr.u32(result.status);
    putWcc(xdr, result.wcc);
    if (result.status !== NfsStatus.ok) return;
    xdr.u32(result.count);
    xdr.u32(result.committed);
    xdr.big64(result.verifier);
  },
  resultBound: plainResult,
};

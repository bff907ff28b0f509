/** MKDIR (RFC 1813, section 3.3.9). */
import { type Codec, namedArguments, plainResult } from './codec.ts';
import { putNameIn, putSattr, readHandle, readName, readSattr } from './fields.ts';
import { putMade, readMade } from './made.ts';

export const mkdirCodec: Codec<'mkdir'> = {
  readArguments: (xdr) => ({
    procedure: 'mkdir',
    directory: readHandle(xdr),
    name: readName(xdr),
    attributes: readSattr(xdr),
  }),
  putArguments: (xdr, args) => {
    putNameIn(xdr, args);
    putSattr(xdr, args.attributes);
  },
  argumentsBound: namedArguments,
  readResult: (xdr) => ({ procedure: 'mkdir', ...readMade(xdr) }),
  putResult: putMade,
  resultBound: plainResult,
};

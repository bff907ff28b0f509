/** SYMLINK (RFC 1813, section 3.3.10). */
import { type Codec, namedArguments, plainResult } from './codec.ts';
import { putNameIn, putSattr, readHandle, readName, readSattr } from './fields.ts';
import { putMade, readMade } from './made.ts';

export const symlinkCodec: Codec<'symlink'> = {
  readArguments: (xdr) => ({
    procedure: 'symlink',
    directory: readHandle(xdr),
    name: readName(xdr),
    attributes: readSattr(xdr),
    to: readName(xdr),
  }),
  putArguments: (xdr, args) => {
    putNameIn(xdr, args);
    putSattr(xdr, args.attributes);
    xdr.opaque(args.to);
  },
  argumentsBound: (args) => namedArguments(args) + args.to.length,
  readResult: (xdr) => ({ procedure: 'symlink', ...readMade(xdr) }),
  putResult: putMade,
  resultBound: plainResult,
};

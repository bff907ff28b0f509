/** REMOVE and RMDIR (RFC 1813, sections 3.3.12 and 3.3.13): alike but for their numbers. */
import { type Codec, namedArguments, plainResult } from './codec.ts';
import { putNameIn, putWcc, readHandle, readName, readStatus, readWcc } from './fields.ts';

export const removeCodec: Codec<'remove'> = {
  readArguments: (xdr) => ({ procedure: 'remove', directory: readHandle(xdr), name: readName(xdr) }),
  putArguments: putNameIn,
  argumentsBound: namedArguments,
  readResult: (xdr) => ({ procedure: 'remove', status: readStatus(xdr), directory: readWcc(xdr) }),
  putResult: (xdr, result) => {
    xdr.u32(result.status);
    putWcc(xdr, result.directory);
  },
  resultBound: plainResult,
};

export const rmdirCodec: Codec<'rmdir'> = {
  readArguments: (xdr) => ({ procedure: 'rmdir', directory: readHandle(xdr), name: readName(xdr) }),
  putArguments: putNameIn,
  argumentsBound: namedArguments,
  readResult: (xdr) => ({ procedure: 'rmdir', status: readStatus(xdr), directory: readWcc(xdr) }),
  putResult: (xdr, result) => {
    xdr.u32(result.status);
    putWcc(xdr, result.directory);
  },
  resultBound: plainResult,
};

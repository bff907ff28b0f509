/** MKNOD (RFC 1813, section 3.3.11). */
import type { XdrReader, XdrWriter } from '../xdr.ts';
import { type Codec, namedArguments, plainResult } from './codec.ts';
import { putNameIn, putSattr, putType, readHandle, readName, readSattr, readType } from './fields.ts';
import { putMade, readMade } from './made.ts';
import type { Mknod } from './types.ts';

function readWhat(xdr: XdrReader): Mknod {
  const type = readType(xdr);
  switch (type) {
    case 'block':
    case 'character':
      return { type, attributes: readSattr(xdr), major: xdr.u32(), minor: xdr.u32() };
    case 'fifo':
    case 'socket':
      return { type, attributes: readSattr(xdr) };
    case 'file':
    case 'directory':
    case 'symlink':
      return { type: 'none', asked: type };
  }
}

function putWhat(xdr: XdrWriter, what: Mknod): void {
  if (what.type === 'none') return putType(xdr, what.asked);
  putType(xdr, what.type);
  putSattr(xdr, what.attributes);
  if (!('major' in what)) return;
  xdr.u32(what.major);
  xdr.u32(what.minor);
}

export const mknodCodec: Codec<'mknod'> = {
  readArguments: (xdr) => ({
    procedure: 'mknod',
    directory: readHandle(xdr),
    name: readName(xdr),
    what: readWhat(xdr),
  }),
  putArguments: (xdr, args) => {
    putNameIn(xdr, args);
    putWhat(xdr, args.what);
  },
  argumentsBound: namedArguments,
  readResult: (xdr) => ({ procedure: 'mknod', ...readMade(xdr) }),
  putResult: putMade,
  resultBound: plainResult,
};

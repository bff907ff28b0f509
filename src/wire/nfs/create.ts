/** CREATE (RFC 1813, section 3.3.8). */
import type { XdrReader } from '../xdr.ts';
import { type Codec, namedArguments, plainResult } from './codec.ts';
import { putNameIn, putSattr, readHandle, readName, readSattr } from './fields.ts';
import { putMade, readMade } from './made.ts';
import type { CreateArguments } from './types.ts';

const UNCHECKED = 0;
const GUARDED = 1;
const EXCLUSIVE = 2;

function readHow(xdr: XdrReader): CreateArguments['how'] {
  const mode = xdr.u32();
  if (mode === EXCLUSIVE) return { mode: 'exclusive', verifier: xdr.big64() };
  if (mode > EXCLUSIVE) xdr.fail();
  return { mode: mode === UNCHECKED ? 'unchecked' : 'guarded', attributes: readSattr(xdr) };
}

export const createCodec: Codec<'create'> = {
  readArguments: (xdr) => ({
    procedure: 'create',
    directory: readHandle(xdr),
    name: readName(xdr),
    how: readHow(xdr),
  }),
  putArguments: (xdr, args) => {
    putNameIn(xdr, args);
    const { how } = args;
    if (how.mode === 'exclusive') {
      xdr.u32(EXCLUSIVE);
      xdr.big64(how.verifier);
    } else {
      xdr.u32(how.mode === 'unchecked' ? UNCHECKED : GUARDED);
      putSattr(xdr, how.attributes);
    }
  },
  argumentsBound: namedArguments,
  readResult: (xdr) => ({ procedure: 'create', ...readMade(xdr) }),
  putResult: putMade,
  resultBound: plainResult,
};

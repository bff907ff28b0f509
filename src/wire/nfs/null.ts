/** NULL (RFC 1813, section 3.3.0): nothing in, nothing out. */
import { type Codec, plainArguments, plainResult } from './codec.ts';

export const nullCodec: Codec<'null'> = {
  readArguments: () => ({ procedure: 'null' }),
  putArguments: () => {},
  argumentsBound: plainArguments,
  readResult: () => ({ procedure: 'null' }),
  putResult: () => {},
  resultBound: plainResult,
};

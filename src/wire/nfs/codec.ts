/**
 * What a procedure's codec is. There is one file per procedure beside this one; table.ts finds them by number and name.
 *
 * Readers leave `xdr.bad` when the bytes are wrong; what they return then means nothing. Writers write into room that was
 * measured by the bounds below.
 */
import type { XdrReader, XdrWriter } from '../xdr.ts';
import type { ResultOf } from './results.ts';
import type { ArgumentsOf, ProcedureName } from './types.ts';

export interface Codec<P extends ProcedureName> {
  readArguments(xdr: XdrReader): ArgumentsOf<P>;
  putArguments(xdr: XdrWriter, args: ArgumentsOf<P>): void;
  /** Room that `putArguments` takes at most, in bytes. */
  argumentsBound(args: ArgumentsOf<P>): number;
  readResult(xdr: XdrReader): ResultOf<P>;
  putResult(xdr: XdrWriter, result: ResultOf<P>): void;
  /** Room that `putResult` takes at most, in bytes. */
  resultBound(result: ResultOf<P>): number;
}

/** Enough for everything in arguments but names, paths and payloads. */
export const PLAIN_ARGUMENTS_BYTES = 320;
/** Enough for everything in a result but paths, payloads and entries. */
export const PLAIN_RESULT_BYTES = 384;

export const plainArguments = (): number => PLAIN_ARGUMENTS_BYTES;
export const plainResult = (): number => PLAIN_RESULT_BYTES;
/** For arguments that are a name in a directory and little more. */
export const namedArguments = (args: { readonly name: Buffer }): number => PLAIN_ARGUMENTS_BYTES + args.name.length;

/**
 * All 22 procedures' codecs by number and by name, and what everybody wants of them: arguments and results from bytes
 * and to bytes. Nothing here throws because of bytes: what is wrong is null.
 */
import { assert } from '../../base/fault.ts';
import { XdrReader, XdrWriter } from '../xdr.ts';
import { accessCodec } from './access.ts';
import type { Codec } from './codec.ts';
import { commitCodec } from './commit.ts';
import { createCodec } from './create.ts';
import { fsinfoCodec } from './fsinfo.ts';
import { fsstatCodec } from './fsstat.ts';
import { getattrCodec } from './getattr.ts';
import { linkCodec } from './link.ts';
import { lookupCodec } from './lookup.ts';
import { mkdirCodec } from './mkdir.ts';
import { mknodCodec } from './mknod.ts';
import { nullCodec } from './null.ts';
import { pathconfCodec } from './pathconf.ts';
import { readCodec } from './read.ts';
import { readdirCodec } from './readdir.ts';
import { readdirplusCodec } from './readdirplus.ts';
import { readlinkCodec } from './readlink.ts';
import { removeCodec, rmdirCodec } from './remove.ts';
import { renameCodec } from './rename.ts';
import type { NfsResult, ResultOf } from './results.ts';
import { setattrCodec } from './setattr.ts';
import { symlinkCodec } from './symlink.ts';
import { type NfsArguments, type ProcedureName, PROCEDURES } from './types.ts';
import { writeCodec } from './write.ts';

const CODECS: { readonly [P in ProcedureName]: Codec<P> } = {
  null: nullCodec,
  getattr: getattrCodec,
  setattr: setattrCodec,
  lookup: lookupCodec,
  access: accessCodec,
  readlink: readlinkCodec,
  read: readCodec,
  write: writeCodec,
  create: createCodec,
  mkdir: mkdirCodec,
  symlink: symlinkCodec,
  mknod: mknodCodec,
  remove: removeCodec,
  rmdir: rmdirCodec,
  rename: renameCodec,
  link: linkCodec,
  readdir: readdirCodec,
  readdirplus: readdirplusCodec,
  fsstat: fsstatCodec,
  fsinfo: fsinfoCodec,
  pathconf: pathconfCodec,
  commit: commitCodec,
};

/** By number. */
const BY_NUMBER: readonly Codec<ProcedureName>[] = PROCEDURES.map((name) => CODECS[name] as Codec<ProcedureName>);

const NUMBERS: ReadonlyMap<ProcedureName, number> = new Map(PROCEDURES.map((name, number) => [name, number]));

/** The number of a procedure on the wire. */
export function procedureNumber(name: ProcedureName): number {
  const number = NUMBERS.get(name);
  assert(number !== undefined, 'every procedure has a number');
  return number;
}

/**
 * The arguments of procedure `number` (0 to 21), which fill the reader to its end. Null: they are not valid, to be
 * answered with GARBAGE_ARGS.
 */
export function readArguments(number: number, xdr: XdrReader): NfsArguments | null {
  const codec = BY_NUMBER[number];
  assert(codec !== undefined, 'only procedures of version 3 are decoded');
  const args = codec.readArguments(xdr);
  return xdr.bad || xdr.left > 0 ? null : args;
}

/** The arguments in `bytes`, of a procedure by name. */
export function decodeArguments(name: ProcedureName, bytes: Buffer): NfsArguments | null {
  return readArguments(procedureNumber(name), new XdrReader().reset(bytes));
}

/** The arguments as bytes. */
export function encodeArguments(args: NfsArguments): Buffer {
  const codec = CODECS[args.procedure] as Codec<ProcedureName>;
  const xdr = new XdrWriter().reset(Buffer.allocUnsafe(codec.argumentsBound(args)));
  codec.putArguments(xdr, args);
  return xdr.done();
}

/** Room that a result takes at most, in bytes. */
export function resultBound(result: NfsResult): number {
  return (CODECS[result.procedure] as Codec<ProcedureName>).resultBound(result);
}

/** Writes a result into room that was measured by `resultBound`. */
export function putResult(xdr: XdrWriter, result: NfsResult): void {
  (CODECS[result.procedure] as Codec<ProcedureName>).putResult(xdr, result);
}

/** A result as bytes: what comes behind the header of an accepted reply. */
export function encodeResult(result: NfsResult): Buffer {
  const xdr = new XdrWriter().reset(Buffer.allocUnsafeSlow(resultBound(result)));
  putResult(xdr, result);
  return xdr.done();
}

/** The result of a procedure, as a client reads it; null when the bytes are none. */
export function readResult<P extends ProcedureName>(name: P, xdr: XdrReader): ResultOf<P> | null {
  const result = (CODECS[name] as Codec<P>).readResult(xdr);
  return xdr.bad || xdr.left > 0 ? null : result;
}

/** The same from bytes. */
export function decodeResult<P extends ProcedureName>(name: P, bytes: Buffer): ResultOf<P> | null {
  return readResult(name, new XdrReader().reset(bytes));
}

/**
 * Lists of entries: READDIR's and READDIRPLUS's (RFC 1813, sections 3.3.16 and 3.3.17), and what they take of the bytes
 * that a client allows. On the wire a list is a chain, "one more" before each; here it is an array, read in a loop.
 */
import { opaqueBytes, type XdrReader, type XdrWriter } from '../xdr.ts';
import { FATTR_BYTES, putPostOp, putPostOpHandle, readName, readPostOp, readPostOpHandle } from './fields.ts';
import type { Entry, EntryPlus } from './results.ts';

/** READDIR3resok (and READDIRPLUS3resok) without entries: attributes, verifier, end of the list, eof. */
export const LISTING_BYTES = 4 + FATTR_BYTES + 8 + 4 + 4;

/** What one entry takes in a READDIR3resok: to be summed on top of LISTING_BYTES and held against `count`. */
export const entryBytes = (nameBytes: number): number => 4 + 8 + opaqueBytes(nameBytes) + 8;

/** What one entry takes in a READDIRPLUS3resok, to be held against `maxCount`. */
export function entryPlusBytes(nameBytes: number, attributes: boolean, handleBytes: number | null): number {
  return (
    entryBytes(nameBytes) +
    (attributes ? 4 + FATTR_BYTES : 4) +
    4 +
    (handleBytes === null ? 0 : opaqueBytes(handleBytes))
  );
}

/** What one entry counts for `dirCount`: file number, name and cookie only. */
export const entryDirBytes = (nameBytes: number): number => 8 + opaqueBytes(nameBytes) + 8;

export function readEntries(xdr: XdrReader): Entry[] {
  const entries: Entry[] = [];
  while (xdr.bool()) entries.push({ fileNumber: xdr.big64(), name: readName(xdr), cookie: xdr.big64() });
  return entries;
}

export function putEntries(xdr: XdrWriter, entries: readonly Entry[]): void {
  for (const entry of entries) putEntry(xdr, entry);
  xdr.u32(0);
}

export function readEntriesPlus(xdr: XdrReader): EntryPlus[] {
  const entries: EntryPlus[] = [];
  while (xdr.bool()) {
    entries.push({
      fileNumber: xdr.big64(),
      name: readName(xdr),
      cookie: xdr.big64(),
      attributes: readPostOp(xdr),
      handle: readPostOpHandle(xdr),
    });
  }
  return entries;
}

export function putEntriesPlus(xdr: XdrWriter, entries: readonly EntryPlus[]): void {
  for (const entry of entries) {
    putEntry(xdr, entry);
    putPostOp(xdr, entry.attributes);
    putPostOpHandle(xdr, entry.handle);
  }
  xdr.u32(0);
}

function putEntry(xdr: XdrWriter, entry: Entry): void {
  xdr.u32(1);
  xdr.big64(entry.fileNumber);
  xdr.opaque(entry.name);
  xdr.big64(entry.cookie);
}

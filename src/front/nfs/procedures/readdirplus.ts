/**
 * READDIRPLUS (RFC 1813, section 3.3.17): entries with handles and attributes. A name that went while it was listed, or
 * whose object cannot be looked at, is listed without them, as the RFC allows.
 */
import { Fault } from '../../../base/fault.ts';
import type { TreeObject } from '../../../ports/tree.ts';
import type { Entry, EntryPlus, ReaddirplusResult } from '../../../wire/nfs/results.ts';
import { LISTING_BYTES, entryDirBytes, entryPlusBytes } from '../../../wire/nfs/entries.ts';
import { NfsStatus } from '../../../wire/nfs/types.ts';
import { Unanswered, failureOf, isFailure, isTrouble, type Failure, type Outcome } from '../faults.ts';
import type { Inode } from '../inode.ts';
import { COOKIE_VERIFIER, LISTING_BYTES_MOST, list, listable } from '../listing.ts';
import { isDot, isDotDot } from '../name-rules.ts';
import type { Scope } from '../scope.ts';
import type { Volume } from '../volume.ts';
import { failed, type Procedure } from './procedure.ts';

/** An entry with a name and a handle of ordinary length. */
const USUAL_BYTES = entryPlusBytes(16, true, 32);
/** Names looked up in one call: I/O of other requests comes in between. */
const LOOKED_UP_AT_ONCE = 128;

export const readdirplus: Procedure<'readdirplus'> = async (volume, asked, actor, scope) => {
  const { directory, failure } = await listable(volume, asked, actor, scope);
  const fail = (why: Failure): Outcome<ReaddirplusResult> =>
    failed(why, (status) => ({
      procedure: 'readdirplus',
      status,
      attributes: isFailure(directory) || directory.stale ? null : directory.shown(),
    }));
  if (failure !== null) return fail(failure);
  if (isFailure(directory)) return fail(directory);
  const most = Math.min(asked.maxCount, LISTING_BYTES_MOST);
  const entries: EntryPlus[] = [];
  let bytes = LISTING_BYTES;
  let dirBytes = 0;
  const likely = Math.min(most, (asked.dirCount * USUAL_BYTES) / entryDirBytes(16));
  const eof = await list(volume, directory, scope, asked.cookie, likely, USUAL_BYTES, async (batch) => {
    const inodes = await lookedUp(volume, directory, scope, batch);
    if (isFailure(inodes)) return inodes;
    let taken = 0;
    for (const entry of batch) {
      const inode = inodes[taken] ?? null;
      const more = entryPlusBytes(entry.name.length, inode !== null, inode?.handle.length ?? null);
      const moreDir = entryDirBytes(entry.name.length);
      // A client that allows not even one name gets one: it would come no further.
      if (bytes + more > most || (entries.length > 0 && dirBytes + moreDir > asked.dirCount)) break;
      bytes += more;
      dirBytes += moreDir;
      taken += 1;
      entries.push({ ...entry, attributes: inode?.shown() ?? null, handle: inode?.handle ?? null });
    }
    return { entries: taken };
  });
  if (isFailure(eof)) return fail(eof);
  if (entries.length === 0 && !eof) return fail(NfsStatus.toosmall);
  const attributes = directory.shown();
  return { procedure: 'readdirplus', status: NfsStatus.ok, attributes, verifier: COOKIE_VERIFIER, entries, eof };
};

/** The objects of a batch of names, in its order; null where there is none to be had. */
async function lookedUp(
  volume: Volume,
  directory: Inode,
  scope: Scope,
  batch: readonly Entry[],
): Promise<readonly (Inode | null)[] | Failure> {
  const inodes: (Inode | null)[] = new Array<Inode | null>(batch.length).fill(null);
  const unknown: number[] = [];
  for (const [at, { name }] of batch.entries()) {
    const id = volume.names.get(directory, name);
    const inode = id === null || id === undefined ? undefined : volume.inodes.ready(id);
    if (inode === undefined) unknown.push(at);
    else inodes[at] = scope.hold(inode);
  }
  for (let from = 0; from < unknown.length; from += LOOKED_UP_AT_ONCE) {
    const places = unknown.slice(from, from + LOOKED_UP_AT_ONCE);
    const failure = await lookUp(volume, directory, scope, batch, places, inodes);
    if (failure !== null) return failure;
  }
  return inodes;
}

/** Looks up the names at `places` of the batch in one call. */
async function lookUp(
  volume: Volume,
  directory: Inode,
  scope: Scope,
  batch: readonly Entry[],
  places: readonly number[],
  inodes: (Inode | null)[],
): Promise<Failure | null> {
  const { namesMark } = directory;
  const { mark } = volume.inodes;
  const found = await volume.calls.look(async (tree) => {
    const all = await Promise.all(places.map((at) => tree.lookup(directory.id, nameOf(batch, at))));
    return all.find((one): one is Fault => one instanceof Fault && isTrouble(one)) ?? all;
  });
  if (found instanceof Fault) return failureOf(found);
  for (const [i, at] of places.entries()) {
    const one: TreeObject | Fault | undefined = found[i];
    if (one === undefined || one instanceof Fault) continue;
    const name = nameOf(batch, at);
    if (!isDot(name) && !isDotDot(name)) volume.names.keep(directory, name, one.id, namesMark);
    const inode = await volume.inodes.found(one, mark);
    if (inode instanceof Unanswered) return inode;
    inodes[at] = isFailure(inode) ? null : scope.hold(inode);
  }
  return null;
}

function nameOf(batch: readonly Entry[], at: number): Buffer {
  return batch[at]?.name ?? Buffer.alloc(0);
}

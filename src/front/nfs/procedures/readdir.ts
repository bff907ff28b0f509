/** READDIR (RFC 1813, section 3.3.16). */
import type { Entry, ReaddirResult } from '../../../wire/nfs/results.ts';
import { LISTING_BYTES, entryBytes } from '../../../wire/nfs/entries.ts';
import { NfsStatus } from '../../../wire/nfs/types.ts';
import { isFailure, type Failure, type Outcome } from '../faults.ts';
import { COOKIE_VERIFIER, LISTING_BYTES_MOST, list, listable } from '../listing.ts';
import { failed, type Procedure } from './procedure.ts';

/** An entry with a name of ordinary length. */
const USUAL_BYTES = entryBytes(16);

export const readdir: Procedure<'readdir'> = async (volume, asked, actor, scope) => {
  const { directory, failure } = await listable(volume, asked, actor, scope);
  const fail = (why: Failure): Outcome<ReaddirResult> =>
    failed(why, (status) => ({
      procedure: 'readdir',
      status,
      attributes: isFailure(directory) || directory.stale ? null : directory.shown(),
    }));
  if (failure !== null) return fail(failure);
  if (isFailure(directory)) return fail(directory);
  const most = Math.min(asked.count, LISTING_BYTES_MOST);
  const entries: Entry[] = [];
  let bytes = LISTING_BYTES;
  const eof = await list(volume, directory, scope, asked.cookie, most, USUAL_BYTES, (batch) => {
    let taken = 0;
    for (const entry of batch) {
      const more = entryBytes(entry.name.length);
      if (bytes + more > most) break;
      bytes += more;
      taken += 1;
      entries.push(entry);
    }
    return Promise.resolve({ entries: taken });
  });
  if (isFailure(eof)) return fail(eof);
  if (entries.length === 0 && !eof) return fail(NfsStatus.toosmall);
  const attributes = directory.shown();
  return { procedure: 'readdir', status: NfsStatus.ok, attributes, verifier: COOKIE_VERIFIER, entries, eof };
};

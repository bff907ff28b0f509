/**
 * Directories in parts: READDIR and READDIRPLUS. Cookies are the medium's, moved up by two, since `.` and `..` come first and
 * the medium lists neither. They stay good while names come and go, on every server, so that the cookie verifier never
 * changes. Memory is bounded by the answer: at most LISTING_BYTES_MOST, whatever the client asks and the directory holds.
 */
import { Fault } from '../../base/fault.ts';
import type { DirectoryEntry } from '../../ports/tree.ts';
import { NfsStatus } from '../../wire/nfs/types.ts';
import type { Entry } from '../../wire/nfs/results.ts';
import { failureOf, isFailure, type Failure } from './faults.ts';
import type { Inode } from './inode.ts';
import { May, permits, type Actor } from './permissions.ts';
import type { Scope } from './scope.ts';
import type { Volume } from './volume.ts';

export const LISTING_BYTES_PREFERRED = 64 << 10;
export const LISTING_BYTES_MOST = 256 << 10;

/** "HFcookie": the same for ever, since cookies are. */
export const COOKIE_VERIFIER = 0x48_46_63_6f_6f_6b_69_65n;

/** Entries asked of the medium at once. */
const MOST_AT_ONCE = 1024;
const LEAST_AT_ONCE = 8;

/** Cookies of `.` and `..`; the medium's come behind. */
const BEHIND_DOT = 1n;
const BEHIND_DOT_DOT = 2n;

const DOT = Buffer.from('.');
const DOT_DOT = Buffer.from('..');

/** The directory, if it may be listed from that cookie on. */
export async function listable(
  volume: Volume,
  asked: { readonly handle: Buffer; readonly cookie: bigint; readonly verifier: bigint },
  actor: Actor,
  scope: Scope,
): Promise<{ readonly directory: Inode | Failure; readonly failure: Failure | null }> {
  const directory = await volume.directory(asked.handle, scope);
  if (isFailure(directory)) return { directory, failure: directory };
  const wrongCookie = asked.cookie !== 0n && asked.verifier !== COOKIE_VERIFIER;
  if (wrongCookie) return { directory, failure: NfsStatus.badCookie };
  return { directory, failure: permits(actor, directory, May.read) ? null : NfsStatus.acces };
}

/** How many entries of a batch went into the answer. */
export interface Taken {
  readonly entries: number;
}

/**
 * Hands entries behind `cookie` to `take`, in batches, until it has had enough.
 * @param entryBytes about so many bytes of an answer one entry takes
 * @param take says how many of the batch it took: fewer than all means that the answer is full
 * @returns whether the directory ended
 */
export async function list(
  volume: Volume,
  directory: Inode,
  scope: Scope,
  cookie: bigint,
  bytes: number,
  entryBytes: number,
  take: (batch: readonly Entry[]) => Promise<Taken | Failure>,
): Promise<boolean | Failure> {
  let at = cookie;
  const dots = await dotEntries(volume, directory, scope, at);
  if (isFailure(dots)) return dots;
  if (dots.length > 0) {
    const taken = await take(dots);
    if (isFailure(taken)) return taken;
    if (taken.entries < dots.length) return false;
    at = BEHIND_DOT_DOT;
  }
  const most = Math.min(MOST_AT_ONCE, Math.max(LEAST_AT_ONCE, Math.ceil(bytes / entryBytes)));
  for (;;) {
    const from = at - BEHIND_DOT_DOT;
    const listing = await volume.calls.look((tree) => tree.list(directory.id, from, most));
    if (listing instanceof Fault) {
      const failure = volume.goneOr(directory, failureOf(listing));
      return failure === NfsStatus.inval ? NfsStatus.badCookie : failure;
    }
    const batch = listing.entries.map(shifted);
    const taken = await take(batch);
    if (isFailure(taken)) return taken;
    if (taken.entries < batch.length) return false;
    if (listing.end) return true;
    at = batch.at(-1)?.cookie ?? at;
  }
}

const shifted = ({ name, fileNumber, cookie }: DirectoryEntry): Entry => ({
  name,
  fileNumber,
  cookie: cookie + BEHIND_DOT_DOT,
});

async function dotEntries(volume: Volume, directory: Inode, scope: Scope, cookie: bigint): Promise<Entry[] | Failure> {
  const entries: Entry[] = [];
  if (cookie < BEHIND_DOT) entries.push({ name: DOT, fileNumber: directory.fileNumber, cookie: BEHIND_DOT });
  if (cookie >= BEHIND_DOT_DOT) return entries;
  const parent = await volume.lookup(directory, DOT_DOT, scope);
  if (isFailure(parent)) return parent;
  const { fileNumber } = parent ?? directory;
  entries.push({ name: DOT_DOT, fileNumber, cookie: BEHIND_DOT_DOT });
  return entries;
}

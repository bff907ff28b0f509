/**
 * CREATE (RFC 1813, section 3.3.8), in its three modes. What makes an EXCLUSIVE one recognisable is its verifier, kept in
 * the new file's atime and mtime until the client sets them, as the RFC proposes: on the medium, so that it survives every takeover.
 */
import type { Made, NotMade } from '../../../wire/nfs/results.ts';
import { NfsStatus } from '../../../wire/nfs/types.ts';
import type { Sattr3 } from '../../../wire/nfs/types.ts';
import { isFailure, type Failure, type Outcome } from '../faults.ts';
import type { Inode } from '../inode.ts';
import { mayWrite, modeAfterWrite, type Actor } from '../permissions.ts';
import type { Recording } from '../recording.ts';
import type { ChangeIntent } from '../replies/slot.ts';
import { unchanged, type Volume } from '../volume.ts';
import { applyChange } from './changing.ts';
import { attributesFor, madeOf, make, notMade } from './making.ts';
import type { RecordedProcedure } from './procedure.ts';

const NS_PER_SECOND = 1_000_000_000n;
const NOTHING_ASKED: Sattr3 = { mode: null, uid: null, gid: null, sizeBytes: null, atime: null, mtime: null };

export const create: RecordedProcedure<'create'> = async (volume, asked, actor, recording) => {
  const { how } = asked;
  const attributes = how.mode === 'exclusive' ? exclusive(how.verifier) : how.attributes;
  const { sizeBytes } = attributes;
  const outcome = await make(volume, asked, actor, recording, {
    sizeBytes,
    takes: how.mode === 'unchecked' && sizeBytes === null,
    creation: (directory) => {
      if (sizeBytes !== null && sizeBytes > volume.largestFileBytes) return NfsStatus.fbig;
      return { type: 'file', attributes: attributesFor(volume, actor, directory, 'file', attributes) };
    },
    taken: (directory, existing) => {
      if (how.mode === 'exclusive') return Promise.resolve(takenByItself(directory, existing, attributes));
      if (how.mode === 'unchecked') return reuse(volume, directory, existing, sizeBytes, actor, recording);
      return Promise.resolve(notMade(NfsStatus.exist, unchanged(directory)));
    },
  });
  return 'status' in outcome ? { procedure: 'create', ...outcome } : outcome;
};

/** The verifier's 64 bits as two times: 31 bits of seconds each, which every file system keeps, and a nanosecond. */
function exclusive(verifier: bigint): Sattr3 {
  return { ...NOTHING_ASKED, atime: timeOf(verifier & 0xffff_ffffn), mtime: timeOf(verifier >> 32n) };
}

const timeOf = (half: bigint): bigint => (half & 0x7fff_ffffn) * NS_PER_SECOND + (half >> 31n);

/** The name is taken: by this very request, sent before, or by another. */
function takenByItself(directory: Inode, existing: Inode, { atime, mtime }: Sattr3): Outcome<Made | NotMade> {
  const wcc = unchanged(directory);
  const { type, sizeBytes, atimeNs, mtimeNs } = existing;
  const same = type === 'file' && sizeBytes === 0 && atimeNs === atime && mtimeNs === mtime;
  return same ? madeOf(existing, wcc) : notMade(NfsStatus.exist, wcc);
}

/** UNCHECKED: the file that is there, with its size set if that was asked for. */
async function reuse(
  volume: Volume,
  directory: Inode,
  existing: Inode,
  sizeBytes: number | null,
  actor: Actor,
  recording: Recording,
): Promise<Outcome<Made | NotMade>> {
  const fail = (failure: Failure): Outcome<NotMade> => notMade(failure, unchanged(directory));
  if (existing.type !== 'file') return fail(NfsStatus.exist);
  if (sizeBytes === null) return madeOf(existing, unchanged(directory));
  if (volume.exported.readOnly) return fail(NfsStatus.rofs);
  const gone = await recording.lock([volume.objectKey(existing)]);
  if (gone !== null) return fail(gone);
  if (!mayWrite(actor, existing)) return fail(NfsStatus.acces);
  if (sizeBytes > volume.largestFileBytes) return fail(NfsStatus.fbig);
  const mode = modeAfterWrite(actor, existing);
  const change: ChangeIntent = {
    kind: 'change',
    id: existing.id,
    mode: mode === existing.mode ? null : mode,
    uid: null,
    gid: null,
    sizeBytes,
    atimeNs: null,
    mtimeNs: null,
  };
  existing.freeze();
  recording.atEnd(() => existing.thaw());
  const refused = await recording.intend(change);
  if (refused !== null) return fail(refused);
  const failure = await applyChange(volume, existing, change);
  return isFailure(failure) ? fail(failure) : madeOf(existing, unchanged(directory));
}

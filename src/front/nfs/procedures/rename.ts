/**
 * RENAME (RFC 1813, section 3.3.14), as rename(2): a file or an empty directory under the new name is replaced in one step,
 * two names of the same object stay as they are, and a directory does not go below itself.
 */
import { Fault } from '../../../base/fault.ts';
import { NfsStatus } from '../../../wire/nfs/types.ts';
import type { NameIn, WccData } from '../../../wire/nfs/types.ts';
import type { RenameResult } from '../../../wire/nfs/results.ts';
import { failureOf, isFailure, type Failure, type Outcome } from '../faults.ts';
import type { Inode } from '../inode.ts';
import { isDot, isDotDot } from '../name-rules.ts';
import { May, mayAdd, permits, removalError, type Actor } from '../permissions.ts';
import { ALREADY, type Recording } from '../recording.ts';
import type { Intent } from '../replies/slot.ts';
import type { Scope } from '../scope.ts';
import { NO_WCC, unchanged, wccSince, type Volume } from '../volume.ts';
import { failed, type RecordedProcedure } from './procedure.ts';

export type RenameIntent = Extract<Intent, { readonly kind: 'rename' }>;

/** A name with its directory found. */
interface Place {
  readonly directory: Inode;
  readonly name: Buffer;
}

export const rename: RecordedProcedure<'rename'> = async (volume, asked, actor, recording) => {
  const from = await volume.directory(asked.from.directory, recording);
  const to = await volume.directory(asked.to.directory, recording);
  const fail = (failure: Failure): Outcome<RenameResult> =>
    failed(failure, (status) => result(status, unchanged(from), unchanged(to)));
  if (isFailure(from)) return fail(from);
  if (isFailure(to)) return fail(to);
  const wrong = nameError(volume, asked.from) ?? nameError(volume, asked.to);
  if (wrong !== null) return fail(wrong);
  const source: Place = { directory: from, name: asked.from.name };
  const target: Place = { directory: to, name: asked.to.name };
  const gone = await recording.lock([volume.nameKey(from, source.name), volume.nameKey(to, target.name)]);
  if (gone !== null) return fail(gone);
  const found = await judge(volume, source, target, actor, recording);
  if (isFailure(found)) return fail(found);
  const { moved, replaced } = found;
  const intent: RenameIntent = {
    kind: 'rename',
    directory: from.id,
    name: source.name,
    id: moved.id,
    toDirectory: to.id,
    toName: target.name,
  };
  const refused = await recording.intend(intent);
  if (refused !== null) return fail(refused);
  // Two names of one object, or one name twice: there is nothing to do. It is answered as done, so it is recorded: sent
  // again, when the names have become two objects', it must not be carried out.
  if (moved === replaced) return result(NfsStatus.ok, unchanged(from), unchanged(to));
  return carryOut(volume, source, target, found, intent, recording);
};

interface Found {
  readonly moved: Inode;
  readonly replaced: Inode | null;
}

function nameError(volume: Volume, { name }: NameIn): Failure | null {
  return volume.nameError(name) ?? (isDot(name) || isDotDot(name) ? NfsStatus.inval : null);
}

/** What the names are, and whether they may be changed. */
async function judge(
  volume: Volume,
  source: Place,
  target: Place,
  actor: Actor,
  scope: Scope,
): Promise<Found | Failure> {
  const from = source.directory;
  const to = target.directory;
  if (!permits(actor, from, May.execute) || !permits(actor, to, May.execute)) return NfsStatus.acces;
  const moved = await volume.lookup(from, source.name, scope);
  if (moved === null) return NfsStatus.noent;
  if (isFailure(moved)) return moved;
  const replaced = await volume.lookup(to, target.name, scope);
  if (isFailure(replaced)) return replaced;
  if (volume.exported.readOnly) return NfsStatus.rofs;
  const forbidden = removalError(actor, from, moved);
  if (forbidden !== null) return forbidden;
  if (replaced === null && !mayAdd(actor, to)) return NfsStatus.acces;
  const notOver = replaced === null ? null : removalError(actor, to, replaced);
  if (notOver !== null) return notOver;
  // A directory that moves has its `..` rewritten.
  if (moved.type === 'directory' && from !== to && !permits(actor, moved, May.write)) return NfsStatus.acces;
  if (replaced !== null && moved.type === 'directory' && replaced.type !== 'directory') return NfsStatus.notdir;
  if (replaced !== null && moved.type !== 'directory' && replaced.type === 'directory') return NfsStatus.isdir;
  return { moved, replaced };
}

async function carryOut(
  volume: Volume,
  source: Place,
  target: Place,
  { moved, replaced }: Found,
  intent: RenameIntent,
  recording: Recording,
): Promise<Outcome<RenameResult>> {
  const from = source.directory;
  const to = target.directory;
  from.beginNameChange();
  to.beginNameChange();
  const renamed = await recording.carryOut(intent, async (tree) => {
    const fault = await tree.rename(from.id, source.name, to.id, target.name);
    if (fault !== null) return fault;
    return volume.refreshedEach(tree, { moved, replaced, from, to: from === to ? null : to });
  });
  from.endNameChange();
  to.endNameChange();
  volume.names.forget(from, source.name);
  volume.names.forget(to, target.name);
  if (renamed === ALREADY) {
    if (replaced !== null) await volume.changedBefore(replaced, 'attributes');
    return renamedBefore(volume, intent, recording);
  }
  if (renamed instanceof Fault)
    return failed(failureOf(renamed), (status) => result(status, unchanged(from), unchanged(to)));
  volume.names.set(from, source.name, null);
  volume.names.set(to, target.name, moved.id);
  const fromBefore = from.before;
  const toBefore = to.before;
  renamed.moved('attributes');
  renamed.replaced?.('attributes');
  if (replaced?.type === 'directory') replaced.stale = true;
  renamed.from('names');
  renamed.to?.('names');
  return result(NfsStatus.ok, wccSince(fromBefore, from), wccSince(toBefore, to));
}

/** The answer to a request that was carried out at an unknown moment. */
export async function renamedBefore(
  volume: Volume,
  intent: RenameIntent,
  scope: Scope,
): Promise<Outcome<RenameResult>> {
  const moved = await volume.ofId(intent.id, scope);
  if (!isFailure(moved)) await volume.changedBefore(moved, 'attributes');
  const wccs: WccData[] = [];
  for (const id of [intent.directory, intent.toDirectory]) {
    const directory = await volume.ofId(id, scope);
    if (!isFailure(directory)) await volume.changedBefore(directory, 'names');
    wccs.push(isFailure(directory) || directory.stale ? NO_WCC : { before: null, after: directory.shown() });
  }
  return result(NfsStatus.ok, wccs[0] ?? NO_WCC, wccs[1] ?? NO_WCC);
}

function result(status: NfsStatus, from: WccData, to: WccData): RenameResult {
  return { procedure: 'rename', status, from, to };
}

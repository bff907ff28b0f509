/**
 * What became of an intent whose reply was never written: asked of the tree. Nobody else touched the same names meanwhile
 * (they wait for the reply), so the answer is about this one request.
 */
import { Fault } from '../../../base/fault.ts';
import { NfsStatus } from '../../../wire/nfs/types.ts';
import { failureOf } from '../faults.ts';
import type { Tree } from '../on-tree.ts';
import type { ObjectId } from '../../../ports/tree.ts';
import type { ChangeIntent, Intent } from './slot.ts';

/** Whether it was carried out: what it relied on is no longer so. */
export async function carriedOut(tree: Tree, intent: Exclude<Intent, ChangeIntent>): Promise<boolean | Fault> {
  const there = await idAt(tree, intent.directory, intent.name);
  if (there instanceof Fault) return there;
  switch (intent.kind) {
    case 'make':
      return there !== null;
    case 'link':
      return there === intent.id;
    case 'remove':
      return there !== intent.id;
    case 'rename': {
      if (there === intent.id) return false;
      const target = await idAt(tree, intent.toDirectory, intent.toName);
      return target instanceof Fault ? target : target === intent.id;
    }
  }
}

/** The object of a name; null when the name is free, also when there is no such directory any more. */
async function idAt(tree: Tree, directory: ObjectId, name: Buffer): Promise<ObjectId | null | Fault> {
  const found = await tree.lookup(directory, name);
  if (!(found instanceof Fault)) return found.id;
  const failure = failureOf(found);
  const absent: unknown[] = [NfsStatus.noent, NfsStatus.stale, NfsStatus.notdir];
  return absent.includes(failure) ? null : found;
}

/**
 * Before the first request of a new opening: what the requests of before came to whose replies were never written. Either
 * the request was carried out, and gets its reply, so that whoever sends it again is answered with that; or it was not, and
 * is withdrawn: nobody was answered, and sent again it runs like a new one. A change of attributes cannot be told from
 * none; it is carried out again, which does no harm, since nothing else touched the object in between.
 */
import { Fault, assert } from '../../../base/fault.ts';
import { encodeResult } from '../../../wire/nfs/table.ts';
import { NfsStatus, PROCEDURES } from '../../../wire/nfs/types.ts';
import type { ProcedureName } from '../../../wire/nfs/types.ts';
import type { Made, NfsResult, NotMade } from '../../../wire/nfs/results.ts';
import { Unanswered, isFailure, type Outcome } from '../faults.ts';
import { linkedBefore } from '../procedures/link.ts';
import { madeBefore, madeOf, notMade } from '../procedures/making.ts';
import { removedBefore } from '../procedures/removing.ts';
import { renamedBefore } from '../procedures/rename.ts';
import { setattrAgain } from '../procedures/setattr.ts';
import { Scope } from '../scope.ts';
import { NO_WCC, type Volume } from '../volume.ts';
import { carriedOut } from './settle.ts';
import { decodeIntent, type ChangeIntent, type Intent, type Slot } from './slot.ts';

export interface Recovered {
  /** Intents that had been carried out, or were now, and have their reply. */
  readonly completed: number;
  readonly withdrawn: number;
  readonly damaged: number;
}

/** Reads the ring and settles its intents, oldest first. A fault: nothing may be served yet. */
export async function recover(volume: Volume): Promise<Recovered | Fault> {
  const loaded = await volume.ring.load();
  if (loaded instanceof Fault) return loaded;
  let completed = 0;
  let withdrawn = 0;
  for (const slot of loaded.open) {
    const reply = await replyOf(volume, slot);
    if (reply instanceof Fault) return reply;
    const fault = await volume.ring.settle(slot, reply);
    if (fault !== null) return fault;
    if (reply === null) withdrawn += 1;
    else completed += 1;
  }
  return { completed, withdrawn, damaged: loaded.damaged };
}

/** The reply of a request that was carried out; null: it was not. */
async function replyOf(volume: Volume, slot: Slot): Promise<Buffer | null | Fault> {
  const intent = decodeIntent(slot.body);
  if (intent.kind !== 'change') {
    const done = await volume.calls.look((tree) => carriedOut(tree, intent));
    if (done instanceof Fault) return done;
    if (!done) return null;
  }
  const scope = new Scope();
  const result = await resultOf(volume, slot, intent, scope);
  scope.letGo();
  return result instanceof Unanswered ? new Fault('retry', result.why) : encodeResult(result);
}

async function resultOf(volume: Volume, slot: Slot, intent: Intent, scope: Scope): Promise<Outcome<NfsResult>> {
  const procedure = PROCEDURES[slot.asker.procedure];
  switch (intent.kind) {
    case 'make': {
      const made = await madeBefore(volume, intent, procedure === 'create' ? 'file' : null, scope);
      return made instanceof Unanswered ? made : madeAs(procedure, made);
    }
    case 'remove': {
      const removed = await removedBefore(volume, intent, scope);
      if (removed instanceof Unanswered) return removed;
      return procedure === 'rmdir' ? { procedure, ...removed } : { procedure: 'remove', ...removed };
    }
    case 'rename':
      return renamedBefore(volume, intent, scope);
    case 'link':
      return linkedBefore(volume, intent, scope);
    case 'change':
      return procedure === 'create' ? createdBefore(volume, intent, scope) : setattrAgain(volume, intent, scope);
  }
}

function madeAs(procedure: ProcedureName | undefined, made: Made | NotMade): NfsResult {
  if (procedure === 'create') return { procedure, ...made };
  if (procedure === 'mkdir') return { procedure, ...made };
  if (procedure === 'symlink') return { procedure, ...made };
  assert(procedure === 'mknod', `${procedure} makes nothing`);
  return { procedure, ...made };
}

/** CREATE of a file that was there: all it does is to set the size. */
async function createdBefore(volume: Volume, intent: ChangeIntent, scope: Scope): Promise<Outcome<NfsResult>> {
  const changed = await setattrAgain(volume, intent, scope);
  if (changed instanceof Unanswered) return changed;
  const inode = await volume.ofId(intent.id, scope);
  const failure = changed.status === NfsStatus.ok ? inode : changed.status;
  const made = isFailure(failure) ? notMade(failure, NO_WCC) : madeOf(failure, NO_WCC);
  return made instanceof Unanswered ? made : { procedure: 'create', ...made };
}

/**
 * What the procedures have in common: their shape, and how one ends that does not succeed. Whoever calls them has the
 * answer authorised behind them and sends it; so a procedure gathers, and looks at nothing that it may not tell.
 */
import type { ArgumentsOf, NfsError, ProcedureName } from '../../../wire/nfs/types.ts';
import type { ResultOf } from '../../../wire/nfs/results.ts';
import { Unanswered, type Failure, type Outcome } from '../faults.ts';
import type { Actor } from '../permissions.ts';
import type { Recording } from '../recording.ts';
import type { Scope } from '../scope.ts';
import type { Volume } from '../volume.ts';

/** A procedure that changes nothing, or nothing that matters twice. */
export type Procedure<P extends ProcedureName> = (
  volume: Volume,
  asked: ArgumentsOf<P>,
  actor: Actor,
  scope: Scope,
) => Promise<Outcome<ResultOf<P>>>;

/** A procedure that must not be carried out twice. */
export type RecordedProcedure<P extends ProcedureName> = (
  volume: Volume,
  asked: ArgumentsOf<P>,
  actor: Actor,
  recording: Recording,
) => Promise<Outcome<ResultOf<P>>>;

/** The result that tells a failure; no result when it is not to be told. */
export function failed<T>(failure: Failure, tell: (status: NfsError) => T): Outcome<T> {
  return failure instanceof Unanswered ? failure : tell(failure);
}

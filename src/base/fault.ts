/**
 * A fault is a value: something outside went wrong and somebody can act on it. A bug is an assertion and ends the
 * process. Few kinds, each saying what to do; front ends alone map them to protocol errors.
 */

/**
 * - `retry`    passing trouble: the same call may succeed later
 * - `timeout`  the outcome is unknown: it may have happened, or may still happen
 * - `moved`    this server does not own the volume (any more): ask the owner
 * - `refused`  the request is malformed or not allowed: repeating it changes nothing
 * - `full`     no room on the medium
 * - `io`       the medium or the store failed the operation
 * - `corrupt`  bytes do not match their checksum, or a format is not ours
 * - `missing`  the thing named does not exist
 * - `conflict` somebody else was first
 */
export type FaultKind = 'retry' | 'timeout' | 'moved' | 'refused' | 'full' | 'io' | 'corrupt' | 'missing' | 'conflict';

/** A fault as a value; `message` is a whole sentence for a person, `cause` what lay beneath. */
export class Fault extends Error {
  readonly kind: FaultKind;

  constructor(kind: FaultKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'Fault';
    this.kind = kind;
  }
}

/** How an asynchronous call ends when it has no result: null is success. */
export type Done = (fault: Fault | null) => void;
/** How an asynchronous call ends when it has a result: exactly one of the two is null. */
export type Result<T> = (fault: Fault | null, value: T | null) => void;

/** Ends the process in production and fails the run in the simulator: `condition` is an invariant, not an input. */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new Error(`broken invariant: ${invariant}`);
}

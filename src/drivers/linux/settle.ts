/**
 * The ports speak in callbacks, so that the hot path costs no promise; where a driver is off that path, its steps read
 * better as an async function. This turns one into the other.
 */
import type { Done, Result } from '../../base/fault.ts';
import { faultOfError } from './errno.ts';

/**
 * Calls `done` with the outcome of `work`, never from within. An error of the operating system becomes a fault that
 * says `what` was being done. What `done` itself throws is a bug and is not caught.
 */
export function settle<T>(work: Promise<T>, what: string, done: Result<T>): void {
  work.then(
    (value) => process.nextTick(done, null, value),
    (error: unknown) => process.nextTick(done, faultOfError(error, what), null),
  );
}

/** As `settle`, for work without a result. */
export function settleDone(work: Promise<void>, what: string, done: Done): void {
  settle(work, what, (fault) => done(fault));
}

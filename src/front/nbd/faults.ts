/**
 * What a client is told when something failed: faults of the volume, and requests that the document does not allow
 * (section "Error values" and the sections of the commands).
 */
import type { Fault } from '../../base/fault.ts';
import { NbdError } from '../../wire/nbd.ts';

/**
 * The error value of a fault of the volume. A write that was answered by an error may still have happened, as on any
 * disk; only `full` and `refused` promise that it did not.
 *
 * - `full`            ENOSPC: the one error that file systems and clients treat as "make room and try again"
 * - `refused`         EINVAL: repeating it changes nothing
 * - `moved`, `retry`  ESHUTDOWN: the server, not the disk, is the trouble; the document bids the client disconnect, and
 *                     a client that then reconnects finds the owner
 * - everything else   EIO: the medium or the stores failed, or nobody knows what happened
 */
export function errorOf(fault: Fault): NbdError {
  switch (fault.kind) {
    case 'full':
      return NbdError.noSpace;
    case 'refused':
      return NbdError.invalid;
    case 'moved':
    case 'retry':
      return NbdError.shutdown;
    case 'timeout':
    case 'io':
    case 'corrupt':
    case 'missing':
    case 'conflict':
      return NbdError.io;
  }
}

/** Why a request is not passed on: the error value and, where the style carries it, a sentence. */
export interface Refusal {
  readonly error: NbdError;
  readonly message: string;
}

const refusal = (error: NbdError, message: string): Refusal => ({ error, message });

export const Refusals = {
  unknownCommand: refusal(NbdError.invalid, 'this server does not know the command'),
  unknownFlag: refusal(NbdError.invalid, 'a command flag is set that is unknown or does not go with the command'),
  unexpectedPayload: refusal(NbdError.invalid, 'only a write carries a payload here'),
  missingPayload: refusal(NbdError.invalid, 'a write needs the payload length flag with extended headers'),
  empty: refusal(NbdError.invalid, 'the length is zero'),
  beyondEnd: refusal(NbdError.invalid, 'the range reaches beyond the end of the export'),
  writeBeyondEnd: refusal(NbdError.noSpace, 'the range reaches beyond the end of the export'),
  tooLong: refusal(NbdError.invalid, 'the length is larger than the maximum block size that was advertised'),
  tooLongUnfragmented: refusal(NbdError.overflow, 'the length is too large for a reply in one piece'),
  flushRange: refusal(NbdError.invalid, 'offset and length of a flush have to be zero'),
  noContext: refusal(NbdError.invalid, 'no metadata context was selected for this export'),
} as const;

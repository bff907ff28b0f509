/**
 * The whole request is checked before its first effect: one function, no state, each refusal with its own sentence and
 * error value.
 */
import { Command, CommandFlag } from '../../wire/nbd.ts';
import { offsetOf, type RequestFields } from '../../wire/nbd-requests.ts';
import { type Refusal, Refusals } from './faults.ts';

/** What was negotiated, as far as it decides which requests are valid. */
export interface RequestRules {
  readonly sizeBytes: number;
  readonly maxPayloadBytes: number;
  /** Extended headers. */
  readonly extended: boolean;
  /** Structured replies or extended headers: DF was advertised. */
  readonly chunked: boolean;
  /** `base:allocation` was selected for this export. */
  readonly allocation: boolean;
}

/** FUA is valid for every command; the payload flag is judged apart. */
function flagsOf(type: number, rules: RequestRules): number {
  const always = CommandFlag.fua | (rules.extended ? CommandFlag.payloadLength : 0);
  switch (type) {
    case Command.read:
      return rules.chunked ? always | CommandFlag.dontFragment : always;
    case Command.writeZeroes:
      return always | CommandFlag.noHole | CommandFlag.fastZero;
    case Command.blockStatus:
      return always | CommandFlag.reqOne;
    default:
      return always;
  }
}

/** Null when the request may be passed on. DISC is never refused: it has no reply. */
export function refusalOf(request: RequestFields, rules: RequestRules): Refusal | null {
  const { type, flags, length } = request;
  if (type > Command.blockStatus) return Refusals.unknownCommand;
  if (type === Command.disconnect) return null;
  if ((flags & ~flagsOf(type, rules)) !== 0) return Refusals.unknownFlag;
  if (rules.extended && ((flags & CommandFlag.payloadLength) !== 0) !== (type === Command.write)) {
    return type === Command.write ? Refusals.missingPayload : Refusals.unexpectedPayload;
  }
  const offset = offsetOf(request);
  if (type === Command.flush) return offset === 0 && length === 0 ? null : Refusals.flushRange;
  if (type === Command.blockStatus && !rules.allocation) return Refusals.noContext;
  if (length === 0) return Refusals.empty;
  if (length > rules.maxPayloadBytes) {
    if (type === Command.read && (flags & CommandFlag.dontFragment) !== 0) return Refusals.tooLongUnfragmented;
    if (type === Command.read || type === Command.write || type === Command.cache) return Refusals.tooLong;
  }
  if (offset + length > rules.sizeBytes) {
    return type === Command.write || type === Command.writeZeroes ? Refusals.writeBeyondEnd : Refusals.beyondEnd;
  }
  return null;
}

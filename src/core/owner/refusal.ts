/**
 * What a volume refuses before it takes a request in: ranges that cannot be, payloads that do not fit, and what its kind of
 * volume does not know. Front ends check their clients' requests themselves; this is the last gate before the log.
 */
import { Fault } from '../../base/fault.ts';
import { LARGEST_OBJECT_BYTES } from '../../base/operation.ts';
import type { MediumVolume } from '../../ports/medium.ts';
import type { CallRequest, ModifyRequest, ServiceRequest } from '../../ports/service.ts';

/** Times are kept in 64 bits; those of a year beyond 2262 are no dates. */
const LATEST_NS = 2n ** 63n - 1n;

/** Why the request is refused; null when it is not. */
export function refusal(request: ServiceRequest, medium: MediumVolume, maxRequestBytes: number): Fault | null {
  switch (request.kind) {
    case 'call':
      return refusalOfCall(request, medium);
    case 'truncate':
    case 'stamp':
      return refusalOfFileChange(request, medium);
    case 'write':
      if (request.data.length !== request.length)
        return new Fault('refused', `a write of ${request.length} bytes came with ${request.data.length}`);
      if (request.length > maxRequestBytes)
        return new Fault('refused', `a write of ${request.length} bytes is larger than ${maxRequestBytes}`);
      return refusalOfRange(request, medium) ?? refusalOfTime(request);
    case 'zero':
    case 'trim':
    case 'read':
    case 'status':
      return refusalOfRange(request, medium);
  }
}

function refusalOfRange(
  { target, offset, length }: { readonly target: string; readonly offset: number; readonly length: number },
  medium: MediumVolume,
): Fault | null {
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 1)
    return new Fault('refused', `offset ${offset}, length ${length}: not a range of bytes`);
  if (offset + length > medium.sizeBytes(target))
    return new Fault('refused', `bytes ${offset} to ${offset + length} lie beyond the end of the volume`);
  return null;
}

function refusalOfFileChange(request: ModifyRequest, medium: MediumVolume): Fault | null {
  const { kind, target, offset, length } = request;
  if (medium.tree === null || target === '')
    return new Fault('refused', `a ${kind} is of files, and this is no file of a files volume`);
  if (length !== 0 || !Number.isSafeInteger(offset) || offset < 0 || (kind === 'stamp' && offset !== 0))
    return new Fault('refused', `a ${kind} to ${offset} with a length of ${length}`);
  if (offset >= LARGEST_OBJECT_BYTES || offset > medium.sizeBytes(target))
    return new Fault('refused', `a size of ${offset} bytes is beyond the largest file`);
  return refusalOfTime(request);
}

function refusalOfTime({ timeNs }: ModifyRequest): Fault | null {
  return timeNs >= 0n && timeNs <= LATEST_NS ? null : new Fault('refused', `${timeNs} ns is no time`);
}

function refusalOfCall({ begin }: CallRequest, medium: MediumVolume): Fault | null {
  if (begin === null || medium.tree !== null) return null;
  return new Fault('refused', 'a block volume has no tree');
}

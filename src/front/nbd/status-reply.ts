/**
 * How a range is kept, as BLOCK_STATUS tells it: the service's extents cut to the range, equal neighbours joined.
 */
import { assert } from '../../base/fault.ts';
import type { Extent } from '../../ports/medium.ts';
import type { StatusStretch } from '../../wire/nbd-replies.ts';

/** The id under which `base:allocation` is selected; the only context there is. */
export const ALLOCATION_CONTEXT_ID = 1;

/**
 * The stretches that cover `offset` and what follows, at most `length` bytes and `most` stretches of them, at least one.
 * The extents have to be contiguous and to cover the range; they may reach beyond it on both sides.
 */
export function stretchesOf(extents: readonly Extent[], offset: number, length: number, most: number): StatusStretch[] {
  const end = offset + length;
  const stretches: { length: number; hole: boolean }[] = [];
  let at = offset;
  for (const extent of extents) {
    const until = Math.min(extent.offset + extent.length, end);
    if (until <= at) continue;
    assert(extent.offset <= at, 'extents are contiguous and cover the range');
    const last = stretches.at(-1);
    if (last !== undefined && last.hole === extent.hole) last.length += until - at;
    else if (stretches.length === most) break;
    else stretches.push({ length: until - at, hole: extent.hole });
    at = until;
    if (at === end) break;
  }
  assert(stretches.length > 0, 'extents cover the range');
  return stretches;
}

/** The tags of what a read of a file returned, one per cell. */
import type { ReadPiece } from '../../src/ports/service.ts';
import type { Context } from '../context.ts';
import { tagOf, wholeSector } from '../disk.ts';
import { ZERO } from '../model.ts';
import { CELL } from './platter.ts';

export function cellsOf(ctx: Context, pieces: readonly ReadPiece[], count: number): number[] {
  const tags: number[] = [];
  for (const { data, length } of pieces) {
    for (let at = 0; at < length; at += CELL) {
      if (data === null) tags.push(ZERO);
      else {
        if (!wholeSector(data, at, CELL))
          ctx.fail('data integrity', 'a read mixes the bytes of several writes in one cell');
        tags.push(tagOf(data, at));
      }
    }
  }
  if (tags.length !== count) ctx.fail('data integrity', `a read of ${count} cells got ${tags.length}`);
  return tags;
}

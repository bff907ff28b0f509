/** Time and garbage of a piece, per write. */
import { setImmediate as turn } from 'node:timers/promises';
import v8 from 'node:v8';
import vm from 'node:vm';
import { BATCH, type Piece } from './pieces.ts';

/** Writes and calls, at least, until it has been compiled for good. */
const WARM_WRITES = 96_000;
const WARM_CALLS = 200;
/** Few enough that no collection comes in between: their garbage is below what the young generation takes. */
const COUNTED_WRITES = 1_920;
const ROUNDS = 9;

v8.setFlagsFromString('--expose-gc');
const collect = vm.runInNewContext('gc') as () => void;

export interface Cost {
  readonly ns: number;
  readonly bytes: number;
}

/** The least of several rounds: what else the machine and the runtime do comes on top. */
export async function costOf(piece: Piece): Promise<Cost> {
  const run = piece.make();
  const writes = piece.writes ?? BATCH;
  const warm = Math.max(WARM_CALLS, WARM_WRITES / writes);
  const counted = Math.max(1, COUNTED_WRITES / writes);
  for (let i = 0; i < warm; i += 1) {
    run();
    if (i % 100 === 0) await turn();
  }
  let ns = Infinity;
  let bytes = Infinity;
  for (let round = 0; round < ROUNDS; round += 1) {
    collect();
    await turn();
    const before = process.memoryUsage().heapUsed;
    const begun = process.hrtime.bigint();
    for (let i = 0; i < counted; i += 1) run();
    const took = Number(process.hrtime.bigint() - begun);
    const grown = process.memoryUsage().heapUsed - before;
    ns = Math.min(ns, took / (counted * writes));
    // A collection in between shows as less than there was.
    if (grown > 0) bytes = Math.min(bytes, grown / (counted * writes));
  }
  return { ns, bytes };
}

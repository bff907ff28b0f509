/**
 * The hot path piece by piece: nanoseconds and bytes of garbage for each 4 KiB write, 32 of them at a time.
 *
 *     npm run build && node dist/bench/micro/main.js
 */
import { costOf } from './measure.ts';
import { PIECES } from './pieces.ts';

console.log(`${'piece'.padEnd(34)}      ns   garbage   at most`);
for (const piece of PIECES) {
  const { ns, bytes } = await costOf(piece);
  console.log(
    `${piece.name.padEnd(34)}${ns.toFixed(0).padStart(8)}${`${bytes.toFixed(0)} B`.padStart(10)}${`${piece.mostBytes} B`.padStart(10)}`,
  );
}

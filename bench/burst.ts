/**
 * A burst that the stores take whole, beside the same load while the servers destage, and beside the floor: how much of
 * what a sustained load costs is the medium's share, which the floor does not have.
 *
 *     node dist/bench/burst.js [--seconds 1.5] [--rounds 3]
 */
import { parseArgs } from 'node:util';
import { type Contestant, startContestant, startPair } from './contestants.ts';
import { loadClient, measure, warmUp } from './load.ts';
import { median } from './report.ts';

/** Nothing is destaged before it is so old; longer than a measurement, shorter than one has patience for. */
const LATE = { destage: '6s' };
/** A quarter of it, at which a server begins to destage, is more than a measurement writes. */
const CAPACITY_MIB = 2_048;

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '1.5' }, rounds: { type: 'string', default: '3' } },
});
const seconds = Number(values.seconds);
const program = await loadClient();
const contestants: [what: string, one: Contestant | null][] = [
  [
    'burst within the stores',
    await startPair('holdfast memory', 'memory', undefined, { capacityMib: CAPACITY_MIB, timings: LATE }),
  ],
  ['sustained, destaging', await startContestant('holdfast memory')],
  ['floor', await startContestant('floor memory')],
];
const rates = new Map<string, number[]>();
try {
  for (const [, one] of contestants) {
    if (one === null) continue;
    await warmUp(program, one);
    one.pause();
  }
  for (let round = 1; round <= Number(values.rounds); round += 1) {
    for (const [what, one] of contestants) {
      if (one === null) continue;
      one.resume();
      const { opsPerSecond } = await measure(program, one, 'fua32', seconds, round);
      rates.set(what, [...(rates.get(what) ?? []), opsPerSecond]);
      await one.settle();
      one.pause();
    }
  }
} finally {
  for (const [, one] of contestants) await one?.end();
}
const floor = median(rates.get('floor') ?? []);
for (const [what, all] of rates) {
  const own = median(all);
  console.log(`${what.padEnd(26)}${own.toFixed(0).padStart(8)} ops/s  ${(own / floor).toFixed(2)} of the floor`);
}

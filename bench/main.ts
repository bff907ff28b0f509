/**
 * `npm run bench`: how fast Holdfast is, beside the least that its work costs in Node (the floor) and beside peers, in
 * one run on this machine. docs/performance.md says what is measured and how to read it.
 *
 *     npm run bench -- --quick                      a few minutes
 *     npm run bench -- --only "holdfast memory,floor memory" --cases fua32 --seconds 2 --rounds 5
 *     npm run bench -- --pauses 20                  the client's pause in a failover, 20 times each way
 *     npm run bench -- --no-pauses                  throughput and latency alone
 *     npm run bench -- --rounds 0 --pauses 0 --media  slow and stopped media alone
 *     npm run bench -- --rounds 0 --pauses 0 --sweep 5  the pause over what waits for the medium
 *     npm run bench -- --rounds 0 --pauses 0 --nfs 5    files volumes over NFS alone, 5 rounds
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { findRoot } from '../src/app/root.ts';
import { type Contestant, type ContestantName, profiler, startContestant } from './contestants.ts';
import { CASES, type CaseName, loadClient, measure, type Measured, warmUp } from './load.ts';
import { machineLine, sleep } from './machine.ts';
import { filesPauses } from './nfs-pauses.ts';
import { filesVolumes } from './nfs.ts';
import { pauses, pauseSweep } from './pauses.ts';
import { slowMedium, stalledMedium } from './stall.ts';
import { goalPicture, median, medianTable, percent } from './report.ts';

const CONTESTANTS: readonly ContestantName[] = [
  'holdfast journal',
  'floor journal',
  'nbdkit file',
  'qemu-nbd',
  'holdfast memory',
  'holdfast confirmed',
  'floor memory',
  'nbdkit memory',
  'ceph',
  'gluster',
];
/** Others' share of the machine above which a run says so at its end. */
const QUIET = 0.08;

interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly pauses: number;
  /** Times that each size of the sweep is tried. */
  readonly sweep: number;
  /** Measure slow and stopped media too. */
  readonly media: boolean;
  /** Rounds of the files volumes' cases. */
  readonly nfs: number;
  readonly contestants: readonly ContestantName[];
  readonly cases: readonly CaseName[];
  /** A directory for profiles of our servers, or null. */
  readonly profile: string | null;
}

function optionsOf(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      pauses: { type: 'string' },
      'no-pauses': { type: 'boolean', default: false },
      sweep: { type: 'string' },
      media: { type: 'boolean' },
      nfs: { type: 'string' },
      only: { type: 'string' },
      cases: { type: 'string' },
      profile: { type: 'string' },
    },
  });
  const pick = <T extends string>(text: string | undefined, all: readonly T[]): readonly T[] => {
    if (text === undefined) return all;
    return text.split(',').map((word) => {
      const found = all.find((one) => one === word.trim());
      if (found === undefined) throw new Error(`there is no "${word.trim()}"; there are ${all.join(', ')}`);
      return found;
    });
  };
  const number = (text: string | undefined, usual: number): number => {
    const value = text === undefined ? usual : Number(text);
    if (!(value >= 0)) throw new Error(`"${text ?? ''}" is no number`);
    return value;
  };
  const { quick, only, cases, rounds, pauses: times, sweep, media, nfs } = values;
  const whole =
    !quick && !values['no-pauses'] && [only, cases, rounds, times, sweep, media, nfs].every((v) => v === undefined);
  return {
    rounds: number(values.rounds, values.quick ? 3 : 7),
    seconds: number(values.seconds, values.quick ? 1 : 3),
    pauses: values['no-pauses'] ? 0 : number(values.pauses, values.quick ? 2 : 20),
    sweep: number(values.sweep, whole ? 3 : 0),
    media: values.media ?? whole,
    nfs: number(nfs, whole ? 5 : 0),
    contestants: pick(values.only, CONTESTANTS),
    cases: pick(values.cases, Object.keys(CASES) as CaseName[]),
    profile: values.profile ?? null,
  };
}

/** Starts a contestant; null where it is left out, which it has said. A peer that does not start spoils nobody's run. */
async function startOrSay(
  name: ContestantName,
  options: Options,
  say: (text: string) => void,
): Promise<Contestant | null> {
  try {
    const started = await startContestant(name, profiler(options.profile, name));
    if (started === null) say(`${name}: not installed, left out`);
    return started;
  } catch (error) {
    if (name.startsWith('holdfast') || name.startsWith('floor')) throw error;
    say(`${name}: does not start here, left out: ${error instanceof Error ? error.message : String(error)}`);
    return null;
  }
}

/** Case by case, contestants in turn, round after round: what is compared ran seconds apart. */
async function throughput(options: Options, say: (text: string) => void): Promise<Measured[]> {
  const program = await loadClient();
  const contestants: Contestant[] = [];
  const all: Measured[] = [];
  try {
    for (const name of options.contestants) {
      const started = await startOrSay(name, options, say);
      if (started !== null) contestants.push(started);
    }
    for (const one of contestants) {
      if (options.cases.length > 0) await warmUp(program, one);
      one.pause();
    }
    for (const caseName of options.cases) {
      for (let round = 1; round <= options.rounds; round += 1) {
        for (const one of contestants) {
          // It differs in nothing else.
          if (one.name === 'holdfast confirmed' && caseName !== 'read32') continue;
          one.resume();
          const measured = await measure(program, one, caseName, options.seconds, round);
          await one.settle();
          one.pause();
          all.push(measured);
        }
        // A disk that was just written to is busy a while longer.
        await sleep(100);
      }
      say(`measured: ${CASES[caseName].name}`);
    }
  } finally {
    for (const one of contestants) await one.end();
  }
  return all;
}

async function run(): Promise<void> {
  const options = optionsOf(process.argv.slice(2));
  const lines: string[] = [];
  const say = (text: string): void => {
    console.log(text);
    lines.push(text);
  };
  say(`Holdfast's benchmark, ${new Date().toISOString()}`);
  say(machineLine());
  say(`${options.rounds} rounds of ${options.seconds} s; medians. "others": what other programs took of the machine.`);
  if (options.rounds > 0) {
    const all = await throughput(options, say);
    say(`\n${medianTable(all)}\n`);
    say(`${goalPicture(all)}\n`);
    const others = all.map((one) => one.others);
    const loud = others.filter((share) => share > QUIET).length;
    say(
      `Others took ${percent(median(others))} of the machine in the median, ${percent(Math.max(...others))} at most; more than ${percent(QUIET)} in ${loud} of ${others.length} measurements.`,
    );
    keep(
      'raw',
      all.map((one) => JSON.stringify(one)),
    );
  }
  if (options.pauses > 0) await pauses(options.pauses, say);
  if (options.sweep > 0) await pauseSweep(options.sweep, say);
  if (options.media) {
    await slowMedium(Math.max(3, options.rounds), Math.max(1, options.seconds), say);
    await stalledMedium(say);
  }
  if (options.nfs > 0) {
    await filesVolumes(options.nfs, Math.max(1, options.seconds), say, (lines) => keep('nfs', lines));
    await filesPauses(4 * options.nfs, say);
  }
  keep('report', lines);
}

/** Results are kept as text: bench/results/DATE-kind.txt, of which those worth keeping are committed. */
function keep(kind: string, lines: readonly string[]): void {
  const directory = path.join(findRoot(), 'bench', 'results');
  mkdirSync(directory, { recursive: true });
  writeFileSync(
    path.join(directory, `${started}-${kind}.${kind === 'report' ? 'txt' : 'jsonl'}`),
    `${lines.join('\n')}\n`,
  );
}

const started = new Date().toISOString().slice(0, 19).replaceAll(':', '').replace('T', '-');
try {
  await run();
} catch (error) {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code?.startsWith('ERR_PARSE_ARGS') !== true) throw error;
  console.error(`${message}\ndocs/performance.md has the options.`);
  process.exitCode = 2;
}

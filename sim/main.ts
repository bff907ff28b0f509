/**
 * The simulator's command: replays one world with its timeline, or runs many, with progress, and shrinks what fails.
 * Exit code 0: all fine; 1: a failure was found; 2: the command was not understood.
 */
import { writeFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import type { DegradedPolicy } from '../src/core/settings.ts';
import type { StoreKind } from '../src/ports/store.ts';
import { campaign, describeTotals, replay, replayCommand, type Totals } from './campaign.ts';
import { applyCut, parseCut, type Cut } from './cut.ts';
import { DEFAULT_OPTIONS, planOf, type PlanOptions } from './draw.ts';
import { FILES_STORMS, STORMS, STORMS_ON_DEMAND, type Storm } from './storms.ts';
import { hunt } from './hunt.ts';
import { MUTATIONS } from './mutations.ts';
import { svg } from './svg.ts';
import { describePlan, timeline } from './timeline.ts';

const ALL_STORMS: readonly Storm[] = [...STORMS, ...FILES_STORMS, ...STORMS_ON_DEMAND];
const LAST_LINES = 120;
const FINDINGS_SHOWN = 5;

interface Options {
  readonly seed?: number;
  readonly seeds?: readonly [number, number];
  readonly minutes?: number;
  readonly from?: number;
  readonly cut: Cut;
  readonly policies: readonly DegradedPolicy[];
  readonly storm?: Storm;
  readonly losses?: number;
  readonly files?: number;
  readonly stores?: StoreKind;
  readonly servers?: number;
  readonly svg?: string;
  readonly all: boolean;
  readonly shrink: boolean;
  readonly failures: number;
  readonly mutations?: string | true;
}

function integer(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new InvalidArgumentError('an integer from 0 on is wanted');
  return value;
}
function servers(text: string): number {
  const value = integer(text);
  if (value < 2 || value > 5) throw new InvalidArgumentError('2 to 5 servers are wanted');
  return value;
}
function range(text: string): readonly [number, number] {
  const match = /^(\d+)\.\.(\d+)$/.exec(text);
  if (match === null) throw new InvalidArgumentError('a range like 1..1000 is wanted');
  const [low, high] = [integer(match[1] ?? ''), integer(match[2] ?? '')];
  if (low > high) throw new InvalidArgumentError('the range is empty');
  return [low, high];
}
function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('a number above 0 is wanted');
  return value;
}
function cut(text: string): Cut {
  try {
    return parseCut(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}
function policies(text: string): readonly DegradedPolicy[] {
  return text.split(',').map((name) => {
    if (name !== 'write-through' && name !== 'journal' && name !== 'stop')
      throw new InvalidArgumentError(`"${name}" is no policy`);
    return name;
  });
}

function stormName(text: string): Storm {
  const name = ALL_STORMS.find((s) => s === text);
  if (name === undefined) throw new InvalidArgumentError(`one of ${ALL_STORMS.join(', ')} is wanted`);
  return name;
}
function share(text: string): number {
  const value = Number(text);
  if (!(value >= 0 && value <= 1)) throw new InvalidArgumentError('a number from 0 to 1 is wanted');
  return value;
}
function storeKind(text: string): StoreKind {
  if (text !== 'memory' && text !== 'journal') throw new InvalidArgumentError('memory or journal is wanted');
  return text;
}

const program = new Command('sim')
  .description('Runs the production core in simulated worlds, one per seed, and judges them (docs/simulator.md).')
  .option('--seed <n>', 'replay one world and show its timeline', integer)
  .option('--seeds <a..b>', 'run the worlds of these seeds', range)
  .option('--minutes <m>', 'run worlds for so long', positive)
  .option('--from <n>', 'first seed of --minutes (default: drawn, and printed)', integer)
  .option('--cut <cut>', 'with --seed: leave parts of the world out, as the shrinker prints them', cut, {})
  .option('--policies <list>', 'degraded policies that worlds may use', policies, DEFAULT_OPTIONS.degraded)
  .option('--storm <name>', `every world has this storm: ${ALL_STORMS.join(', ')}`, stormName)
  .option('--losses <share>', 'how many worlds may lose all copies of something', share)
  .option('--files <share>', 'how many of the volumes are files volumes', share)
  .option('--stores <kind>', 'all stores are memory, or journal', storeKind)
  .option('--servers <n>', 'so many servers in every world: 2 to 5', servers)
  .option('--svg <file>', 'with --seed: draw the world')
  .option('--all', `with --seed: the whole timeline, not the last ${LAST_LINES} lines`, false)
  .option('--no-shrink', 'print failing worlds as they are')
  .option('--failures <n>', 'stop after so many failing worlds', integer, FINDINGS_SHOWN)
  .option('--mutations [ids]', 'catch the seeded mutations of the core, or those named (T1,P4)')
  .showHelpAfterError()
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .parse();

const options = program.opts<Options>();
const planOptions: PlanOptions = {
  ...DEFAULT_OPTIONS,
  degraded: options.policies,
  storm: options.storm ?? DEFAULT_OPTIONS.storm,
  losses: options.losses ?? DEFAULT_OPTIONS.losses,
  files: options.files ?? DEFAULT_OPTIONS.files,
  stores: options.stores ?? DEFAULT_OPTIONS.stores,
  servers: options.servers ?? DEFAULT_OPTIONS.servers,
};
/** What a replay must be told besides the seed. */
const worldFlags = [
  options.policies === DEFAULT_OPTIONS.degraded ? '' : ` --policies ${options.policies.join()}`,
  options.storm === undefined ? '' : ` --storm ${options.storm}`,
  options.losses === undefined ? '' : ` --losses ${options.losses}`,
  options.files === undefined ? '' : ` --files ${options.files}`,
  options.stores === undefined ? '' : ` --stores ${options.stores}`,
  options.servers === undefined ? '' : ` --servers ${options.servers}`,
].join('');

if (options.mutations !== undefined) process.exitCode = await mutations(options.mutations);
else if (options.seed !== undefined) process.exitCode = await one(options.seed);
else if (options.seeds !== undefined)
  process.exitCode = await many(count(options.seeds[0], options.seeds[1]), Infinity);
else if (options.minutes !== undefined) {
  const from = options.from ?? Math.floor(Date.now() / 1000) * 1000;
  console.log(`worlds from seed ${from} on, for ${options.minutes} minutes`);
  process.exitCode = await many(count(from, Number.MAX_SAFE_INTEGER), options.minutes * 60_000);
} else {
  program.outputHelp();
  process.exitCode = 2;
}

/** Every mutation, or the named ones: what catches it, and how soon. */
async function mutations(which: string | true): Promise<number> {
  const ids = which === true ? null : which.split(',');
  const wanted = MUTATIONS.filter((m) => ids === null || ids.includes(m.id));
  if (wanted.length === 0) {
    console.error(`no mutation is called ${String(which)}; there are ${MUTATIONS.map((m) => m.id).join(' ')}`);
    return 2;
  }
  let escaped = 0;
  for (const mutation of wanted) {
    const began = performance.now();
    const caught = await hunt(mutation);
    const fine = caught !== null && caught.unchanged === null;
    if (!fine) escaped++;
    const how =
      caught === null
        ? `NOT CAUGHT within ${mutation.within} seeds`
        : `seed ${caught.seed}: ${caught.failure.rule}${fine ? '' : ' (BUT SO IT DOES UNCHANGED)'}`;
    const took = `${((performance.now() - began) / 1000).toFixed(1)} s`;
    console.log(`${mutation.id.padEnd(5)} ${mutation.what.padEnd(80)} ${how} (${took})`);
  }
  console.log(`${wanted.length - escaped} of ${wanted.length} caught`);
  return escaped === 0 ? 0 : 1;
}

function* count(low: number, high: number): Generator<number> {
  for (let seed = low; seed <= high; seed++) yield seed;
}

/** One world, with its story. */
async function one(seed: number): Promise<number> {
  const report = await replay(seed, options.cut, planOptions, { story: true });
  const colour = process.stdout.isTTY;
  for (const line of describePlan(applyCut(planOf(seed, planOptions), options.cut))) console.log(line);
  for (const line of timeline(report, colour, options.all ? Infinity : LAST_LINES)) console.log(line);
  const { tally } = report;
  console.log(
    `digest ${report.digest}; ${report.endMs.toFixed(0)} ms, ${tally.events} events, ${tally.operations} requests, ${tally.faults} faults, ` +
      `${tally.claims} claims, ${tally.crashes} crashes; normal ${report.recoveredMs.toFixed(0)} ms after healing`,
  );
  if (options.svg !== undefined) {
    writeFileSync(options.svg, svg(report));
    console.log(`drawn in ${options.svg}`);
  }
  console.log(report.failure === null ? 'nothing broken' : `BROKEN ${report.failure.rule}: ${report.failure.text}`);
  return report.failure === null ? 0 : 1;
}

/** Many worlds, with progress. */
async function many(seeds: Iterable<number>, forMs: number): Promise<number> {
  const began = performance.now();
  const pace = process.stderr.isTTY ? 500 : 10_000;
  let shown = began;
  const totals = await campaign(seeds, {
    plan: planOptions,
    shrink: options.shrink,
    after: (sofar) => {
      const now = performance.now();
      if (now - shown > pace) {
        shown = now;
        progress(sofar, now - began);
      }
      return now - began < forMs && sofar.findings.length < options.failures;
    },
  });
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  for (const finding of totals.findings) {
    console.log(`seed ${finding.seed}: ${finding.failure.rule}: ${finding.failure.text}`);
    console.log(`  ${replayCommand(finding.seed, finding.cut, worldFlags)}`);
  }
  for (const line of describeTotals(totals, performance.now() - began)) console.log(line);
  return totals.findings.length === 0 ? 0 : 1;
}

function progress(totals: Totals, elapsedMs: number): void {
  const rate = Math.round((totals.worlds / elapsedMs) * 60_000);
  const text = `${totals.worlds} worlds, ${rate} a minute, ${totals.tally.operations} requests, ${totals.tally.faults} faults, ${totals.tally.takeovers} takeovers, ${totals.findings.length} failures`;
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
}

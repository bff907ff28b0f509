/** Runs many worlds one after the other, counts what happened in them, and shrinks what fails. */
import { applyCut, formatCut, type Cut } from './cut.ts';
import type { Failure, Tally } from './context.ts';
import { DEFAULT_OPTIONS, planOf, type PlanOptions } from './draw.ts';
import { run, type Report, type RunOptions } from './run.ts';
import { shrink } from './shrink.ts';

export interface Finding {
  readonly seed: number;
  readonly failure: Failure;
  readonly cut: Cut;
}

/** Sums over all worlds of a campaign. */
export interface Totals {
  worlds: number;
  readonly tally: Tally;
  virtualMs: number;
  longestRecoveryMs: number;
  readonly findings: Finding[];
}

export interface CampaignOptions {
  readonly plan?: PlanOptions;
  readonly run?: RunOptions;
  readonly shrink: boolean;
  /** Told after every world; false ends the campaign. */
  readonly after?: (totals: Totals, report: Report) => boolean;
}

/** The worlds of `seeds`, each from its plan to its judgement. */
export async function campaign(seeds: Iterable<number>, options: CampaignOptions): Promise<Totals> {
  const totals: Totals = { worlds: 0, tally: emptyTally(), virtualMs: 0, longestRecoveryMs: 0, findings: [] };
  for (const seed of seeds) {
    const plan = planOf(seed, options.plan ?? DEFAULT_OPTIONS);
    const report = await run(plan, options.run);
    totals.worlds++;
    totals.virtualMs += report.endMs;
    if (report.recoveredMs > totals.longestRecoveryMs) totals.longestRecoveryMs = report.recoveredMs;
    for (const key of Object.keys(totals.tally) as (keyof Tally)[]) totals.tally[key] += report.tally[key];
    if (report.failure !== null) {
      const shrunk = options.shrink ? await shrink(plan, report, options.run) : { cut: {}, report };
      totals.findings.push({ seed, failure: shrunk.report.failure ?? report.failure, cut: shrunk.cut });
    }
    if (options.after !== undefined && !options.after(totals, report)) break;
  }
  return totals;
}

/** One world of a seed, cut down. */
export function replay(seed: number, cut: Cut, plan: PlanOptions, options: RunOptions): Promise<Report> {
  return run(applyCut(planOf(seed, plan), cut), options);
}

/** The command that replays a finding; `flags` are those that the worlds were drawn with. */
export function replayCommand(seed: number, cut: Cut, flags: string): string {
  const text = formatCut(cut);
  return `npm run sim -- --seed ${seed}${text === '' ? '' : ` --cut '${text}'`}${flags}`;
}

function emptyTally(): Tally {
  return {
    operations: 0,
    acknowledged: 0,
    reads: 0,
    faults: 0,
    swaps: 0,
    claims: 0,
    takeovers: 0,
    crashes: 0,
    events: 0,
    losses: 0,
    renamed: 0,
    repeated: 0,
    undecided: 0,
  };
}

/** The sums as lines for a person. */
export function describeTotals(totals: Totals, elapsedMs: number): string[] {
  const { tally: t } = totals;
  const perMinute = elapsedMs > 0 ? (totals.worlds / elapsedMs) * 60_000 : 0;
  const n = (value: number): string => Math.round(value).toLocaleString('en');
  return [
    `${n(totals.worlds)} worlds in ${(elapsedMs / 1000).toFixed(1)} s (${n(perMinute)} a minute), ` +
      `${(totals.virtualMs / 3_600_000).toFixed(1)} hours of virtual time, ${n(t.events)} events`,
    `${n(t.operations)} requests (${n(t.acknowledged)} modifications acknowledged, ${n(t.reads)} reads judged), ${n(t.faults)} faults, ` +
      `${n(t.crashes)} crashes, ${n(t.claims)} claims (${n(t.takeovers)} takeovers), ${n(t.swaps)} swaps, ${n(t.losses)} losses named and accepted`,
    `longest return to normal ${(totals.longestRecoveryMs / 1000).toFixed(1)} s; ${n(t.undecided)} sectors left undecided; ` +
      `${totals.findings.length === 0 ? 'no failure' : `${totals.findings.length} failures`}`,
  ];
}

/** The simulator's command: runs worlds, replays one, shrinks what fails. Exit code 0: all fine, 1: a failure was found. */
import { Command } from 'commander';
import { planOf } from './plan.ts';
import { run } from './run.ts';
import { describePlan, timeline } from './timeline.ts';

const program = new Command('sim');
program.option('--seed <n>').option('--seeds <range>').option('--all');
program.parse();
const o = program.opts<{ seed?: string; seeds?: string; all?: boolean }>();
if (o.seed !== undefined) {
  const plan = planOf(Number(o.seed));
  const report = run(plan, { story: true });
  for (const l of describePlan(plan)) console.log(l);
  for (const l of timeline(report, false, o.all ? Infinity : 150)) console.log(l);
  console.log(report.digest, report.failure, report.tally, report.endMs);
} else if (o.seeds !== undefined) {
  const [a, b] = o.seeds.split('..').map(Number) as [number, number];
  const start = performance.now();
  let bad = 0;
  const rules = new Map<string, number[]>();
  let events = 0;
  for (let s = a; s <= b; s++) {
    if (process.env.V) console.log(s);
    const r = run(planOf(s));
    events += r.tally.events;
    if (r.failure) {
      bad++;
      const key = r.failure.rule + ' ' + r.failure.text.slice(0, 150).replace(/\d+/g, '#');
      rules.set(key, [...(rules.get(key) ?? []), s]);
    }
  }
  for (const [k, v] of rules) console.log(v.length, k, v.slice(0, 8).join());
  console.log({ worlds: b - a + 1, bad, events, ms: performance.now() - start });
}

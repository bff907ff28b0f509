/**
 * What one acknowledged operation costs: processor time and context switches of every process and thread that takes part
 * in it, beside the floor's. Elapsed time depends on what else the machine does; processor time much less.
 *
 *     node dist/bench/cost.js [--only "holdfast memory,floor memory"] [--cases fua32] [--seconds 3] [--profile DIRECTORY]
 */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type Contestant, type ContestantName, profiler, startContestant } from './contestants.ts';
import { CASES, type CaseName, loadClient, measure, warmUp } from './load.ts';

/** Processor time of the kernel's own accounting comes in ticks of 10 ms; `schedstat` is exact but has no split. */
interface Usage {
  readonly ns: number;
  readonly userTicks: number;
  readonly systemTicks: number;
  readonly switches: number;
}

/** Threads of a process, summed up: the main one, and all others. */
interface ProcessUsage {
  readonly main: Usage;
  readonly others: Usage;
}

const NOTHING: Usage = { ns: 0, userTicks: 0, systemTicks: 0, switches: 0 };

function usageOf(pid: number): ProcessUsage {
  let main = NOTHING;
  let others = NOTHING;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const base = `/proc/${pid}/task/${task}`;
    const stat = readFileSync(`${base}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const status = readFileSync(`${base}/status`, 'latin1');
    const switches = [...status.matchAll(/ctxt_switches:\s+(\d+)/g)].reduce((sum, found) => sum + Number(found[1]), 0);
    const usage: Usage = {
      ns: Number(readFileSync(`${base}/schedstat`, 'latin1').split(' ')[0]),
      userTicks: Number(fields[11]),
      systemTicks: Number(fields[12]),
      switches,
    };
    if (Number(task) === pid) main = usage;
    else others = plus(others, usage, 1);
  }
  return { main, others };
}

function plus(one: Usage, other: Usage, sign: 1 | -1): Usage {
  return {
    ns: one.ns + sign * other.ns,
    userTicks: one.userTicks + sign * other.userTicks,
    systemTicks: one.systemTicks + sign * other.systemTicks,
    switches: one.switches + sign * other.switches,
  };
}

function less(after: ProcessUsage, before: ProcessUsage): ProcessUsage {
  return { main: plus(after.main, before.main, -1), others: plus(after.others, before.others, -1) };
}

async function cost(program: string, contestant: Contestant, caseName: CaseName, seconds: number): Promise<void> {
  const before = contestant.processes.map(({ pid }) => usageOf(pid));
  const measured = await measure(program, contestant, caseName, seconds, 1);
  const during = contestant.processes.map(({ pid }, i) => less(usageOf(pid), before[i]!));
  await contestant.settle();
  const after = contestant.processes.map(({ pid }, i) => less(usageOf(pid), before[i]!));
  const ops = measured.opsPerSecond * seconds;
  const us = (usage: Usage): string => (usage.ns / 1e3 / ops).toFixed(1).padStart(6);
  const share = ({ userTicks, systemTicks }: Usage): string =>
    `${((100 * userTicks) / Math.max(1, userTicks + systemTicks)).toFixed(0).padStart(3)} % user`;
  console.log(
    `\n${contestant.name}, ${CASES[caseName].name}: ${measured.opsPerSecond.toFixed(0)} ops/s, p50 ${measured.p50Us} us, p99 ${measured.p99Us} us, others ${(measured.others * 100).toFixed(0)} %`,
  );
  during.forEach((usage, i) => {
    const settled = after[i]!;
    const whole = (settled.main.ns + settled.others.ns) / 1e3 / ops;
    console.log(
      `  ${contestant.processes[i]!.role.padEnd(8)} main ${us(usage.main)} us (${share(usage.main)}, ${(usage.main.switches / ops).toFixed(2)} switches)  other threads ${us(usage.others)} us (${share(usage.others)}, ${(usage.others.switches / ops).toFixed(2)} switches)  all, settled ${whole.toFixed(1)} us`,
    );
  });
}

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: 'holdfast memory,floor memory,holdfast journal,floor journal' },
    cases: { type: 'string', default: 'fua32' },
    seconds: { type: 'string', default: '3' },
    profile: { type: 'string' },
  },
});
const program = await loadClient();
if (values.profile !== undefined) mkdirSync(values.profile, { recursive: true });
for (const name of values.only.split(',') as ContestantName[]) {
  const contestant = await startContestant(name, profiler(values.profile ?? null, name));
  if (contestant === null) continue;
  try {
    await warmUp(program, contestant);
    for (const caseName of values.cases.split(',') as CaseName[])
      await cost(program, contestant, caseName, Number(values.seconds));
  } finally {
    await contestant.end();
  }
}

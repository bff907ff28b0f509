/** A world's story as a table for the terminal: one column per server, the world's events across. */
import { styleText } from 'node:util';
import type { StoryLine } from './context.ts';
import type { Report } from './run.ts';
import { describeFault, type WorldPlan } from './plan.ts';

const COLOURS: Record<StoryLine['kind'], Parameters<typeof styleText>[0]> = {
  fault: 'red',
  note: 'cyan',
  link: 'gray',
  coordinator: 'yellow',
  medium: 'blue',
  store: 'blue',
  door: 'green',
  client: 'white',
  life: 'magenta',
  broken: ['bold', 'red'],
};

/** The lines of the table, newest last; `last` keeps the end only. */
export function timeline(report: Report, colour: boolean, last = Infinity): string[] {
  const lines: string[] = [];
  const story = report.story ?? [];
  const from = Math.max(0, story.length - last);
  if (from > 0) lines.push(`... ${from} earlier lines (--all shows them)`);
  for (const line of story.slice(from)) {
    const who = line.server < 0 ? '*' : 'abcde'.charAt(line.server);
    const to = line.to === null ? '' : typeof line.to === 'number' ? `-> ${'abcde'.charAt(line.to)}` : '';
    const text = `${line.atMs.toFixed(3).padStart(11)}  ${who.padEnd(2)}${to.padEnd(5)}${line.kind.padEnd(12)}${line.text}`;
    lines.push(colour ? styleText(COLOURS[line.kind], text) : text);
  }
  return lines;
}

/** What the world is made of, for the head of a replay. */
export function describePlan(plan: WorldPlan): string[] {
  const lines = [
    `seed ${plan.seed}: ${plan.servers} servers, ${plan.paths} paths, ${plan.operations} operations, storm of ${plan.stormMs} ms, ` +
      `${plan.bytes ? `programs ${plan.programs.map((p) => (p.first === p.later ? p.first : `${p.first}/${p.later}`)).join(' ')}, ` : ''}fence ${plan.fence}, witness ${plan.witness}, lease ${plan.timings.leaseMs} ms, drift ${plan.timings.driftFraction}` +
      `${plan.losses ? ', losses allowed' : ''}`,
  ];
  plan.volumes.forEach((v, i) => {
    const servers = v.servers.map((s) => 'abcde'.charAt(s)).join(' ');
    lines.push(
      `v${i}: servers ${servers}, ${v.sectors} sectors, ${v.kind} of ${v.capacityBytes} bytes, degraded ${v.degraded}`,
    );
  });
  plan.faults.forEach((f, i) => lines.push(`fault ${i}: ${describeFault(f)}`));
  return lines;
}

/** A world's story as a picture for the terminal: a lane for the coordinator, each server and the medium; time runs downwards. */
import { styleText } from 'node:util';
import type { StoryLine } from './context.ts';
import type { Report } from './run.ts';
import { describeFault, type WorldPlan } from './plan.ts';
import { Tracks, type TrackState } from './tracks.ts';

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

/** What a lane looks like where nothing happens in it. */
const LANES: Record<TrackState, string> = { down: ' ', frozen: '░', up: '│', serving: '┃' };
const LEGEND = 'coo the coordinator, med the medium; ┃ serves  │ runs  ░ is frozen  (blank) is down';

/** The lines of the picture, newest last; `last` keeps the end only. */
export function timeline(report: Report, colour: boolean, last = Infinity): string[] {
  const story = report.story ?? [];
  const from = Math.max(0, story.length - last);
  const lines = [LEGEND, header(report.plan.servers)];
  if (from > 0) lines.push(`... ${from} earlier lines (--all shows them)`);
  const tracks = new Tracks(report.plan.servers);
  story.forEach((line, i) => {
    tracks.feed(line);
    if (i < from) return;
    const text = `${line.atMs.toFixed(3).padStart(11)}  ${lanes(line, tracks.states)}  ${line.text}`;
    lines.push(colour ? styleText(COLOURS[line.kind], text) : text);
  });
  return lines;
}

function header(servers: number): string {
  const names = ['coo', ...Array.from({ length: servers }, (_, i) => ` ${'abcde'.charAt(i)} `), 'med'];
  return `${'ms'.padStart(11)} ${names.join(' ')}`;
}

/** One row: an arrow from lane to lane, a dot in a lane, or a line across all of them. */
function lanes(line: StoryLine, states: readonly TrackState[]): string {
  const cells = ['·', ...states.map((state) => LANES[state]), '·'];
  const gaps = cells.slice(1).map(() => '   ');
  const at = line.server + 1;
  const to = targetOf(line, states.length);
  if (line.server < 0) {
    if (line.kind === 'fault' || line.kind === 'broken') gaps.fill('╌╌╌');
  } else if (to === null) cells[at] = '●';
  else {
    const [low, high] = at < to ? [at, to] : [to, at];
    gaps.fill('───', low, high);
    for (let lane = low + 1; lane < high; lane++) cells[lane] = '─';
    cells[at] = '●';
    cells[to] = to > at ? '▶' : '◀';
  }
  return cells.map((cell, i) => cell + (gaps[i] ?? '')).join('');
}

/** The lane that the line's arrow ends in. */
function targetOf(line: StoryLine, servers: number): number | null {
  if (line.to === null) return null;
  if (line.to === 'coordinator') return 0;
  return line.to === 'medium' ? servers + 1 : line.to + 1;
}

/** What the world is made of, for the head of a replay. */
export function describePlan(plan: WorldPlan): string[] {
  const programs = plan.programs.map((p) => (p.first === p.later ? p.first : `${p.first}, later ${p.later}`));
  const lines = [
    `seed ${plan.seed}: ${plan.servers} servers, ${plan.paths} paths, ${plan.operations} operations, storm of ${plan.stormMs} ms, ` +
      `fence ${plan.fence}, witness ${plan.witness}, lease ${plan.timings.leaseMs} ms, drift ${plan.timings.driftFraction}` +
      `${plan.losses ? ', losses allowed' : ''}`,
  ];
  if (plan.bytes) lines.push(`the link in bytes; programs: ${programs.join('; ')}`);
  plan.volumes.forEach((v, i) => {
    const servers = v.servers.map((s) => 'abcde'.charAt(s)).join(' ');
    lines.push(
      `v${i}: servers ${servers}, ${v.sectors} sectors, ${v.kind} of ${v.capacityBytes} bytes, degraded ${v.degraded}`,
    );
  });
  plan.faults.forEach((f, i) => lines.push(`fault ${i}: ${describeFault(f)}`));
  return lines;
}

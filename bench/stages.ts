/**
 * Where the time of one acknowledged write goes: 4 KiB with FUA, one at a time, Holdfast beside the floor.
 *
 *     node dist/bench/stages.js [--seconds 3]
 *
 * Each server is started with bench/stage-probe.ts, which notes what it receives and writes; here the notes of owner and
 * partner are put together, write by write, and the medians told.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { findRoot } from '../src/app/root.ts';
import { type Contestant, type ContestantName, startContestant } from './contestants.ts';
import { loadClient, measure, warmUp } from './load.ts';
import { scratchDirectory, sleep } from './machine.ts';
import { median } from './report.ts';
import type { Note } from './stage-probe.ts';

/** A write of 4 KiB with its heads is larger than anything else that is said meanwhile. */
const WRITE_BYTES = 4_096;

interface Stage {
  readonly name: string;
  readonly us: number[];
}

/** The first note of that kind at or after `fromUs`; null when there is none before `untilUs`. */
function first(
  notes: readonly Note[],
  from: { at: number },
  kind: Note[0],
  fromUs: number,
  least: number,
): Note | null {
  while (from.at < notes.length && notes[from.at]![1] < fromUs) from.at += 1;
  for (let i = from.at; i < notes.length && i < from.at + 100; i += 1) {
    const found = notes[i]!;
    if (found[0] === kind && found[2] >= least) return found;
  }
  return null;
}

/** Follows each write through both servers. `answerBytes`: what the partner's and the owner's answers have at least. */
function follow(owner: readonly Note[], partner: readonly Note[], journal: boolean): Stage[] {
  const names = [
    'owner: received, until it is sent to the partner',
    'link: until the partner has it',
    'partner: until it answers',
    ...(journal ? ["partner: of that, the journal's write and its thread"] : []),
    'link: until the owner has the answer',
    'owner: until the client is answered',
    ...(journal ? ["owner: its own journal's write, beside all that"] : []),
  ];
  const stages = names.map((name): Stage => ({ name, us: [] }));
  const inOwner = { at: 0 };
  const inPartner = { at: 0 };
  const begins = owner.filter(([kind, , bytes]) => kind === 'received' && bytes >= WRITE_BYTES);
  begins.forEach((begin, i) => {
    const endUs = begins[i + 1]?.[1] ?? Infinity;
    const sent = first(owner, inOwner, 'sent', begin[1], WRITE_BYTES);
    if (sent === null || sent[1] > endUs) return;
    const there = first(partner, inPartner, 'received', sent[1], WRITE_BYTES);
    if (there === null || there[1] > endUs) return;
    const write = first(partner, inPartner, 'journal', there[1], WRITE_BYTES);
    const written = write === null ? null : first(partner, inPartner, 'journaled', write[1], WRITE_BYTES);
    const answer = first(partner, { at: inPartner.at }, 'sent', written?.[1] ?? there[1], 1);
    const own = first(owner, { at: inOwner.at }, 'journal', begin[1], WRITE_BYTES);
    const owned = own === null ? null : first(owner, { at: inOwner.at }, 'journaled', own[1], WRITE_BYTES);
    if (answer === null || answer[1] > endUs) return;
    const back = first(owner, { at: inOwner.at }, 'received', answer[1], 1);
    if (back === null || back[1] > endUs) return;
    const reply = first(owner, { at: inOwner.at }, 'sent', Math.max(back[1], owned?.[1] ?? 0), 1);
    if (reply === null || reply[1] > endUs) return;
    const times = [
      sent[1] - begin[1],
      there[1] - sent[1],
      answer[1] - there[1],
      ...(journal ? [(written?.[1] ?? NaN) - (write?.[1] ?? NaN)] : []),
      back[1] - answer[1],
      reply[1] - back[1],
      ...(journal ? [(owned?.[1] ?? NaN) - (own?.[1] ?? NaN)] : []),
    ];
    if (times.every((us) => us >= 0)) times.forEach((us, k) => stages[k]!.us.push(us));
  });
  return stages;
}

function notesOf(file: string): Note[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .map((line) => JSON.parse(line) as Note);
}

async function stagesOf(name: ContestantName, program: string, seconds: number): Promise<[number, Stage[]]> {
  const directory = scratchDirectory();
  const probe = path.join(findRoot(), 'dist', 'bench', 'stage-probe.js');
  const files = [path.join(directory, 'one'), path.join(directory, 'other')];
  const started: Contestant | null = await startContestant(name, (server) => [
    '--import',
    `file://${probe}?file=${files[server === 'a' ? 0 : 1] ?? ''}`,
  ]);
  if (started === null) throw new Error(`${name} does not start`);
  try {
    await warmUp(program, started);
    for (const { pid } of started.processes) process.kill(pid, 'SIGUSR2');
    const { p50Us } = await measure(program, started, 'fua1', seconds, 1);
    for (const { pid } of started.processes) process.kill(pid, 'SIGUSR2');
    await sleep(1_500);
    const [owner = [], partner = []] = files.map(notesOf);
    return [p50Us, follow(owner, partner, name.endsWith('journal'))];
  } finally {
    await started.end();
  }
}

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '4' } } });
const program = await loadClient();
for (const store of ['memory', 'journal'] as const) {
  const [ours, stages] = await stagesOf(`holdfast ${store}`, program, Number(values.seconds));
  const [floor, bare] = await stagesOf(`floor ${store}`, program, Number(values.seconds));
  console.log(`\n${store}, p50 in us (${stages[0]?.us.length ?? 0} and ${bare[0]?.us.length ?? 0} writes followed)`);
  console.log(`${'stage'.padEnd(56)}holdfast   floor`);
  const line = (what: string, one: number, other: number): void =>
    console.log(`${what.padEnd(56)}${one.toFixed(0).padStart(8)}${other.toFixed(0).padStart(8)}`);
  let known = 0;
  let knownBare = 0;
  stages.forEach(({ name, us }, i) => {
    const beside = name.includes('journal');
    line(name, median(us), median(bare[i]?.us ?? []));
    if (!beside) known += median(us);
    if (!beside) knownBare += median(bare[i]?.us ?? []);
  });
  line('client, and what medians do not add up to', ours - known, floor - knownBare);
  line('the client waits', ours, floor);
}

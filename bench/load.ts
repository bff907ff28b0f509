/**
 * One measurement: the load client runs once against one contestant, while the machine's other load is watched.
 */
import { mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { findRoot } from '../src/app/root.ts';
import type { Contestant, ContestantName, NbdDoor } from './contestants.ts';
import { VOLUME_MIB } from './contestants.ts';
import { HOST, Noise, output } from './machine.ts';
import { runFio } from './peers/fio.ts';

export interface Case {
  readonly name: string;
  readonly mode: 'fua' | 'write' | 'seq' | 'read';
  readonly bytes: number;
  readonly depth: number;
}

export const CASES = {
  fua1: { name: '4 KiB random writes, FUA, depth 1', mode: 'fua', bytes: 4_096, depth: 1 },
  fua32: { name: '4 KiB random writes, FUA, depth 32', mode: 'fua', bytes: 4_096, depth: 32 },
  seq8: { name: '128 KiB sequential writes, depth 8', mode: 'seq', bytes: 131_072, depth: 8 },
  read32: { name: '4 KiB random reads, depth 32', mode: 'read', bytes: 4_096, depth: 32 },
} as const satisfies Record<string, Case>;
export type CaseName = keyof typeof CASES;

/** What a client tells of its run. */
export interface Told {
  readonly opsPerSecond: number;
  readonly mbPerSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
}

export interface Measured extends Told {
  readonly contestant: ContestantName;
  readonly case: CaseName;
  readonly round: number;
  /** Share of the machine that others took meanwhile, 0..1. */
  readonly others: number;
}

/** Compiles the load client if its source is newer; returns its path. */
export async function loadClient(): Promise<string> {
  const source = path.join(findRoot(), 'bench', 'nbdload.c');
  const program = path.join(findRoot(), 'dist', 'bench', 'nbdload');
  const age = (file: string): number => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (age(program) >= age(source)) return program;
  mkdirSync(path.dirname(program), { recursive: true });
  await output('gcc', ['-O2', '-Wall', '-Wextra', '-o', program, source]).catch((error: unknown) => {
    throw new Error(`the load client needs a C compiler (Debian: gcc libc6-dev): ${String(error)}`);
  });
  return program;
}

/** Before anything is counted: by then what runs often has been compiled, as in a server that has been up for a while. */
const WARM_UP_SECONDS = 4;

/** Writes until the contestant is warm, and what that left behind is done. */
export async function warmUp(program: string, contestant: Contestant): Promise<void> {
  await measure(program, contestant, 'fua32', WARM_UP_SECONDS, 0);
  await contestant.settle();
}

export async function measure(
  program: string,
  contestant: Contestant,
  caseName: CaseName,
  seconds: number,
  round: number,
): Promise<Measured> {
  const { door } = contestant;
  const noise = new Noise();
  const told =
    door.kind === 'nbd'
      ? await overNbd(program, door, CASES[caseName], seconds)
      : await runFio(door, CASES[caseName], seconds);
  const others = noise.share();
  return { contestant: contestant.name, case: caseName, round, ...told, others };
}

async function overNbd(program: string, door: NbdDoor, one: Case, seconds: number): Promise<Told> {
  const words = [HOST, door.port, door.exportName, one.mode, one.bytes, one.depth, seconds, VOLUME_MIB];
  return JSON.parse(await output(program, words.map(String))) as Told;
}

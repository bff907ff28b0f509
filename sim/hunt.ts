/** Runs worlds with a mutated core until a checker notices, and makes sure that the core itself breaks nothing in them. */
import type { Failure } from './context.ts';
import { DEFAULT_OPTIONS, planOf } from './draw.ts';
import { mutated } from './mutate.ts';
import type { Mutation } from './mutation.ts';
import { run } from './run.ts';

export interface Catch {
  readonly seed: number;
  readonly failure: Failure;
  /** What the unchanged core breaks in the same world: null, or the catch proves nothing. */
  readonly unchanged: Failure | null;
}

/** The first world that catches the mutation: of the seeds known for it, then of 1 to its bound. Null: none does. */
export async function hunt(mutation: Mutation): Promise<Catch | null> {
  const options = await mutated(mutation);
  for (const seed of candidates(mutation)) {
    const plan = planOf(seed, { ...DEFAULT_OPTIONS, degraded: ['write-through'], files: 0, ...mutation.worlds });
    const { failure } = await run(plan, options);
    if (failure !== null) return { seed, failure, unchanged: (await run(plan)).failure };
  }
  return null;
}

function* candidates(mutation: Mutation): Generator<number> {
  yield* mutation.seeds;
  for (let seed = 1; seed <= mutation.within; seed++) if (!mutation.seeds.includes(seed)) yield seed;
}

/** Makes a failing world smaller as long as it breaks the same rule: fewer faults, servers, volumes, clients, operations. */
import { applyCut, type Cut } from './cut.ts';
import type { WorldPlan } from './plan.ts';
import { run, type Report, type RunOptions } from './run.ts';

export interface Shrunk {
  readonly cut: Cut;
  readonly report: Report;
  /** Worlds that were tried. */
  readonly tried: number;
}

/** Worlds tried at most; each takes some tens of milliseconds. */
const TRIALS = 400;

/** `failed` is the report of the whole plan. */
export async function shrink(plan: WorldPlan, failed: Report, options: RunOptions = {}): Promise<Shrunk> {
  const rule = failed.failure?.rule;
  let best: Shrunk = { cut: {}, report: failed, tried: 0 };
  let tried = 0;
  const attempt = async (cut: Cut): Promise<boolean> => {
    if (tried >= TRIALS) return false;
    tried++;
    let smaller: WorldPlan;
    try {
      smaller = applyCut(plan, cut);
    } catch {
      return false;
    }
    const report = await run(smaller, options);
    if (report.failure?.rule !== rule) return false;
    best = { cut, report, tried };
    return true;
  };
  for (let again = true; again && tried < TRIALS;) {
    again = false;
    if (
      await fewer(
        plan.volumes.length,
        () => best.cut.volumes,
        (volumes) => attempt({ ...best.cut, volumes }),
      )
    )
      again = true;
    for (let servers = 2; servers < (best.cut.servers ?? plan.servers); servers++) {
      if (await attempt({ ...best.cut, servers })) {
        again = true;
        break;
      }
    }
    if (
      await fewer(
        plan.faults.length,
        () => best.cut.faults,
        (faults) => attempt({ ...best.cut, faults }),
      )
    )
      again = true;
    if (
      await fewer(
        plan.clients.length,
        () => best.cut.clients,
        (clients) => attempt({ ...best.cut, clients }),
      )
    )
      again = true;
    const operations = best.cut.operations ?? plan.operations;
    for (const share of [0.1, 0.25, 0.5, 0.75, 0.9]) {
      if (await attempt({ ...best.cut, operations: Math.ceil(operations * share) })) {
        again = operations > 10;
        break;
      }
    }
  }
  return { ...best, tried };
}

/** Takes pieces out of a list, halves first, then one by one. True when something could go. */
async function fewer(
  all: number,
  current: () => readonly number[] | undefined,
  attempt: (kept: readonly number[]) => Promise<boolean>,
): Promise<boolean> {
  let went = false;
  const list = (): readonly number[] => current() ?? Array.from({ length: all }, (_, i) => i);
  for (let size = Math.floor(list().length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < list().length;) {
      const kept = list().filter((_, i) => i < at || i >= at + size);
      if (await attempt(kept)) went = true;
      else at += size;
    }
  }
  return went;
}

/** Carries planned changes of owner out, one after the other, and shows how far they are. */
import { Fault } from '../../base/fault.ts';
import type { HandoverReport } from '../../core/server.ts';
import { formatMs } from '../config/units.ts';
import { exitCodeOf, ExitCode, Failure } from '../exit.ts';
import { paintFor } from '../style.ts';
import { askAll, count, toFailure, volumeViews } from './common.ts';
import type { Cluster, ServerView, VolumeView } from './common.ts';
import type { Plan } from './plan.ts';

const out = (text: string): void => void process.stdout.write(`${text}\n`);

/** Every volume as the cluster sees it now. The failure `unreachable` when nobody answers. */
export async function lookAt(
  cluster: Cluster,
): Promise<{ servers: readonly ServerView[]; views: readonly VolumeView[] }> {
  const servers = await askAll(cluster);
  if (servers.every((view) => view.answer === null)) {
    throw new Failure(ExitCode.unreachable, servers.map((view) => view.silence).join('\n'));
  }
  return { servers, views: volumeViews(cluster.config, servers) };
}

/** `one: a -> b` */
export function headOf({ volume, from, to }: Plan): string {
  const paint = paintFor(process.stdout);
  return `${paint('strong', volume)}: ${from} ${paint('dim', '->')} ${paint('strong', to ?? 'nobody')}`;
}

/** What would be done, and nothing else. The failure `refused` when something is not possible. */
export function showPlans(plans: readonly Plan[]): void {
  const paint = paintFor(process.stdout);
  for (const plan of plans) {
    if (plan.nothingToDo) {
      out(`${paint('strong', plan.volume)}: ${plan.from} owns it already, nothing to do`);
      continue;
    }
    out(`${headOf(plan)}  ${plan.reasons.length === 0 ? paint('good', 'possible') : paint('bad', 'not possible')}`);
    for (const reason of plan.reasons) out(`  - ${reason}`);
    if (plan.brake !== null) {
      out(`  ${paint('warn', 'the brake is on')} for another ${formatMs(plan.brake.leftMs)}: ${plan.brake.why}`);
    }
  }
  const stuck = plans.filter((plan) => plan.reasons.length > 0);
  if (stuck.length > 0) {
    throw new Failure(
      ExitCode.refused,
      `${count(stuck.length, 'volume')} cannot change the owner now; nothing was changed`,
    );
  }
  out(paint('dim', 'nothing was changed'));
}

/** One change of owner; null when there was nothing to do. A Failure says why it came to nothing. */
export async function carryOut(cluster: Cluster, plan: Plan): Promise<HandoverReport | null> {
  const paint = paintFor(process.stdout);
  const { volume, to } = plan;
  if (plan.nothingToDo) {
    out(`${plan.from} owns the volume "${volume}" already: nothing to do`);
    return null;
  }
  if (to === null || plan.reasons.length > 0) {
    const whom = to === null ? 'nobody can take the volume' : `${to} cannot take the volume`;
    throw new Failure(ExitCode.refused, `${whom} "${volume}" over now: ${plan.reasons.join('; ')}`);
  }
  out(headOf(plan));
  const startedMs = performance.now();
  const since = (): string => paint('dim', formatMs(performance.now() - startedMs).padStart(8));
  try {
    const report = await cluster.client(to).takeover(volume, (text) => out(`${since()}  ${text}`));
    const pause = paint('strong', formatMs(report.pauseMs));
    out(`${since()}  ${paint('good', 'done')}: ${to} serves it; clients waited ${pause}`);
    return report;
  } catch (error) {
    if (!(error instanceof Fault)) throw toFailure(error);
    const why = `${to} did not take the volume "${volume}" over: ${error.message}`;
    throw new Failure(exitCodeOf(error), why, error);
  }
}

/** One after the other; what fails is told, and the others go on. The failure counts them. */
export async function carryOutAll(cluster: Cluster, plans: readonly Plan[]): Promise<void> {
  const paint = paintFor(process.stdout);
  const failures: Failure[] = [];
  for (const [index, plan] of plans.entries()) {
    out(paint('dim', `volume ${index + 1} of ${plans.length}`));
    try {
      await carryOut(cluster, plan);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      failures.push(error);
      out(`${paint('bad', 'failed')}: ${error.message}`);
    }
  }
  const [first] = failures;
  if (first === undefined) return;
  throw new Failure(
    first.code,
    `${failures.length} of ${count(plans.length, 'volume')} stayed where they were; the reasons are above`,
  );
}

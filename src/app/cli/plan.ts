/**
 * What a planned change of owner would do: who takes which volume from whom, or everything that speaks against it.
 * Pure: what the servers say in, plans out; `--dry-run` shows them, the commands carry them out.
 */
import type { Brake } from '../../core/status.ts';
import type { ServerView, VolumeView } from './common.ts';

/** One volume's change of owner. */
export interface Plan {
  readonly volume: string;
  readonly from: string;
  /** Who is to own it; null when nobody can. */
  readonly to: string | null;
  /** It is there already. */
  readonly nothingToDo: boolean;
  /** All that speaks against it; empty when it is possible. */
  readonly reasons: readonly string[];
  /** What holds back changes that nobody asked for: an administrator's command goes on, but should know. */
  readonly brake: Brake | null;
}

/** Has `taker` own the volume; left out: the first of the others that can. */
export function planTake(view: VolumeView, servers: readonly ServerView[], taker?: string): Plan {
  const { best, config } = view;
  const from = best?.owner ?? 'nobody';
  const plan = (to: string | null, reasons: readonly string[], nothingToDo = false): Plan => {
    return { volume: config.name, from, to, nothingToDo, reasons, brake: best?.brake?.handover ?? null };
  };
  if (best === null) return plan(taker ?? null, ['no server that answers knows it: was it created?']);
  if (taker !== undefined) {
    if (from === taker && best.serving) return plan(taker, [], true);
    return plan(taker, reasonsAgainst(view, servers, taker));
  }
  const others = config.servers.filter((server) => server !== from);
  if (others.length === 0) return plan(null, ['it has no other server']);
  const judged = others.map((server) => ({ server, reasons: reasonsAgainst(view, servers, server) }));
  const able = judged.find(({ reasons }) => reasons.length === 0);
  if (able !== undefined) return plan(able.server, []);
  // Each says whom it is about; what the owner says is said once.
  const named = [...new Set(judged.flatMap(({ reasons }) => reasons))];
  return plan(judged.length === 1 ? (judged[0]?.server ?? null) : null, named);
}

/** Everything that keeps `taker` from taking the volume over now, by name. */
export function reasonsAgainst(view: VolumeView, servers: readonly ServerView[], taker: string): string[] {
  const { config, best, byServer } = view;
  if (!config.servers.includes(taker))
    return [`${taker} is none of its servers: they are ${config.servers.join(', ')}`];
  const found: string[] = [];
  if (best?.loss != null) found.push(`it is down, something is lost: ${best.loss}`);
  else if (best?.owner === null) found.push('nobody owns it yet');
  const status = byServer.get(taker);
  const silence = servers.find(({ server }) => server.name === taker)?.silence ?? null;
  if (silence !== null) found.push(`${taker} does not answer: ${silence}`);
  else if (status === undefined)
    found.push(`${taker} does not take part for it: was it started before the volume was made?`);
  else found.push(...status.takeoverRefusals.map((why) => `${taker}: ${why}`));
  const owner = best?.owner ?? null;
  if (owner !== null && owner !== taker) {
    const refusals = byServer.get(owner)?.handoverRefusals ?? [];
    found.push(...refusals.map((why) => `${owner}: ${why}`));
    const gone = servers.find(({ server }) => server.name === owner)?.silence ?? null;
    if (gone !== null && status !== undefined && status.takeoverRefusals.length === 0)
      found.push(`${owner}, its owner, does not answer: ${gone}`);
  }
  return found;
}

/** Every volume that `server` owns, to be taken over by others. */
export const plansFrom = (server: string, views: readonly VolumeView[], servers: readonly ServerView[]): Plan[] =>
  views.filter((view) => view.best?.owner === server).map((view) => planTake(view, servers));

/** Every volume that prefers `server`, to be given back to it. */
export const plansBack = (server: string, views: readonly VolumeView[], servers: readonly ServerView[]): Plan[] =>
  views.filter((view) => view.config.servers[0] === server).map((view) => planTake(view, servers, server));

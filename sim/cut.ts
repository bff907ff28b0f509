/**
 * What is taken out of a world's plan: the shrinker's moves, as a short text that goes on a command line
 * (`faults=1,4;volumes=0;servers=2;clients=0;operations=120`). What is not named stays.
 */
import type { PlannedFault, Trouble, WorldPlan } from './plan.ts';

export interface Cut {
  /** Indices of what is kept, in the original plan. */
  readonly faults?: readonly number[];
  readonly volumes?: readonly number[];
  readonly clients?: readonly number[];
  /** Only the first so many servers. */
  readonly servers?: number;
  readonly operations?: number;
}

const LISTS = ['faults', 'volumes', 'clients'] as const;
const NUMBERS = ['servers', 'operations'] as const;

export function formatCut(cut: Cut): string {
  const parts: string[] = [];
  for (const key of LISTS) {
    const list = cut[key];
    if (list !== undefined) parts.push(`${key}=${list.join()}`);
  }
  for (const key of NUMBERS) {
    const value = cut[key];
    if (value !== undefined) parts.push(`${key}=${value}`);
  }
  return parts.join(';');
}

/** Throws with a sentence when the text is no cut. */
export function parseCut(text: string): Cut {
  const cut: { -readonly [K in keyof Cut]: Cut[K] } = {};
  for (const part of text.split(';')) {
    if (part === '') continue;
    const [key, value] = part.split('=');
    const list = LISTS.find((k) => k === key);
    const number = NUMBERS.find((k) => k === key);
    if (value === undefined || (list === undefined && number === undefined))
      throw new Error(`"${part}" is no part of a cut`);
    if (list !== undefined) cut[list] = value === '' ? [] : value.split(',').map((v) => natural(v, part));
    if (number !== undefined) cut[number] = natural(value, part);
  }
  return cut;
}

function natural(text: string, part: string): number {
  if (!/^\d+$/.test(text)) throw new Error(`"${part}": "${text}" is no number`);
  return Number(text);
}

/** The plan without what the cut takes out. Throws when nothing that could run is left. */
export function applyCut(plan: WorldPlan, cut: Cut): WorldPlan {
  const servers = Math.min(cut.servers ?? plan.servers, plan.servers);
  const kept = (cut.volumes ?? plan.volumes.map((_, i) => i)).filter((v) => {
    const volume = plan.volumes[v];
    return volume !== undefined && volume.servers.some((s) => s < servers);
  });
  if (servers < 1 || kept.length === 0) throw new Error('a world needs a server and a volume');
  const volumes = kept.map((v) => {
    const volume = plan.volumes[v] as WorldPlan['volumes'][number];
    return { ...volume, servers: volume.servers.filter((s) => s < servers) };
  });
  const clients = plan.clients
    .filter((client, i) => (cut.clients ?? [i]).includes(i) && kept.includes(client.volume))
    .map((client) => ({ ...client, volume: kept.indexOf(client.volume) }));
  const faults = plan.faults
    .filter((_, i) => cut.faults === undefined || cut.faults.includes(i))
    .flatMap((fault) => fitting(fault, servers, kept));
  return {
    ...plan,
    servers,
    programs: plan.programs.slice(0, servers),
    volumes,
    clients,
    faults,
    operations: Math.min(plan.operations, cut.operations ?? plan.operations),
  };
}

/** The fault in the smaller world, or nothing when it spoke of what is not there. */
function fitting(fault: PlannedFault, servers: number, volumes: readonly number[]): PlannedFault[] {
  const { when, trouble } = fault;
  let { aim } = fault;
  if ('server' in when && when.server !== null && when.server >= servers) return [];
  if ('server' in trouble && trouble.server !== null && trouble.server >= servers) return [];
  if ('from' in trouble && (trouble.from >= servers || trouble.to >= servers)) return [];
  if (aim !== null && 'volume' in aim) {
    const volume = volumes.indexOf(aim.volume);
    if (volume < 0) return [];
    aim = { ...aim, volume };
  }
  if (trouble.kind === 'partition') {
    const members = trouble.members.filter((s) => s < servers);
    return members.length === 0 || members.length === servers ? [] : [{ when, trouble: { ...trouble, members }, aim }];
  }
  if (!('volume' in trouble)) return [{ when, trouble, aim }];
  const volume = volumes.indexOf(trouble.volume);
  if (volume < 0) return [];
  const moved: Trouble = { ...trouble, volume };
  return [{ when, trouble: moved, aim }];
}

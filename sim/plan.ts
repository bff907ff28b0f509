/**
 * A world as data: what one seed stands for. Everything that may happen from outside is in here (servers, volumes,
 * timings, faults, the clients' habits), so that a failing world can be shrunk by taking parts away.
 */
import type { DegradedPolicy, ReadPolicy, Timings } from '../src/core/settings.ts';
import type { StoreKind } from '../src/ports/store.ts';
import { HOOKS, type Hook } from './context.ts';
import { Prng } from './prng.ts';

/** When a fault begins: at a time, or shortly after the nth time that something happens at a server. */
export type When =
  | { readonly atMs: number }
  | { readonly on: Hook; readonly server: number; readonly nth: number; readonly afterMs: number };

/** What happens to the world. Servers and volumes by index; `forMs` is how long it lasts, if it lasts. */
export type Trouble =
  | { readonly kind: 'crash'; readonly server: number; readonly host: boolean; readonly downMs: number; readonly rot: number }
  | { readonly kind: 'freeze'; readonly server: number; readonly forMs: number }
  | { readonly kind: 'cut'; readonly from: number; readonly to: number; readonly path: number | null; readonly both: boolean; readonly forMs: number }
  | { readonly kind: 'reset'; readonly from: number; readonly to: number; readonly path: number }
  | { readonly kind: 'slow-link'; readonly from: number; readonly to: number; readonly extraMs: number; readonly forMs: number }
  | {
      readonly kind: 'isolate';
      readonly server: number;
      readonly link: boolean;
      readonly coordinator: boolean;
      readonly clients: boolean;
      readonly forMs: number;
    }
  | {
      readonly kind: 'coordinator';
      readonly server: number | null;
      readonly mode: 'slow' | 'hang' | 'fault' | 'mute' | 'late';
      readonly forMs: number;
    }
  | {
      readonly kind: 'medium';
      readonly server: number;
      readonly volume: number;
      readonly mode: 'slow' | 'hang' | 'fail' | 'fail-sync';
      readonly share: number;
      readonly forMs: number;
    }
  | { readonly kind: 'full'; readonly volume: number; readonly forMs: number }
  | {
      readonly kind: 'store';
      readonly server: number;
      readonly volume: number;
      readonly mode: 'slow' | 'hang' | 'fail';
      readonly forMs: number;
    }
  | { readonly kind: 'damage'; readonly server: number; readonly volume: number; readonly downMs: number }
  | { readonly kind: 'takeover'; readonly server: number; readonly volume: number }
  | { readonly kind: 'stop'; readonly server: number; readonly downMs: number }
  | { readonly kind: 'power'; readonly downMs: number };

export interface PlannedFault {
  readonly when: When;
  readonly trouble: Trouble;
}

export interface VolumePlan {
  /** Servers in order of preference, by index. */
  readonly servers: readonly number[];
  readonly sectors: number;
  readonly kind: StoreKind;
  readonly capacityBytes: number;
  readonly degraded: DegradedPolicy;
  readonly reads: ReadPolicy;
  readonly giveback: 'manual' | 'auto';
}

export interface ClientPlan {
  readonly volume: number;
  readonly connections: number;
  /** Requests that it keeps on their way. */
  readonly depth: number;
  /** Mean pause between two requests of one slot, ms. */
  readonly pauseMs: number;
  readonly reads: number;
  readonly zeroes: number;
  /** Largest request in sectors. */
  readonly span: number;
  /** Part of the volume it works in: sectors from, count. */
  readonly from: number;
  readonly count: number;
  /** What is unanswered when a connection breaks: the share that is sent again. */
  readonly resend: number;
  /** Unanswered for so long: it closes the connection and looks for another server. */
  readonly patienceMs: number;
}

export interface WorldPlan {
  readonly seed: number;
  readonly servers: number;
  readonly paths: number;
  readonly volumes: readonly VolumePlan[];
  readonly clients: readonly ClientPlan[];
  readonly timings: Timings;
  readonly faults: readonly PlannedFault[];
  /** All requests of all clients. */
  readonly operations: number;
  /** When the last fault may begin; then everything is healed. */
  readonly stormMs: number;
  readonly fence: 'none' | 'kill';
  /** Chance that a process's end can be proven. */
  readonly witness: number;
  readonly linkMs: number;
  readonly mediumMs: number;
  readonly coordinatorMs: number;
  readonly punch: boolean;
  readonly reserve: boolean;
  readonly extents: boolean;
  /** All copies may be lost together: then the loss must be named. */
  readonly losses: boolean;
  /** The coordinator lies on the medium: they fail together. */
  readonly coordinatorOnMedium: boolean;
}

/** What the generator may use; the switches for what a core cannot do yet. */
export interface PlanOptions {
  readonly degraded: readonly DegradedPolicy[];
  readonly calm: boolean;
}
export const DEFAULT_OPTIONS: PlanOptions = { degraded: ['write-through'], calm: false };

/** The world of a seed. */
export function planOf(seed: number, options: PlanOptions = DEFAULT_OPTIONS): WorldPlan {
  const prng = Prng.ofSeed(seed).fork('plan');
  const servers = prng.chance(0.65) ? 2 : prng.chance(0.7) ? 3 : prng.int(4, 5);
  const volumeCount = prng.chance(0.6) ? 1 : prng.chance(0.8) ? 2 : prng.int(3, 8);
  const losses = prng.chance(0.08);
  const memory = losses || prng.chance(0.5);
  const volumes: VolumePlan[] = [];
  for (let v = 0; v < volumeCount; v++) {
    const order = shuffled(prng, servers);
    volumes.push({
      servers: prng.chance(0.85) ? order : order.slice(0, Math.max(2, order.length - 1)),
      sectors: prng.pick([8, 16, 16, 32, 64]),
      kind: (prng.chance(0.9) ? memory : !memory) ? 'memory' : 'journal',
      capacityBytes: prng.pick([2, 4, 8, 16, 32]) * 8 * 576,
      degraded: prng.pick(options.degraded),
      reads: prng.pick(['leased', 'leased', 'confirmed']),
      giveback: prng.pick(['manual', 'auto']),
    });
  }
  const stormMs = prng.pick([3000, 5000, 8000]);
  const operations = prng.int(100, 400);
  const timings = timingsOf(prng);
  const plan: WorldPlan = {
    seed,
    servers,
    paths: prng.chance(0.8) ? 2 : prng.pick([1, 3]),
    volumes,
    clients: clientsOf(prng, volumes, stormMs, operations),
    timings,
    faults: options.calm ? [] : faultsOf(prng, servers, volumes, stormMs, losses, timings),
    operations,
    stormMs,
    // A fence that shoots takes memory with it: only where nothing or everything may be lost.
    fence: prng.chance(0.4) && (losses || volumes.every((v) => v.kind === 'journal')) ? 'kill' : 'none',
    witness: prng.pick([0, 0.5, 1]),
    linkMs: prng.pick([0.2, 0.5, 2]),
    mediumMs: prng.pick([0.5, 2, 8]),
    coordinatorMs: prng.pick([0.5, 2, 8]),
    punch: prng.chance(0.6),
    reserve: prng.chance(0.6),
    extents: prng.chance(0.6),
    losses,
    coordinatorOnMedium: prng.chance(0.3),
  };
  return plan;
}

function shuffled(prng: Prng, count: number): number[] {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = prng.below(i + 1);
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  return order;
}

/** Deadlines of one world: from brisk to lax, always within the relations that the core asserts. */
function timingsOf(prng: Prng): Timings {
  const heartbeatMs = prng.pick([50, 100, 100]);
  const entryMs = prng.pick([100, 150]);
  const pollMs = prng.pick([100, 150, 200]);
  return {
    heartbeatMs,
    silentMs: heartbeatMs * prng.pick([4, 6]),
    entryMs,
    entryStallMs: entryMs * prng.pick([4, 6]),
    pollMs,
    leaseMs: Math.max(4 * pollMs, 4 * heartbeatMs) * prng.pick([1, 1.5, 2]),
    driftFraction: prng.pick([0, 0.01, 0.1]),
    confirmMs: prng.pick([300, 1000]),
    coordinatorMs: prng.pick([500, 1500]),
    sourceMs: prng.pick([500, 1500]),
    destageMs: prng.pick([20, 100, 400, 1500]),
    yieldMs: prng.pick([500, 1500]),
    handoverMs: prng.pick([2000, 5000]),
    probeMs: prng.pick([300, 1000, 3000]),
    ioMs: prng.pick([800, 3000]),
    retryMs: prng.pick([50, 200]),
  };
}

function clientsOf(prng: Prng, volumes: readonly VolumePlan[], stormMs: number, operations: number): ClientPlan[] {
  const clients: ClientPlan[] = [];
  const zeroes = prng.chance(0.5) ? 0 : 0.12;
  volumes.forEach((volume, index) => {
    const count = prng.int(1, 3);
    for (let c = 0; c < count; c++) {
      const hot = prng.chance(0.5);
      const span = prng.pick([1, 4, Math.min(8, volume.sectors)]);
      clients.push({
        volume: index,
        connections: prng.int(1, 2),
        depth: prng.int(1, 4),
        pauseMs: 0,
        reads: prng.pick([0.2, 0.4, 0.6]),
        zeroes,
        span,
        from: hot ? 0 : prng.below(volume.sectors),
        count: hot ? Math.min(volume.sectors, 4) : volume.sectors,
        resend: prng.pick([0, 0.5, 1]),
        patienceMs: prng.pick([400, 1500, 4000]),
      });
    }
  });
  const slots = clients.reduce((sum, c) => sum + c.depth, 0);
  const pauseMs = (stormMs * slots) / operations;
  return clients.map((c) => ({ ...c, pauseMs: pauseMs * prng.pick([0.5, 1]) }));
}

/** Kinds of trouble and how often each is drawn; a world uses a random part of them. */
const MENU: readonly (readonly [Trouble['kind'], number])[] = [
  ['crash', 5],
  ['freeze', 3],
  ['cut', 4],
  ['reset', 2],
  ['slow-link', 1],
  ['isolate', 4],
  ['coordinator', 4],
  ['medium', 4],
  ['full', 1],
  ['store', 2],
  ['damage', 1],
  ['takeover', 4],
  ['stop', 2],
  ['power', 1],
];

function faultsOf(
  prng: Prng,
  servers: number,
  volumes: readonly VolumePlan[],
  stormMs: number,
  losses: boolean,
  timings: Timings,
): PlannedFault[] {
  const menu = MENU.filter(([kind]) => prng.chance(kind === 'crash' ? 0.85 : 0.45)).map(
    ([kind, weight]) => [kind, losses && kind === 'power' ? 8 : weight] as const,
  );
  if (losses && prng.chance(0.7) && !menu.some(([kind]) => kind === 'power')) menu.push(['power', 6]);
  if (menu.length === 0) return [];
  const total = menu.reduce((sum, [, weight]) => sum + weight, 0);
  const count = prng.int(1, 8);
  const faults: PlannedFault[] = [];
  const draw = (): Trouble => {
    let at = prng.below(total);
    for (const [kind, weight] of menu) {
      if (at < weight) return troubleOf(prng, kind, servers, volumes, losses, timings);
      at -= weight;
    }
    throw new Error('the menu is empty');
  };
  for (let i = 0; i < count; i++) {
    const trouble = draw();
    const when: When = prng.chance(0.5)
      ? { atMs: prng.between(100, stormMs) }
      : { on: prng.pick(HOOKS), server: prng.below(servers), nth: 1 + Math.floor(30 * prng.float() ** 3), afterMs: prng.chance(0.4) ? 0 : prng.latency(3) };
    faults.push({ when, trouble });
    // Troubles like company: often a second one follows upon the first.
    if (prng.chance(0.3)) {
      const next: When = 'atMs' in when ? { atMs: when.atMs + prng.between(0, 1500) } : { ...when, afterMs: when.afterMs + prng.latency(100) };
      faults.push({ when: next, trouble: draw() });
    }
  }
  return faults;
}

function troubleOf(
  prng: Prng,
  kind: Trouble['kind'],
  servers: number,
  volumes: readonly VolumePlan[],
  losses: boolean,
  timings: Timings,
): Trouble {
  const server = prng.below(servers);
  const other = (server + 1 + prng.below(Math.max(1, servers - 1))) % servers;
  const volume = prng.below(volumes.length);
  const downMs = prng.pick([prng.between(5, 60), prng.between(100, 800), prng.between(1000, 4000)]);
  const forMs = prng.pick([
    prng.between(5, 100),
    prng.between(200, 1200),
    prng.between(1000, 4000),
    timings.leaseMs * prng.between(0.8, 1.3),
    // Long enough to be declared dead, claimed from, and to come back.
    Math.max(timings.silentMs, timings.entryStallMs) * prng.between(1, 2) + timings.leaseMs * prng.between(0.5, 2),
  ]);
  switch (kind) {
    case 'crash':
      return { kind, server, host: prng.chance(0.4), downMs, rot: prng.chance(0.15) ? prng.int(1, 3) : 0 };
    case 'freeze':
      return { kind, server, forMs };
    case 'cut':
      return { kind, from: server, to: other, path: prng.chance(0.6) ? null : prng.below(2), both: prng.chance(0.6), forMs };
    case 'reset':
      return { kind, from: server, to: other, path: prng.below(2) };
    case 'slow-link':
      return { kind, from: server, to: other, extraMs: prng.pick([10, 100, 500]), forMs };
    case 'isolate': {
      const link = prng.chance(0.7);
      const coordinator = prng.chance(0.6);
      return { kind, server, link, coordinator: coordinator || !link, clients: prng.chance(0.3), forMs };
    }
    case 'coordinator':
      return { kind, server: prng.chance(0.6) ? server : null, mode: prng.pick(['slow', 'hang', 'fault', 'mute', 'late']), forMs };
    case 'medium':
      return {
        kind,
        server,
        volume,
        mode: prng.pick(['slow', 'hang', 'fail', 'fail-sync']),
        share: prng.pick([0.2, 0.6, 1]),
        forMs,
      };
    case 'full':
      return { kind, volume, forMs };
    case 'store':
      return { kind, server, volume, mode: prng.pick(['slow', 'hang', 'fail']), forMs };
    case 'damage':
      return { kind, server, volume, downMs };
    case 'takeover':
      return { kind, server, volume };
    case 'stop':
      return { kind, server, downMs };
    case 'power':
      // Without journals everything undestaged would be gone: only where losses are looked for.
      return losses || volumes.every((v) => v.kind === 'journal') ? { kind, downMs } : { kind: 'crash', server, host: true, downMs, rot: 0 };
  }
}

/** One line for a person. */
export function describeFault(fault: PlannedFault): string {
  const { when, trouble } = fault;
  const at =
    'atMs' in when
      ? `at ${when.atMs.toFixed(1)} ms`
      : `${when.afterMs.toFixed(2)} ms after ${when.on} number ${when.nth} at server ${when.server}`;
  const { kind, ...rest } = trouble;
  const fields = Object.entries(rest).map(([key, value]) => `${key} ${typeof value === 'number' ? +value.toFixed(1) : String(value)}`);
  return `${at}: ${kind} ${fields.join(', ')}`;
}

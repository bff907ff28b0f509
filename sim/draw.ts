/** Draws the world of a seed: servers, volumes, clients, deadlines, and the storm of faults (`plan.ts` has the types). */
import type { DegradedPolicy, Timings } from '../src/core/settings.ts';
import type { StoreKind } from '../src/ports/store.ts';
import { HOOKS } from './context.ts';
import type {
  Aim,
  ClientPlan,
  FenceKind,
  PlannedFault,
  Programs,
  Trouble,
  VolumePlan,
  When,
  WorldPlan,
} from './plan.ts';
import { Prng } from './prng.ts';
import { STORMS, stormOf, type Storm } from './storms.ts';

/** What the generator may use. */
export interface PlanOptions {
  readonly degraded: readonly DegradedPolicy[];
  readonly calm: boolean;
  /** Only these troubles; null means any. */
  readonly menu: readonly Trouble['kind'][] | null;
  /** Every world has this storm; null means that it is drawn, or none. */
  readonly storm: Storm | null;
  /** So many servers; null means that it is drawn. */
  readonly servers: number | null;
  /** All stores are of this kind; null means that it is drawn. */
  readonly stores: StoreKind | null;
  /** How often all copies may be lost together. */
  readonly losses: number;
  /** How many of the volumes are files volumes. */
  readonly files: number;
}
export const DEFAULT_OPTIONS: PlanOptions = {
  degraded: ['write-through', 'write-through', 'journal', 'stop'],
  calm: false,
  menu: null,
  storm: null,
  servers: null,
  stores: null,
  losses: 0.08,
  files: 0.4,
};

/** The world of a seed. */
export function planOf(seed: number, options: PlanOptions = DEFAULT_OPTIONS): WorldPlan {
  const prng = Prng.ofSeed(seed).fork('plan');
  const more = Prng.ofSeed(seed).fork('more');
  const kinds = Prng.ofSeed(seed).fork('kinds');
  const drawn = prng.chance(0.65) ? 2 : prng.chance(0.7) ? 3 : prng.int(4, 5);
  const servers = options.servers ?? drawn;
  const volumeCount = prng.chance(0.6) ? 1 : prng.chance(0.8) ? 2 : prng.int(3, 8);
  const losses = prng.chance(options.losses);
  const memory = losses || prng.chance(0.5);
  const volumes: VolumePlan[] = [];
  for (let v = 0; v < volumeCount; v++) {
    const order = shuffled(prng, servers);
    volumes.push({
      servers: prng.chance(0.85) ? order : order.slice(0, Math.max(2, order.length - 1)),
      sectors: prng.pick([8, 16, 16, 32, 64]),
      kind: kindOf(prng.chance(0.9) ? memory : !memory, options.stores),
      capacityBytes: prng.pick([2, 4, 8, 16, 32]) * 8 * 576,
      degraded: prng.pick(options.degraded),
      reads: prng.pick(['leased', 'leased', 'confirmed']),
      giveback: prng.pick(['manual', 'auto']),
      files: kinds.chance(options.files),
    });
  }
  const stormMs = prng.pick([3000, 5000, 8000]);
  const operations = prng.int(100, 400);
  const timings = timingsOf(prng);
  const files = volumes.findIndex((volume) => volume.files);
  const calls = files >= 0 && kinds.chance(0.15) && !options.calm && options.menu === null;
  const coordinatorOnMedium = more.chance(0.3);
  const plan: WorldPlan = {
    seed,
    servers,
    paths: prng.chance(0.8) ? 2 : prng.pick([1, 3]),
    volumes,
    clients: clientsOf(prng, volumes, stormMs, operations),
    timings,
    faults: [
      ...(options.calm
        ? []
        : faultsOf(prng, { servers, volumes, stormMs, losses, timings, menu: options.menu, storm: options.storm })),
      ...(calls ? stormOf(kinds, 'slow-calls', servers, files, stormMs, timings) : []),
    ],
    operations,
    stormMs,
    fence: fenceOf(prng.chance(0.4), more, coordinatorOnMedium),
    witness: prng.pick([0, 0.5, 1]),
    linkMs: prng.pick([0.2, 0.5, 2]),
    ...dialectsOf(more, servers),
    mediumMs: prng.pick([0.5, 2, 8]),
    coordinatorMs: prng.pick([0.5, 2, 8]),
    punch: prng.chance(0.6),
    reserve: prng.chance(0.6),
    extents: prng.chance(0.6),
    losses,
    coordinatorOnMedium,
  };
  return plan;
}

/** Most worlds have one program; in the others the servers run several, and some change theirs when they restart. */
function dialectsOf(prng: Prng, servers: number): Pick<WorldPlan, 'bytes' | 'programs'> {
  const mixed = prng.chance(0.15);
  const distant = mixed && prng.chance(0.1) ? prng.below(servers) : -1;
  const programs = Array.from({ length: servers }, (_, server): Programs => {
    if (!mixed) return { first: 'this', later: 'this' };
    const first = prng.pick(['older', 'this', 'newer'] as const);
    const later = prng.chance(0.5) ? first : prng.pick(['older', 'this', 'newer'] as const);
    return { first: server === distant ? 'distant' : first, later };
  });
  return { bytes: mixed || prng.chance(0.05), programs };
}

/** One that takes the medium away takes a coordinator on it away as well: not told apart here. */
function fenceOf(fenced: boolean, prng: Prng, coordinatorOnMedium: boolean): FenceKind {
  if (!fenced) return 'none';
  return prng.pick(coordinatorOnMedium ? ['process', 'power'] : ['process', 'power', 'medium']);
}

function kindOf(memory: boolean, only: StoreKind | null): StoreKind {
  return only ?? (memory ? 'memory' : 'journal');
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
    confirmMs: prng.pick([300, 1000, 2500]),
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
        patienceMs: prng.pick([150, 400, 1500, 4000]),
      });
    }
  });
  const slots = clients.reduce((sum, c) => sum + c.depth, 0);
  // Such that the requests last through the storm.
  const pauseMs = (stormMs * slots) / (0.85 * operations);
  return clients.map((c) => ({ ...c, pauseMs: pauseMs * prng.pick([0.8, 1.25]) }));
}

/** Kinds of trouble and how often each is drawn; a world uses a random part of them. */
const MENU: readonly (readonly [Trouble['kind'], number])[] = [
  ['crash', 5],
  ['freeze', 3],
  ['cut', 4],
  ['reset', 2],
  ['slow-link', 2],
  ['isolate', 4],
  ['partition', 3],
  ['coordinator', 4],
  ['medium', 4],
  ['unmount', 1],
  ['full', 1],
  ['store', 2],
  ['damage', 1],
  ['takeover', 4],
  ['stop', 2],
  ['power', 1],
  ['give-up', 4],
];

/** What the faults of a world are drawn for. */
interface Scene {
  readonly servers: number;
  readonly volumes: readonly VolumePlan[];
  readonly stormMs: number;
  readonly losses: boolean;
  readonly timings: Timings;
  readonly menu: readonly Trouble['kind'][] | null;
  readonly storm: Storm | null;
}

function faultsOf(prng: Prng, scene: Scene): PlannedFault[] {
  const menu = MENU.filter(([kind]) => {
    const chosen =
      prng.chance(kind === 'crash' ? 0.85 : 0.45) || (scene.losses && (kind === 'power' || kind === 'give-up'));
    return scene.menu === null ? chosen : scene.menu.includes(kind);
  }).map(([kind, weight]) => [kind, scene.losses && kind === 'power' ? 8 : weight] as const);
  const total = menu.reduce((sum, [, weight]) => sum + weight, 0);
  const draw = (): Trouble => {
    let at = prng.below(total);
    for (const [kind, weight] of menu) {
      if (at < weight) return troubleOf(prng, kind, scene);
      at -= weight;
    }
    throw new Error('the menu is empty');
  };
  const storm = scene.storm ?? (scene.menu === null && prng.chance(0.4) ? prng.pick(STORMS) : null);
  const count = menu.length === 0 ? 0 : storm === null ? prng.int(1, 10) : prng.int(0, 4);
  const faults: PlannedFault[] = [];
  if (storm !== null) {
    faults.push(...stormOf(prng, storm, scene.servers, prng.below(scene.volumes.length), scene.stormMs, scene.timings));
  }
  for (let i = 0; i < count; i++) {
    const when = whenOf(prng, scene);
    faults.push({ when, trouble: draw(), aim: aimOf(prng, scene, when) });
    // Troubles like company: often a second one follows upon the first.
    if (prng.chance(0.35)) {
      const next: When =
        'atMs' in when
          ? { atMs: when.atMs + prng.between(0, 1500) }
          : { ...when, afterMs: when.afterMs + prng.pick([prng.latency(5), prng.latency(100), prng.between(0, 1000)]) };
      faults.push({ when: next, trouble: draw(), aim: aimOf(prng, scene, next) });
    }
  }
  return faults;
}

function whenOf(prng: Prng, scene: Scene): When {
  if (prng.chance(0.45)) return { atMs: prng.between(100, scene.stormMs) };
  return {
    on: prng.pick(HOOKS),
    server: prng.chance(0.5) ? null : prng.below(scene.servers),
    nth: 1 + Math.floor(30 * prng.float() ** 3),
    afterMs: prng.chance(0.4) ? 0 : prng.latency(3),
  };
}

function aimOf(prng: Prng, scene: Scene, when: When): Aim | null {
  if ('on' in when && prng.chance(0.4)) return { role: 'self' };
  if (prng.chance(0.5)) return null;
  return { role: prng.chance(0.65) ? 'owner' : 'partner', volume: prng.below(scene.volumes.length) };
}

function troubleOf(prng: Prng, kind: Trouble['kind'], scene: Scene): Trouble {
  const { servers, volumes, losses, timings } = scene;
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
      return { kind, server, host: prng.chance(0.4), downMs, rot: prng.chance(0.2) ? prng.int(1, 3) : 0 };
    case 'freeze':
      return { kind, server, forMs };
    case 'cut':
      return {
        kind,
        from: server,
        to: other,
        path: prng.chance(0.6) ? null : prng.below(2),
        both: prng.chance(0.6),
        forMs,
      };
    case 'reset':
      return { kind, from: server, to: other, path: prng.below(2) };
    case 'slow-link':
      return {
        kind,
        from: server,
        to: other,
        path: prng.chance(0.3) ? null : prng.below(2),
        both: prng.chance(0.6),
        extraMs: prng.pick([10, 100, 500, 2000]),
        forMs,
      };
    case 'isolate': {
      const link = prng.chance(0.7);
      const coordinator = prng.chance(0.6);
      return { kind, server, link, coordinator: coordinator || !link, clients: prng.chance(0.3), forMs };
    }
    case 'partition': {
      const members = shuffled(prng, servers).slice(0, prng.int(1, servers - 1));
      return { kind, members, coordinator: prng.pick(['members', 'others', 'both']), forMs };
    }
    case 'coordinator':
      return {
        kind,
        server: prng.chance(0.6) ? server : null,
        mode: prng.pick(['slow', 'hang', 'fault', 'mute', 'late', 'read-only']),
        forMs,
      };
    case 'medium':
      return {
        kind,
        server,
        volume,
        mode: prng.pick(['slow', 'hang', 'fail', 'fail-sync']),
        share: prng.pick([0.2, 0.6, 1]),
        forMs,
      };
    case 'unmount':
      return { kind, server, volume, forMs };
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
      return losses || volumes.every((v) => v.kind === 'journal')
        ? { kind, downMs }
        : { kind: 'crash', server, host: true, downMs, rot: 0 };
    case 'give-up':
      return losses ? { kind, server, volume } : { kind: 'takeover', server, volume };
  }
}

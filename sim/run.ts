/**
 * Runs one world to its end: the storm, the healing, the return to normal within a stated time (invariant I12), a
 * last read of every volume, and the judgement of everything the clients saw.
 */
import { Server } from '../src/core/server.ts';
import type { ReadPiece } from '../src/ports/service.ts';
import type { VolumeName } from '../src/base/names.ts';
import type { Failure, StoryLine, Tally } from './context.ts';
import { tagOf } from './disk.ts';
import { Faults } from './faults.ts';
import type { ProgramFactory } from './files/front.ts';
import { lastLooks } from './files/last-looks.ts';
import { judgeSector } from './linear.ts';
import { SECTOR, ZERO } from './model.ts';
import type { WorldPlan } from './plan.ts';
import { World, type PortsFilter, type ServerFactory } from './world.ts';

/** After healing, everything serves again and is in sync within this time (virtual ms): the stated bound of I12. */
export const LIVENESS_MS = 60_000;
/** The last read of every volume is answered within this time. */
const LAST_READ_MS = 10_000;
/** How long a named loss must stand, everything being healthy, before the administrator accepts it. */
const LOSS_PATIENCE_MS = 4_000;
/** More pending timers than this in one server are a leak. */
const TIMERS_BOUND = 500;

export interface Report {
  readonly plan: WorldPlan;
  readonly digest: string;
  readonly failure: Failure | null;
  readonly tally: Tally;
  readonly endMs: number;
  /** From healing to normal, ms. */
  readonly recoveredMs: number;
  readonly story: readonly StoryLine[] | null;
}

export interface RunOptions {
  readonly factory?: ServerFactory;
  readonly filter?: PortsFilter;
  readonly story?: boolean;
  /** Of files volumes; that of src/front/nfs otherwise. */
  readonly program?: ProgramFactory;
}

export const production: ServerFactory = (settings, ports) => new Server(settings, ports);

/** One world, from its plan to its report. Worlds run one after the other, never two at a time in one process. */
export async function run(plan: WorldPlan, options: RunOptions = {}): Promise<Report> {
  const world = new World(plan, options.factory ?? production, options.story ?? false, options.filter, options.program);
  const { ctx } = world;
  // What is thrown within a promise of the front end ends a server; here, the world.
  process.setUncaughtExceptionCaptureCallback((bug) => ctx.fail('assertion', bug.stack ?? bug.message));
  try {
    return await live(world);
  } finally {
    process.setUncaughtExceptionCaptureCallback(null);
  }
}

async function live(world: World): Promise<Report> {
  const { ctx, plan } = world;
  const faults = new Faults(world);
  const report = (recoveredMs: number): Report => ({
    plan,
    digest: ctx.digest.value(),
    failure: ctx.failure,
    tally: ctx.tally,
    endMs: ctx.now,
    recoveredMs,
    story: ctx.story,
  });
  for (const host of world.hosts) ctx.after(world.prng.between(0, 200), () => world.boot(host));
  faults.start();
  ctx.after(50, () => world.herd.start());
  const healMs = plan.stormMs + 50;
  await advance(world, healMs);
  if (ctx.failure !== null) return report(0);
  faults.heal();
  // Clients go on for a while in a healthy world, then finish what they have begun.
  await advance(world, healMs + 500);
  world.herd.budget = 0;
  const recoveredMs = await recover(world, healMs);
  if (ctx.failure === null) await lastReads(world);
  if (ctx.failure === null) judge(world, faults);
  return report(recoveredMs);
}

/** Runs until `untilMs` or the first broken rule. */
async function advance(world: World, untilMs: number): Promise<void> {
  const { ctx } = world;
  while (ctx.failure === null && ctx.step(untilMs)) {
    if (!ctx.stirred) continue;
    ctx.stirred = false;
    // Everything that promises lead to, before the next event.
    await new Promise(setImmediate);
  }
  if (ctx.failure === null && ctx.now < untilMs) {
    // The clock goes on even where nothing happens.
    ctx.after(untilMs - ctx.now, () => undefined);
    ctx.step(untilMs);
  }
}

/** Waits until all is well again. Returns how long it took. */
async function recover(world: World, healMs: number): Promise<number> {
  const { ctx } = world;
  const lossSince = new Map<VolumeName, number>();
  for (;;) {
    const ailing = complaint(world);
    if (ailing === null && world.herd.idle) return ctx.now - healMs;
    if (ctx.now > healMs + LIVENESS_MS) {
      ctx.fail(
        'I12 everything serves again',
        `${((ctx.now - healMs) / 1000).toFixed(0)} s after healing: ${ailing ?? 'a client still waits for an answer'}`,
      );
      return ctx.now - healMs;
    }
    acceptLosses(world, lossSince);
    await advance(world, ctx.now + 50);
    if (ctx.failure !== null) return ctx.now - healMs;
  }
}

/** What is not yet as it should be, as a sentence; null when all is well. */
function complaint(world: World): string | null {
  for (const host of world.hosts) {
    if (host.life === null || host.server === null) return `${host.id} is down`;
    if (host.stopping) return `${host.id} is stopping`;
  }
  for (let v = 0; v < world.names.length; v++) {
    const name = world.names[v] as VolumeName;
    const record = world.register.records[v];
    if (record === undefined) return `${name} has no record`;
    if (record.mirror !== 'in-sync') return `${name} is ${record.mirror} (${record.why}); ${whys(world, name)}`;
    const owner = world.hosts.find((h) => h.id === record.owner?.server);
    const status = owner?.server?.status().volumes.find((s) => s.volume === name);
    if (status === undefined || !status.serving) return `${name} is not served; ${whys(world, name)}`;
    for (const door of world.street.doors[v] ?? []) {
      if (door.life.incarnation !== record.owner?.incarnation) return `${name}: ${door.life.server} still listens`;
    }
    if (status.waitingRequests > 0) return `${name}: ${status.waitingRequests} requests wait`;
    for (const h of world.hosts) {
      for (const s of h.stores) {
        if (s.volumeIndex !== v || (s.id !== record.ownerStore && s.id !== record.partnerStore)) continue;
        if (s.usedBytes > 0) return `${name}: the store at ${h.id} holds ${s.usedBytes} bytes`;
      }
    }
  }
  return null;
}

function whys(world: World, name: VolumeName): string {
  const texts: string[] = [];
  for (const host of world.hosts) {
    const s = host.server?.status().volumes.find((v) => v.volume === name);
    if (s !== undefined) texts.push(`${host.id}: ${s.role}${s.serving ? ' serving' : ''}, ${s.why ?? s.loss ?? '-'}`);
  }
  return texts.join('; ');
}

/** An administrator accepts a loss that stands in a healthy cluster; the auditor judges whether it was one. */
function acceptLosses(world: World, since: Map<VolumeName, number>): void {
  const { ctx } = world;
  if (world.hosts.some((h) => h.life === null || h.server === null)) return;
  for (const name of world.names) {
    const host = world.hosts.find(
      (h) => (h.server?.status().volumes.find((v) => v.volume === name)?.loss ?? null) !== null,
    );
    if (host === undefined || host.server === null) {
      since.delete(name);
      continue;
    }
    const first = since.get(name) ?? ctx.now;
    since.set(name, first);
    if (ctx.now - first < LOSS_PATIENCE_MS) continue;
    since.delete(name);
    const { life, server } = host;
    ctx.tell(
      'note',
      host.index,
      `${name}: the administrator accepts the loss: ${server.status().volumes.find((v) => v.volume === name)?.loss ?? ''}`,
    );
    life?.call(() =>
      server.acceptLoss(name, (fault) => {
        ctx.tell(
          'note',
          host.index,
          `${name}: ${fault === null ? 'the loss was accepted' : `not accepted: ${fault.message}`}`,
        );
      }),
    );
  }
}

/** Reads every volume whole, through its owner's door; again where the owner changes just then. */
async function lastReads(world: World): Promise<void> {
  const { ctx } = world;
  const open = new Set(world.names.keys());
  for (const volume of open) readWhole(world, volume, () => open.delete(volume));
  const deadline = ctx.now + LAST_READ_MS;
  while (open.size > 0 && ctx.failure === null && ctx.now < deadline) await advance(world, ctx.now + 20);
  if (open.size > 0) ctx.fail('I12 everything serves again', 'the last read was not answered');
}

function readWhole(world: World, volume: number, done: () => void): void {
  const { ctx } = world;
  const model = world.auditor.modelOf(volume);
  const owner = world.register.records[volume]?.owner?.incarnation;
  const door = [...(world.street.doors[volume] ?? [])].find((d) => d.state === 'open' && d.life.incarnation === owner);
  const beginMs = ctx.now;
  let answered = false;
  ctx.after(1_000, () => {
    if (!answered && ctx.failure === null) readWhole(world, volume, done);
  });
  if (door === undefined) return;
  if (door.front !== null) {
    const { front } = door;
    return door.life.call(() =>
      lastLooks(world, front, () => {
        answered = true;
        done();
      }),
    );
  }
  const judged = (tags: number[]): void => {
    const name = world.names[volume] ?? '';
    const wrong = world.auditor.isReset(volume) ? null : model.read({ first: 0, beginMs, endMs: ctx.now, tags });
    if (wrong !== null) ctx.fail('I9 no stale read', `the last read: ${wrong}`);
    const there = Array.from(world.device.platters[volume]?.synced ?? []).join();
    if (tags.join() !== there)
      ctx.fail('the medium equals the volume', `${name}: read ${tags.join()}, the medium has ${there}`);
  };
  door.life.call(() =>
    door.service.submit({
      kind: 'read',
      target: '',
      offset: 0,
      length: model.sectors * SECTOR,
      cancelled: false,
      done: (fault, pieces) => {
        answered = true;
        if (fault === null && pieces !== null) judged(tagsOf(pieces));
        else ctx.fail('I12 everything serves again', `the last read failed: ${fault?.message ?? 'nothing'}`);
        done();
      },
    }),
  );
}

function tagsOf(pieces: readonly ReadPiece[]): number[] {
  const tags: number[] = [];
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; at += SECTOR) tags.push(piece.data === null ? ZERO : tagOf(piece.data, at));
  }
  return tags;
}

/** Everything the clients saw, sector by sector; and what should be gone by now. */
function judge(world: World, faults: Faults): void {
  const { ctx } = world;
  for (let v = 0; v < world.names.length; v++) {
    const wrong = world.auditor.filesOf(v)?.judge(() => ctx.tally.undecided++) ?? null;
    if (wrong !== null) return ctx.fail(wrong.rule, `${world.names[v] ?? ''}: ${wrong.text}`);
    const model = world.auditor.modelOf(v);
    for (const era of model.eras) {
      for (let sector = 0; sector < model.sectors; sector++) {
        const { verdict, text } = judgeSector(era, sector);
        if (verdict === 'undecided') ctx.tally.undecided++;
        if (verdict === 'broken') {
          ctx.fail('I9 linearizable', `${world.names[v] ?? ''}: ${text}`);
          return;
        }
      }
    }
  }
  if (world.device.outstanding > 0)
    ctx.fail('nothing is left over', `${world.device.outstanding} medium writes have not returned`);
  for (const host of world.hosts) {
    const timers = host.life?.timers ?? 0;
    if (timers > TIMERS_BOUND) ctx.fail('nothing is left over', `${host.id} has ${timers} pending timers`);
  }
  for (const request of faults.requests) {
    if (request.host.life?.incarnation === request.incarnation && ctx.now - request.askedMs > 30_000) {
      ctx.fail(
        'I12 everything serves again',
        `the ${request.what} asked of ${request.host.id} at ${request.askedMs.toFixed(0)} was never answered`,
      );
    }
  }
}

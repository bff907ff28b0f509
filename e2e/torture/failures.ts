/**
 * The failures of the torture: each happens to real processes for a while and is over when its function returns. What
 * happens to whom, and for how long, is drawn from the seed.
 */
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { sleep } from '../line.ts';
import type { Way } from '../ways.ts';
import type { World } from './world.ts';

export interface Failure {
  readonly name: string;
  /** How often it is drawn, among the others. */
  readonly weight: number;
  /** Whether it can happen in that world; always, if left out. */
  readonly fits?: (world: World) => boolean;
  /** Lets it happen. Gives what happened, in a few words. */
  run(world: World): Promise<string>;
}

const anyone = ({ cluster, chance }: World): string => chance.pick([...cluster.servers.keys()]);

/** kill -9 of the server alone: its supervisor starts it again. */
const kill: Failure = {
  name: 'kill',
  weight: 5,
  async run(world) {
    const { cluster, chance, tally } = world;
    const both = chance.chance(20);
    const victims = both ? [...cluster.servers.keys()] : [anyone(world)];
    if (chance.chance(50)) victims.reverse();
    for (const name of victims) {
      cluster.server(name).signalServer('SIGKILL');
      tally.counts.kills += 1;
      if (chance.chance(50)) await sleep(chance.below(300));
    }
    return `kill -9 of ${victims.join(' and ')}`;
  },
};

/** kill -9 of the server and its supervisor: nobody reports it, and somebody starts it again later. */
const killBoth: Failure = {
  name: 'kill with supervisor',
  weight: 2,
  async run(world) {
    const { cluster, chance, tally } = world;
    const name = anyone(world);
    await cluster.server(name).kill();
    tally.counts.kills += 1;
    const ms = chance.below(3_000);
    await sleep(ms);
    cluster.server(name).start();
    return `kill -9 of ${name} and its supervisor, started again after ${ms} ms`;
  },
};

/** The server is killed while its supervisor sees and says nothing: the lease or the lock has to do. */
const killUnreported: Failure = {
  name: 'kill unreported',
  weight: 2,
  async run(world) {
    const { cluster, chance, tally } = world;
    const name = anyone(world);
    cluster.server(name).signal('SIGSTOP');
    cluster.server(name).signalServer('SIGKILL');
    tally.counts.kills += 1;
    const ms = chance.below(3_000);
    await sleep(ms);
    cluster.server(name).signal('SIGCONT');
    return `kill -9 of ${name}, its supervisor frozen for ${ms} ms`;
  },
};

const freeze: Failure = {
  name: 'freeze',
  weight: 3,
  async run(world) {
    const { cluster, chance, tally } = world;
    const name = anyone(world);
    const ms = chance.chance(50) ? chance.between(50, 900) : chance.between(1_000, 4_000);
    cluster.server(name).freeze();
    tally.counts.freezes += 1;
    await sleep(ms);
    cluster.server(name).thaw();
    return `${name} frozen for ${ms} ms`;
  },
};

const cut: Failure = {
  name: 'cut',
  weight: 4,
  async run({ cluster, chance, tally }) {
    const wires = [...cluster.wires];
    const which = chance.below(3);
    const from = chance.pick([...cluster.servers.keys()]);
    const path = chance.below(2);
    const chosen = wires.filter((wire) => (which === 0 ? wire.path === path : which === 1 ? wire.from === from : true));
    const ms = chance.between(100, 3_500);
    for (const wire of chosen) wire.cut();
    tally.counts.cuts += 1;
    await sleep(ms);
    for (const wire of chosen) wire.mend();
    const what = which === 0 ? `path ${path + 1}` : which === 1 ? `what ${from} dialled` : 'every path';
    return `${what} cut for ${ms} ms`;
  },
};

const takeover: Failure = {
  name: 'takeover',
  weight: 2,
  async run(world) {
    const { cluster, tally } = world;
    const to = anyone(world);
    const ended = await cluster.run('takeover', 'disk', '--to', to);
    tally.counts.takeovers += 1;
    return `takeover by ${to} ended with ${ended.code}`;
  },
};

const stop: Failure = {
  name: 'stop',
  weight: 2,
  async run(world) {
    const { cluster, chance, tally } = world;
    const name = anyone(world);
    const end = await cluster.server(name).stop();
    if (end !== 0) throw new Error(`${name} was told to stop and ended with ${end}`);
    tally.counts.stops += 1;
    await sleep(chance.below(1_500));
    cluster.server(name).start();
    return `${name} stopped and started`;
  },
};

/** The medium has no room for a while: neither for data nor for records. */
const fill: Failure = {
  name: 'fill',
  weight: 4,
  fits: ({ small }) => small !== null,
  async run({ chance, tally, small }) {
    const file = path.join(small ?? '', 'filler');
    const ms = chance.between(200, 3_000);
    try {
      execFileSync('dd', ['if=/dev/zero', `of=${file}`, 'bs=64k'], { stdio: 'ignore' });
    } catch {
      // Until there is no room: that is how it ends.
    }
    tally.counts.fills += 1;
    await sleep(ms);
    rmSync(file, { force: true });
    return `medium full for ${ms} ms`;
  },
};

const hasWays = ({ ways }: World): boolean => ways !== null;

/** One way to the medium, or all of them. */
function someWays({ ways, chance, cluster }: World): { readonly chosen: readonly Way[]; readonly whose: string } {
  const name = chance.pick([...cluster.servers.keys()]);
  if (ways === null) return { chosen: [], whose: 'nobody' };
  return chance.chance(25) ? { chosen: ways.all, whose: 'everybody' } : { chosen: [ways.get(name)], whose: name };
}

const fail: Failure = {
  name: 'I/O errors',
  weight: 6,
  fits: hasWays,
  async run(world) {
    const { chosen, whose } = someWays(world);
    const ms = world.chance.between(200, 7_000);
    for (const way of chosen) way.fail();
    world.tally.counts.errors += 1;
    await sleep(ms);
    for (const way of chosen) way.heal();
    return `EIO for ${whose} for ${ms} ms`;
  },
};

const hang: Failure = {
  name: 'hang',
  weight: 6,
  fits: hasWays,
  async run(world) {
    const { chosen, whose } = someWays(world);
    const ms = world.chance.chance(50) ? world.chance.between(200, 2_500) : world.chance.between(5_000, 12_000);
    for (const way of chosen) way.hang();
    world.tally.counts.hangs += 1;
    await sleep(ms);
    for (const way of chosen) way.heal();
    return `the medium hangs for ${whose} for ${ms} ms`;
  },
};

/** Slow, but alive: it works for a few ms at a time. */
const slow: Failure = {
  name: 'slow',
  weight: 4,
  fits: hasWays,
  async run(world) {
    const { chosen, whose } = someWays(world);
    const { chance, tally } = world;
    const ms = chance.between(1_000, 5_000);
    const pauseMs = chance.between(50, 600);
    const endMs = performance.now() + ms;
    tally.counts.slows += 1;
    while (performance.now() < endMs) {
      for (const way of chosen) way.hang();
      await sleep(pauseMs);
      for (const way of chosen) way.heal();
      await sleep(10);
    }
    for (const way of chosen) way.heal();
    return `the medium slow for ${whose}, ${pauseMs} ms a time, for ${ms} ms`;
  },
};

/** Two at a time, which is where the interesting ones are. */
const together: Failure = {
  name: 'together',
  weight: 5,
  async run(world) {
    const { chance } = world;
    const first = pickFitting(world, [cut, freeze, fill, fail, hang, slow]);
    const second = pickFitting(world, [kill, cut, killUnreported, freeze]);
    const later = sleep(chance.below(1_500)).then(() => second.run(world));
    const both = await Promise.all([first.run(world), later]);
    return both.join(', and meanwhile ');
  },
};

const pickFitting = (world: World, some: readonly Failure[]): Failure =>
  world.chance.pick(some.filter((one) => one.fits?.(world) ?? true));

const ALL: readonly Failure[] = [
  kill,
  killBoth,
  killUnreported,
  freeze,
  cut,
  takeover,
  stop,
  fill,
  fail,
  hang,
  slow,
  together,
];

/** One of those that can happen in the world, by weight. */
export function drawFailure(world: World): Failure {
  const fitting = ALL.filter((one) => one.fits?.(world) ?? true);
  const total = fitting.reduce((sum, { weight }) => sum + weight, 0);
  let left = world.chance.below(total);
  for (const failure of fitting) {
    left -= failure.weight;
    if (left < 0) return failure;
  }
  return kill;
}

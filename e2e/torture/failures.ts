/**
 * The failures of the torture: each happens to real processes for a while and is over when its function returns. What
 * happens to whom, and for how long, is drawn from the seed.
 */
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import path from 'node:path';
import type { Cluster } from '../cluster.ts';
import { sleep } from '../line.ts';
import type { Prng } from '../prng.ts';
import type { Tally } from './tally.ts';

export interface World {
  readonly cluster: Cluster;
  readonly chance: Prng;
  readonly tally: Tally;
  /** The directory of the medium when it is a small file system of its own; null when it cannot be filled here. */
  readonly small: string | null;
}

export interface Failure {
  readonly name: string;
  /** How often it is drawn, among the others. */
  readonly weight: number;
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
  weight: 2,
  async run({ chance, tally, small }) {
    if (small === null) return 'nothing: the medium is not ours to fill';
    const file = path.join(small, 'filler');
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

/** Two at a time, which is where the interesting ones are. */
const together: Failure = {
  name: 'together',
  weight: 3,
  async run(world) {
    const pair = [world.chance.pick([cut, freeze, fill]), world.chance.pick([kill, cut, kill])] as const;
    const [first, second] = pair;
    const both = await Promise.all([first.run(world), sleep(world.chance.below(1_500)).then(() => second.run(world))]);
    return both.join(', and meanwhile ');
  },
};

const ALL: readonly Failure[] = [kill, killBoth, freeze, cut, takeover, stop, fill, together];

/** One of them, by weight. */
export function drawFailure(chance: Prng): Failure {
  const total = ALL.reduce((sum, { weight }) => sum + weight, 0);
  let left = chance.below(total);
  for (const failure of ALL) {
    left -= failure.weight;
    if (left < 0) return failure;
  }
  return kill;
}

/**
 * Where the torture takes place: a cluster under supervisors and a medium that can fail in one kind of ways. What a world
 * is, is drawn from the seed: a small directory that can be filled, for two or three servers; or an image to which each
 * server has a way of its own, which fails, hangs or is slow, with fence commands or without.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Cluster } from '../cluster.ts';
import type { Oracle } from '../oracle.ts';
import type { Prng } from '../prng.ts';
import { Ways, WAYS_SKIP } from '../ways.ts';
import type { Tally } from './tally.ts';

export interface World {
  /** What it is, in a few words. */
  readonly name: string;
  readonly cluster: Cluster;
  readonly chance: Prng;
  readonly tally: Tally;
  /** The directory of the medium when it is a small file system of its own; null when it cannot be filled here. */
  readonly small: string | null;
  /** The servers' ways to the medium, where they can fail. */
  readonly ways: Ways | null;
  /** The volume's raw image, wherever it lies. */
  readonly image: string;
  /** Set once clients work on it. */
  oracle: Oracle | null;
  end(): Promise<void>;
}

type Place = Omit<World, 'cluster' | 'oracle' | 'chance' | 'tally'> & {
  readonly make: () => Promise<Cluster>;
  readonly lay: (cluster: Cluster) => Promise<void>;
};

const COMMON = { wires: true, ownAddresses: true, supervised: true } as const;

/** Builds the next world: running, in sync. */
export async function buildWorld(kind: 'directory' | 'ways', chance: Prng, tally: Tally): Promise<World> {
  const { make, lay, end, ...rest } = kind === 'ways' ? waysPlace(chance) : directoryPlace(chance);
  const cluster = await make();
  const world = {
    ...rest,
    cluster,
    chance,
    tally,
    oracle: null as Oracle | null,
    end: async (): Promise<void> => {
      await world.oracle?.close();
      await cluster.end();
      await end();
    },
  };
  try {
    await cluster.createVolumes();
    await lay(cluster);
    await cluster.startAll();
    await cluster.untilInSync();
    return world;
  } catch (error) {
    process.stdout.write(`${cluster.tails()}\n`);
    await world.end();
    throw error;
  }
}

/** Why ways cannot be laid here; null when they can. */
export const noWays = (): string | null => (WAYS_SKIP === false ? null : WAYS_SKIP);

function directoryPlace(chance: Prng): Place {
  const small = makeSmallMedium();
  const servers = chance.chance(35) ? ['a', 'b', 'c'] : ['a', 'b'];
  const degraded = chance.chance(30) ? 'journal' : 'write-through';
  const medium = small === null ? {} : { medium: { path: () => small } };
  let made: Cluster | null = null;
  return {
    name: `${servers.length} servers, a ${small === null ? '' : 'small '}directory, degraded ${degraded}`,
    small,
    ways: null,
    get image() {
      return small === null ? (made?.volume().image ?? '') : path.join(small, 'volumes', 'disk', 'disk.img');
    },
    make: async () => {
      made = await Cluster.make({ ...COMMON, servers, volumes: [{ name: 'disk', servers, degraded }], ...medium });
      return made;
    },
    lay: async () => undefined,
    end: async () => removeSmallMedium(small),
  };
}

function waysPlace(chance: Prng): Place {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'holdfast-torture-'));
  const ways = new Ways(directory, ['a', 'b']);
  const fenced = chance.chance(60);
  return {
    name: `2 servers, an image behind a way for each, ${fenced ? 'fence commands' : 'the fence of one machine'}`,
    small: null,
    ways,
    image: ways.image,
    make: () => Cluster.make({ ...COMMON, ...ways.options(fenced) }),
    lay: async (cluster) => {
      await ways.lay(cluster);
      ways.keepOpen(cluster);
    },
    end: async () => rmSync(directory, { recursive: true, force: true }),
  };
}

/** A small file system for the medium, so that it can be filled; null without the right to mount one. */
function makeSmallMedium(): string | null {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'holdfast-torture-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=40m', 'holdfast-torture', directory], { stdio: 'ignore' });
    return directory;
  } catch {
    rmSync(directory, { recursive: true, force: true });
    return null;
  }
}

function removeSmallMedium(directory: string | null): void {
  if (directory === null) return;
  execFileSync('umount', ['-l', directory]);
  rmSync(directory, { recursive: true, force: true });
}

/**
 * `npm run torture -- --minutes M [--seed N]`: real servers under their supervisors, a client that verifies everything it
 * is told, and failures of every kind at random moments, one after the other and two at a time. Every minute or so a new
 * cluster of another kind takes the place of the one before (world.ts). It prints the seed first and last, each failure
 * as it happens, and a tally. It ends with 0 only when no acknowledged write was lost, no read was stale, and the cluster
 * was in sync again after each failure, by itself.
 *
 * The seed repeats what is drawn, not the processes' timing: a run is not repeated exactly.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { sleep } from '../line.ts';
import { compareImage, Oracle } from '../oracle.ts';
import { Prng } from '../prng.ts';
import { drawFailure } from './failures.ts';
import { Tally } from './tally.ts';
import { buildWorld, noWays, type World } from './world.ts';

/** How long the cluster may take to be in sync again, ms. */
const HEAL_MS = 90_000;
/** Failures between two full checks. */
const CHECK_EVERY = 4;
/** A world lasts about so long, ms. */
const WORLD_MS = 60_000;

const say = (text: string): void => void process.stdout.write(`${new Date().toISOString().slice(11, 23)}  ${text}\n`);

function readOptions(): { readonly minutes: number; readonly seed: number } {
  const { values } = parseArgs({ options: { minutes: { type: 'string' }, seed: { type: 'string' } } });
  const minutes = Number(values.minutes ?? 1);
  const seed = values.seed === undefined ? randomInt(2 ** 32) : Number(values.seed);
  if (!(minutes > 0) || !Number.isInteger(seed) || seed < 0) {
    process.stderr.write('usage: npm run torture -- --minutes M [--seed N]\n');
    process.exit(2);
  }
  return { minutes, seed };
}

async function torture(minutes: number, seed: number, tally: Tally): Promise<boolean> {
  const chance = new Prng(seed);
  const without = noWays();
  if (without !== null) say(`no I/O errors, no hangs: ${without}`);
  const endMs = performance.now() + minutes * 60_000;
  for (let turn = 0; performance.now() < endMs; turn += 1) {
    const kind = turn % 2 === 0 && without === null ? 'ways' : 'directory';
    const world = await buildWorld(kind, chance, tally);
    say(`--- ${world.name}${kind === 'directory' && world.small === null ? ' (needs root to be filled)' : ''}`);
    const lasts = Math.min(endMs, performance.now() + WORLD_MS);
    try {
      if (!(await tortureOne(world, seed + turn, lasts))) return false;
    } finally {
      // Whatever comes of it, nothing of it stays.
      await world.end();
    }
  }
  return true;
}

async function tortureOne(world: World, seed: number, endMs: number): Promise<boolean> {
  const { cluster, chance, tally } = world;
  const { host, ports, name } = cluster.volume();
  const mayFail = world.ways !== null;
  const oracle = await Oracle.open({
    host,
    ports,
    exportName: name,
    seed,
    patienceMs: 2_000,
    mayBeFull: world.small !== null,
    mayFail,
  });
  world.oracle = oracle;
  try {
    for (let round = 1; performance.now() < endMs; round += 1) {
      oracle.run();
      await sleep(chance.between(200, 1_500));
      oracle.takePauseMs();
      const what = await drawFailure(world).run(world);
      await cluster.untilInSync('disk', undefined, HEAL_MS);
      await answers(oracle, 50);
      const pauseMs = oracle.takePauseMs();
      tally.pause(pauseMs);
      say(`${what}: clients waited ${pauseMs} ms`);
      if (round % CHECK_EVERY === 0) await check(world, oracle);
    }
    await check(world, oracle);
    cluster.mustBeFreeOfBugs();
    return true;
  } catch (error) {
    process.stdout.write(`${cluster.tails()}\n`);
    say(`FAILED: ${(error as Error).message}`);
    return false;
  } finally {
    tally.seen(oracle);
  }
}

/** Clients are answered again; `more` alone would wait for ever. */
async function answers(oracle: Oracle, count: number): Promise<void> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), HEAL_MS);
  const never = new Promise<never>((_resolve, reject) => {
    late.signal.addEventListener('abort', () => reject(new Error(`clients had no ${count} answers in ${HEAL_MS} ms`)));
  });
  try {
    await Promise.race([oracle.more(count), never]);
  } finally {
    clearTimeout(timer);
  }
}

/** The whole volume is read and judged, and what is on the medium compared with it. */
async function check({ cluster, tally, image }: World, oracle: Oracle): Promise<void> {
  const content = await oracle.verify();
  await cluster.untilInSync('disk', undefined, HEAL_MS);
  await cluster.untilDrained();
  await compareImage(content, image);
  tally.counts.checks += 1;
}

const { minutes, seed } = readOptions();
say(`torture for ${minutes} minutes, seed ${seed}`);
const tally = new Tally();
const whole = await torture(minutes, seed, tally).catch((error: unknown) => {
  say(`FAILED: ${(error as Error).message}`);
  return false;
});
for (const line of tally.lines()) say(line);
say(`${whole ? 'nothing was lost' : 'FAILED'}; seed ${seed}`);
process.exit(whole ? 0 : 1);

/**
 * `npm run torture -- --minutes M [--seed N]`: a pair of real servers under their supervisors, a client that verifies
 * everything it is told, and failures of every kind at random moments, one after the other and two at a time. It prints
 * the seed first and last, each failure as it happens, and a tally. It ends with 0 only when no acknowledged write was
 * lost, no read was stale, and the pair was in sync again after each failure, by itself.
 *
 * The seed repeats what is drawn, not the processes' timing: a run is not repeated exactly.
 */
import { execFileSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Cluster } from '../cluster.ts';
import { sleep } from '../line.ts';
import { compareImage, Oracle } from '../oracle.ts';
import { Prng } from '../prng.ts';
import { drawFailure } from './failures.ts';
import { Tally } from './tally.ts';

/** How long the pair may take to be in sync again, ms. */
const HEAL_MS = 60_000;
/** Failures between two full checks. */
const CHECK_EVERY = 4;

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

async function torture(minutes: number, seed: number): Promise<boolean> {
  const chance = new Prng(seed);
  const tally = new Tally();
  const small = makeSmallMedium();
  if (small === null) say('no fills: a small file system cannot be mounted here (needs root)');
  const cluster = await Cluster.make({
    wires: true,
    ownAddresses: true,
    supervised: true,
    ...(small === null ? {} : { medium: { path: () => small } }),
  });
  let oracle: Oracle | null = null;
  try {
    await cluster.createVolumes();
    await cluster.startAll();
    await cluster.untilInSync();
    const { host, ports, name } = cluster.volume();
    oracle = await Oracle.open({ host, ports, exportName: name, seed, patienceMs: 2_000, mayBeFull: true });
    const world = { cluster, chance, tally, small };
    const endMs = performance.now() + minutes * 60_000;
    for (let round = 1; performance.now() < endMs; round += 1) {
      oracle.run();
      await sleep(chance.between(200, 1_500));
      oracle.takePauseMs();
      const what = await drawFailure(chance).run(world);
      await cluster.untilInSync('disk', undefined, HEAL_MS);
      await answers(oracle, 50);
      const pauseMs = oracle.takePauseMs();
      tally.pause(pauseMs);
      say(`${what}: clients waited ${pauseMs} ms`);
      if (round % CHECK_EVERY === 0) await check(cluster, oracle, small, tally);
    }
    await check(cluster, oracle, small, tally);
    cluster.mustBeFreeOfBugs();
    return true;
  } catch (error) {
    process.stdout.write(`${cluster.tails()}\n`);
    say(`FAILED: ${(error as Error).message}`);
    return false;
  } finally {
    const counts = oracle?.counts ?? { written: 0, read: 0, abandoned: 0, resent: 0, full: 0 };
    const findings = oracle === null ? 0 : oracle.history.findings.length + oracle.errors.length;
    say(tally.done());
    say(
      `writes acknowledged ${counts.written}, reads ${counts.read}, sent again ${counts.resent}, refused as full ${counts.full}`,
    );
    say(`lost or stale ${findings}; ${tally.pauses()}`);
    await oracle?.close();
    await cluster.end();
    removeSmallMedium(small);
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

async function check(cluster: Cluster, oracle: Oracle, small: string | null, tally: Tally): Promise<void> {
  const content = await oracle.verify();
  await cluster.untilInSync('disk', undefined, HEAL_MS);
  await cluster.untilDrained();
  const { image } = cluster.volume();
  await compareImage(content, small === null ? image : path.join(small, 'volumes', 'disk', 'disk.img'));
  tally.counts.checks += 1;
}

const { minutes, seed } = readOptions();
say(`torture for ${minutes} minutes, seed ${seed}`);
const whole = await torture(minutes, seed);
say(`${whole ? 'nothing was lost' : 'FAILED'}; seed ${seed}`);
process.exit(whole ? 0 : 1);

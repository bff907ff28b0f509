/**
 * Does the file system do what the records rest on? Each promise is tried as it is used, exclusion by a race and not by
 * one call; the first that is broken is the finding, told as a sentence (design, "Looking before leaping").
 *
 * What one server alone cannot try is whether another one sees its work at once. Where several machines share the
 * directory by NFS, that depends on the mount's options, and those can be read: they are.
 */
import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readdir, readFile, realpath, rename, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '../../base/fault.ts';
import { syncDirectory, writeBeside } from '../linux/durable.ts';
import { errorCode } from '../linux/errno.ts';

/** How hard a file system is tried. */
interface Effort {
  /** Servers that race for a name, and how often. */
  readonly racers: number;
  readonly races: number;
  /** Replacements of a file that is read all the while. */
  readonly replacements: number;
}

/** For a file system that nothing is known of: what goes wrong one time in many shows. */
export const THOROUGH: Effort = { racers: 8, races: 3, replacements: 24 };
/** For one that has passed that: every promise once, at a pace that goes on for ever. */
export const BRIEF: Effort = { racers: 2, races: 1, replacements: 2 };

/** File systems of statfs(2) whose clients keep what they saw for a while. */
const NFS_MAGIC = 0x6969;

/** The two operations on trial; others than the real ones only in tests, which must be found out. */
export interface OnTrial {
  link(from: string, to: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
}

/**
 * Tries everything in a directory of its own within `parent`, named after `server`, and removes it. Throws Fault
 * `refused` with the finding, or the fault of what failed.
 */
export async function probeDirectory(
  parent: string,
  server: string,
  sharing: 'host' | 'machines',
  effort: Effort = THOROUGH,
  trial: OnTrial = { link, rename },
): Promise<void> {
  if (sharing === 'machines') await refuseStaleMounts(parent);
  await removeLeftovers(parent, server);
  const scratch = join(parent, `.probe-${server}-${randomBytes(8).toString('hex')}`);
  await mkdir(scratch);
  try {
    for (let race = 0; race < effort.races; race++) await raceForName(scratch, race, effort.racers, trial);
    await replaceUnderReader(scratch, effort.replacements, trial);
    await rm(await writeBeside(join(scratch, 'synced'), 'synced'));
    await syncDirectory(scratch);
  } finally {
    // What stays is removed by the next probe; the finding must not be hidden by this.
    await rm(scratch, { recursive: true, force: true }).catch(() => {});
  }
}

/** Of several that link a file to one name at once, one succeeds, and its whole content is found there. */
async function raceForName(scratch: string, race: number, count: number, trial: OnTrial): Promise<void> {
  const name = join(scratch, `race-${race}`);
  const racers = Array.from({ length: count }, (_, racer) => `${name}.${racer}`);
  // Unsynced: a probe precedes a claim, and a claim is waited for.
  await Promise.all(racers.map((path, racer) => writeUnsynced(path, `${racer} `.repeat(2_000))));
  const outcomes = await Promise.all(racers.map((path) => trial.link(path, name).then(() => null, errorOf)));
  const winners = outcomes.flatMap((error, racer) => (error === null ? [racer] : []));
  const strange = outcomes.find((error) => error !== null && errorCode(error) !== 'EEXIST');
  if (strange !== undefined && strange !== null) {
    throw new Fault(
      'refused',
      `Linking a file to a name fails in ${scratch}: ${errorCode(strange) ?? strange.message}.`,
    );
  }
  const [winner] = winners;
  if (winner === undefined || winners.length > 1) {
    const message = `Exclusive creation does not exclude in ${scratch}: ${winners.length} of ${count} succeeded.`;
    throw new Fault('refused', message);
  }
  if ((await readFile(name, 'utf8')) !== `${winner} `.repeat(2_000)) {
    throw new Fault('refused', `In ${scratch} a name does not hold what its winner linked to it.`);
  }
  await rm(racers[winner] as string);
  if (!(await readdir(scratch)).includes(`race-${race}`)) {
    throw new Fault('refused', `A listing of ${scratch} does not show a file that was just created.`);
  }
  await rm(name);
  if ((await stat(name).then(() => null, errorCode)) !== 'ENOENT') {
    throw new Fault('refused', `In ${scratch} a file is still seen after it was removed.`);
  }
}

/** A file that is replaced by renaming is always there, and always whole. */
async function replaceUnderReader(scratch: string, replacements: number, trial: OnTrial): Promise<void> {
  const name = join(scratch, 'entry');
  const contentOf = (round: number): string => `${round} `.repeat(500);
  await writeUnsynced(name, contentOf(0));
  let round = 0;
  let replacing = true;
  const reader = async (): Promise<void> => {
    while (replacing) {
      const before = round;
      const text = await readFile(name, 'utf8').catch((error: unknown) => {
        throw new Fault('refused', `In ${scratch} a file that is replaced by renaming is gone for a moment.`, error);
      });
      const found = Number.parseInt(text, 10);
      if (text !== contentOf(found)) {
        throw new Fault('refused', `In ${scratch} a file that is replaced by renaming is not whole for a moment.`);
      }
      if (found < before) throw new Fault('refused', `In ${scratch} a file that was replaced is still seen.`);
    }
  };
  const writer = async (): Promise<void> => {
    try {
      for (let next = 1; next <= replacements; next++) {
        const prepared = join(scratch, 'entry.new');
        await writeUnsynced(prepared, contentOf(next));
        await trial.rename(prepared, name);
        round = next;
      }
    } finally {
      replacing = false;
    }
  };
  // Both have come to their end before anything is told: nothing is written any more when the scratch is removed.
  for (const outcome of await Promise.allSettled([reader(), writer()])) {
    if (outcome.status === 'rejected') throw outcome.reason;
  }
}

async function writeUnsynced(path: string, content: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.writeFile(content);
  } finally {
    await file.close();
  }
}

/** What earlier probes of this server left when it was killed in one. */
async function removeLeftovers(parent: string, server: string): Promise<void> {
  const mine = new RegExp(`^\\.probe-${server}-[0-9a-f]{16}$`);
  for (const name of await readdir(parent)) {
    if (mine.test(name)) await rm(join(parent, name), { recursive: true, force: true });
  }
}

/** Refuses an NFS mount whose client believes for a while what it saw before. */
async function refuseStaleMounts(path: string): Promise<void> {
  if ((await statfs(path)).type !== NFS_MAGIC) return;
  const options = mountOptionsOf(await readFile('/proc/self/mountinfo', 'utf8'), await realpath(path));
  if (options === null || isFresh(options)) return;
  throw new Fault(
    'refused',
    `${path} is on NFS, mounted with cached attributes: another server's record could be seen too late. ` +
      'Mount it with the options "actimeo=0,lookupcache=none".',
  );
}

/** The file system's own options of the mount that `path` lies on; null when none is found. */
export function mountOptionsOf(mountinfo: string, path: string): readonly string[] | null {
  let best: { readonly length: number; readonly options: readonly string[] } | null = null;
  for (const line of mountinfo.split('\n')) {
    // proc(5): … mount-point … - type source options; blanks in names are written \040.
    const [before = '', after = ''] = line.split(' - ', 2);
    const point = before.split(' ')[4]?.replaceAll('\\040', ' ');
    const options = after.split(' ')[2];
    if (point === undefined || options === undefined) continue;
    const within = point === '/' || path === point || path.startsWith(`${point}/`);
    // A later mount on the same place hides the earlier one.
    if (within && (best === null || point.length >= best.length))
      best = { length: point.length, options: options.split(',') };
  }
  return best === null ? null : best.options;
}

/** The mount's options keep it from caching attributes, and from believing in names it saw, or missed, before. */
export function isFresh(options: readonly string[]): boolean {
  const zero = options.includes('acdirmax=0') && options.includes('acregmax=0');
  return (zero || options.includes('noac') || options.includes('actimeo=0')) && options.includes('lookupcache=none');
}

const errorOf = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));

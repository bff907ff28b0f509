/**
 * The medium `directory`: a directory that all servers reach, by whatever means the machines share one. Its layout:
 *
 *     holdfast-medium.json          what medium this is: format, id, when it was made
 *     volumes/NAME/volume.json      what volume this is: name, kind, size in bytes; there is a volume where this file is
 *     volumes/NAME/disk.img         a block volume's bytes, a sparse raw image: qemu-img and losetup can use it
 *     volumes/NAME/tree/ and more   a files volume's (files/home.ts)
 *     volumes/NAME/record/          the versions of the volume's record, where the coordinator lives here
 *                                   (src/drivers/coordinator/directory.ts)
 *     servers/NAME.json             the servers' heartbeat entries, likewise
 *     servers/NAME.probe            one block, written and read by that server to see whether the medium answers
 *
 * Nothing of this is ever created but by the explicit create commands; a file that should be there and is not is a
 * fault. What is created is durable when the command returns, and a creation that was interrupted can be repeated.
 */
import { randomBytes } from 'node:crypto';
import { link, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Done, Fault, type Result } from '../../base/fault.ts';
import type { MediumId, ServerId, VolumeName } from '../../base/names.ts';
import type { Clock, Ids } from '../../ports/clock.ts';
import type { Medium, MediumVolume } from '../../ports/medium.ts';
import { Deadline, PROBE_DEADLINE_MS } from '../linux/deadline.ts';
import { createFile, ensureDirectory, removeQuietly, syncDirectory } from '../linux/durable.ts';
import { errorCode } from '../linux/errno.ts';
import { settle } from '../linux/settle.ts';
import { checkName } from '../linux/small-files.ts';
import { creating, exists } from './creating.ts';
import { warmTreeThread } from './files/crew.ts';
import { openFilesVolume } from './files/open.ts';
import { checkMediumId, checkSize, formatFile, readMediumFile, readVolumeFile, type VolumeFile } from './identity.ts';
import { probeFile } from './probe.ts';
import { openRawFile, type Sharing } from './raw-file.ts';

/** A server's view of a directory medium. */
export interface DirectoryMediumOptions {
  readonly directory: string;
  /** This server: its probe file is named after it. */
  readonly server: ServerId;
  readonly sharing: Sharing;
  readonly clock: Clock;
  /** Milliseconds after which a probe that has not answered has failed; PROBE_DEADLINE_MS if left out. */
  readonly probeDeadlineMs?: number;
}

export class DirectoryMedium implements Medium {
  readonly #options: DirectoryMediumOptions;
  readonly #probe: Deadline;
  #warmed = false;

  constructor(options: DirectoryMediumOptions) {
    checkName(options.server, 'server');
    this.#options = options;
    const deadlineMs = options.probeDeadlineMs ?? PROBE_DEADLINE_MS;
    this.#probe = new Deadline(options.clock, deadlineMs, `the medium ${options.directory}`);
  }

  open(volume: VolumeName, expected: MediumId, done: Result<MediumVolume>): void {
    const { directory, sharing } = this.#options;
    const what = `Opening the volume ${volume} in ${directory}`;
    settle(describe(directory, volume, expected), what, (fault, found) => {
      if (found === null) return done(fault, null);
      if (found.kind === 'files') return settle(openFilesVolume(directory, volume, found.handles, sharing), what, done);
      openRawFile(join(directory, 'volumes', volume, 'disk.img'), sharing, found.bytes, done);
    });
  }

  probe(expected: MediumId, done: Done): void {
    const { directory, server, sharing } = this.#options;
    this.#probe.run(async () => {
      checkMediumId((await readMediumFile(mediumFile(directory))).id, expected, directory);
      await probeFile(join(directory, 'servers', `${server}.probe`), sharing);
      await this.#warm();
    }, done);
  }

  /** Who may come to open a files volume has a thread ready for it. */
  async #warm(): Promise<void> {
    if (this.#warmed) return;
    this.#warmed = true;
    const { directory } = this.#options;
    for (const volume of await listMediumVolumes(directory)) {
      if ((await readVolumeKind(directory, volume)) === 'files') return warmTreeThread();
    }
  }
}

/** What the volume is, if this is the expected medium and the volume was created on it. */
async function describe(directory: string, volume: VolumeName, expected: MediumId): Promise<VolumeFile> {
  checkName(volume, 'volume');
  checkMediumId((await readMediumFile(mediumFile(directory))).id, expected, directory);
  return describeVolume(directory, volume);
}

async function describeVolume(directory: string, volume: VolumeName): Promise<VolumeFile> {
  checkName(volume, 'volume');
  const path = join(directory, 'volumes', volume, 'volume.json');
  const found = await readVolumeFile(path);
  if (found.volume === volume) return found;
  throw new Fault('corrupt', `${path} describes another volume, ${found.volume}.`);
}

/** The id of the medium in `directory`. Faults: `missing` when there is no medium, `corrupt`, `io`. */
export async function readMediumId(directory: string): Promise<MediumId> {
  return (await readMediumFile(mediumFile(directory))).id;
}

/** As what the volume was created: a block volume or one of files. Faults: `missing`, `corrupt`, `io`. */
export async function readVolumeKind(directory: string, volume: VolumeName): Promise<'block' | 'files'> {
  return (await describeVolume(directory, volume)).kind;
}

/** The size in bytes with which the block volume was created. Faults: `missing`, `refused` (no block volume), `corrupt`, `io`. */
export async function volumeBytes(directory: string, volume: VolumeName): Promise<number> {
  const found = await describeVolume(directory, volume);
  if (found.kind === 'block') return found.bytes;
  throw new Fault('refused', `The volume ${volume} in ${directory} was created for files: it has no size.`);
}

/** The volumes on the medium, by name. Faults: `missing` when there is no medium, `io`. */
export async function listMediumVolumes(directory: string): Promise<readonly VolumeName[]> {
  await readMediumFile(mediumFile(directory));
  const found: VolumeName[] = [];
  for (const name of await readdir(join(directory, 'volumes'))) {
    if (await exists(join(directory, 'volumes', name, 'volume.json'))) found.push(name as VolumeName);
  }
  return found.sort();
}

/**
 * Makes an existing, empty directory a medium; for an explicit create command alone. Faults: `conflict` when it is one
 * already, `refused` when it holds anything else, `missing` when it is not there.
 */
export async function createMedium(directory: string, ids: Ids): Promise<MediumId> {
  return creating(`the medium ${directory}`, async () => {
    for (const name of await readdir(directory)) {
      if (name === 'holdfast-medium.json') throw new Fault('conflict', `${directory} is a medium already.`);
      // What an interrupted creation leaves, and what a new file system has of its own.
      if (['volumes', 'servers', 'lost+found'].includes(name) || name.startsWith('.')) continue;
      throw new Fault(
        'refused',
        `${directory} is not empty: "${name}" is in it. A medium needs a directory of its own.`,
      );
    }
    await ensureDirectory(join(directory, 'volumes'));
    await ensureDirectory(join(directory, 'servers'));
    const id = ids.draw() as MediumId;
    const content = formatFile({ format: 'holdfast-medium-1', id, created: new Date().toISOString() });
    await createFile(mediumFile(directory), content);
    return id;
  });
}

/**
 * Makes a volume of `sizeBytes` bytes, all zeroes and taking no room yet; for an explicit create command alone.
 * Faults: `conflict` when there is a volume of that name or an image with data in its place, `missing` when there is
 * no medium, `refused`, `full`, `io`.
 */
export async function createVolume(directory: string, volume: VolumeName, sizeBytes: number): Promise<void> {
  checkName(volume, 'volume');
  checkSize(sizeBytes, volume);
  await readMediumFile(mediumFile(directory));
  await creating(`the volume ${volume} in ${directory}`, async () => {
    const home = join(directory, 'volumes', volume);
    await ensureDirectory(home);
    if (await exists(join(home, 'volume.json'))) {
      throw new Fault('conflict', `There is a volume ${volume} in ${directory} already.`);
    }
    await createImageFile(join(home, 'disk.img'), sizeBytes);
    const created = new Date().toISOString();
    const content = formatFile({ format: 'holdfast-volume-1', kind: 'block', volume, bytes: sizeBytes, created });
    await createFile(join(home, 'volume.json'), content);
  });
}

/**
 * A sparse file of `sizeBytes` zeroes at `path`, durable. An image of that size without any data, as an interrupted
 * creation leaves it, is taken as it is; any other file in its place is a fault `conflict`.
 */
export async function createImageFile(path: string, sizeBytes: number): Promise<void> {
  const temporary = `${path}.${randomBytes(8).toString('hex')}.new`;
  const file = await open(temporary, 'wx', 0o644);
  try {
    await file.truncate(sizeBytes);
    await file.sync();
    await link(temporary, path);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
    const found = await stat(path);
    if (!found.isFile() || found.size !== sizeBytes || found.blocks > 0) {
      throw new Fault('conflict', `There is something at ${path} already; it is left alone.`);
    }
  } finally {
    await file.close();
    await removeQuietly(temporary);
  }
  await syncDirectory(join(path, '..'));
}

function mediumFile(directory: string): string {
  return join(directory, 'holdfast-medium.json');
}

/**
 * The explicit create command's work: a medium's identity, the coordinator's directory, a volume's image or tree, and its
 * record.
 * Nothing else in the program creates any of them. Each step is whole or not at all, and a creation that was cut short
 * is taken up where it stopped.
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';
import type { MediumId, VolumeName } from '../base/names.ts';
import { firstRecord } from '../core/record.ts';
import { createCoordinator, isCoordinator } from '../drivers/coordinator/directory.ts';
import { BootClock, RandomIds } from '../drivers/linux/boot-clock.ts';
import {
  createMedium,
  createVolume as createImageInDirectory,
  readMediumId,
  readVolumeKind,
  volumeBytes,
} from '../drivers/medium/directory.ts';
import { createFilesVolume, filesHome } from '../drivers/medium/files/home.ts';
import { createImage, describeImage } from '../drivers/medium/image.ts';
import type { ImageDescription } from '../drivers/medium/image.ts';
import type { Ids } from '../ports/clock.ts';
import type { VolumeRecord } from '../ports/coordinator.ts';
import type { BlockVolumeConfig, Config, FilesVolumeConfig, VolumeConfig } from './config/load.ts';
import { formatBytes } from './config/units.ts';
import { makeCoordinator } from './drivers.ts';
import { settled } from './exit.ts';

export interface CreateOptions {
  /** Give the medium its identity when it has none, and the coordinator its directory when it lies on that medium. */
  readonly createMedium?: boolean;
  /** Make the coordinator's directory when there is none. */
  readonly createCoordinator?: boolean;
  /** Take an image that is there already, with its data, as the volume's content. */
  readonly adopt?: boolean;
}

/** Creates the volume. Faults: `conflict` when it was created before, `missing`, `refused`, `full`, `io`. */
export async function createVolume(
  config: Config,
  volume: VolumeConfig,
  options: CreateOptions,
): Promise<{ readonly mediumId: MediumId }> {
  const ids = new RandomIds();
  if ((await readRecordIfAny(config, volume)) !== null) {
    throw new Fault('conflict', `the volume "${volume.name}" was created already: it has a record`);
  }
  const mediumId = await createContent(config, volume, options, ids);
  const coordinator = makeCoordinator(config, 'command', new BootClock());
  await coordinator.create(volume.name as VolumeName, firstRecord(mediumId, ids.draw()));
  return { mediumId };
}

function createContent(config: Config, volume: VolumeConfig, options: CreateOptions, ids: Ids): Promise<MediumId> {
  if (volume.medium.driver === 'directory') return createOnDirectory(config, volume, options, ids);
  if (volume.type === 'block') return createOnImage(config, volume, options, ids);
  throw new Error(`broken invariant: the medium of the files volume ${volume.name} was checked`);
}

/** The volume's record; null when it was never created. Other faults are thrown. */
export async function readRecord(config: Config, volume: VolumeConfig): Promise<VolumeRecord | null> {
  if (!(await isCoordinator(config.coordinatorDirectory))) {
    throw new Fault(
      'missing',
      `there is no coordinator in ${config.coordinatorDirectory}: is it mounted? Was any volume created?`,
    );
  }
  return readRecordIfAny(config, volume);
}

async function readRecordIfAny(config: Config, volume: VolumeConfig): Promise<VolumeRecord | null> {
  const coordinator = makeCoordinator(config, 'command', new BootClock());
  try {
    return await settled<VolumeRecord>((done) => coordinator.read(volume.name as VolumeName, done));
  } catch (error) {
    if (error instanceof Fault && error.kind === 'missing') return null;
    throw error;
  }
}

async function createOnDirectory(
  config: Config,
  volume: VolumeConfig,
  options: CreateOptions,
  ids: Ids,
): Promise<MediumId> {
  const { path, name } = volume.medium;
  let id: MediumId;
  try {
    id = await readMediumId(path);
  } catch (error) {
    if (!(error instanceof Fault) || error.kind !== 'missing') throw error;
    if (options.createMedium !== true) throw noMedium(name, path);
    id = await createMedium(path, ids);
  }
  await ensureCoordinator(config, volume, options, ids);
  if (volume.type === 'block') await createImageOnDirectory(path, volume, options);
  else await createTreeOnDirectory(path, volume, options);
  return id;
}

async function createTreeOnDirectory(path: string, volume: FilesVolumeConfig, options: CreateOptions): Promise<void> {
  const name = volume.name as VolumeName;
  try {
    await createFilesVolume(path, name, volume.export.root);
  } catch (error) {
    if (!(error instanceof Fault) || error.kind !== 'conflict' || !(await isOfKind(path, name, 'files'))) throw error;
    // A volume without a record: left by a creation that was cut short, or one whose record was lost.
    const { tree } = filesHome(path, name);
    if (options.adopt !== true && (await readdir(tree)).length > 0) throw notAdopted(tree);
  }
}

/** Whether there is a volume of that name, and what it is. */
async function isOfKind(directory: string, volume: VolumeName, kind: 'block' | 'files'): Promise<boolean> {
  try {
    return (await readVolumeKind(directory, volume)) === kind;
  } catch (error) {
    if (error instanceof Fault && error.kind === 'missing') return false;
    throw error;
  }
}

async function createImageOnDirectory(path: string, volume: BlockVolumeConfig, options: CreateOptions): Promise<void> {
  try {
    await createImageInDirectory(path, volume.name as VolumeName, volume.sizeBytes);
  } catch (error) {
    if (!(error instanceof Fault) || error.kind !== 'conflict') throw error;
    if (await isOfKind(path, volume.name as VolumeName, 'files')) throw error;
    await takeUpImage(path, volume, options);
  }
}

/** An image without a record: left by a creation that was cut short, or adopted. */
async function takeUpImage(directory: string, volume: BlockVolumeConfig, options: CreateOptions): Promise<void> {
  const bytes = await volumeBytes(directory, volume.name as VolumeName);
  const image = join(directory, 'volumes', volume.name, 'disk.img');
  if (bytes !== volume.sizeBytes) {
    const sizes = `${formatBytes(bytes)}, not ${formatBytes(volume.sizeBytes)}`;
    throw new Fault('conflict', `there is an image ${image} already, and it has ${sizes}`);
  }
  const { blocks } = await stat(image);
  if (blocks > 0 && options.adopt !== true) throw notAdopted(image);
}

async function createOnImage(
  config: Config,
  volume: BlockVolumeConfig,
  options: CreateOptions,
  ids: Ids,
): Promise<MediumId> {
  const { path, name } = volume.medium;
  const found = await describeIfAny(path);
  if (found === null && options.createMedium !== true) throw noMedium(name, path);
  if (found !== null && found.bytes !== volume.sizeBytes) {
    const sizes = `${formatBytes(found.bytes)}, not ${formatBytes(volume.sizeBytes)}`;
    throw new Fault('conflict', `the image ${path} was made for ${sizes}`);
  }
  // A file that was there before, one of a creation that was cut short, or one whose record was lost.
  if (options.adopt !== true && (await holdsData(path))) throw notAdopted(path);
  await ensureCoordinator(config, volume, options, ids);
  return found?.id ?? createImage(path, volume.name as VolumeName, volume.sizeBytes, ids);
}

/** What the image is; null when it was never made a medium. */
async function describeIfAny(path: string): Promise<ImageDescription | null> {
  try {
    return await describeImage(path);
  } catch (error) {
    if (error instanceof Fault && error.kind === 'missing') return null;
    throw error;
  }
}

/** Whether there is a file or device at `path` that may hold data. */
async function holdsData(path: string): Promise<boolean> {
  try {
    const found = await stat(path);
    return found.isBlockDevice() || found.blocks > 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

async function ensureCoordinator(
  config: Config,
  volume: VolumeConfig,
  options: CreateOptions,
  ids: Ids,
): Promise<void> {
  const directory = config.coordinatorDirectory;
  if (await isCoordinator(directory)) return;
  const onThisMedium = volume.medium.driver === 'directory' && directory === volume.medium.path;
  if (options.createCoordinator === true || (options.createMedium === true && onThisMedium)) {
    return createCoordinator(directory, ids);
  }
  const flag = onThisMedium ? '--create-medium' : '--create-coordinator';
  throw new Fault('missing', `there is no coordinator in ${directory}: is it mounted? \`${flag}\` makes it, once`);
}

function noMedium(name: string, path: string): Fault {
  const sentence = `${path} is not the medium "${name}": is it mounted? \`--create-medium\` makes it one, once in its life`;
  return new Fault('missing', sentence);
}

function notAdopted(path: string): Fault {
  const sentence = `${path} is there already and may hold data, and there is no record of it: \`--adopt\` takes it as it is`;
  return new Fault('conflict', sentence);
}

/**
 * The medium `image`: one raw file or block device, given by its path, for one volume. Its bytes are the volume's and
 * nothing else: no label, no header. So the identity is kept beside it:
 *
 * - for a file `PATH`, in `PATH.holdfast.json`: id, volume, size, made by the explicit create command. Both lie in the
 *   same directory, so that where a mount is missing both are. A file that was replaced by one of another size, or by
 *   nothing, is noticed; one that an administrator replaced by another of the same size is not, and is his to answer for.
 * - for a block device there is no place beside it that other machines see. Its identity is what the device reports of
 *   itself (WWID, LVM or MD UUID, serial number; for a partition its place, too) and its size: a hash of these is the
 *   medium's id, the same on every machine. A device that reports nothing of the kind is refused. A path that leads to
 *   another device after a restart is noticed; a device whose content was replaced is not.
 *
 * A probe of a file writes a file beside it, `PATH.holdfast-probe.SERVER`, and reads some block of the file itself; a probe
 * of a device never writes.
 */
import { createHash, randomInt } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { type Done, Fault, type Result } from '../../base/fault.ts';
import type { MediumId, ServerId, VolumeName } from '../../base/names.ts';
import type { Clock, Ids } from '../../ports/clock.ts';
import type { Medium, MediumVolume } from '../../ports/medium.ts';
import { deviceIdentity, deviceSizeBytes } from '../linux/block-device.ts';
import { Deadline, PROBE_DEADLINE_MS } from '../linux/deadline.ts';
import { createFile } from '../linux/durable.ts';
import { errorCode, faultOfErrno, faultOfError } from '../linux/errno.ts';
import { dropCachedRange } from '../linux/ranges.ts';
import { settle } from '../linux/settle.ts';
import { checkName } from '../linux/small-files.ts';
import { creating, exists } from './creating.ts';
import { createImageFile } from './directory.ts';
import { checkMediumId, checkSize, formatFile, readImageFile } from './identity.ts';
import { probeFile } from './probe.ts';
import { openRawFile, type Sharing } from './raw-file.ts';

/** What a probe reads of a device. */
const DEVICE_PROBE_BYTES = 4096;

/** A server's view of an image. */
export interface ImageMediumOptions {
  /** The raw file or block device. */
  readonly path: string;
  /** The one volume that is kept on it. */
  readonly volume: VolumeName;
  /** This server: its probe file is named after it. */
  readonly server: ServerId;
  readonly sharing: Sharing;
  readonly clock: Clock;
  /** Milliseconds after which a probe that has not answered has failed; PROBE_DEADLINE_MS if left out. */
  readonly probeDeadlineMs?: number;
}

/** What an image is. */
export interface ImageDescription {
  readonly id: MediumId;
  readonly bytes: number;
  /** The one volume that it was created for; null for a device, which keeps no such note. */
  readonly volume: VolumeName | null;
}

export class ImageMedium implements Medium {
  readonly #options: ImageMediumOptions;
  readonly #probe: Deadline;

  constructor(options: ImageMediumOptions) {
    checkName(options.server, 'server');
    this.#options = options;
    const deadlineMs = options.probeDeadlineMs ?? PROBE_DEADLINE_MS;
    this.#probe = new Deadline(options.clock, deadlineMs, `the image ${options.path}`);
  }

  open(volume: VolumeName, expected: MediumId, done: Result<MediumVolume>): void {
    const { path, sharing } = this.#options;
    settle(this.#describe(volume, expected), `Opening the image ${path}`, (fault, sizeBytes) => {
      if (fault !== null) return done(fault, null);
      openRawFile(path, sharing, sizeBytes, done);
    });
  }

  probe(expected: MediumId, done: Done): void {
    const { path, server, sharing } = this.#options;
    this.#probe.run(async () => {
      const found = await describeImage(path);
      checkMediumId(found.id, expected, path);
      if (found.volume === null) await probeDevice(path);
      else {
        await probeFile(`${path}.holdfast-probe.${server}`, sharing);
        await probeBlock(path, found.bytes);
      }
    }, done);
  }

  async #describe(volume: VolumeName, expected: MediumId): Promise<number> {
    const { path, volume: configured } = this.#options;
    const found = await describeImage(path);
    checkMediumId(found.id, expected, path);
    const held = found.volume ?? configured;
    if (held === volume && configured === volume) return found.bytes;
    throw new Fault('missing', `The image ${path} holds the volume ${held}, not ${volume}.`);
  }
}

/** What the image at `path` is. Faults: `missing` when it was never created, `refused`, `corrupt`, `io`. */
export async function describeImage(path: string): Promise<ImageDescription> {
  try {
    const found = await stat(path, { bigint: true });
    if (found.isBlockDevice()) return await describeDevice(path, found.rdev);
  } catch (error) {
    throw faultOfError(error, `Looking at the image ${path}`);
  }
  const { id, bytes, volume } = await readImageFile(sidecar(path));
  return { id, bytes, volume: volume as VolumeName };
}

/**
 * Makes the file or device at `path` the medium of one volume; for an explicit create command alone. A file that is
 * not there is made, sparse, with `sizeBytes` bytes; one that is there, and a device, keeps its bytes. Faults:
 * `conflict` when the file is a medium already, `refused` when it has another size, or the device is in use, `full`, `io`.
 */
export async function createImage(path: string, volume: VolumeName, sizeBytes: number, ids: Ids): Promise<MediumId> {
  checkName(volume, 'volume');
  checkSize(sizeBytes, volume);
  return creating(`the image ${path}`, async () => {
    const present = await exists(path);
    const found = present ? await stat(path, { bigint: true }) : null;
    if (found?.isBlockDevice() === true) return adoptDevice(path, found.rdev, sizeBytes);
    if (found !== null && !found.isFile()) throw new Fault('refused', `${path} is neither a file nor a block device.`);
    if (await exists(sidecar(path))) throw new Fault('conflict', `${path} is a medium already.`);
    if (found === null) await createImageFile(path, sizeBytes);
    else checkImageSize(path, Number(found.size), sizeBytes);
    const id = ids.draw() as MediumId;
    const created = new Date().toISOString();
    const content = formatFile({ format: 'holdfast-image-1', id, volume, bytes: sizeBytes, created });
    await createFile(sidecar(path), content);
    return id;
  });
}

async function adoptDevice(path: string, rdev: bigint, sizeBytes: number): Promise<MediumId> {
  // Opened so, a device that is mounted, or otherwise the system's, is refused by the kernel.
  const file = await open(path, constants.O_RDWR | constants.O_EXCL).catch((error: unknown) => {
    if (errorCode(error) !== 'EBUSY') throw error;
    throw new Fault('refused', `The device ${path} is in use by this system: is it mounted?`, error);
  });
  await file.close();
  const found = await describeDevice(path, rdev);
  checkImageSize(path, found.bytes, sizeBytes);
  return found.id;
}

function checkImageSize(path: string, foundBytes: number, wantedBytes: number): void {
  if (foundBytes === wantedBytes) return;
  throw new Fault('refused', `${path} has ${foundBytes} bytes; the volume is to have ${wantedBytes}.`);
}

async function describeDevice(path: string, rdev: bigint): Promise<ImageDescription> {
  const identity = await new Promise<string>((resolve, reject) => {
    deviceIdentity(rdev, path, (fault, text) => (fault === null ? resolve(text as string) : reject(fault)));
  });
  const file = await open(path, 'r');
  try {
    const bytes = deviceSizeBytes(file.fd, path);
    const hash = createHash('sha256').update(`holdfast image\n${identity}\n${bytes}\n`).digest('hex');
    return { id: hash.slice(0, 32) as MediumId, bytes, volume: null };
  } finally {
    await file.close();
  }
}

/** Reads a block past every cache of this machine, and has the device make stable what it holds. */
async function probeDevice(path: string): Promise<void> {
  const file: FileHandle = await open(path, 'r+');
  try {
    await file.datasync();
    await new Promise<void>((resolve, reject) => {
      dropCachedRange(file.fd, 0, DEVICE_PROBE_BYTES, (errno) =>
        errno === 0 ? resolve() : reject(faultOfErrno(errno, `Dropping what this machine cached of ${path}`)),
      );
    });
    const { bytesRead } = await file.read(Buffer.alloc(DEVICE_PROBE_BYTES), 0, DEVICE_PROBE_BYTES, 0);
    if (bytesRead === 0) throw new Fault('io', `The device ${path} cannot be read.`);
  } finally {
    await file.close();
  }
}

/**
 * The image may lie on another file system than what is beside it (one that shows a single file): reads some block of it
 * past this machine's cache. Any block, for one that is always the same could be one that is always dirty.
 */
async function probeBlock(path: string, bytes: number): Promise<void> {
  const blocks = Math.max(1, Math.floor(bytes / DEVICE_PROBE_BYTES));
  const at = randomInt(Math.min(blocks, 2 ** 32)) * DEVICE_PROBE_BYTES;
  const file = await open(path, 'r');
  try {
    await new Promise<void>((resolve) => dropCachedRange(file.fd, at, DEVICE_PROBE_BYTES, () => resolve()));
    const { bytesRead } = await file.read(Buffer.alloc(DEVICE_PROBE_BYTES), 0, DEVICE_PROBE_BYTES, at);
    if (bytesRead === 0) throw new Fault('io', `The image ${path} cannot be read.`);
  } finally {
    await file.close();
  }
}

function sidecar(path: string): string {
  return `${path}.holdfast.json`;
}

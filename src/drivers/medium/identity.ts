/**
 * The small files that say what a medium, a volume or an image is: JSON for a person to read, checked strictly when it
 * is read. A medium is known by the id in its file, never by its path: where a mount is missing, the path leads to
 * somebody else's directory (trap T23).
 */
import { z } from 'zod';
import { Fault } from '../../base/fault.ts';
import type { MediumId, VolumeName } from '../../base/names.ts';
import { readBounded } from '../linux/small-files.ts';

/** No file of these is longer; what is, is not ours. */
const FILE_BYTES_MAX = 64 << 10;

const id = z
  .string()
  .regex(/^[0-9a-f]{32}$/, 'an id has 32 hexadecimal digits')
  .transform((text) => text as MediumId);
const bytes = z.int().positive();
const created = z.iso.datetime();

const mediumFile = z.strictObject({ format: z.literal('holdfast-medium-1'), id, created });
const volumeFormat = { format: z.literal('holdfast-volume-1'), volume: z.string(), created };
/** Volumes that were made before there were files volumes do not say what kind they are. */
const blockVolumeFile = z.strictObject({ ...volumeFormat, kind: z.literal('block').default('block'), bytes });
const filesVolumeFile = z.strictObject({
  ...volumeFormat,
  kind: z.literal('files'),
  handles: z.enum(['kernel', 'index']),
});
const volumeFile = z.union([filesVolumeFile, blockVolumeFile]);
const imageFile = z.strictObject({ format: z.literal('holdfast-image-1'), id, volume: z.string(), bytes, created });

export type MediumFile = z.output<typeof mediumFile>;
export type VolumeFile = z.output<typeof volumeFile>;
export type ImageFile = z.output<typeof imageFile>;

/** What `holdfast-medium.json` says. Fault `missing`, `corrupt` or `io`. */
export function readMediumFile(path: string): Promise<MediumFile> {
  return readChecked(path, mediumFile, 'medium');
}

/** What a volume's `volume.json` says. Fault `missing`, `corrupt` or `io`. */
export function readVolumeFile(path: string): Promise<VolumeFile> {
  return readChecked(path, volumeFile, 'volume');
}

/** What an image's sidecar says. Fault `missing`, `corrupt` or `io`. */
export function readImageFile(path: string): Promise<ImageFile> {
  return readChecked(path, imageFile, 'image');
}

/** As these files are written. */
export function formatFile(content: MediumFile | VolumeFile | ImageFile): string {
  return `${JSON.stringify(content, null, 2)}\n`;
}

/** Fault `refused` unless the medium at `path` is the expected one. */
export function checkMediumId(found: MediumId, expected: MediumId, path: string): void {
  if (found === expected) return;
  throw new Fault('refused', `${path} is not the expected medium: its id is ${found}, expected was ${expected}.`);
}

/** Fault `refused` unless a volume can have this size. */
export function checkSize(sizeBytes: number, volume: VolumeName): void {
  if (Number.isSafeInteger(sizeBytes) && sizeBytes > 0) return;
  throw new Fault('refused', `The volume ${volume} cannot have ${sizeBytes} bytes.`);
}

async function readChecked<T>(path: string, schema: z.ZodType<T>, what: string): Promise<T> {
  const text = await readBounded(path, FILE_BYTES_MAX, `description of the ${what} at ${path}`);
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (cause) {
    throw new Fault('corrupt', `${path} is no description of a ${what}: it is not JSON.`, cause);
  }
  const checked = schema.safeParse(content);
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  const where = issue === undefined ? '' : `: ${issue.path.join('.')} ${issue.message}`;
  throw new Fault('corrupt', `${path} is no description of a ${what} that this version knows${where}.`);
}

/**
 * Records and entries as files: JSON that a person can read, with a checksum, checked strictly when it is read.
 *
 *     {
 *       "format": "holdfast-record-1",
 *       "volume": "disk1",
 *       "crc32c": "5e0c7a21",
 *       "content": { "version": 42, "nonce": "…", … }
 *     }
 *
 * The checksum is that of `content` in compact notation, its keys in the file's order: whoever edits the file by hand
 * is found out, whoever reformats it is not.
 */
import { z } from 'zod';
import { crc32c } from '../../base/crc32c.ts';
import { assert, Fault } from '../../base/fault.ts';
import type {
  Epoch,
  Generation,
  Incarnation,
  MediumId,
  Sequence,
  ServerId,
  StoreId,
  Version,
  VolumeName,
} from '../../base/names.ts';
import type { ServerEntry, VolumeRecord } from '../../ports/coordinator.ts';

const RECORD_FORMAT = 'holdfast-record-1';
const ENTRY_FORMAT = 'holdfast-entry-1';
/** No record or entry is longer: 8 accepted losses, some holders and stores, two sentences. */
export const FILE_BYTES_MAX = 256 << 10;

const count = z.int().nonnegative();
const id = z.string().regex(/^[0-9a-f]{32}$/, 'an id has 32 hexadecimal digits');
const name = z.string().min(1).max(64);
/** The brands are types only: a checked number or text becomes the named one. */
const epoch = count.transform((value) => value as Epoch);
const sequence = count.transform((value) => value as Sequence);
const generation = count.transform((value) => value as Generation);
const version = count.positive().transform((value) => value as Version);
const server = name.transform((text) => text as ServerId);
const incarnation = id.transform((text) => text as Incarnation);
const store = id.transform((text) => text as StoreId);
const medium = id.transform((text) => text as MediumId);

const holder = z.strictObject({ server, incarnation });
const source = z.strictObject({
  epoch,
  generation,
  stores: z.array(z.strictObject({ server, store })),
  from: z.enum(['in-sync', 'sole']),
});

const record = z.strictObject({
  version,
  nonce: z.string().min(1).max(128),
  mediumId: medium,
  epoch,
  owner: holder.nullable(),
  ownerStore: store.nullable(),
  partner: server.nullable(),
  partnerStore: store.nullable(),
  generation,
  mirror: z.enum(['in-sync', 'suspended', 'sole', 'replaying']),
  source: source.nullable(),
  holders: z.array(holder),
  replayed: z.strictObject({ epoch, sequence }).nullable(),
  losses: z.array(z.string()),
  why: z.string(),
});

const entry = z.strictObject({ server, incarnation, counter: count, unfit: z.string().nullable() });

const envelope = z.strictObject({
  format: z.string(),
  volume: z.string().optional(),
  crc32c: z.string(),
  content: z.unknown(),
});

/** The record as its file's text. A record that could not be read back is a bug. */
export function encodeRecord(volume: VolumeName, content: VolumeRecord): string {
  const text = seal({ format: RECORD_FORMAT, volume }, content);
  assert(record.safeParse(content).success, 'a record that is written can be read back');
  assert(Buffer.byteLength(text) <= FILE_BYTES_MAX, 'a record stays below the longest file that is read');
  return text;
}

/** The record in the file's text. Fault `corrupt`, `path` in its sentence, for everything but that volume's record. */
export function decodeRecord(text: string, volume: VolumeName, expected: Version, path: string): VolumeRecord {
  const opened = open(text, RECORD_FORMAT, path);
  if (opened.volume !== volume) throw new Fault('corrupt', `${path} is a record of another volume.`);
  const found = check(record, opened.content, path);
  if (found.version === expected) return found;
  throw new Fault('corrupt', `${path} holds version ${found.version}, which is not the one in its name.`);
}

/** The entry as its file's text. */
export function encodeEntry(content: ServerEntry): string {
  return seal({ format: ENTRY_FORMAT }, content);
}

/** The entry in the file's text. Fault `corrupt` for everything but an entry. */
export function decodeEntry(text: string, path: string): ServerEntry {
  return check(entry, open(text, ENTRY_FORMAT, path).content, path);
}

function seal(head: { readonly format: string; readonly volume?: string }, content: unknown): string {
  return `${JSON.stringify({ ...head, crc32c: checksum(content), content }, null, 2)}\n`;
}

function open(text: string, format: string, path: string): z.output<typeof envelope> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new Fault('corrupt', `${path} is not whole: it cannot be read as JSON.`, cause);
  }
  const found = check(envelope, parsed, path);
  if (found.format !== format) {
    throw new Fault('corrupt', `${path} has the format "${found.format}"; this version reads "${format}".`);
  }
  if (found.crc32c !== checksum(found.content)) {
    throw new Fault('corrupt', `${path} does not match its checksum: it was damaged, or changed by hand.`);
  }
  return found;
}

function check<T>(schema: z.ZodType<T>, value: unknown, path: string): T {
  const checked = schema.safeParse(value);
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  const where = issue === undefined ? '' : `: ${issue.path.join('.')} ${issue.message}`;
  throw new Fault('corrupt', `${path} does not hold what it should${where}.`);
}

function checksum(content: unknown): string {
  return crc32c(Buffer.from(JSON.stringify(content) ?? ''))
    .toString(16)
    .padStart(8, '0');
}

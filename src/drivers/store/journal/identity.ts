/**
 * A journal's identity: the file `identity` in its directory, which a person can read. It is written once, with the
 * place (inode, creation) of the file itself in it, so that a copied or restored directory does not pass for the store
 * that it is a copy of: an old copy would have the id of a store that holds every acknowledged write.
 *
 * A move within the file system keeps the place, a copy never does. What cannot be told from here is a whole file
 * system that was put back to an earlier state (docs/durability.md).
 */
import { join } from 'node:path';
import { Fault } from '../../../base/fault.ts';
import type { ServerId, StoreId, VolumeName } from '../../../base/names.ts';
import { placeAt, readText, remove, renameDurably, writeNewFile } from './disk.ts';

export const IDENTITY_FILE = 'identity';
const FORMAT = 'holdfast-journal-1';
const HEX_32 = /^[0-9a-f]{32}$/;

export interface Identity {
  readonly store: StoreId;
  readonly server: ServerId;
  readonly volume: VolumeName;
  /** The ring's key, 32 hexadecimal digits. */
  readonly key: string;
}

/** Writes the identity: from here on the store exists. */
export async function writeIdentity(directory: string, identity: Identity, created: Date): Promise<void> {
  const path = join(directory, IDENTITY_FILE);
  const draft = `${path}.new`;
  await remove(draft);
  await writeNewFile(draft, (place) => {
    const text = {
      format: FORMAT,
      ...identity,
      place,
      created: created.toISOString(),
      note: 'Made for this place: a copy is refused. Remove this file to have a new, empty store made here; what the old one holds is then put aside.',
    };
    return `${JSON.stringify(text, null, 2)}\n`;
  });
  await renameDurably(draft, path);
}

/** Null when there is none. Faults: `corrupt` when it cannot be understood, `refused` when it is another's or a copy. */
export async function readIdentity(directory: string, server: ServerId, volume: VolumeName): Promise<Identity | null> {
  const path = join(directory, IDENTITY_FILE);
  const text = await readText(path);
  if (text === null) return null;
  const fields = parse(path, text);
  if (fields.server !== server || fields.volume !== volume) {
    throw new Fault(
      'refused',
      `The journal in ${directory} is the one of server "${fields.server}" for volume "${fields.volume}", ` +
        `not of server "${server}" for volume "${volume}".`,
    );
  }
  const place = await placeAt(path);
  if (fields.place !== place) {
    throw new Fault(
      'refused',
      `The journal in ${directory} is a copy, or was restored: it was made as file ${fields.place} (inode, creation), ` +
        `and is ${place} now. A copy may lack acknowledged writes and is never used. To go on with a new, empty store, ` +
        `remove ${path}; what is there now is then put aside.`,
    );
  }
  return { store: fields.store as StoreId, server, volume, key: fields.key };
}

interface Fields {
  readonly store: string;
  readonly server: string;
  readonly volume: string;
  readonly key: string;
  readonly place: string;
}

function parse(path: string, text: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new Fault('corrupt', `The journal's identity ${path} is damaged: it is no JSON.`, cause);
  }
  const all = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  if (all['format'] !== FORMAT) {
    throw new Fault(
      'corrupt',
      `The journal's identity ${path} is damaged, or of another version: format is not ${FORMAT}.`,
    );
  }
  const field = (name: string): string => {
    const found = all[name];
    if (typeof found === 'string') return found;
    throw new Fault('corrupt', `The journal's identity ${path} is damaged: ${name} is missing.`);
  };
  const fields = {
    store: field('store'),
    server: field('server'),
    volume: field('volume'),
    key: field('key'),
    place: field('place'),
  };
  if (!HEX_32.test(fields.store) || !HEX_32.test(fields.key)) {
    throw new Fault(
      'corrupt',
      `The journal's identity ${path} is damaged: store and key are 32 hexadecimal digits each.`,
    );
  }
  return fields;
}

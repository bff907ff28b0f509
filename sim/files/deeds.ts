/** Requests of clients of files volumes, as the checkers know them: each may be sent many times, to several servers. */
import type { ObjectId } from '../../src/ports/tree.ts';
import type { NfsArguments } from '../../src/wire/nfs/types.ts';

/** What the client was told. */
export interface DeedOutcome {
  readonly status: number;
  /** The object that was found or made. */
  readonly id: ObjectId | null;
}

export interface Deed {
  /** Who asks, and the number of the request. */
  readonly key: string;
  readonly asked: NfsArguments;
  /** It must not be carried out again once it was answered. */
  readonly isRecorded: boolean;
  /** When it was sent first, and answered first. */
  readonly beginMs: number;
  answeredMs: number;
  outcome: DeedOutcome | null;
  /** How often it was sent. */
  sendings: number;
  /** How often it changed the tree, as the device knows. */
  effects: number;
  /** What it made last. */
  made: ObjectId | null;
}

const byName = new WeakMap<Buffer, Deed>();

/** Whose the name is that reaches the tree: the front end hands on the very bytes that were received. */
export const deedOfName = (name: Buffer): Deed | null => byName.get(name) ?? null;
export function nameIs(name: Buffer, deed: Deed): void {
  byName.set(name, deed);
}

export const isMaking = ({ asked: { procedure } }: Deed): boolean =>
  procedure === 'create' || procedure === 'mkdir' || procedure === 'symlink';

export function describe({ key, asked }: Deed): string {
  const at = (handle: Buffer, name: Buffer): string => `${idIn(handle)}/${name.toString('latin1')}`;
  switch (asked.procedure) {
    case 'create':
    case 'mkdir':
    case 'symlink':
    case 'remove':
    case 'rmdir':
    case 'lookup': {
      const how = asked.procedure === 'create' ? ` ${asked.how.mode}` : '';
      return `${asked.procedure}${how} ${at(asked.directory, asked.name)} (request ${key})`;
    }
    case 'rename':
      return `rename ${at(asked.from.directory, asked.from.name)} to ${at(asked.to.directory, asked.to.name)} (request ${key})`;
    case 'link':
      return `link ${at(asked.directory, asked.name)} of ${idIn(asked.handle)} (request ${key})`;
    default:
      return `${asked.procedure}${'handle' in asked ? ` ${idIn(asked.handle)}` : ''} (request ${key})`;
  }
}

/** The id in a handle, which is written in one of two ways (src/front/nfs/handles.ts). */
export const idIn = (handle: Buffer): ObjectId => handle.toString(handle[0] === 1 ? 'base64url' : 'latin1', 13);

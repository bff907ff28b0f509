/**
 * What clients of files volumes ask for, as NFS requests: bytes, sizes, times and attributes of files, names in directories
 * that come and go, looks at all of it. Clients share the handles that they were given, stale ones too, and want the same
 * few names. Who is not answered sends the same request again, to whoever serves then, from another port.
 */
import type { NfsArguments, Sattr3 } from '../../src/wire/nfs/types.ts';
import { NfsStatus, Stable } from '../../src/wire/nfs/types.ts';
import type { NfsResult } from '../../src/wire/nfs/results.ts';
import { isRecorded } from '../../src/front/nfs/procedures/setattr.ts';
import type { Client, Errand } from '../clients.ts';
import type { ClientConnection } from '../doors.ts';
import { idIn, nameIs, type Deed } from './deeds.ts';
import { idOf } from './judge.ts';
import type { FilesModel, Known } from './model.ts';
import { CELL } from './platter.ts';

/** Names of the files that a volume begins with, in the root. */
export const FIRST_FILES = ['p', 'q'] as const;
const NAMES = ['p', 'q', 'r'] as const;

/** So many of each kind are remembered by clients. */
const KNOWN = { files: 6, directories: 4 } as const;
/** How often a client goes on sending a request that must happen once: one that gives up does not know what came of it. */
const RESENDS = 0.9;

const NOTHING: Sattr3 = { mode: null, uid: null, gid: null, sizeBytes: null, atime: null, mtime: null };

class NfsErrand implements Errand {
  readonly resend: number | null;
  readonly #client: Client;
  readonly #number: number;
  readonly #asked: NfsArguments;
  #deed: Deed | null = null;

  constructor(client: Client, number: number, asked: NfsArguments) {
    this.#client = client;
    this.#number = number;
    this.#asked = asked;
    this.resend = recorded(asked) ? RESENDS : null;
  }

  run(connection: ClientConnection, finish: (again: boolean) => void): void {
    const { herd } = this.#client;
    herd.street.send(connection, () => {
      const { front } = connection.door;
      if (front === null) return;
      const caller = {
        client: this.#client.index,
        port: 1024 + herd.prng.below(4),
        xid: this.#number,
        isGone: () => !connection.serverOpen,
      };
      front.call(this.#sent(), this.#known(front.files), caller, (result) => {
        if (!connection.serverOpen) return;
        if (result === null) return herd.street.serverClose(connection);
        herd.ctx.after(herd.prng.latency(herd.street.latencyMs), () => {
          if (!connection.open) return;
          learn(front.files, this.#asked, result);
          finish(false);
        });
      });
    });
  }

  /** Bytes of its own each time: what was received before belongs to whoever received it. So has every stamp its time. */
  #sent(): NfsArguments {
    const asked = this.#asked;
    if (asked.procedure === 'write') return { ...asked, data: Buffer.from(asked.data) };
    if (asked.procedure !== 'setattr' || asked.change.mtime === null) return asked;
    return { ...asked, change: { ...asked.change, mtime: BigInt(this.#client.herd.drawTag()) } };
  }

  /** Its account, from when it was sent first. Looks and writes have none: each sending is a request. */
  #known(files: FilesModel): Deed | null {
    const asked = this.#asked;
    const isRecord = recorded(asked);
    if (!isRecord && asked.procedure !== 'setattr') return null;
    if (this.#deed !== null) {
      this.#deed.sendings++;
      return this.#deed;
    }
    const { herd } = this.#client;
    this.#deed = {
      key: `${this.#client.index}:${this.#number}`,
      asked,
      isRecorded: isRecord,
      beginMs: herd.ctx.now,
      answeredMs: Infinity,
      outcome: null,
      sendings: 1,
      effects: 0,
      made: null,
    };
    files.deeds.push(this.#deed);
    if (asked.procedure === 'setattr') {
      if (asked.change.uid !== null) files.deedsByOwner.set(asked.change.uid, this.#deed);
    } else if (asked.procedure === 'rename') nameIs(asked.from.name, this.#deed);
    else if ('name' in asked) nameIs(asked.name, this.#deed);
    return this.#deed;
  }
}

function recorded(asked: NfsArguments): boolean {
  switch (asked.procedure) {
    case 'create':
    case 'mkdir':
    case 'symlink':
    case 'remove':
    case 'rmdir':
    case 'rename':
    case 'link':
      return true;
    case 'setattr':
      return isRecorded(asked);
    default:
      return false;
  }
}

/** What clients keep of an answer: handles, and the ctime that a guard needs. */
function learn(files: FilesModel, asked: NfsArguments, result: NfsResult): void {
  if ('status' in result && result.status === NfsStatus.stale && 'handle' in asked) forget(files, asked.handle);
  if (!('attributes' in result) || result.attributes === null) return;
  const { attributes } = result;
  const handle = 'handle' in result ? result.handle : 'handle' in asked ? asked.handle : null;
  if (handle === null || idIn(handle) !== idOf(attributes)) return;
  const kind = attributes.type === 'file' ? 'files' : 'directories';
  if (kind === 'directories' && attributes.type !== 'directory') return;
  const list = files.known[kind];
  const known = list.find(({ id }) => id === idIn(handle));
  if (known !== undefined) known.ctimeNs = attributes.ctimeNs;
  else list.push({ id: idIn(handle), handle: Buffer.from(handle), ctimeNs: attributes.ctimeNs });
  if (list.length > KNOWN[kind]) list.splice(1, 1);
}

/** A client was told that it is gone. One is kept: to be asked for all the same. */
function forget({ known }: FilesModel, handle: Buffer): void {
  for (const list of [known.files, known.directories]) {
    const at = list.findIndex(({ id }) => id === idIn(handle));
    if (at > 0) list.splice(at, 1);
  }
}

/** Kinds of requests that change something, and how often each is sent of a hundred. */
const CHANGES: readonly (readonly [string, number])[] = [
  ['write', 36],
  ['truncate', 10],
  ['attributes', 10],
  ['create', 12],
  ['mkdir', 6],
  ['symlink', 2],
  ['remove', 7],
  ['rmdir', 4],
  ['rename', 9],
  ['link', 4],
];

/** What a client of a files volume wants next; null: its root has to be mounted first. */
export function fileErrand(client: Client): Errand {
  const { herd, plan } = client;
  const files = herd.auditor.filesOf(plan.volume) as FilesModel;
  if (files.known.directories.length === 0) return new MountErrand(client, files);
  const wishes = new Wishes(client, files);
  return new NfsErrand(client, herd.drawTag(), wishes.draw(herd.prng.float() < plan.reads));
}

/** Asks for the root's handle. */
class MountErrand implements Errand {
  readonly resend = 1;
  readonly #client: Client;
  readonly #files: FilesModel;

  constructor(client: Client, files: FilesModel) {
    this.#client = client;
    this.#files = files;
  }

  run(connection: ClientConnection, finish: (again: boolean) => void): void {
    const { herd } = this.#client;
    herd.street.send(connection, () =>
      connection.door.front?.rootHandle((handle) => {
        herd.ctx.stir();
        if (!connection.serverOpen) return;
        const { directories } = this.#files.known;
        if (directories.length === 0) directories.push({ id: idIn(handle), handle, ctimeNs: 0n });
        herd.ctx.after(herd.prng.latency(herd.street.latencyMs), () => {
          if (connection.open) finish(false);
        });
      }),
    );
  }
}

/** Draws requests. */
class Wishes {
  readonly #client: Client;
  readonly #files: FilesModel;

  constructor(client: Client, files: FilesModel) {
    this.#client = client;
    this.#files = files;
  }

  get #prng() {
    return this.#client.herd.prng;
  }

  #name(): Buffer {
    return Buffer.from(this.#prng.pick(NAMES), 'latin1');
  }
  #directory(): Buffer {
    return this.#prng.pick(this.#files.known.directories).handle;
  }
  #place(): { readonly directory: Buffer; readonly name: Buffer } {
    return { directory: this.#directory(), name: this.#name() };
  }
  /** Any that is known; before there is one, a directory. */
  #file(): Known {
    const { files, directories } = this.#files.known;
    return this.#prng.pick(files.length > 0 ? files : directories);
  }
  #sizeBytes(): number {
    return this.#prng.int(0, this.#files.cells) * CELL;
  }
  #range(): { readonly offset: number; readonly count: number } {
    const first = this.#prng.below(this.#files.cells);
    const count = Math.min(this.#files.cells - first, this.#prng.int(1, this.#client.plan.span));
    return { offset: first * CELL, count: count * CELL };
  }

  draw(isLook: boolean): NfsArguments {
    if (isLook || this.#files.known.files.length === 0) return this.#look();
    let at = this.#prng.below(100);
    for (const [kind, share] of CHANGES) {
      if ((at -= share) < 0) return this.#change(kind);
    }
    throw new Error('the shares are a hundred');
  }

  #look(): NfsArguments {
    const u = this.#prng.float();
    if (u < 0.3 || this.#files.known.files.length === 0) return { procedure: 'lookup', ...this.#place() };
    if (u < 0.42) {
      const all = { cookie: 0n, verifier: 0n, dirCount: 8192, maxCount: 8192 };
      return { procedure: 'readdirplus', handle: this.#directory(), ...all };
    }
    if (u < 0.65) {
      const { files, directories } = this.#files.known;
      return { procedure: 'getattr', handle: this.#prng.pick([...files, ...directories]).handle };
    }
    return { procedure: 'read', handle: this.#file().handle, ...this.#range() };
  }

  #change(kind: string): NfsArguments {
    switch (kind) {
      case 'write': {
        const { offset, count } = this.#range();
        const data = Buffer.alloc(count);
        return { procedure: 'write', handle: this.#file().handle, offset, stable: Stable.unstable, data };
      }
      case 'truncate':
        return this.#setattr({ ...NOTHING, sizeBytes: this.#sizeBytes() });
      case 'attributes':
        return this.#attributes();
      case 'create':
        return this.#create();
      case 'mkdir':
        return { procedure: 'mkdir', ...this.#place(), attributes: { ...NOTHING, mode: 0o755 } };
      case 'symlink':
        return { procedure: 'symlink', ...this.#place(), attributes: NOTHING, to: this.#name() };
      case 'remove':
      case 'rmdir':
        return { procedure: kind, ...this.#place() };
      case 'rename':
        return { procedure: 'rename', from: this.#place(), to: this.#place() };
      default:
        return { procedure: 'link', handle: this.#file().handle, ...this.#place() };
    }
  }

  /** An owner that nobody else sets, by which it is recognised; a mode; a time. */
  #attributes(): NfsArguments {
    const { herd } = this.#client;
    if (this.#prng.chance(0.3)) {
      const change = { ...NOTHING, mtime: BigInt(herd.drawTag()) };
      return { procedure: 'setattr', handle: this.#file().handle, change, guardNs: null };
    }
    const uid = herd.drawTag();
    const mode = this.#prng.chance(0.5) ? 0o600 + this.#prng.below(64) : null;
    return this.#setattr({ ...NOTHING, uid, mode, sizeBytes: this.#prng.chance(0.2) ? this.#sizeBytes() : null });
  }

  #setattr(change: Sattr3): NfsArguments {
    const { handle, ctimeNs } = this.#file();
    return { procedure: 'setattr', handle, change, guardNs: this.#prng.chance(0.4) ? ctimeNs : null };
  }

  #create(): NfsArguments {
    const u = this.#prng.float();
    // Only half of a verifier's bits, so that the time that they make stays a number that cells can hold.
    if (u < 0.3) {
      const verifier = BigInt(this.#client.herd.drawTag());
      return { procedure: 'create', ...this.#place(), how: { mode: 'exclusive', verifier } };
    }
    const sizeBytes = this.#prng.chance(0.4) ? this.#sizeBytes() : null;
    const mode = u < 0.6 ? 'guarded' : 'unchecked';
    return { procedure: 'create', ...this.#place(), how: { mode, attributes: { ...NOTHING, sizeBytes } } };
  }
}

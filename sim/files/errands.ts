/**
 * What clients of files volumes ask for: writes, truncates and times of files, reads and looks, and changes of names, which
 * are sent again with the same number until they are answered.
 */
import type { ObjectId } from '../../src/ports/tree.ts';
import type { Client, Errand } from '../clients.ts';
import type { ClientConnection } from '../doors.ts';
import type { Front } from './front.ts';
import type { Change, FilesModel } from './model.ts';
import type { NameDeed } from './names.ts';
import { DIRECTORY, ROOT } from './platter.ts';

/** Names of the files that a volume begins with, in the root. */
export const FIRST_FILES = ['p', 'q'] as const;
/** All names that clients use. */
const PLACES = [
  [ROOT, 'p'],
  [ROOT, 'q'],
  [ROOT, 'r'],
  [DIRECTORY, 'p'],
  [DIRECTORY, 's'],
] as const;
export const NAME_KEYS = PLACES.map(([directory, name]) => `${directory}/${name}`);

/** So many files are remembered by clients. */
const KNOWN = 6;

abstract class FileErrand implements Errand {
  readonly resend: number | null = null;
  protected readonly client: Client;

  constructor(client: Client) {
    this.client = client;
  }

  run(connection: ClientConnection, finish: (again: boolean) => void): void {
    const { herd } = this.client;
    herd.street.send(connection, () => {
      const { front } = connection.door;
      if (front === null) return;
      this.ask(front, connection, (again) => {
        if (!connection.serverOpen || !connection.open) return;
        herd.ctx.after(herd.prng.latency(herd.street.latencyMs), () => {
          if (connection.open) finish(again);
        });
      });
    });
  }

  protected abstract ask(front: Front, connection: ClientConnection, finish: (again: boolean) => void): void;

  protected get files(): FilesModel {
    return this.client.herd.auditor.filesOf(this.client.plan.volume) as FilesModel;
  }
}

class ModifyErrand extends FileErrand {
  readonly #id: ObjectId;
  readonly #kind: Change['kind'];
  readonly #at: number;
  readonly #count: number;

  constructor(client: Client, id: ObjectId, kind: Change['kind'], at: number, count: number) {
    super(client);
    this.#id = id;
    this.#kind = kind;
    this.#at = at;
    this.#count = count;
  }

  protected ask(front: Front, _connection: ClientConnection, finish: (again: boolean) => void): void {
    front.modify(this.#id, this.#kind, this.#at, this.#count, (fault) => {
      if (fault === 'stale') forget(this.files, this.#id);
      finish(fault !== null && fault !== 'stale');
    });
  }
}

class ReadErrand extends FileErrand {
  readonly #id: ObjectId;
  readonly #first: number;
  readonly #count: number;

  constructor(client: Client, id: ObjectId, first: number, count: number) {
    super(client);
    this.#id = id;
    this.#first = first;
    this.#count = count;
  }

  protected ask(front: Front, _connection: ClientConnection, finish: (again: boolean) => void): void {
    front.read(this.#id, this.#first, this.#count, (shown) => {
      if (shown === null) forget(this.files, this.#id);
      finish(false);
    });
  }
}

class LookupErrand extends FileErrand {
  protected ask(front: Front, _connection: ClientConnection, finish: (again: boolean) => void): void {
    const [directory, name] = this.client.herd.prng.pick(PLACES);
    const beginMs = this.client.herd.ctx.now;
    front.lookup(directory, name, (id) => {
      this.files.names.looked(directory, name, id, beginMs, this.client.herd.ctx.now);
      if (id !== null) remember(this.files, id);
      finish(false);
    });
  }
}

class NameErrand extends FileErrand {
  /** A client that abandons such a request does not know what came of it: most go on. */
  override readonly resend = 0.9;
  readonly #wish: Omit<NameDeed, 'beginMs' | 'endMs' | 'outcome' | 'effects' | 'made'>;
  #deed: NameDeed | null = null;

  constructor(client: Client, kind: NameDeed['kind'], number: number) {
    super(client);
    const { prng } = client.herd;
    const [directory, name] = prng.pick(PLACES);
    const [toDirectory, toName] = prng.pick(PLACES.filter((place) => place[0] !== directory || place[1] !== name));
    const id = kind === 'link' ? prng.pick(this.files.known) : '';
    this.#wish = { key: `${client.index}:${number}`, kind, directory, name, toDirectory, toName, id, time: number };
  }

  protected ask(front: Front, connection: ClientConnection, finish: (again: boolean) => void): void {
    const { names } = this.files;
    if (this.#deed === null) {
      const beginMs = this.client.herd.ctx.now;
      this.#deed = { ...this.#wish, beginMs, endMs: Infinity, outcome: null, effects: 0, made: null };
      names.begin(this.#deed);
    }
    front.change(
      this.#deed,
      () => !connection.serverOpen,
      (outcome) => {
        if (outcome.status === 'ok' && outcome.id !== null) remember(this.files, outcome.id);
        finish(false);
      },
    );
  }
}

function remember({ known }: FilesModel, id: ObjectId): void {
  if (known.includes(id)) return;
  known.push(id);
  if (known.length > KNOWN) known.shift();
}

/** A client was told that it is gone. One is kept: to be asked for all the same. */
function forget({ known }: FilesModel, id: ObjectId): void {
  const at = known.indexOf(id);
  if (at >= 0 && known.length > 1) known.splice(at, 1);
}

const KINDS: readonly (readonly [Change['kind'] | NameDeed['kind'], number])[] = [
  ['write', 46],
  ['truncate', 14],
  ['stamp', 8],
  ['create', 10],
  ['remove', 8],
  ['rename', 9],
  ['link', 5],
];

/** What a client of a files volume wants next. */
export function fileErrand(client: Client): Errand {
  const { herd, plan } = client;
  const { prng } = herd;
  const files = herd.auditor.filesOf(plan.volume) as FilesModel;
  const id = prng.pick(files.known);
  const first = prng.below(files.cells);
  const count = Math.min(files.cells - first, prng.int(1, plan.span));
  if (prng.float() < plan.reads) {
    const u = prng.float();
    return u < 0.2 ? new LookupErrand(client) : new ReadErrand(client, id, first, u < 0.55 ? 0 : count);
  }
  let at = prng.below(100);
  for (const [kind, share] of KINDS) {
    if ((at -= share) >= 0) continue;
    if (kind === 'write') return new ModifyErrand(client, id, kind, first, count);
    if (kind === 'truncate') return new ModifyErrand(client, id, kind, prng.int(0, files.cells), 0);
    if (kind === 'stamp') return new ModifyErrand(client, id, kind, 0, 0);
    return new NameErrand(client, kind, herd.drawTag());
  }
  throw new Error('the shares are a hundred');
}

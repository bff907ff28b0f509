/**
 * The tree of a files volume: the port's calls (src/ports/tree.ts) as questions to the tree's threads, with what was learnt a
 * moment ago answered from memory, and changes made durable before they are answered.
 */
import { type Done, Fault, type Result } from '../../../base/fault.ts';
import { REPLIES } from '../../../ports/tree.ts';
import type {
  Attributes,
  AttributeChange,
  Creation,
  Listing,
  MediumTree,
  ObjectId,
  TreeLimits,
  TreeObject,
  Usage,
} from '../../../ports/tree.ts';
import { ErrorNumber } from '../../linux/errno.ts';
import type { Committer } from './committer.ts';
import type { Crew } from './crew.ts';
import { COOKIE_MAX, parseListing } from './directory-reader.ts';
import { Known } from './known.ts';
import { nameErrno } from './names.ts';
import type { OpenObject, OpenObjects } from './open-objects.ts';
import { treeFault } from './tree-fault.ts';
import type { Answer, Ask, FoundObject, LostName, Op } from './words.ts';

/** Attributes and names that are remembered: 64 MiB of memory at most, for both. */
const KNOWN_MAX = 65_536;
/** Entries of one listing. */
export const LIST_MAX = 8_192;

export interface TreeParts {
  readonly crew: Crew;
  readonly open: OpenObjects;
  readonly committer: Committer;
  readonly secret: Buffer;
  readonly limits: TreeLimits;
  readonly rootId: ObjectId;
  readonly rootFd: number;
  /** Faults of calls after the close; null while the volume is open. */
  readonly refusal: () => Fault | null;
  /** A call has begun, and has been answered. */
  readonly entered: () => void;
  readonly left: () => void;
}

export class FilesTree implements MediumTree {
  readonly secret: Buffer;
  readonly limits: TreeLimits;
  readonly #parts: TreeParts;
  readonly #attributes = new Known<Attributes>(KNOWN_MAX);
  readonly #names = new Known<ObjectId>(KNOWN_MAX);

  constructor(parts: TreeParts) {
    this.#parts = parts;
    this.secret = parts.secret;
    this.limits = parts.limits;
  }

  /** A modification of the object's bytes, size or time begins: what is known of it is no longer so. */
  enter(id: ObjectId): void {
    this.#attributes.enter(id);
  }
  leave(id: ObjectId): void {
    this.#attributes.leave(id);
  }

  root(done: Result<TreeObject>): void {
    const { rootId } = this.#parts;
    this.attributes(rootId, (fault, attributes) =>
      done(fault, attributes === null ? null : { id: rootId, attributes }),
    );
  }

  attributes(id: ObjectId, done: Result<Attributes>): void {
    const known = this.#parts.refusal() === null ? this.#attributes.get(id) : undefined;
    if (known !== undefined) return process.nextTick(done, null, known);
    const { moment } = this.#attributes;
    const held = this.#held(id);
    this.#ask('attributes', { id, fd: fdOf(held) }, held === null ? [] : [held], done, ({ attributes }) => {
      this.#attributes.put(id, attributes, moment);
      return attributes;
    });
  }

  lookup(directory: ObjectId, name: Buffer, done: Result<TreeObject>): void {
    const errno = nameErrno(name, this.limits.nameBytes);
    if (errno !== 0) return this.#refuse(errno, 'Looking a name up', done);
    const text = name.toString('latin1');
    const key = `${directory}/${text}`;
    const id = this.#parts.refusal() === null ? this.#names.get(key) : undefined;
    const known = id === undefined ? undefined : this.#attributes.get(id);
    if (id !== undefined && known !== undefined) return process.nextTick(done, null, { id, attributes: known });
    const moments = [this.#names.moment, this.#attributes.moment] as const;
    const held = this.#directory(directory);
    this.#ask('lookup', { id: directory, fd: fdOf(held), name: text }, holding(held), done, (found) => {
      this.#adoptDirectory(directory, found.opened);
      // What `..` leads to changes without a change of this directory.
      if (text !== '.' && text !== '..') this.#names.put(key, found.id, moments[0]);
      return this.#learn(found, moments[1]);
    });
  }

  readLink(id: ObjectId, done: Result<Buffer>): void {
    this.#ask('readLink', { id, fd: -1 }, [], done, ({ to }) => Buffer.from(to, 'latin1'));
  }

  list(directory: ObjectId, cookie: bigint, most: number, done: Result<Listing>): void {
    if (cookie < 0n || cookie > COOKIE_MAX || !Number.isInteger(most) || most < 1)
      return this.#refuse(ErrorNumber.EINVAL, 'Listing a directory', done);
    const held = this.#directory(directory);
    const ask = { id: directory, fd: fdOf(held), cookie, most: Math.min(most, LIST_MAX) };
    this.#ask('list', ask, holding(held), done, (listed) => parseListing(listed, ask.most));
  }

  usage(done: Result<Usage>): void {
    this.#ask('usage', {}, [], done, (usage) => usage);
  }

  create(directory: ObjectId, name: Buffer, what: Creation, done: Result<TreeObject>): void {
    const errno = nameErrno(name, this.limits.nameBytes, ErrorNumber.EEXIST) || linkErrno(what);
    if (errno !== 0) return this.#refuse(errno, 'Making an object', done);
    const text = name.toString('latin1');
    const words = {
      type: what.type,
      to: what.type === 'symlink' ? what.to.toString('latin1') : '',
      major: 'major' in what ? what.major : 0,
      minor: 'minor' in what ? what.minor : 0,
      attributes: what.attributes,
    };
    const change = this.#change([directory], [`${directory}/${text}`]);
    const held = this.#directory(directory);
    const { moment } = this.#attributes;
    const ask = { id: directory, fd: fdOf(held), name: text, what: words, keep: this.#parts.open.hasRoom };
    this.#alter('create', ask, holding(held), change, done, (made, holds) => {
      this.#keepDirectory(directory, made.opened, holds);
      if (made.fd >= 0) holds.push(this.#parts.open.adopt(made.id, made.fd, isDirectory(made) ? 'directory' : 'file'));
      return {
        value: this.#learn(made, moment),
        learn: () => {
          this.#names.put(`${directory}/${text}`, made.id, this.#names.moment);
          this.#attributes.put(directory, made.directory, this.#attributes.moment);
        },
      };
    });
  }

  change(id: ObjectId, change: AttributeChange, done: Result<Attributes>): void {
    const held = this.#held(id);
    const changing = this.#change([id], []);
    this.#alter('change', { id, fd: fdOf(held), change }, holding(held), changing, done, (changed, holds) => {
      const { attributes, opened } = changed;
      if (opened >= 0) holds.push(this.#parts.open.adopt(id, opened, isDirectory(changed) ? 'directory' : 'file'));
      const learn = (): void => this.#attributes.put(id, attributes, this.#attributes.moment);
      return { value: attributes, learn };
    });
  }

  link(id: ObjectId, directory: ObjectId, name: Buffer, done: Done): void {
    const errno = nameErrno(name, this.limits.nameBytes, ErrorNumber.EEXIST);
    if (errno !== 0) return this.#refuse(errno, 'Linking', done);
    const text = name.toString('latin1');
    const [held, object] = [this.#directory(directory), this.#held(id)];
    const ask = { id: directory, fd: fdOf(held), name: text, object: id, objectFd: fdOf(object) };
    const change = this.#change([id, directory], [`${directory}/${text}`]);
    this.#alter('link', ask, [...holding(held), ...holding(object)], change, plain(done), (linked, holds) => {
      this.#keepDirectory(directory, linked.opened, holds);
      if (linked.objectOpened >= 0) holds.push(this.#parts.open.adopt(id, linked.objectOpened, 'file'));
      return { value: true, learn: () => this.#attributes.put(directory, linked.directory, this.#attributes.moment) };
    });
  }

  remove(directory: ObjectId, name: Buffer, done: Done): void {
    this.#remove(directory, name, false, ErrorNumber.EISDIR, done);
  }

  removeDirectory(directory: ObjectId, name: Buffer, done: Done): void {
    this.#remove(directory, name, true, name.length === 1 ? ErrorNumber.EINVAL : ErrorNumber.ENOTEMPTY, done);
  }

  #remove(directory: ObjectId, name: Buffer, isDir: boolean, dotErrno: number, done: Done): void {
    const errno = nameErrno(name, this.limits.nameBytes, dotErrno);
    if (errno !== 0) return this.#refuse(errno, 'Removing a name', done);
    const text = name.toString('latin1');
    const held = this.#directory(directory);
    const ask = { id: directory, fd: fdOf(held), name: text, isDirectory: isDir };
    const change = this.#change([directory], [`${directory}/${text}`]);
    this.#alter('remove', ask, holding(held), change, plain(done), (removed, holds) => {
      this.#keepDirectory(directory, removed.opened, holds);
      this.#lose(removed.lost);
      return { value: true, learn: () => this.#attributes.put(directory, removed.directory, this.#attributes.moment) };
    });
  }

  rename(from: ObjectId, fromName: Buffer, to: ObjectId, toName: Buffer, done: Done): void {
    const errno =
      nameErrno(fromName, this.limits.nameBytes, ErrorNumber.EBUSY) ||
      nameErrno(toName, this.limits.nameBytes, ErrorNumber.EBUSY);
    if (errno !== 0) return this.#refuse(errno, 'Renaming', done);
    const [name, newName] = [fromName.toString('latin1'), toName.toString('latin1')];
    const [held, toHeld] = [this.#directory(from), this.#directory(to)];
    const ask = { id: from, fd: fdOf(held), name, to, toFd: fdOf(toHeld), toName: newName };
    const change = this.#change([from, to], [`${from}/${name}`, `${to}/${newName}`]);
    this.#alter('rename', ask, [...holding(held), ...holding(toHeld)], change, plain(done), (renamed, holds) => {
      this.#keepDirectory(from, renamed.opened, holds);
      this.#keepDirectory(to, renamed.toOpened, holds);
      this.#attributes.change(renamed.moved);
      if (renamed.replaced !== null) this.#lose(renamed.replaced);
      const learn = (): void => {
        this.#attributes.put(from, renamed.directory, this.#attributes.moment);
        this.#attributes.put(to, renamed.toDirectory, this.#attributes.moment);
      };
      return { value: true, learn };
    });
  }

  /** Asks the threads; what is held is let go of when they have answered. */
  #ask<K extends Op, V>(
    op: K,
    ask: Ask<K>,
    holds: readonly OpenObject[],
    done: Result<V>,
    answered: (answer: Answer<K>) => V,
  ): void {
    const refusal = this.#parts.refusal();
    if (refusal !== null) {
      this.#release(holds);
      return process.nextTick(done, refusal, null);
    }
    this.#parts.entered();
    this.#parts.crew.ask(op, ask, (errno, answer) => {
      const value = answer === null ? null : answered(answer);
      this.#release(holds);
      this.#parts.left();
      done(answer === null ? treeFault(errno, WHAT[op]) : null, value);
    });
  }

  /** Asks for a change; answers when it is durable. `answered` adds to what has to be synced for that. */
  #alter<K extends Op, V>(
    op: K,
    ask: Ask<K>,
    holds: OpenObject[],
    change: Change,
    done: Result<V>,
    answered: (answer: Answer<K>, holds: OpenObject[]) => { readonly value: V; readonly learn: () => void },
  ): void {
    const refusal = this.#parts.refusal();
    if (refusal !== null) {
      this.#release(holds);
      this.#changed(change);
      return process.nextTick(done, refusal, null);
    }
    this.#parts.entered();
    this.#parts.crew.ask(op, ask, (errno, answer, durable) => {
      const outcome = answer === null ? null : answered(answer, holds);
      this.#changed(change);
      outcome?.learn();
      const end = (fault: Fault | null): void => {
        this.#release(holds);
        this.#parts.left();
        done(fault, fault === null && outcome !== null ? outcome.value : null);
      };
      if (outcome === null) return end(treeFault(errno, WHAT[op]));
      if (errno !== 0) return end(treeFault(errno, 'Making a change of the tree durable'));
      if (durable) return end(null);
      this.#parts.committer.commit(this.#syncable(op, ask, holds), end);
    });
  }

  /** What has to be synced for the change: null when that cannot be open. */
  #syncable(op: Op, ask: Ask<Op>, holds: readonly OpenObject[]): readonly number[] | null {
    const fds = holds.map(({ fd }) => fd);
    if ('id' in ask && ask.id === this.#parts.rootId) fds.push(this.#parts.rootFd);
    else if ('to' in ask && ask.to === this.#parts.rootId) fds.push(this.#parts.rootFd);
    return op === 'change' && fds.length === 0 ? null : fds;
  }

  #change(ids: readonly ObjectId[], names: readonly string[]): Change {
    for (const id of ids) this.#attributes.enter(id);
    for (const name of names) this.#names.enter(name);
    return { ids, names };
  }

  #changed({ ids, names }: Change): void {
    for (const id of ids) this.#attributes.leave(id);
    for (const name of names) this.#names.leave(name);
  }

  #learn({ id, attributes }: FoundObject, moment: number): TreeObject {
    this.#attributes.put(id, attributes, moment);
    return { id, attributes };
  }

  /** The object lost a name, or everything. */
  #lose({ id, gone, last }: LostName): void {
    this.#attributes.change(id);
    if (gone) this.#parts.open.drop(id);
    if (last >= 0) this.#parts.open.closeFd(last);
  }

  /** The object, if it is open and part of the tree. */
  #held(id: ObjectId): OpenObject | null {
    return id === REPLIES ? null : this.#parts.open.hold(id);
  }

  /** The directory, if it is open. What is open under its id and no directory is for the thread to refuse. */
  #directory(id: ObjectId): OpenObject | null {
    const held = this.#held(id);
    if (held === null || held.type === 'directory') return held;
    this.#parts.open.release(held);
    return null;
  }

  #adoptDirectory(id: ObjectId, fd: number): void {
    if (fd >= 0) this.#parts.open.release(this.#parts.open.adopt(id, fd, 'directory'));
  }

  #keepDirectory(id: ObjectId, fd: number, holds: OpenObject[]): void {
    if (fd >= 0) holds.push(this.#parts.open.adopt(id, fd, 'directory'));
  }

  #release(holds: readonly OpenObject[]): void {
    for (const object of holds) this.#parts.open.release(object);
  }

  #refuse(errno: number, what: string, done: (fault: Fault, value: null) => void): void {
    process.nextTick(done, treeFault(errno, what), null);
  }
}

/** What a change changes: objects, and names in directories. */
interface Change {
  readonly ids: readonly ObjectId[];
  readonly names: readonly string[];
}

const WHAT: Readonly<Record<Op, string>> = {
  attributes: 'Looking at an object',
  lookup: 'Looking a name up',
  readLink: 'Reading a symbolic link',
  list: 'Listing a directory',
  usage: 'Asking for the room on the medium',
  open: 'Opening an object',
  close: 'Closing objects',
  create: 'Making an object',
  change: 'Changing attributes',
  link: 'Linking',
  remove: 'Removing a name',
  rename: 'Renaming',
  stamp: 'Setting a time',
};

const fdOf = (object: OpenObject | null): number => object?.fd ?? -1;
const holding = (object: OpenObject | null): OpenObject[] => (object === null ? [] : [object]);
const isDirectory = ({ attributes }: { readonly attributes: Attributes }): boolean => attributes.type === 'directory';

/** A result of which only the fault is of interest. */
function plain(done: Done): Result<boolean> {
  return (fault) => done(fault);
}

function linkErrno(what: Creation): number {
  if (what.type !== 'symlink') return 0;
  if (what.to.length === 0 || what.to.includes(0)) return ErrorNumber.EINVAL;
  return what.to.length >= 4096 ? ErrorNumber.ENAMETOOLONG : 0;
}

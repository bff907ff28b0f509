/**
 * An open files volume as the suites use it (suites/tree.ts): the ports' calls as promises that the world is stepped for,
 * each checked to be answered once, in a later turn, with exactly one of fault and value.
 */
import assert from 'node:assert/strict';
import type { Fault } from '../src/base/fault.ts';
import type { MediumId, VolumeName } from '../src/base/names.ts';
import type { Medium, MediumVolume } from '../src/ports/medium.ts';
import type {
  AttributeChange,
  Attributes,
  Creation,
  DirectoryEntry,
  Listing,
  MediumTree,
  ObjectId,
  TreeErrno,
  TreeObject,
  Usage,
} from '../src/ports/tree.ts';
import { TreeFault } from '../src/ports/tree.ts';

/** A medium with one files volume, empty; its root has the mode 0o755. */
export interface FilesWorld {
  readonly medium: Medium;
  readonly volume: VolumeName;
  readonly mediumId: MediumId;
  /** Entries of the largest directory that the suite makes. */
  readonly manyEntries: number;
  /** What must not be called after a close is a bug there, not a fault. */
  readonly asserts: boolean;
  /** Time goes on a little. */
  step(): Promise<void>;
  /** Removes whatever is left. */
  end(): Promise<void>;
}

/** Adds one test, with a world of its own. */
export type Run = (what: string, body: (files: DrivenFiles, world: FilesWorld) => Promise<void>) => void;

/** More steps than anything takes; reaching it means that something never happened. */
const STEPS_MAX = 20_000_000;

export const UNCHANGED: AttributeChange = { mode: null, uid: null, gid: null, atimeNs: null, mtimeNs: null };

/** Nothing given but the mode. */
export const withMode = (mode: number): AttributeChange => ({ ...UNCHANGED, mode });
export const aFile = (mode = 0o644): Creation => ({ type: 'file', attributes: withMode(mode) });
export const aDirectory = (mode = 0o755): Creation => ({ type: 'directory', attributes: withMode(mode) });

const bytesOf = (name: string | Buffer): Buffer => (typeof name === 'string' ? Buffer.from(name) : name);

export class DrivenFiles {
  readonly volume: MediumVolume;
  readonly tree: MediumTree;
  readonly root: ObjectId;
  readonly world: FilesWorld;

  private constructor(world: FilesWorld, volume: MediumVolume, root: ObjectId) {
    this.world = world;
    this.volume = volume;
    this.tree = treeOf(volume);
    this.root = root;
  }

  static async open(world: FilesWorld): Promise<DrivenFiles> {
    const volume = await call<MediumVolume>(world, (done) => world.medium.open(world.volume, world.mediumId, done));
    const root = await call<TreeObject>(world, (done) => treeOf(volume).root(done));
    return new DrivenFiles(world, volume, root.id);
  }

  attributes(id: ObjectId): Promise<Attributes> {
    return call(this.world, (done) => this.tree.attributes(id, done));
  }
  lookup(directory: ObjectId, name: string | Buffer): Promise<TreeObject> {
    return call(this.world, (done) => this.tree.lookup(directory, bytesOf(name), done));
  }
  readLink(id: ObjectId): Promise<Buffer> {
    return call(this.world, (done) => this.tree.readLink(id, done));
  }
  list(directory: ObjectId, cookie: bigint, most: number): Promise<Listing> {
    return call(this.world, (done) => this.tree.list(directory, cookie, most, done));
  }
  usage(): Promise<Usage> {
    return call(this.world, (done) => this.tree.usage(done));
  }
  create(directory: ObjectId, name: string | Buffer, what: Creation): Promise<TreeObject> {
    return call(this.world, (done) => this.tree.create(directory, bytesOf(name), what, done));
  }
  change(id: ObjectId, change: Partial<AttributeChange>): Promise<Attributes> {
    return call(this.world, (done) => this.tree.change(id, { ...UNCHANGED, ...change }, done));
  }
  link(id: ObjectId, directory: ObjectId, name: string | Buffer): Promise<void> {
    return callDone(this.world, (done) => this.tree.link(id, directory, bytesOf(name), done));
  }
  remove(directory: ObjectId, name: string | Buffer): Promise<void> {
    return callDone(this.world, (done) => this.tree.remove(directory, bytesOf(name), done));
  }
  removeDirectory(directory: ObjectId, name: string | Buffer): Promise<void> {
    return callDone(this.world, (done) => this.tree.removeDirectory(directory, bytesOf(name), done));
  }
  rename(from: ObjectId, name: string | Buffer, to: ObjectId, toName: string | Buffer): Promise<void> {
    return callDone(this.world, (done) => this.tree.rename(from, bytesOf(name), to, bytesOf(toName), done));
  }

  read(target: ObjectId, offset: number, length: number): Promise<Buffer> {
    return call(this.world, (done) => this.volume.read(target, offset, length, done));
  }
  write(target: ObjectId, offset: number, ...data: Buffer[]): Promise<void> {
    return callDone(this.world, (done) => this.volume.write(target, offset, data, done));
  }
  zero(target: ObjectId, offset: number, length: number, punch = true): Promise<void> {
    return callDone(this.world, (done) => this.volume.zero(target, offset, length, punch, done));
  }
  resize(target: ObjectId, sizeBytes: number): Promise<void> {
    return callDone(this.world, (done) => this.volume.resize(target, sizeBytes, done));
  }
  stamp(target: ObjectId, timeNs: bigint): Promise<void> {
    return callDone(this.world, (done) => this.volume.stamp(target, timeNs, done));
  }
  sync(): Promise<void> {
    return callDone(this.world, (done) => this.volume.sync(done));
  }
  close(): Promise<void> {
    return callDone(this.world, (done) => this.volume.close(done));
  }

  /** The whole directory, `most` entries at a time; `between` runs after each part. */
  async listAll(
    directory: ObjectId,
    most: number,
    between: () => Promise<void> = async () => {},
  ): Promise<DirectoryEntry[]> {
    const found: DirectoryEntry[] = [];
    for (let cookie = 0n; ;) {
      const { entries, end } = await this.list(directory, cookie, most);
      found.push(...entries);
      if (end) return found;
      assert.ok(entries.length > 0, 'a listing that is not at its end goes on');
      assert.ok(entries.length <= most, 'no more entries than were asked for');
      cookie = entries[entries.length - 1]?.cookie ?? 0n;
      await between();
    }
  }

  /** Starts all of them at once; the world is stepped until every one is answered. */
  together(starts: readonly ((done: (fault: Fault | null) => void) => void)[]): Promise<(Fault | null)[]> {
    return together(this.world, starts);
  }
}

function treeOf(volume: MediumVolume): MediumTree {
  assert.notEqual(volume.tree, null, 'a files volume has a tree');
  return volume.tree as MediumTree;
}

/** Runs one call: exactly one answer, never from within, exactly one of fault and value. */
export async function call<T>(
  world: FilesWorld,
  start: (done: (fault: Fault | null, value: T | null) => void) => void,
): Promise<T> {
  let outcome: { readonly fault: Fault | null; readonly value: T | null } | null = null;
  let within = true;
  let answers = 0;
  start((fault, value) => {
    answers += 1;
    assert.equal(within, false, 'an answer never comes from within the call');
    assert.equal((fault === null) !== (value === null), true, 'exactly one of fault and value');
    outcome = { fault, value };
  });
  within = false;
  for (let steps = 0; outcome === null; steps += 1) {
    assert.equal(steps < STEPS_MAX, true, 'the call is answered');
    await world.step();
  }
  assert.equal(answers, 1, 'one answer');
  const { fault, value } = outcome as { readonly fault: Fault | null; readonly value: T | null };
  if (fault !== null) throw fault;
  return value as T;
}

async function callDone(world: FilesWorld, start: (done: (fault: Fault | null) => void) => void): Promise<void> {
  await call<true>(world, (done) => start((fault) => done(fault, fault === null ? true : null)));
}

async function together(
  world: FilesWorld,
  starts: readonly ((done: (fault: Fault | null) => void) => void)[],
): Promise<(Fault | null)[]> {
  const outcomes: (Fault | null)[] = [];
  let answers = 0;
  starts.forEach((start, i) =>
    start((fault) => {
      answers += 1;
      outcomes[i] = fault;
    }),
  );
  for (let steps = 0; answers < starts.length; steps += 1) {
    assert.equal(steps < STEPS_MAX, true, 'every call is answered');
    await world.step();
  }
  assert.equal(answers, starts.length, 'each call is answered once');
  return outcomes;
}

/** Expects one of these errnos of the tree, with a whole sentence. */
export async function fails(run: Promise<unknown>, ...errnos: TreeErrno[]): Promise<void> {
  const found = await errnoOf(run);
  assert.ok(
    errnos.some((errno) => errno === found),
    `expected ${errnos.join(' or ')}, got ${found}`,
  );
}

/** What the tree said: an errno, or `ok`. */
export async function errnoOf(run: Promise<unknown>): Promise<TreeErrno | 'ok'> {
  try {
    await run;
    return 'ok';
  } catch (error) {
    if (!(error instanceof TreeFault)) throw error;
    assert.match(error.message, /\.$/, 'a fault is a whole sentence');
    return error.errno;
  }
}

/** A directory has two names and those of the directories in it; not every file system counts them, and then says one. */
export function countsLinks(found: Attributes, links: number): void {
  if (found.type === 'directory' && found.links === 1) return;
  assert.equal(found.links, links, `links of a ${found.type}`);
}

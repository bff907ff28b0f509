/**
 * The tree of a simulated files volume as one server reaches it. A change takes place at some moment of its call, like
 * any write, also late or not at all, and is durable when the call has returned.
 */
import { Fault, type Done, type Result } from '../../src/base/fault.ts';
import type {
  AttributeChange,
  Attributes,
  Creation,
  Listing,
  MediumTree,
  ObjectId,
  TreeErrno,
  TreeLimits,
  TreeObject,
  Usage,
} from '../../src/ports/tree.ts';
import { REPLIES, TreeFault } from '../../src/ports/tree.ts';
import type { Context } from '../context.ts';
import type { Flight, Opener } from '../device.ts';
import type { Life } from '../life.ts';
import type { SimMedium } from '../medium.ts';
import type { Outstanding } from '../outstanding.ts';
import { type Deed, deedOfName } from './deeds.ts';
import { BLOCK, CELL, type FilesPlatter, sizeAt, type Version } from './platter.ts';
import * as state from './tree-state.ts';

/** Room that is told of: little enough that it is asked for again and again. */
const ROOM_BYTES = (4 << 20) + 160_000;
const DIRECTORY_BYTES = 4096;
/** A cookie is a signed offset to clients, and the front end adds its own two. */
const COOKIES_END = 2n ** 63n - 4n;

class TreeFlight implements Flight {
  readonly life: Life;
  readonly epoch: number;
  readonly volume: number;
  readonly shared: boolean;
  readonly count = 1;
  readonly text: string;
  readonly #run: () => void;
  landed = false;

  constructor({ life, epoch }: Opener, volume: number, shared: boolean, text: string, run: () => void) {
    this.life = life;
    this.epoch = epoch;
    this.volume = volume;
    this.shared = shared;
    this.text = text;
    this.#run = run;
  }

  landPart(): void {
    this.#run();
  }

  meets(): boolean {
    return false;
  }
}

export class SimTree implements MediumTree {
  readonly secret: Buffer = Buffer.alloc(32, 7);
  readonly limits: TreeLimits;
  readonly #ctx: Context;
  readonly #port: SimMedium;
  readonly #opener: Opener;
  readonly #files: FilesPlatter;
  readonly #calls: Outstanding;

  constructor(ctx: Context, port: SimMedium, opener: Opener, files: FilesPlatter, calls: Outstanding) {
    this.#ctx = ctx;
    this.#port = port;
    this.#opener = opener;
    this.#files = files;
    this.#calls = calls;
    const largestFileBytes = files.cells * (files.exact ? BLOCK : CELL);
    this.limits = { largestFileBytes, nameBytes: 255, links: 100, changesOwners: true };
  }

  // ---- looking

  root(done: Result<TreeObject>): void {
    this.#look('the root', () => this.#object(state.ROOT), done);
  }

  attributes(id: ObjectId, done: Result<Attributes>): void {
    this.#look(id, () => this.#attributes(id), done);
  }

  lookup(directory: ObjectId, name: Buffer, done: Result<TreeObject>): void {
    this.#look(
      `${directory}/${name.toString('latin1')}`,
      () => {
        const found = state.lookup(this.#files.tree, directory, name.toString('latin1'));
        return typeof found === 'string' ? found : this.#object(found.id);
      },
      done,
    );
  }

  readLink(id: ObjectId, done: Result<Buffer>): void {
    this.#look(
      `the target of ${id}`,
      () => {
        const node = this.#files.tree.get(id);
        if (node === undefined) return 'ESTALE';
        return node.type === 'symlink' ? node.to : 'EINVAL';
      },
      done,
    );
  }

  list(directory: ObjectId, cookie: bigint, most: number, done: Result<Listing>): void {
    this.#look(
      `the names of ${directory}`,
      () => {
        const { tree } = this.#files;
        const node = tree.get(directory);
        if (node === undefined) return 'ESTALE';
        if (node.type !== 'directory') return 'ENOTDIR';
        if (cookie < 0n || cookie > COOKIES_END || most < 1) return 'EINVAL';
        const behind = [...node.entries].filter(([, entry]) => entry.cookie > cookie);
        const entries = behind.slice(0, most).map(([name, entry]) => ({
          name: Buffer.from(name, 'latin1'),
          fileNumber: (tree.get(entry.id) as state.Node).number,
          cookie: entry.cookie,
        }));
        return { entries, end: behind.length <= most };
      },
      done,
    );
  }

  usage(done: Result<Usage>): void {
    this.#look(
      'its room',
      () => {
        const availableBytes = this.#isFull ? 0 : ROOM_BYTES;
        return {
          totalBytes: 2 * ROOM_BYTES,
          freeBytes: availableBytes,
          availableBytes,
          totalObjects: 1e6,
          freeObjects: 1e6,
        };
      },
      done,
    );
  }

  #look<T extends object>(text: string, find: () => T | TreeErrno, done: Result<T>): void {
    if (this.#calls.closed) return this.#refuse((fault) => done(fault, null));
    let found: T | TreeErrno = 'EIO';
    this.#calls.enter();
    this.#port.perform(
      'read',
      (fault) =>
        this.#calls.leave(() => {
          this.#ctx.stir();
          if (fault !== null) done(fault, null);
          else if (typeof found === 'string') done(treeFault(found), null);
          else done(null, found);
        }),
      () => {
        found = find();
        if (this.#ctx.story !== null) {
          const how = typeof found === 'string' ? `: ${found}` : '';
          this.#ctx.tell('medium', this.#port.life.index, `v${this.#port.volume}: looks at ${text}${how}`, 'medium');
        }
      },
    );
  }

  /** A call may be made of several: the volume can be closed in between. */
  #refuse(done: (fault: Fault) => void): void {
    this.#ctx.after(0, () =>
      this.#port.life.call(() => {
        this.#ctx.stir();
        done(new Fault('refused', 'the volume is closed'));
      }),
    );
  }

  #object(id: ObjectId): TreeObject | TreeErrno {
    const attributes = this.#attributes(id);
    return typeof attributes === 'string' ? attributes : { id, attributes };
  }

  #attributes(id: ObjectId): Attributes | TreeErrno {
    const node = id === REPLIES ? undefined : this.#files.tree.get(id);
    if (node === undefined) return 'ESTALE';
    const object = this.#files.objects.get(id);
    const at = object === undefined ? 0 : sizeAt(object);
    const unit = this.#files.isExact(id) ? 1 : CELL;
    const sizeBytes =
      object === undefined
        ? node.type === 'directory'
          ? DIRECTORY_BYTES
          : node.to.length
        : (object.now[at] as number) * unit;
    const mtimeNs = object === undefined ? node.mtimeNs : this.#files.timeOf(object);
    const { type, mode, links, uid, gid, major, minor, atimeNs } = node;
    // Bytes that land move a file's ctime.
    const ctimeNs = mtimeNs > node.ctimeNs && object !== undefined ? mtimeNs : node.ctimeNs;
    const usedBytes = sizeBytes;
    const fileNumber = node.number;
    return {
      type,
      mode,
      links,
      uid,
      gid,
      sizeBytes,
      usedBytes,
      major,
      minor,
      fileNumber,
      atimeNs,
      mtimeNs,
      ctimeNs,
    };
  }

  // ---- changing

  create(directory: ObjectId, name: Buffer, what: Creation, done: Result<TreeObject>): void {
    const files = this.#files;
    const deed = deedOfName(name);
    let made: ObjectId = '';
    const add = (): state.Tree | TreeErrno => {
      if (this.#isFull) return 'ENOSPC';
      const making = files.making();
      const tree = state.create(files.tree, directory, name.toString('latin1'), what, making);
      if (typeof tree === 'string') return tree;
      made = making.id;
      if (deed !== null) deed.made = made;
      if (what.type === 'file') {
        const time = files.numberOf((tree.get(made) as state.Node).mtimeNs);
        files.addFile(made, time);
        this.#port.device.watch.files.made(this.#port.volume, made, time);
      }
      return tree;
    };
    this.#change('create', deed, add, (fault) => {
      const object = fault === null ? this.#object(made) : null;
      if (fault !== null || object === null) done(fault, null);
      else if (typeof object === 'string') done(treeFault(object), null);
      else done(null, object);
    });
  }

  change(id: ObjectId, change: AttributeChange, done: Result<Attributes>): void {
    const files = this.#files;
    const { watch } = this.#port.device;
    const deed = change.uid === null ? null : watch.files.deedOfOwner(this.#port.volume, change.uid);
    const alter = (): state.Tree | TreeErrno => {
      const tree = state.change(files.tree, id, change, files.nowNs());
      const object = files.objects.get(id);
      if (typeof tree !== 'string' && object !== undefined && change.mtimeNs !== null) {
        const at = sizeAt(object) + 1;
        object.now[at] = object.synced[at] = files.numberOf(change.mtimeNs);
      }
      return tree;
    };
    this.#change('change', deed, alter, (fault) => {
      const found = fault === null ? this.#attributes(id) : null;
      if (fault !== null || found === null) done(fault, null);
      else if (typeof found === 'string') done(treeFault(found), null);
      else done(null, found);
    });
  }

  link(id: ObjectId, directory: ObjectId, name: Buffer, done: Done): void {
    const files = this.#files;
    const add = (): state.Tree | TreeErrno =>
      state.link(files.tree, id, directory, name.toString('latin1'), files.nextCookie(), files.nowNs());
    this.#change('link', deedOfName(name), add, done);
  }

  remove(directory: ObjectId, name: Buffer, done: Done): void {
    const files = this.#files;
    const take = (): state.Tree | TreeErrno =>
      state.remove(files.tree, directory, name.toString('latin1'), files.nowNs());
    this.#change('remove', deedOfName(name), take, done);
  }

  removeDirectory(directory: ObjectId, name: Buffer, done: Done): void {
    const files = this.#files;
    const take = (): state.Tree | TreeErrno =>
      state.removeDirectory(files.tree, directory, name.toString('latin1'), files.nowNs());
    this.#change('rmdir', deedOfName(name), take, done);
  }

  rename(from: ObjectId, fromName: Buffer, to: ObjectId, toName: Buffer, done: Done): void {
    const files = this.#files;
    const source = { directory: from, name: fromName.toString('latin1') };
    const target = { directory: to, name: toName.toString('latin1') };
    const move = (): state.Tree | TreeErrno =>
      state.rename(files.tree, source, target, files.nextCookie(), files.nowNs());
    this.#change('rename', deedOfName(fromName), move, done);
  }

  get #isFull(): boolean {
    return this.#port.device.platters[this.#port.volume]?.full ?? false;
  }

  #change(what: string, deed: Deed | null, run: () => state.Tree | TreeErrno, done: Done): void {
    if (this.#calls.closed) return this.#refuse(done);
    const { device, life, volume } = this.#port;
    const files = this.#files;
    let outcome: state.Tree | TreeErrno | null = null;
    let version: Version | null = null;
    const flight = new TreeFlight(
      this.#opener,
      volume,
      device.files[volume] === files,
      `${what} ${deed?.key ?? ''}`,
      () => {
        const before = files.tree;
        outcome = run();
        this.#ctx.digest.text(typeof outcome === 'string' ? outcome : what);
        if (this.#ctx.story !== null) {
          const how = typeof outcome === 'string' ? outcome : 'takes effect';
          this.#ctx.tell('medium', life.index, `v${volume}: ${flight.text}: ${how}`, 'medium');
        }
        if (typeof outcome === 'string' || outcome === before) return;
        if (deed !== null) deed.effects++;
        version = files.change(outcome, deed);
        device.watch.files.tree(volume, version);
        for (const id of before.keys()) if (!outcome.has(id)) device.watch.files.gone(volume, id);
      },
    );
    device.watch.files.called(life, volume);
    this.#ctx.hook('tree-call', life.index);
    device.takeOff(flight);
    this.#calls.enter();
    // A file system that is slow with data can be far slower with names.
    const { prng } = device;
    const extraMs = this.#port.weather.mode === 'slow' ? prng.pick([0, prng.between(200, 2_000)]) : 0;
    const go = (): void =>
      this.#port.perform(
        'write',
        (fault) => {
          if (fault === null) device.finish(flight);
          else device.settle((f) => f === flight);
          if (fault === null && version !== null) files.commit(version);
          this.#calls.leave(() => {
            this.#ctx.stir();
            if (fault !== null) done(fault);
            else if (outcome === null) done(new Fault('io', 'the call had no effect'));
            else done(typeof outcome === 'string' ? treeFault(outcome) : null);
          });
        },
        () => device.land(flight),
      );
    if (extraMs > 0) this.#ctx.after(extraMs, go);
    else go();
  }
}

function treeFault(errno: TreeErrno): TreeFault {
  return new TreeFault(errno, `The simulated medium says ${errno}.`);
}

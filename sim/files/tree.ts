/**
 * The tree of a simulated files volume as one server reaches it: two directories and a few names. A change takes place at
 * some moment of its call, like any write, also late or not at all, and is durable when the call has returned.
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
import { TreeFault } from '../../src/ports/tree.ts';
import type { Context } from '../context.ts';
import type { Flight } from '../device.ts';
import type { Life } from '../life.ts';
import type { SimMedium } from '../medium.ts';
import type { Outstanding } from '../outstanding.ts';
import { deedOf } from './names.ts';
import { CELL, type FilesPlatter, type Names, ROOT, keyOf, sizeAt, type Version } from './platter.ts';

/** Room that is told of: little enough that it is asked for again and again. */
const ROOM_BYTES = (4 << 20) + 160_000;

/** What a change comes to when it takes place: the names afterwards, or why there was none. */
type Outcome = { readonly names: Names; readonly id: ObjectId } | TreeErrno;

class TreeFlight implements Flight {
  readonly life: Life;
  readonly volume: number;
  readonly shared: boolean;
  readonly count = 1;
  readonly text: string;
  readonly #run: () => void;
  landed = false;

  constructor(life: Life, volume: number, shared: boolean, text: string, run: () => void) {
    this.life = life;
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
  readonly #files: FilesPlatter;
  readonly #calls: Outstanding;

  constructor(ctx: Context, port: SimMedium, files: FilesPlatter, calls: Outstanding) {
    this.#ctx = ctx;
    this.#port = port;
    this.#files = files;
    this.#calls = calls;
    this.limits = { largestFileBytes: files.cells * CELL, nameBytes: 255, links: 100, changesOwners: true };
  }

  // ---- looking

  root(done: Result<TreeObject>): void {
    this.#look(() => this.#object(ROOT), done);
  }

  attributes(id: ObjectId, done: Result<Attributes>): void {
    this.#look(() => this.#attributes(id), done);
  }

  lookup(directory: ObjectId, name: Buffer, done: Result<TreeObject>): void {
    this.#look(() => {
      const id = this.#files.names.get(keyOf(directory, name.toString('latin1')));
      return id === undefined ? 'ENOENT' : this.#object(id);
    }, done);
  }

  readLink(_id: ObjectId, done: Result<Buffer>): void {
    this.#look(() => 'EINVAL', done);
  }

  list(_directory: ObjectId, _cookie: bigint, _most: number, done: Result<Listing>): void {
    this.#look(() => 'EINVAL', done);
  }

  usage(done: Result<Usage>): void {
    this.#look(() => {
      const availableBytes = this.#isFull ? 0 : ROOM_BYTES;
      return {
        totalBytes: 2 * ROOM_BYTES,
        freeBytes: availableBytes,
        availableBytes,
        totalObjects: 1e6,
        freeObjects: 1e6,
      };
    }, done);
  }

  #look<T extends object>(find: () => T | TreeErrno, done: Result<T>): void {
    let found: T | TreeErrno = 'EIO';
    this.#port.device.watch.files.called(this.#port.life, this.#port.volume);
    this.#calls.enter();
    this.#port.perform(
      'read',
      (fault) =>
        this.#calls.leave(() => {
          if (fault !== null) done(fault, null);
          else if (typeof found === 'string') done(new TreeFault(found, found), null);
          else done(null, found);
        }),
      () => {
        found = find();
      },
    );
  }

  #object(id: ObjectId): TreeObject | TreeErrno {
    const attributes = this.#attributes(id);
    return typeof attributes === 'string' ? attributes : { id, attributes };
  }

  #attributes(id: ObjectId): Attributes | TreeErrno {
    if (!this.#files.exists(id)) return 'ESTALE';
    const object = this.#files.objects.get(id);
    const at = object === undefined ? 0 : sizeAt(object);
    const size = object?.now[at] ?? 0;
    const mtimeNs = BigInt(object?.now[at + 1] ?? 0);
    return {
      type: object === undefined ? 'directory' : 'file',
      mode: 0o644,
      links: this.#files.links(id),
      uid: 0,
      gid: 0,
      sizeBytes: size * CELL,
      usedBytes: size * CELL,
      major: 0,
      minor: 0,
      fileNumber: 1n,
      atimeNs: 0n,
      mtimeNs,
      ctimeNs: 0n,
    };
  }

  // ---- changing

  create(directory: ObjectId, name: Buffer, what: Creation, done: Result<TreeObject>): void {
    const time = Number(what.attributes.mtimeNs ?? 0n);
    const add = (): Outcome => {
      if (this.#isFull) return 'ENOSPC';
      const key = keyOf(directory, name.toString('latin1'));
      if (this.#files.names.has(key)) return 'EEXIST';
      const id = this.#files.make();
      const object = this.#files.objects.get(id);
      // It is there with its time, or not at all.
      if (object !== undefined) object.now[sizeAt(object) + 1] = object.synced[sizeAt(object) + 1] = time;
      const deed = deedOf(name);
      if (deed !== null) deed.made = id;
      this.#port.device.watch.files.made(this.#port.volume, id, time);
      return { names: new Map(this.#files.names).set(key, id), id };
    };
    this.#change('create', name, add, (fault, id) => {
      const made = id === null ? null : this.#object(id);
      if (fault !== null || made === null) done(fault, null);
      else if (typeof made === 'string') done(new TreeFault(made, made), null);
      else done(null, made);
    });
  }

  change(_id: ObjectId, _change: AttributeChange, done: Result<Attributes>): void {
    this.#look(() => 'EOPNOTSUPP', done);
  }

  link(id: ObjectId, directory: ObjectId, name: Buffer, done: Done): void {
    const add = (): Outcome => {
      if (!this.#files.exists(id)) return 'ESTALE';
      const key = keyOf(directory, name.toString('latin1'));
      if (this.#files.names.has(key)) return 'EEXIST';
      return { names: new Map(this.#files.names).set(key, id), id };
    };
    this.#change('link', name, add, (fault) => done(fault));
  }

  remove(directory: ObjectId, name: Buffer, done: Done): void {
    const take = (): Outcome => {
      const key = keyOf(directory, name.toString('latin1'));
      const id = this.#files.names.get(key);
      if (id === undefined) return 'ENOENT';
      const names = new Map(this.#files.names);
      names.delete(key);
      return { names, id };
    };
    this.#change('remove', name, take, (fault) => done(fault));
  }

  removeDirectory(_directory: ObjectId, name: Buffer, done: Done): void {
    this.#change('remove', name, () => 'ENOTDIR', done);
  }

  rename(from: ObjectId, fromName: Buffer, to: ObjectId, toName: Buffer, done: Done): void {
    const move = (): Outcome => {
      const source = keyOf(from, fromName.toString('latin1'));
      const target = keyOf(to, toName.toString('latin1'));
      const id = this.#files.names.get(source);
      if (id === undefined) return 'ENOENT';
      const names = new Map(this.#files.names);
      // Two names of one object: nothing is done.
      if (names.get(target) === id) return { names, id };
      names.delete(source);
      return { names: names.set(target, id), id };
    };
    this.#change('rename', fromName, move, (fault) => done(fault));
  }

  get #isFull(): boolean {
    return this.#port.device.platters[this.#port.volume]?.full ?? false;
  }

  #change(
    what: string,
    name: Buffer,
    run: () => Outcome,
    done: (fault: Fault | null, id: ObjectId | null) => void,
  ): void {
    const { device, life, volume } = this.#port;
    const files = this.#files;
    const deed = deedOf(name);
    let outcome: Outcome | null = null;
    let version: Version | null = null;
    const flight = new TreeFlight(life, volume, device.files[volume] === files, `${what} ${deed?.key ?? ''}`, () => {
      const before = new Set(files.names.values());
      outcome = run();
      this.#ctx.digest.text(typeof outcome === 'string' ? outcome : what);
      this.#ctx.tell(
        'medium',
        life.index,
        `v${volume}: ${flight.text}: ${typeof outcome === 'string' ? outcome : 'takes effect'}`,
        'medium',
      );
      if (typeof outcome === 'string') return;
      version = files.change(outcome.names, deed);
      for (const id of before) if (!files.exists(id)) device.watch.files.gone(volume, id, files);
    });
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
            const came = outcome;
            if (fault !== null) done(fault, null);
            else if (came === null) done(new Fault('io', 'the call had no effect'), null);
            else if (typeof came === 'string') done(new TreeFault(came, `${what}: ${came}`), null);
            else done(null, came.id);
          });
        },
        () => device.land(flight),
      );
    if (extraMs > 0) this.#ctx.after(extraMs, go);
    else go();
  }
}

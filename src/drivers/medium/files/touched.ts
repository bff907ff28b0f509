/**
 * What has to be synced: the objects that were modified since the last good sync, held open, so that the kernel tells whoever
 * syncs them of every write that failed. When they become many, only the file system as a whole is synced.
 */
import { BATCH_SYNCS_MAX, SyncBatch, syncFileSystem } from '../../linux/sync-batch.ts';
import type { OpenObject, OpenObjects } from './open-objects.ts';

type Synced = (errno: number) => void;

export class Touched {
  readonly #open: OpenObjects;
  readonly #rootFd: number;
  readonly #batch = SyncBatch.take();
  #objects = new Set<OpenObject>();
  /** Too many, or not known: everything has to be synced. */
  #all = false;
  #running = false;
  #waiting: Synced[] = [];

  constructor(open: OpenObjects, rootFd: number) {
    this.#open = open;
    this.#rootFd = rootFd;
  }

  /** The object, which is held, was modified, or may have been. */
  add(object: OpenObject): void {
    if (this.#all || this.#objects.has(object)) return;
    if (this.#objects.size >= BATCH_SYNCS_MAX) {
      this.#all = true;
      return this.#letGo(this.#objects);
    }
    object.holders += 1;
    this.#objects.add(object);
  }

  /** 0: everything modified before is stable. One sync at a time; what comes meanwhile shares the next. */
  sync(done: Synced): void {
    this.#waiting.push(done);
    if (!this.#running) this.#run();
  }

  /** The volume is closed. */
  forget(): void {
    this.#letGo(this.#objects);
    this.#batch.release();
  }

  #run(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#running = true;
    const objects = this.#objects;
    const all = this.#all;
    this.#objects = new Set();
    this.#all = false;
    const ended = (errno: number): void => {
      if (errno !== 0) this.#all = true;
      this.#letGo(objects);
      this.#running = false;
      for (const done of waiting) done(errno);
      if (this.#waiting.length > 0 && !this.#running) this.#run();
    };
    if (all) syncFileSystem(this.#rootFd, ended);
    else if (objects.size === 0) setImmediate(ended, 0);
    else {
      const fds = Array.from(objects, ({ fd }) => fd);
      this.#batch.run(fds, (errnos) => ended(errnos.find((errno) => errno !== 0) ?? 0));
    }
  }

  #letGo(objects: Set<OpenObject>): void {
    for (const object of objects) this.#open.release(object);
    objects.clear();
  }
}

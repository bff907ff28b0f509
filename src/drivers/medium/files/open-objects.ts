/**
 * The files and directories of a volume that are open: those used last. Who uses one holds it, and it stays open until he
 * lets go; one that nobody used for a while is closed, and one that was removed as soon as nobody holds it, so that its room
 * is given back.
 */
import { close } from 'node:fs';
import { assert } from '../../../base/fault.ts';
import type { ObjectId } from '../../../ports/tree.ts';
import type { ImageHandle } from '../raw-calls.ts';

/** Objects kept open for each volume; those that are held come on top. */
export const OPEN_MAX = 512;
const IDLE_MS = 10_000;

export type OpenType = 'file' | 'directory';

/** An open object. As an image's handle it can be read and written by the calls of raw-calls.ts. */
export class OpenObject implements ImageHandle {
  readonly id: ObjectId;
  readonly fd: number;
  readonly type: OpenType;
  readonly path: string;
  readonly isDevice = false;
  readonly syncsRanges: boolean;
  writesZeroes = false;
  holders = 0;
  /** It was removed, or another descriptor took its place: to be closed. */
  dropped = false;
  usedAtMs = 0;
  readonly #returned: (object: OpenObject) => void;

  constructor(id: ObjectId, fd: number, type: OpenType, of: OpenObjectsOptions) {
    this.id = id;
    this.fd = fd;
    this.type = type;
    this.path = `object ${id} of ${of.path}`;
    this.syncsRanges = of.syncsRanges;
    this.#returned = of.returned;
  }

  returned(): void {
    this.#returned(this);
  }
}

export interface OpenObjectsOptions {
  /** For messages: the volume's directory. */
  readonly path: string;
  readonly syncsRanges: boolean;
  /** A call on the object's bytes has returned. */
  readonly returned: (object: OpenObject) => void;
  /** Closes descriptors that are not the last ones of anything that was removed, many at a time. */
  readonly closeMany: (fds: readonly number[], done: () => void) => void;
}

export class OpenObjects {
  readonly #options: OpenObjectsOptions;
  /** Least recently used first. */
  readonly #open = new Map<ObjectId, OpenObject>();
  readonly #sweep: NodeJS.Timeout;
  /** Open and in nobody's use: closed together with what else is surplus in this turn. */
  readonly #surplus: number[] = [];
  #ending = false;
  #closing = 0;
  #whenClosed: (() => void) | null = null;

  constructor(options: OpenObjectsOptions) {
    this.#options = options;
    this.#sweep = setInterval(() => this.#closeIdle(), IDLE_MS / 2);
    this.#sweep.unref();
  }

  /** The object, held, if it is open. */
  hold(id: ObjectId): OpenObject | null {
    const object = this.#open.get(id);
    if (object === undefined) return null;
    this.#open.delete(id);
    this.#open.set(id, object);
    object.holders += 1;
    return object;
  }

  /** A descriptor opened for the object, which is this room's from now on: the object, held. */
  adopt(id: ObjectId, fd: number, type: OpenType): OpenObject {
    const found = this.hold(id);
    if (found !== null) {
      this.closeFd(fd);
      return found;
    }
    const object = new OpenObject(id, fd, type, this.#options);
    object.holders = 1;
    this.#open.set(id, object);
    this.#closeSurplus();
    return object;
  }

  /** What is opened now needs nothing else to be closed. */
  get hasRoom(): boolean {
    return this.#open.size < OPEN_MAX;
  }

  release(object: OpenObject): void {
    assert(object.holders > 0, 'who lets go of an object holds it');
    object.holders -= 1;
    object.usedAtMs = performance.now();
    if (object.holders > 0) return;
    if (object.dropped) this.closeFd(object.fd);
    else if (this.#open.size > OPEN_MAX) this.#closeSurplus();
  }

  /** The object is gone. */
  drop(id: ObjectId): void {
    const object = this.#open.get(id);
    if (object === undefined) return;
    this.#open.delete(id);
    object.dropped = true;
    if (object.holders === 0) this.closeFd(object.fd);
  }

  /** Closes a descriptor on the thread pool: it may take long when it is the last one of a large file. */
  closeFd(fd: number): void {
    this.#closing += 1;
    close(fd, () => {
      this.#closing -= 1;
      if (this.#closing === 0) this.#whenClosed?.();
    });
  }

  /** From now on nobody is asked to close many. */
  end(): void {
    this.#ending = true;
    for (const fd of this.#surplus.splice(0)) {
      this.#closing -= 1;
      this.closeFd(fd);
    }
  }

  /** Closes everything; nobody holds anything any more. */
  closeAll(done: () => void): void {
    clearInterval(this.#sweep);
    for (const object of this.#open.values()) {
      assert(object.holders === 0, 'a volume is closed when nobody uses its objects');
      this.closeFd(object.fd);
    }
    this.#open.clear();
    this.#whenClosed = done;
    if (this.#closing === 0) process.nextTick(done);
  }

  #closeSurplus(): void {
    for (const object of this.#open.values()) {
      if (this.#open.size <= OPEN_MAX) return;
      if (object.holders === 0) this.#close(object);
    }
  }

  #closeIdle(): void {
    const before = performance.now() - IDLE_MS;
    for (const object of this.#open.values()) if (object.holders === 0 && object.usedAtMs < before) this.#close(object);
  }

  #close(object: OpenObject): void {
    this.#open.delete(object.id);
    if (this.#ending) return this.closeFd(object.fd);
    this.#surplus.push(object.fd);
    this.#closing += 1;
    if (this.#surplus.length === 1) setImmediate(() => this.#closeTogether());
  }

  #closeTogether(): void {
    const fds = this.#surplus.splice(0);
    if (fds.length === 0) return;
    this.#options.closeMany(fds, () => {
      this.#closing -= fds.length;
      if (this.#closing === 0) this.#whenClosed?.();
    });
  }
}

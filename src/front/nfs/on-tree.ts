/**
 * The medium's tree as procedures use it: with promises, and only within a call of the volume's service, so that authority
 * is checked before the I/O and before the answer. A procedure that touches names or directories takes far longer than a
 * promise; READ and WRITE, which do not come here, use none.
 */
import { Fault } from '../../base/fault.ts';
import type { Result } from '../../base/fault.ts';
import type { CallRequest, VolumeService } from '../../ports/service.ts';
import type {
  AttributeChange,
  Attributes,
  Creation,
  Listing,
  MediumTree,
  ObjectId,
  TreeObject,
  Usage,
} from '../../ports/tree.ts';
import { isTrouble } from './faults.ts';

/** `MediumTree` with promises: the value, or the fault (never a rejection). */
export class Tree {
  readonly port: MediumTree;

  constructor(port: MediumTree) {
    this.port = port;
  }

  root(): Promise<TreeObject | Fault> {
    return promise((done) => this.port.root(done));
  }
  attributes(id: ObjectId): Promise<Attributes | Fault> {
    return promise((done) => this.port.attributes(id, done));
  }
  lookup(directory: ObjectId, name: Buffer): Promise<TreeObject | Fault> {
    return promise((done) => this.port.lookup(directory, name, done));
  }
  readLink(id: ObjectId): Promise<Buffer | Fault> {
    return promise((done) => this.port.readLink(id, done));
  }
  list(directory: ObjectId, cookie: bigint, most: number): Promise<Listing | Fault> {
    return promise((done) => this.port.list(directory, cookie, most, done));
  }
  usage(): Promise<Usage | Fault> {
    return promise((done) => this.port.usage(done));
  }
  create(directory: ObjectId, name: Buffer, what: Creation): Promise<TreeObject | Fault> {
    return promise((done) => this.port.create(directory, name, what, done));
  }
  change(id: ObjectId, change: AttributeChange): Promise<Attributes | Fault> {
    return promise((done) => this.port.change(id, change, done));
  }
  /** Null is success, here and below. */
  link(id: ObjectId, directory: ObjectId, name: Buffer): Promise<Fault | null> {
    return new Promise((resolve) => this.port.link(id, directory, name, resolve));
  }
  remove(directory: ObjectId, name: Buffer): Promise<Fault | null> {
    return new Promise((resolve) => this.port.remove(directory, name, resolve));
  }
  removeDirectory(directory: ObjectId, name: Buffer): Promise<Fault | null> {
    return new Promise((resolve) => this.port.removeDirectory(directory, name, resolve));
  }
  rename(from: ObjectId, fromName: Buffer, to: ObjectId, toName: Buffer): Promise<Fault | null> {
    return new Promise((resolve) => this.port.rename(from, fromName, to, toName, resolve));
  }
}

function promise<T>(ask: (done: Result<T>) => void): Promise<T | Fault> {
  return new Promise((resolve) => {
    ask((fault, value) => resolve(fault ?? value ?? new Fault('io', 'the medium gave neither a value nor a fault')));
  });
}

/** The client is told at last: it would ask for ever. */
export function givenUp(fault: Fault): Fault {
  return new Fault('io', `the medium is in trouble and stays so: ${fault.message}`, fault);
}

/** Pauses; injected, so that tests need not wait. */
export type Later = (ms: number, then: () => void) => void;

/** A medium that is in trouble is asked again so often. */
const RETRY_MS = 200;
/** So often at most: five seconds. By then this server has found itself unfit, if another one is better off. */
const RETRIES = 25;

/** Calls of one volume. When the volume is closed, promises of calls on their way stay unsettled for ever. */
export class Calls {
  readonly #service: VolumeService;
  readonly #later: Later;

  constructor(service: VolumeService, later: Later) {
    this.#service = service;
    this.#later = later;
  }

  /** Resolves when an answer may be given from what the front end knows: to null, or to a fault. */
  authorise(): Promise<Fault | null> {
    return new Promise((resolve) => this.#service.submit(new AuthorityCall(resolve)));
  }

  /** Work on the tree that changes nothing: begun again for a while when the medium is in trouble. */
  async look<T>(work: (tree: Tree) => Promise<T | Fault>): Promise<T | Fault> {
    for (let tried = 1; ; tried += 1) {
      const result = await this.once(work);
      if (!(result instanceof Fault) || !isTrouble(result)) return result;
      if (tried > RETRIES) return givenUp(result);
      await this.pause();
    }
  }

  /** Work on the tree, once. After a fault that `isTrouble` nobody knows whether it was done. */
  once<T>(work: (tree: Tree) => Promise<T | Fault>): Promise<T | Fault> {
    return new Promise((resolve) => {
      let result: T | Fault | undefined;
      this.#service.submit({
        kind: 'call',
        cancelled: false,
        begin: (port, returned) => {
          work(new Tree(port)).then((value) => {
            result = value;
            returned();
          }, crash);
        },
        done: (fault) => resolve(fault ?? (result as T)),
      });
    });
  }

  pause(): Promise<void> {
    return new Promise((resolve) => this.#later(RETRY_MS, resolve));
  }
}

/** Nothing to run: an answer from memory, authorised like any other. */
export class AuthorityCall implements CallRequest {
  readonly kind = 'call';
  readonly begin = null;
  readonly cancelled = false;
  readonly done: (fault: Fault | null) => void;

  constructor(done: (fault: Fault | null) => void) {
    this.done = done;
  }
}

/** A rejection is a bug: it ends the process like any other, instead of leaving a request unanswered. */
export function crash(bug: unknown): void {
  process.nextTick(() => {
    throw bug;
  });
}

/**
 * Logs that were put aside because they may hold what nobody else had: one directory each below `aside/`, with the
 * operations in wire form (`log`) and a description that a person can read (`about.json`). Never removed by Holdfast.
 * Damaged journals are kept there too, as they were found.
 */
import { type FileHandle, open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { callbackify } from 'node:util';
import { type Done, Fault } from '../../../base/fault.ts';
import type { Epoch, Sequence } from '../../../base/names.ts';
import { dataBytes, type Operation } from '../../../base/operation.ts';
import type { AsideLog } from '../../../ports/store.ts';
import { decodeOperation, encodedBytes, encodedHeadBytes, encodeOperationHeader } from '../../../wire/operation.ts';
import { faultOfError } from '../../linux/errno.ts';
import {
  doing,
  ensureDirectory,
  exists,
  readText,
  remove,
  renameDurably,
  syncDirectory,
  writeNewFile,
} from './disk.ts';
import type { LiveLog } from './live-log.ts';

const ASIDE = 'aside';
/** Directories that are not finished begin so, and are removed at the next opening: their log is still in the ring. */
const DRAFT = '.new-';
const LOG_FILE = 'log';
const ABOUT_FILE = 'about.json';
/** Operations written at a time: two buffers each, within one vectored write. */
const PIECE = 500;

/** What `about.json` says. */
interface About {
  readonly epoch: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly bytes: number;
  readonly operations: number;
  readonly released: number;
  readonly acknowledged: number;
  readonly generations: readonly number[];
  readonly complete: boolean;
  readonly at: string;
  readonly why: string;
}

export class AsideDirectory {
  readonly #path: string;
  readonly #now: () => Date;
  #logs: AsideLog[] = [];

  private constructor(directory: string, now: () => Date) {
    this.#path = join(directory, ASIDE);
    this.#now = now;
  }

  /** Looks at what was put aside earlier, and clears away what was not finished. Throws a Fault. */
  static async open(directory: string, now: () => Date): Promise<AsideDirectory> {
    const aside = new AsideDirectory(directory, now);
    if (await exists(aside.#path)) await aside.#list();
    return aside;
  }

  /** Oldest first. */
  get logs(): readonly AsideLog[] {
    return this.#logs;
  }

  /** Writes the log's operations below `aside/`; `done` when they are there to stay. */
  put(log: LiveLog, done: Done): void {
    callbackify(() => this.#put(log))((error: unknown) => {
      done(error === null ? null : faultOfError(error, `Putting a log aside in ${this.#path}`));
    });
  }

  /** Moves a damaged or foreign journal's files into a directory of their own and returns its name. Throws a Fault. */
  async keepFiles(files: readonly string[], from: string, why: string): Promise<string> {
    const at = this.#now();
    const name = await this.#freeName(`damaged-${stamp(at)}`);
    await ensureDirectory(join(this.#path, name));
    // The description goes last, the identity first: without one, the journal is no store any more.
    let bytes = 0;
    for (const file of files) {
      const path = join(from, file);
      if (!(await exists(path))) continue;
      bytes += (await doing(`Looking at ${path}`, () => stat(path))).size;
      await renameDurably(path, join(this.#path, name, file));
    }
    await this.#describe(name, {
      epoch: 0,
      firstSequence: 0,
      lastSequence: 0,
      bytes,
      operations: 0,
      released: 0,
      acknowledged: 0,
      generations: [],
      complete: false,
      at: at.toISOString(),
      why,
    });
    await syncDirectory(join(this.#path, name));
    await this.#list();
    return name;
  }

  async #put(log: LiveLog): Promise<void> {
    const operations = log.operations();
    const first = operations[0];
    const last = operations[operations.length - 1];
    const head = log.latestHead;
    if (first === undefined || last === undefined || head === null) return;
    const at = this.#now();
    const name = await this.#freeName(`${head.epoch}-${first.sequence}-${last.sequence}-${stamp(at)}`);
    const draft = `${DRAFT}${name}`;
    await ensureDirectory(join(this.#path, draft));
    try {
      const bytes = await writeOperations(join(this.#path, draft, LOG_FILE), operations);
      await this.#describe(draft, {
        epoch: head.epoch,
        firstSequence: first.sequence,
        lastSequence: last.sequence,
        bytes,
        operations: operations.length,
        released: log.released,
        acknowledged: log.acknowledged,
        generations: head.generations,
        complete: head.complete,
        at: at.toISOString(),
        why: 'put aside: it may hold operations that nobody else had',
      });
      await syncDirectory(join(this.#path, draft));
      await renameDurably(join(this.#path, draft), join(this.#path, name));
    } catch (error) {
      await remove(this.#path, draft).catch(() => {});
      throw error;
    }
    await this.#list();
  }

  async #describe(name: string, about: About): Promise<void> {
    await writeNewFile(join(this.#path, name, ABOUT_FILE), () => `${JSON.stringify(about, null, 2)}\n`);
  }

  async #freeName(wanted: string): Promise<string> {
    for (let n = 1; ; n += 1) {
      const name = n === 1 ? wanted : `${wanted}-${n}`;
      if (!(await exists(join(this.#path, name)))) return name;
    }
  }

  async #list(): Promise<void> {
    const names = await doing(`Listing ${this.#path}`, () => readdir(this.#path));
    const found: { readonly at: string; readonly log: AsideLog }[] = [];
    for (const name of names) {
      if (name.startsWith(DRAFT)) await remove(this.#path, name);
      else found.push(await describeAside(this.#path, name));
    }
    found.sort((a, b) => (a.at === b.at ? (a.log.name < b.log.name ? -1 : 1) : a.at < b.at ? -1 : 1));
    this.#logs = found.map((one) => one.log);
  }
}

/** What is known of an aside log; one whose description cannot be read is listed all the same, by its name alone. */
async function describeAside(path: string, name: string): Promise<{ at: string; log: AsideLog }> {
  let about: Partial<About> = {};
  try {
    const parsed: unknown = JSON.parse((await readText(join(path, name, ABOUT_FILE))) ?? '{}');
    if (typeof parsed === 'object' && parsed !== null) about = parsed;
  } catch {
    about = {};
  }
  const number = (value: unknown): number => (typeof value === 'number' && Number.isSafeInteger(value) ? value : 0);
  return {
    at: typeof about.at === 'string' ? about.at : '',
    log: {
      name,
      epoch: number(about.epoch) as Epoch,
      firstSequence: number(about.firstSequence) as Sequence,
      lastSequence: number(about.lastSequence) as Sequence,
      bytes: number(about.bytes),
    },
  };
}

async function writeOperations(path: string, operations: readonly Operation[]): Promise<number> {
  return doing(`Writing ${path}`, async () => {
    const handle = await open(path, 'wx', 0o600);
    try {
      let at = 0;
      for (let from = 0; from < operations.length; from += PIECE) {
        at = await writePiece(handle, operations.slice(from, from + PIECE), at);
      }
      await handle.sync();
      return at;
    } finally {
      await handle.close();
    }
  });
}

async function writePiece(handle: FileHandle, operations: readonly Operation[], at: number): Promise<number> {
  let headBytes = 0;
  for (const operation of operations) headBytes += encodedHeadBytes(operation);
  const heads = Buffer.alloc(headBytes);
  const buffers: Buffer[] = [];
  let headAt = 0;
  let bytes = 0;
  for (const operation of operations) {
    const end = headAt + encodeOperationHeader(operation, heads, headAt);
    buffers.push(heads.subarray(headAt, end));
    if (dataBytes(operation) > 0) buffers.push(operation.data);
    headAt = end;
    bytes += encodedBytes(operation);
  }
  let rest = buffers;
  for (let written = 0; written < bytes;) {
    const { bytesWritten } = await handle.writev(rest, at + written);
    if (bytesWritten === 0) throw new Fault('io', 'Nothing was written.');
    written += bytesWritten;
    if (written < bytes) rest = [Buffer.concat(buffers).subarray(written)];
  }
  return at + bytes;
}

/**
 * The operations of the aside log in directory `path`, every checksum verified: for whoever wants to look at them or
 * apply them by hand. Throws a Fault, `corrupt` with the place when they are damaged.
 */
export async function readAsideLog(path: string): Promise<readonly Operation[]> {
  const file = join(path, LOG_FILE);
  const bytes = await doing(`Reading ${file}`, () => readFile(file));
  const operations: Operation[] = [];
  for (let at = 0; at < bytes.length;) {
    const found = decodeOperation(bytes, at, bytes.length);
    if (found === 'short') throw new Fault('corrupt', `${file} ends within the operation at byte ${at}.`);
    if (found instanceof Fault)
      throw new Fault('corrupt', `${file} is damaged at byte ${at}: ${found.message}.`, found);
    operations.push(found);
    at += encodedBytes(found);
  }
  return operations;
}

/** 20261122T184501Z */
function stamp(at: Date): string {
  return at.toISOString().replace(/[-:]|\.\d+/g, '');
}

/**
 * Calls an NFS program without sockets: arguments in, decoded results out, through the real codecs, so that what is tried
 * is what would be sent.
 */
import type { Epoch, VolumeName } from '../src/base/names.ts';
import { FilesProgram, type FilesProgramOptions } from '../src/front/nfs/files-program.ts';
import type { Credential, NfsCall, NfsExport } from '../src/front/nfs/program.ts';
import { decodeArguments, decodeResult, encodeArguments, encodeResult } from '../src/wire/nfs/table.ts';
import type { NfsResult, ResultOf } from '../src/wire/nfs/results.ts';
import type { ArgumentsOf, NfsArguments, ProcedureName, Sattr3 } from '../src/wire/nfs/types.ts';
import type { MemoryFiles } from './memory-files.ts';

export const ROOT: Credential = { uid: 0, gid: 0, gids: [] };
export const user = (uid: number, gid = uid, gids: readonly number[] = []): Credential => ({ uid, gid, gids });

export const EXPORT: NfsExport = {
  address: { host: '127.0.0.1', port: 0 },
  readOnly: false,
  squash: 'none',
  anonUid: 65_534,
  anonGid: 65_534,
  clients: [],
  portmapper: false,
};

export const NOTHING: Sattr3 = { mode: null, uid: null, gid: null, sizeBytes: null, atime: null, mtime: null };
export const mode = (bits: number): Sattr3 => ({ ...NOTHING, mode: bits });

export interface SendOptions {
  readonly xid?: number;
  readonly credential?: Credential | null;
  readonly address?: string;
  readonly port?: number;
}

/** The request was not answered. */
export class Dropped extends Error {}

let lastXid = 100;

export class FilesCaller {
  readonly program: FilesProgram;
  readonly service: MemoryFiles;
  readonly logged: string[] = [];
  /** Of every call but those that name another. */
  credential: Credential | null = ROOT;
  root: Buffer = Buffer.alloc(0);

  constructor(service: MemoryFiles, options: Partial<FilesProgramOptions> = {}) {
    this.service = service;
    let tick = 1_700_000_000_000_000_000n;
    this.program = new FilesProgram({
      name: 'files' as VolumeName,
      epoch: 1 as Epoch,
      service,
      exported: EXPORT,
      log: (event) => this.logged.push(event),
      wallClockNs: () => (tick += 1_000_000n),
      random: (bytes) => Buffer.alloc(bytes, 3),
      later: (_ms, then) => void setImmediate(then),
      caches: { inodes: 10_000, names: 10_000 },
      ...options,
    });
  }

  /** Opens the program and learns the root's handle. */
  async open(): Promise<this> {
    await new Promise<void>((resolve, reject) => {
      this.program.open((fault) => (fault === null ? resolve() : reject(fault)));
    });
    this.root = await new Promise<Buffer>((resolve, reject) => {
      this.program.rootHandle((fault, handle) => (handle === null ? reject(fault ?? new Error()) : resolve(handle)));
    });
    return this;
  }

  /** Sends a call; its result, or `Dropped`; never settled when the service is dead. */
  send<P extends ProcedureName>(asked: ArgumentsOf<P>, options: SendOptions = {}): Promise<ResultOf<P>> {
    return this.raw(asked, options).then((bytes) => {
      const result = decodeResult(asked.procedure, bytes);
      if (result === null || !encodeResult(result as NfsResult).equals(bytes)) throw new Error('no result');
      return result as ResultOf<P>;
    });
  }

  /** The bytes of the result. */
  raw(asked: NfsArguments, options: SendOptions = {}): Promise<Buffer> {
    const argumentBytes = encodeArguments(asked);
    const received = decodeArguments(asked.procedure, argumentBytes);
    if (received === null) throw new Error('the arguments are none');
    const call: NfsCall = {
      xid: options.xid ?? (lastXid += 1),
      client: { address: options.address ?? '127.0.0.1', port: options.port ?? 700 },
      credential: options.credential === undefined ? this.credential : options.credential,
      arguments: received,
      argumentBytes,
      gone: false,
    };
    return new Promise((resolve, reject) => {
      let answered = false;
      const once = (then: () => void): void => {
        if (answered) throw new Error(`${asked.procedure} was answered twice`);
        answered = true;
        then();
      };
      this.program.call(call, {
        send: (result) => {
          const bytes = Buffer.from(encodeResult(result));
          once(() => resolve(bytes));
        },
        sendEncoded: (bytes) => once(() => resolve(Buffer.from(bytes))),
        drop: (why) => once(() => reject(new Dropped(why))),
      });
    });
  }

  // ---- short words for the usual

  /** Looks a path up from the root. */
  async handle(path: string): Promise<Buffer> {
    let at = this.root;
    for (const name of path.split('/').filter((part) => part !== '')) {
      const found = await this.send({ procedure: 'lookup', directory: at, name: Buffer.from(name) });
      if (found.status !== 0) throw new Error(`${path}: status ${found.status}`);
      at = found.handle;
    }
    return at;
  }

  create(directory: Buffer, name: string, attributes: Sattr3 = mode(0o644), options: SendOptions = {}) {
    const how = { mode: 'unchecked', attributes } as const;
    return this.send({ procedure: 'create', directory, name: Buffer.from(name, 'latin1'), how }, options);
  }

  /** A new file's handle. */
  async file(name: string, attributes: Sattr3 = mode(0o644), options: SendOptions = {}): Promise<Buffer> {
    const made = await this.create(this.root, name, attributes, options);
    if (made.status !== 0 || made.handle === null) throw new Error(`create ${name}: status ${made.status}`);
    return made.handle;
  }

  async directory(name: string, attributes: Sattr3 = mode(0o755), options: SendOptions = {}): Promise<Buffer> {
    const asked = { procedure: 'mkdir', directory: this.root, name: Buffer.from(name), attributes } as const;
    const made = await this.send(asked, options);
    if (made.status !== 0 || made.handle === null) throw new Error(`mkdir ${name}: status ${made.status}`);
    return made.handle;
  }

  write(handle: Buffer, offset: number, data: string | Buffer, options: SendOptions = {}) {
    return this.send({ procedure: 'write', handle, offset, stable: 2, data: Buffer.from(data) }, options);
  }

  read(handle: Buffer, offset = 0, count = 1 << 20, options: SendOptions = {}) {
    return this.send({ procedure: 'read', handle, offset, count }, options);
  }

  /** All of a file as text. */
  async text(handle: Buffer): Promise<string> {
    const got = await this.read(handle);
    if (got.status !== 0) throw new Error(`read: status ${got.status}`);
    return Buffer.concat(got.pieces.map(({ data, length }) => data ?? Buffer.alloc(length))).toString('latin1');
  }

  getattr(handle: Buffer, options: SendOptions = {}) {
    return this.send({ procedure: 'getattr', handle }, options);
  }

  async attributes(handle: Buffer) {
    const got = await this.getattr(handle);
    if (got.status !== 0) throw new Error(`getattr: status ${got.status}`);
    return got.attributes;
  }

  setattr(handle: Buffer, change: Partial<Sattr3>, guardNs: bigint | null = null, options: SendOptions = {}) {
    return this.send({ procedure: 'setattr', handle, change: { ...NOTHING, ...change }, guardNs }, options);
  }

  remove(directory: Buffer, name: string, options: SendOptions = {}) {
    return this.send({ procedure: 'remove', directory, name: Buffer.from(name, 'latin1') }, options);
  }

  rmdir(directory: Buffer, name: string, options: SendOptions = {}) {
    return this.send({ procedure: 'rmdir', directory, name: Buffer.from(name, 'latin1') }, options);
  }

  rename(from: Buffer, fromName: string, to: Buffer, toName: string, options: SendOptions = {}) {
    const asked = {
      procedure: 'rename',
      from: { directory: from, name: Buffer.from(fromName, 'latin1') },
      to: { directory: to, name: Buffer.from(toName, 'latin1') },
    } as const;
    return this.send(asked, options);
  }

  link(handle: Buffer, directory: Buffer, name: string, options: SendOptions = {}) {
    return this.send({ procedure: 'link', handle, directory, name: Buffer.from(name, 'latin1') }, options);
  }

  symlink(directory: Buffer, name: string, to: string, options: SendOptions = {}) {
    const asked = { procedure: 'symlink', directory, name: Buffer.from(name, 'latin1'), to: Buffer.from(to, 'latin1') };
    return this.send({ ...asked, procedure: 'symlink', attributes: NOTHING }, options);
  }

  lookup(directory: Buffer, name: string, options: SendOptions = {}) {
    return this.send({ procedure: 'lookup', directory, name: Buffer.from(name, 'latin1') }, options);
  }
}

/**
 * A client of NFS and MOUNT version 3 for tests: over a socket, with the inverse codecs. It calls any procedure, sends
 * the same call again (same xid) on this or another connection, and sends any bytes at all. What is sent in one turn
 * leaves in one write.
 */
import { once } from 'node:events';
import net from 'node:net';
import {
  decodeDump,
  decodeExport,
  decodeMnt,
  encodePath,
  type ExportEntry,
  type MntResult,
  MOUNT_PROGRAM,
  MOUNT_VERSION,
  type MountEntry,
  MountProcedure,
  MountStatus,
} from '../src/wire/mount.ts';
import { decodeResult, encodeArguments, procedureNumber } from '../src/wire/nfs/table.ts';
import type { ResultOf } from '../src/wire/nfs/results.ts';
import { type ArgumentsOf, NFS_PROGRAM, NFS_VERSION, type ProcedureName } from '../src/wire/nfs/types.ts';
import { MAX_CALL_HEADER_BYTES, putCall, readReply, type ReplyHeader, type SysCredential } from '../src/wire/rpc.ts';
import { RecordReader, wholeRecordMark } from '../src/wire/rpc-record.ts';
import { XdrReader, XdrWriter } from '../src/wire/xdr.ts';

/** The longest answer that is taken. */
const MAX_ANSWER_BYTES = 64 << 20;
const NO_PROCEDURE = 0xffff_ffff;

/** The connection ended before the answer. */
export class NfsConnectionLost extends Error {}

/** The call was answered, but not with a result. */
export class NfsCallRefused extends Error {
  readonly header: ReplyHeader;

  constructor(header: ReplyHeader) {
    super(`the call was answered with ${JSON.stringify(header)}`);
    this.header = header;
  }
}

/** A reply as it came: its header and, after `success`, the bytes of the result. */
export interface RawReply {
  readonly header: ReplyHeader;
  readonly result: Buffer;
}

export interface NfsClientOptions {
  /** Null: AUTH_NONE. Default: root without further groups. */
  readonly credential?: SysCredential | null;
  readonly host?: string;
  /** The client's own address and port, e.g. to come from a new one. */
  readonly localAddress?: string;
  readonly localPort?: number;
}

export interface CallOptions {
  /** Instead of a fresh one: to send a call again. */
  readonly xid?: number;
  /** Instead of the client's. */
  readonly credential?: SysCredential | null;
}

const ROOT: SysCredential = { uid: 0, gid: 0, gids: [] };

interface Waiting {
  resolve(reply: RawReply): void;
  reject(error: Error): void;
}

/** Xids are unique over all clients of a process, so that calls are only repeated on purpose. */
let lastXid = 0x1000_0000;

/** A fresh xid. */
export const nextXid = (): number => ++lastXid;

/** A call as a record, ready to be sent, also more than once. */
export function encodeCall(
  call: { readonly xid: number; readonly program: number; readonly version: number; readonly procedure: number },
  credential: SysCredential | null,
  args: Buffer,
): Buffer {
  const xdr = new XdrWriter().reset(Buffer.alloc(4 + MAX_CALL_HEADER_BYTES), 4);
  putCall(xdr, call, credential);
  const header = xdr.done();
  header.writeUInt32BE(wholeRecordMark(header.length - 4 + args.length));
  return Buffer.concat([header, args]);
}

export class NfsClient {
  readonly socket: net.Socket;
  readonly credential: SysCredential | null;
  /** Resolves with the reason when the connection has ended, however it did. */
  readonly closed: Promise<string>;
  /** Answers whose xid nobody waits for; the last 1024. */
  readonly strays: RawReply[] = [];
  /** Xids in the order in which they were answered; the last 4096. */
  readonly answered: number[] = [];
  readonly #reader = new RecordReader(MAX_ANSWER_BYTES, NO_PROCEDURE);
  readonly #waiting = new Map<number, Waiting[]>();
  #outgoing: Buffer[] = [];
  #lost: string | null = null;

  constructor(socket: net.Socket, credential: SysCredential | null) {
    this.socket = socket;
    this.credential = credential;
    this.closed = new Promise((resolve) => socket.on('close', () => resolve(this.#lose('the server closed it'))));
    socket.on('error', (error) => this.#lose(error.message));
    socket.on('data', (piece: Buffer) => this.#received(piece));
  }

  /** Connects; rejects when nobody listens. */
  static async connect(port: number, options: NfsClientOptions = {}): Promise<NfsClient> {
    const { host = '127.0.0.1', localAddress, localPort, credential } = options;
    const socket = net.connect({
      host,
      port,
      noDelay: true,
      ...(localAddress === undefined ? {} : { localAddress }),
      ...(localPort === undefined ? {} : { localPort }),
    });
    await once(socket, 'connect');
    return new NfsClient(socket, credential === undefined ? ROOT : credential);
  }

  /** Calls sent and not answered. */
  get inFlight(): number {
    return this.#waiting.size;
  }

  /** Calls a procedure; its status is in the result. Rejects with NfsCallRefused or NfsConnectionLost. */
  async call<P extends ProcedureName>(args: ArgumentsOf<P>, options: CallOptions = {}): Promise<ResultOf<P>> {
    const name = args.procedure as P;
    const bytes = await this.result(NFS_PROGRAM, NFS_VERSION, procedureNumber(name), encodeArguments(args), options);
    const result = decodeResult(name, bytes);
    if (result === null) throw new Error(`the result of ${name} is not valid: ${bytes.toString('hex')}`);
    return result;
  }

  /** Any call with any arguments; resolves with the bytes of its result, rejects when there are none. */
  async result(
    program: number,
    version: number,
    procedure: number,
    args: Buffer,
    options: CallOptions = {},
  ): Promise<Buffer> {
    const { header, result } = await this.raw(program, version, procedure, args, options);
    if (header.kind !== 'success') throw new NfsCallRefused(header);
    return result;
  }

  /** Any call with any arguments and its reply, whatever it is. */
  raw(program: number, version: number, procedure: number, args: Buffer, options: CallOptions = {}): Promise<RawReply> {
    const { xid = nextXid(), credential = this.credential } = options;
    return this.record(xid, encodeCall({ xid, program, version, procedure }, credential, args));
  }

  /** Sends a whole record that is a call with this xid, and waits for an answer to it. */
  record(xid: number, bytes: Buffer): Promise<RawReply> {
    return new Promise((resolve, reject) => {
      if (this.#lost !== null) return reject(new NfsConnectionLost(this.#lost));
      const others = this.#waiting.get(xid);
      if (others === undefined) this.#waiting.set(xid, [{ resolve, reject }]);
      else others.push({ resolve, reject });
      this.send(bytes);
    });
  }

  /** Sends any bytes. */
  send(bytes: Buffer): void {
    this.#outgoing.push(bytes);
    if (this.#outgoing.length > 1) return;
    process.nextTick(() => {
      const outgoing = this.#outgoing;
      this.#outgoing = [];
      if (this.#lost !== null) return;
      this.socket.cork();
      for (const piece of outgoing) this.socket.write(piece);
      this.socket.uncork();
    });
  }

  /** NULL of any program. */
  async ping(program = NFS_PROGRAM, version = NFS_VERSION): Promise<void> {
    await this.result(program, version, 0, Buffer.alloc(0));
  }

  // ---- MOUNT

  async mnt(path: string | Buffer, options: CallOptions = {}): Promise<MntResult> {
    const result = decodeMnt(await this.#mount(MountProcedure.mnt, encodePath(Buffer.from(path)), options));
    if (result === null) throw new Error('the result of MNT is not valid');
    return result;
  }

  /** The root's handle; rejects when it is refused. */
  async root(path: string): Promise<Buffer> {
    const result = await this.mnt(path);
    if (result.status !== MountStatus.ok) throw new Error(`${path} was not mounted: status ${result.status}`);
    return result.handle;
  }

  async umnt(path: string): Promise<void> {
    await this.#mount(MountProcedure.umnt, encodePath(Buffer.from(path)));
  }

  async umntall(): Promise<void> {
    await this.#mount(MountProcedure.umntall, Buffer.alloc(0));
  }

  async dump(): Promise<readonly MountEntry[]> {
    const entries = decodeDump(await this.#mount(MountProcedure.dump, Buffer.alloc(0)));
    if (entries === null) throw new Error('the result of DUMP is not valid');
    return entries;
  }

  async exports(): Promise<readonly ExportEntry[]> {
    const entries = decodeExport(await this.#mount(MountProcedure.export, Buffer.alloc(0)));
    if (entries === null) throw new Error('the result of EXPORT is not valid');
    return entries;
  }

  #mount(procedure: number, args: Buffer, options: CallOptions = {}): Promise<Buffer> {
    return this.result(MOUNT_PROGRAM, MOUNT_VERSION, procedure, args, options);
  }

  // ---- the connection

  /** Drops the connection. */
  destroy(): void {
    this.socket.destroy();
    this.#lose('this client dropped it');
  }

  #received(piece: Buffer): void {
    this.#reader.push(piece);
    for (let verdict = this.#reader.next(); verdict !== 'starved'; verdict = this.#reader.next()) {
      if (verdict === 'garbage') return this.#garbage(this.#reader.reason ?? 'garbage');
      const bytes = Buffer.from(this.#reader.bytes.subarray(this.#reader.from, this.#reader.to));
      const xdr = new XdrReader().reset(bytes);
      const header = readReply(xdr);
      if (header === null) return this.#garbage(`no reply: ${bytes.toString('hex')}`);
      this.#answer({ header, result: bytes.subarray(xdr.at) });
    }
  }

  #answer(reply: RawReply): void {
    const { xid } = reply.header;
    this.answered.push(xid);
    if (this.answered.length > 4096) this.answered.shift();
    const waiting = this.#waiting.get(xid);
    const first = waiting?.shift();
    if (waiting?.length === 0) this.#waiting.delete(xid);
    if (first !== undefined) return first.resolve(reply);
    this.strays.push(reply);
    if (this.strays.length > 1024) this.strays.shift();
  }

  #garbage(why: string): void {
    this.#lose(`the server sent garbage: ${why}`);
    this.socket.destroy();
  }

  #lose(why: string): string {
    if (this.#lost !== null) return this.#lost;
    this.#lost = why;
    for (const waiting of this.#waiting.values()) for (const one of waiting) one.reject(new NfsConnectionLost(why));
    this.#waiting.clear();
    return why;
  }
}

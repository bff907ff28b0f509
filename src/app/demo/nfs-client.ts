/**
 * A small NFSv3 client for the demo: one connection, one call at a time, the few procedures that its story needs. It shares
 * no code with the server's side of the protocol. Sources: RFC 5531 (RPC), RFC 4506 (XDR), RFC 1813 (NFS, MOUNT).
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';

const NFS = 100_003;
const MOUNT = 100_005;
const VERSION = 3;
const LAST_FRAGMENT = 0x8000_0000;
const MOST_ANSWER_BYTES = 2 << 20;

/** NFS procedures, by number. */
export const Procedure = { lookup: 3, read: 6, write: 7, create: 8, remove: 12, rename: 14, readdir: 16 } as const;

/** The server answered, with an error of NFS. */
export class NfsError extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`the server answered with the NFS error ${status}`);
    this.status = status;
  }
}

/** XDR: everything in units of four bytes. */
export class Words {
  readonly #parts: Buffer[] = [];

  uint(...values: number[]): this {
    const bytes = Buffer.alloc(values.length * 4);
    values.forEach((value, index) => bytes.writeUInt32BE(value >>> 0, index * 4));
    this.#parts.push(bytes);
    return this;
  }

  hyper(value: bigint): this {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(value);
    this.#parts.push(bytes);
    return this;
  }

  /** Bytes of any length, with that length before them. */
  opaque(data: Buffer | string): this {
    const bytes = Buffer.from(data);
    this.uint(bytes.length);
    this.#parts.push(bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4));
    return this;
  }

  /** Words that are made already. */
  raw(bytes: Buffer): this {
    this.#parts.push(bytes);
    return this;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** Reads what `Words` writes; running past the end is an exception of Buffer's. */
export class Answer {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  uint(): number {
    this.#at += 4;
    return this.#bytes.readUInt32BE(this.#at - 4);
  }

  hyper(): bigint {
    this.#at += 8;
    return this.#bytes.readBigUInt64BE(this.#at - 8);
  }

  opaque(): Buffer {
    const length = this.uint();
    const from = this.#at;
    this.skip(length + ((4 - (length % 4)) % 4));
    return this.#bytes.subarray(from, from + length);
  }

  skip(bytes: number): void {
    this.#at += bytes;
    if (this.#at > this.#bytes.length) throw new Error('the answer is too short');
  }

  /** post_op_attr: passed over. */
  attributes(): void {
    if (this.uint() === 1) this.skip(84);
  }

  /** wcc_data: passed over. */
  wcc(): void {
    if (this.uint() === 1) this.skip(24);
    this.attributes();
  }
}

/** A call as it is sent, so that it can be sent again, the same. */
export interface Call {
  readonly xid: number;
  readonly record: Buffer;
}

let lastXid = Math.floor(performance.timeOrigin) >>> 0;

/** A call of NFS; as the user who runs this program. */
export const nfsCall = (procedure: number, args: Words): Call => callOf(NFS, procedure, args);

function callOf(program: number, procedure: number, args: Words): Call {
  lastXid = (lastXid + 1) >>> 0;
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  const credential = new Words().uint(0).opaque('holdfast-demo').uint(uid, gid, 0).bytes;
  const head = new Words().uint(lastXid, 0, 2, program, VERSION, procedure).uint(1).opaque(credential).uint(0, 0);
  const body = Buffer.concat([head.bytes, args.bytes]);
  const mark = new Words().uint((LAST_FRAGMENT | body.length) >>> 0);
  return { xid: lastXid, record: Buffer.concat([mark.bytes, body]) };
}

/** One connection. Once it is lost, whoever waits is told and it stays lost. */
export class NfsSession {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #waiting: { readonly xid: number; resolve(result: Answer): void; reject(error: Error): void } | null = null;
  #lost: Error | null = null;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (piece: Buffer) => this.#take(piece));
    socket.on('error', (error) => this.#lose(error));
    socket.on('close', () => this.#lose(new Error('the connection was closed')));
  }

  /** Rejects when nothing listens. */
  static open(host: string, port: number): Promise<NfsSession> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port, noDelay: true });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new NfsSession(socket));
      });
    });
  }

  /** The handle of the directory that is exported as `path`. */
  async mount(path: string): Promise<Buffer> {
    const answer = await this.send(callOf(MOUNT, 1, new Words().opaque(path)));
    const status = answer.uint();
    if (status !== 0) throw new NfsError(status);
    return answer.opaque();
  }

  /** Resolves with the result, whatever its status; one call at a time. */
  send(call: Call): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#lost !== null) return reject(this.#lost);
      this.#waiting = { xid: call.xid, resolve, reject };
      this.#socket.write(call.record);
    });
  }

  close(): void {
    this.#lose(new Error('closed'));
  }

  #take(piece: Buffer): void {
    this.#received = Buffer.concat([this.#received, piece]);
    while (this.#received.length >= 4) {
      const mark = this.#received.readUInt32BE(0);
      const length = mark & ~LAST_FRAGMENT;
      // Servers of ours and others' answer in one fragment.
      if ((mark & LAST_FRAGMENT) === 0 || length > MOST_ANSWER_BYTES) return this.#lose(new Error('this is no answer'));
      if (this.#received.length < 4 + length) return;
      const record = this.#received.subarray(4, 4 + length);
      this.#received = this.#received.subarray(4 + length);
      this.#answer(record);
    }
  }

  #answer(record: Buffer): void {
    const answer = new Answer(record);
    const waiting = this.#waiting;
    if (waiting === null || answer.uint() !== waiting.xid) return;
    this.#waiting = null;
    const [type, denied] = [answer.uint(), answer.uint()];
    answer.uint();
    answer.opaque();
    const accepted = answer.uint();
    if (type === 1 && denied === 0 && accepted === 0) waiting.resolve(answer);
    else waiting.reject(new NfsError(accepted));
  }

  #lose(error: Error): void {
    this.#lost ??= error;
    this.#socket.destroy();
    this.#waiting?.reject(this.#lost);
    this.#waiting = null;
  }
}

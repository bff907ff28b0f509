/**
 * A small NBD client for the demo: fixed newstyle, GO, simple replies, requests in flight side by side. It shares no
 * code with the server's side of the protocol. Source: doc/proto.md of the NetworkBlockDevice project.
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';

const NBDMAGIC = 0x4e42444d41474943n;
const IHAVEOPT = 0x49484156454f5054n;
const OPTION_REPLY_MAGIC = 0x3e889045565a9n;
const REQUEST_MAGIC = 0x25609513;
const SIMPLE_REPLY_MAGIC = 0x67446698;
const OPT_GO = 7;
const REP_ACK = 1;
const REP_INFO = 3;
const CMD_READ = 0;
const CMD_WRITE = 1;
const CMD_DISC = 2;
/** Fixed newstyle, no zeroes. */
const CLIENT_FLAGS = 3;

interface Pending {
  /** Bytes that follow a good reply. */
  readonly readBytes: number;
  readonly resolve: (data: Buffer) => void;
  readonly reject: (error: Error) => void;
}

/** One connection to one export. Once it is lost, everything unanswered is rejected and it stays lost. */
export class NbdSession {
  readonly sizeBytes: number;
  readonly #socket: Socket;
  readonly #reader: Reader;
  readonly #pending = new Map<bigint, Pending>();
  #next = 1n;
  #lost: Error | null = null;

  private constructor(socket: Socket, reader: Reader, sizeBytes: number) {
    this.#socket = socket;
    this.#reader = reader;
    this.sizeBytes = sizeBytes;
    this.#receive().catch((error: Error) => this.#lose(error));
  }

  /** Connects and chooses the export. Rejects when nothing listens or the server refuses. */
  static async open(host: string, port: number, exportName: string): Promise<NbdSession> {
    const socket = connect({ host, port, noDelay: true });
    const reader = new Reader(socket);
    try {
      const greeting = await reader.take(18);
      if (greeting.readBigUInt64BE(0) !== NBDMAGIC || greeting.readBigUInt64BE(8) !== IHAVEOPT) {
        throw new Error('this is no newstyle NBD server');
      }
      socket.write(goRequest(exportName));
      return new NbdSession(socket, reader, await readGoReplies(reader));
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  /** Resolves when the server has answered the write without an error. */
  async write(offset: number, data: Buffer): Promise<void> {
    await this.#request(CMD_WRITE, offset, data.length, data, 0);
  }

  async read(offset: number, length: number): Promise<Buffer> {
    return this.#request(CMD_READ, offset, length, null, length);
  }

  /** Says goodbye. */
  close(): void {
    if (this.#lost === null) this.#socket.end(requestHeader(CMD_DISC, 0n, 0, 0));
    this.#lose(new Error('closed'));
  }

  #request(command: number, offset: number, length: number, data: Buffer | null, readBytes: number): Promise<Buffer> {
    if (this.#lost !== null) return Promise.reject(this.#lost);
    const handle = this.#next;
    this.#next += 1n;
    return new Promise((resolve, reject) => {
      this.#pending.set(handle, { readBytes, resolve, reject });
      this.#socket.cork();
      this.#socket.write(requestHeader(command, handle, offset, length));
      if (data !== null) this.#socket.write(data);
      process.nextTick(() => this.#socket.uncork());
    });
  }

  async #receive(): Promise<never> {
    for (;;) {
      const header = await this.#reader.take(16);
      if (header.readUInt32BE(0) !== SIMPLE_REPLY_MAGIC) throw new Error('the server sent something that is no reply');
      const error = header.readUInt32BE(4);
      const handle = header.readBigUInt64BE(8);
      const pending = this.#pending.get(handle);
      if (pending === undefined) throw new Error('the server answered what was not asked');
      const data = error === 0 && pending.readBytes > 0 ? await this.#reader.take(pending.readBytes) : Buffer.alloc(0);
      this.#pending.delete(handle);
      if (error === 0) pending.resolve(data);
      else pending.reject(new NbdError(error));
    }
  }

  #lose(error: Error): void {
    if (this.#lost !== null) return;
    this.#lost = error;
    this.#socket.destroySoon();
    for (const pending of this.#pending.values()) pending.reject(error);
    this.#pending.clear();
  }
}

/** The server answered with an error: the request was refused, not lost. */
export class NbdError extends Error {
  constructor(code: number) {
    super(`the server answered with error ${code}`);
    this.name = 'NbdError';
  }
}

function goRequest(exportName: string): Buffer {
  const name = Buffer.from(exportName);
  const request = Buffer.alloc(4 + 16 + 4 + name.length + 2);
  let at = request.writeUInt32BE(CLIENT_FLAGS, 0);
  at = request.writeBigUInt64BE(IHAVEOPT, at);
  at = request.writeUInt32BE(OPT_GO, at);
  at = request.writeUInt32BE(4 + name.length + 2, at);
  at = request.writeUInt32BE(name.length, at);
  at += name.copy(request, at);
  request.writeUInt16BE(0, at);
  return request;
}

/** The export's size, from the information that comes before the acknowledgement. */
async function readGoReplies(reader: Reader): Promise<number> {
  let sizeBytes = -1;
  for (;;) {
    const header = await reader.take(20);
    if (header.readBigUInt64BE(0) !== OPTION_REPLY_MAGIC)
      throw new Error('the server sent something that is no option reply');
    const type = header.readUInt32BE(12);
    const data = await reader.take(header.readUInt32BE(16));
    if (type === REP_ACK) {
      if (sizeBytes < 0) throw new Error('the server did not tell the size of the export');
      return sizeBytes;
    }
    if (type === REP_INFO) {
      if (data.readUInt16BE(0) === 0) sizeBytes = Number(data.readBigUInt64BE(2));
    } else throw new Error(`the server refuses the export: ${data.toString('utf8')} (${type >>> 0})`);
  }
}

function requestHeader(command: number, handle: bigint, offset: number, length: number): Buffer {
  const header = Buffer.allocUnsafe(28);
  header.writeUInt32BE(REQUEST_MAGIC, 0);
  header.writeUInt16BE(0, 4);
  header.writeUInt16BE(command, 6);
  header.writeBigUInt64BE(handle, 8);
  header.writeBigUInt64BE(BigInt(offset), 16);
  header.writeUInt32BE(length, 24);
  return header;
}

/** Takes exact numbers of bytes from a socket, one `take` at a time; rejects when it ends before. */
class Reader {
  readonly #socket: Socket;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #ended: Error | null = null;
  #wake: (() => void) | null = null;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
      this.#wake?.();
    });
    socket.on('error', (error) => this.#end(error));
    socket.on('close', () => this.#end(new Error('the connection was closed')));
  }

  async take(length: number): Promise<Buffer> {
    while (this.#bytes < length) {
      if (this.#ended !== null) throw this.#ended;
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = null;
    }
    const all = this.#chunks.length === 1 ? (this.#chunks[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#chunks);
    this.#chunks = all.length > length ? [all.subarray(length)] : [];
    this.#bytes -= length;
    return all.subarray(0, length);
  }

  #end(error: Error): void {
    this.#ended ??= error;
    this.#socket.destroy();
    this.#wake?.();
  }
}

/**
 * A small NBD client for tests and oracles, written from the protocol document alone: it shares the document's numbers
 * with the server and no other code. Promises, pipelining, every command; whatever the server says that the document
 * does not allow ends the connection with an error that names it.
 */
import type net from 'node:net';
import {
  Command,
  CommandFlag,
  HandshakeFlag,
  Info,
  Magic,
  Option,
  OptionReply,
  TransmissionFlag,
} from '../src/wire/nbd.ts';
import { type Answer, AnswerReader, type ClientStyle, type Pending, type StatusDescriptor } from './nbd-answers.ts';
import { dial, infoData, metaData, NbdConnectionLost, type NbdDialog } from './nbd-dialog.ts';

export { NbdReplyError, type Answer, type ReadChunk, type StatusDescriptor } from './nbd-answers.ts';
export { NbdConnectionLost, NbdOptionError } from './nbd-dialog.ts';

export interface ConnectOptions {
  /** Ask for structured replies. Defaults to true. */
  readonly structured?: boolean;
  /** Ask for extended headers. Defaults to false. */
  readonly extended?: boolean;
  /** Metadata contexts to select. Defaults to none. */
  readonly metaContexts?: readonly string[];
  /** Open the export by EXPORT_NAME instead of GO. Defaults to false. */
  readonly byExportName?: boolean;
  /** How long connecting and negotiating may take, ms. Defaults to 10 s. */
  readonly timeoutMs?: number;
}

const CONNECT_MS = 10_000;

/** Block sizes as the server advertised them, bytes. */
export interface BlockSizes {
  readonly minimum: number;
  readonly preferred: number;
  readonly maximum: number;
}

/**
 * Connects, negotiates, and opens the export; whatever was asked for and not granted is an error, and so is a server
 * that does not get there in time. After an error nothing of the connection is left.
 */
export async function connect(
  host: string,
  port: number,
  exportName = '',
  options: ConnectOptions = {},
): Promise<NbdClient> {
  const dialog = await dial(host, port, options.timeoutMs ?? CONNECT_MS);
  try {
    return await open(dialog, exportName, options);
  } catch (error) {
    dialog.socket.destroy();
    throw error;
  }
}

async function open(dialog: NbdDialog, exportName: string, options: ConnectOptions): Promise<NbdClient> {
  dialog.sendFlags(HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes);
  const style = options.extended === true ? 'extended' : (options.structured ?? true) ? 'structured' : 'simple';
  if (style === 'extended') await dialog.must(Option.extendedHeaders);
  if (style === 'structured') await dialog.must(Option.structuredReply);
  const contexts = new Map<number, string>();
  if (options.metaContexts !== undefined) {
    for (const { type, data } of await dialog.must(Option.setMetaContext, metaData(exportName, options.metaContexts))) {
      if (type === OptionReply.metaContext) contexts.set(data.readUInt32BE(0), data.toString('utf8', 4));
    }
  }
  const exported = options.byExportName === true ? await byName(dialog, exportName) : await byGo(dialog, exportName);
  return new NbdClient(dialog.socket, dialog.leave(), style, exported, contexts);
}

/** The export as it was opened. */
interface Opened {
  readonly sizeBytes: number;
  readonly flags: number;
  readonly blockSizes: BlockSizes | null;
}

async function byName(dialog: NbdDialog, exportName: string): Promise<Opened> {
  dialog.sendOption(Option.exportName, Buffer.from(exportName));
  const reply = await dialog.take(10);
  return { sizeBytes: Number(reply.readBigUInt64BE(0)), flags: reply.readUInt16BE(8), blockSizes: null };
}

async function byGo(dialog: NbdDialog, exportName: string): Promise<Opened> {
  const replies = await dialog.must(Option.go, infoData(exportName, [Info.blockSize]));
  const infos = new Map(
    replies.filter((r) => r.type === OptionReply.info).map((r) => [r.data.readUInt16BE(0), r.data]),
  );
  const exported = infos.get(Info.export);
  if (exported === undefined) throw new Error('the server did not describe the export');
  const sizes = infos.get(Info.blockSize);
  return {
    sizeBytes: Number(exported.readBigUInt64BE(2)),
    flags: exported.readUInt16BE(10),
    blockSizes:
      sizes === undefined
        ? null
        : { minimum: sizes.readUInt32BE(2), preferred: sizes.readUInt32BE(6), maximum: sizes.readUInt32BE(10) },
  };
}

export class NbdClient {
  readonly sizeBytes: number;
  /** Transmission flags of the export. */
  readonly flags: number;
  /** Null when the export was opened by name. */
  readonly blockSizes: BlockSizes | null;
  readonly contexts: ReadonlyMap<number, string>;
  /** Resolves with the reason when the connection has ended, however it did. */
  readonly closed: Promise<string>;
  readonly socket: net.Socket;
  readonly #style: ClientStyle;
  readonly #pending = new Map<bigint, Pending>();
  readonly #reader: AnswerReader;
  #cookie = 1n;
  #lost: string | null = null;
  #outgoing: Buffer[] = [];

  constructor(
    socket: net.Socket,
    received: Buffer,
    style: ClientStyle,
    exported: Opened,
    contexts: ReadonlyMap<number, string>,
  ) {
    this.socket = socket;
    this.sizeBytes = exported.sizeBytes;
    this.flags = exported.flags;
    this.blockSizes = exported.blockSizes;
    this.contexts = contexts;
    this.#style = style;
    this.closed = new Promise((resolve) => socket.on('close', () => resolve(this.#lose('the server closed it'))));
    socket.on('error', (error) => this.#lose(error.message));
    this.#reader = new AnswerReader(style, contexts, this.#pending, (why) => {
      this.#lose(why);
      socket.destroy();
    });
    socket.on('data', (piece: Buffer) => this.#reader.push(piece));
    if (received.length > 0) this.#reader.push(received);
  }

  /** Cookies in the order in which their replies ended; the last 4096. */
  get answered(): readonly bigint[] {
    return this.#reader.answered;
  }

  /** Requests sent and not answered. */
  get inFlight(): number {
    return this.#pending.size;
  }

  async read(offset: number, length: number, options: { readonly df?: boolean } = {}): Promise<Buffer> {
    return (await this.readChunks(offset, length, options)).data;
  }

  /** As `read`, with the chunks by which it was answered. */
  readChunks(offset: number, length: number, options: { readonly df?: boolean } = {}): Promise<Answer> {
    return this.request(Command.read, options.df === true ? CommandFlag.dontFragment : 0, offset, length);
  }

  async write(offset: number, data: Buffer, options: { readonly fua?: boolean } = {}): Promise<void> {
    await this.request(Command.write, options.fua === true ? CommandFlag.fua : 0, offset, data.length, data);
  }

  async writeZeroes(
    offset: number,
    length: number,
    options: { readonly fua?: boolean; readonly noHole?: boolean; readonly fastZero?: boolean } = {},
  ): Promise<void> {
    const flags =
      (options.fua === true ? CommandFlag.fua : 0) |
      (options.noHole === true ? CommandFlag.noHole : 0) |
      (options.fastZero === true ? CommandFlag.fastZero : 0);
    await this.request(Command.writeZeroes, flags, offset, length);
  }

  async trim(offset: number, length: number, options: { readonly fua?: boolean } = {}): Promise<void> {
    await this.request(Command.trim, options.fua === true ? CommandFlag.fua : 0, offset, length);
  }

  async flush(): Promise<void> {
    await this.request(Command.flush, 0, 0, 0);
  }

  async cache(offset: number, length: number): Promise<void> {
    await this.request(Command.cache, 0, offset, length);
  }

  /** The descriptors of `base:allocation`, or of the only context that was selected. */
  async blockStatus(
    offset: number,
    length: number,
    options: { readonly reqOne?: boolean } = {},
  ): Promise<readonly StatusDescriptor[]> {
    const flags = options.reqOne === true ? CommandFlag.reqOne : 0;
    const { status } = await this.request(Command.blockStatus, flags, offset, length);
    const [descriptors] = [...status.values()];
    if (descriptors === undefined) throw new Error('a block status was answered without any status');
    return descriptors;
  }

  /**
   * Any request, valid or not. `payload` is sent as it is, whatever `length` says; with extended headers the request is
   * then marked as one with a payload.
   */
  request(type: number, flags: number, offset: number | bigint, length: number, payload?: Buffer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#lost !== null) return reject(new NbdConnectionLost(this.#lost));
      const cookie = this.#cookie++;
      this.#pending.set(cookie, {
        type,
        offset: BigInt(offset),
        length,
        data: type === Command.read && length <= 64 << 20 ? Buffer.alloc(length) : Buffer.alloc(0),
        chunks: [],
        status: new Map(),
        covered: 0,
        error: null,
        resolve,
        reject,
      });
      const marked = payload !== undefined && this.#style === 'extended' ? flags | CommandFlag.payloadLength : flags;
      this.#send(this.header(type, marked, cookie, BigInt(offset), length));
      if (payload !== undefined) this.#send(payload);
    });
  }

  /** A request's header in the style that was negotiated. */
  header(type: number, flags: number, cookie: bigint, offset: bigint, length: number): Buffer {
    const extended = this.#style === 'extended';
    const out = Buffer.alloc(extended ? 32 : 28);
    out.writeUInt32BE(extended ? Magic.extendedRequest : Magic.request, 0);
    out.writeUInt16BE(flags, 4);
    out.writeUInt16BE(type, 6);
    out.writeBigUInt64BE(cookie, 8);
    out.writeBigUInt64BE(offset, 16);
    if (extended) out.writeBigUInt64BE(BigInt(length), 24);
    else out.writeUInt32BE(length, 24);
    return out;
  }

  /** Says goodbye and waits until the server has closed the connection. */
  async disconnect(): Promise<void> {
    if (this.#lost === null) this.#send(this.header(Command.disconnect, 0, 0n, 0n, 0));
    await this.closed;
  }

  /** Drops the connection without a goodbye. */
  destroy(): void {
    this.socket.destroy();
    this.#lose('this client dropped it');
  }

  /** What is sent in one turn leaves in one write. */
  #send(bytes: Buffer): void {
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

  #lose(why: string): string {
    if (this.#lost !== null) return this.#lost;
    this.#lost = why;
    for (const pending of this.#pending.values()) pending.reject(new NbdConnectionLost(why));
    this.#pending.clear();
    return why;
  }
}

/** Whether an export offers something. */
export const offers = (client: NbdClient, flag: keyof typeof TransmissionFlag): boolean =>
  (client.flags & TransmissionFlag[flag]) !== 0;

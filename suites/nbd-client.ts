/**
 * A small NBD client for tests and oracles, written from the protocol document alone: it shares the document's numbers
 * with the server and no other code. Promises, pipelining, every command; whatever the server says that the document
 * does not allow ends the connection with an error that names it.
 */
import net from 'node:net';
import {
  ChunkType,
  Command,
  CommandFlag,
  HandshakeFlag,
  Info,
  Magic,
  Option,
  OptionReply,
  TransmissionFlag,
} from '../src/wire/nbd.ts';

/** The server answered a request with an error value. */
export class NbdReplyError extends Error {
  readonly error: number;
  constructor(error: number, message: string) {
    super(`the server answered with error ${error}${message === '' ? '' : `: ${message}`}`);
    this.name = 'NbdReplyError';
    this.error = error;
  }
}

/** The server answered an option with an error. */
export class NbdOptionError extends Error {
  readonly type: number;
  constructor(option: number, type: number, message: string) {
    super(`the server answered option ${option} with 0x${type.toString(16)}${message === '' ? '' : `: ${message}`}`);
    this.name = 'NbdOptionError';
    this.type = type;
  }
}

/** The connection ended; whether an unanswered request happened is not known. */
export class NbdConnectionLost extends Error {
  constructor(why: string) {
    super(`the connection is lost: ${why}`);
    this.name = 'NbdConnectionLost';
  }
}

/** One reply to an option, as it came. */
export interface OptionReplyMessage {
  readonly type: number;
  readonly data: Buffer;
}

/** A connection before transmission: the greeting has been read, nothing sent. */
export class NbdDialog {
  readonly socket: net.Socket;
  handshakeFlags = 0;
  #received: Buffer = Buffer.alloc(0);
  #lost: string | null = null;
  #wake: (() => void) | null = null;
  readonly #onData = (piece: Buffer): void => {
    this.#received = Buffer.concat([this.#received, piece]);
    this.#wake?.();
  };

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('data', this.#onData);
    socket.on('error', (error) => (this.#lost ??= error.message));
    socket.on('close', () => {
      this.#lost ??= 'the server closed it';
      this.#wake?.();
    });
  }

  /** Exactly `count` bytes. */
  async take(count: number): Promise<Buffer> {
    while (this.#received.length < count) {
      if (this.#lost !== null) throw new NbdConnectionLost(this.#lost);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const taken = this.#received.subarray(0, count);
    this.#received = this.#received.subarray(count);
    return taken;
  }

  /** Resolves when the server has closed the connection, with the bytes that came before. */
  async closed(): Promise<Buffer> {
    while (this.#lost === null) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.#received;
  }

  send(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  sendFlags(flags: number): void {
    const out = Buffer.alloc(4);
    out.writeUInt32BE(flags);
    this.send(out);
  }

  sendOption(option: number, data: Buffer = Buffer.alloc(0)): void {
    const head = Buffer.alloc(16);
    head.writeUInt32BE(Magic.optionHigh, 0);
    head.writeUInt32BE(Magic.optionLow, 4);
    head.writeUInt32BE(option, 8);
    head.writeUInt32BE(data.length, 12);
    this.send(Buffer.concat([head, data]));
  }

  async takeOptionReply(option: number): Promise<OptionReplyMessage> {
    const head = await this.take(20);
    if (head.readUInt32BE(0) !== Magic.optionReplyHigh || head.readUInt32BE(4) !== Magic.optionReplyLow) {
      throw new Error(`an option reply began with ${head.toString('hex', 0, 8)}`);
    }
    if (head.readUInt32BE(8) !== option) throw new Error(`the reply is to option ${head.readUInt32BE(8)}, not ${option}`);
    return { type: head.readUInt32BE(12), data: await this.take(head.readUInt32BE(16)) };
  }

  /** All replies to one option, the final one included. */
  async option(option: number, data?: Buffer): Promise<OptionReplyMessage[]> {
    this.sendOption(option, data);
    const replies: OptionReplyMessage[] = [];
    for (;;) {
      const reply = await this.takeOptionReply(option);
      replies.push(reply);
      if (reply.type === OptionReply.ack || reply.type >= 0x80000000) return replies;
    }
  }

  /** As `option`, but an error reply is thrown. */
  async must(option: number, data?: Buffer): Promise<OptionReplyMessage[]> {
    const replies = await this.option(option, data);
    const last = replies.at(-1)!;
    if (last.type !== OptionReply.ack) throw new NbdOptionError(option, last.type, last.data.toString());
    return replies;
  }

  /** Hands over to the transmission phase: bytes received so far, and the socket without this dialog's listener. */
  leave(): Buffer {
    this.socket.off('data', this.#onData);
    return this.#received;
  }
}

/** Connects and reads the greeting. */
export async function dial(host: string, port: number): Promise<NbdDialog> {
  const socket = net.connect({ host, port, noDelay: true });
  const dialog = new NbdDialog(socket);
  const greeting = await dialog.take(18);
  if (greeting.toString('latin1', 0, 16) !== 'NBDMAGICIHAVEOPT') throw new Error('this is no newstyle NBD server');
  dialog.handshakeFlags = greeting.readUInt16BE(16);
  return dialog;
}

/** Data of INFO and GO. */
export function infoData(name: string, wanted: readonly number[]): Buffer {
  const nameBytes = Buffer.from(name);
  const out = Buffer.alloc(6 + nameBytes.length + 2 * wanted.length);
  out.writeUInt32BE(nameBytes.length, 0);
  nameBytes.copy(out, 4);
  out.writeUInt16BE(wanted.length, 4 + nameBytes.length);
  wanted.forEach((info, i) => out.writeUInt16BE(info, 6 + nameBytes.length + 2 * i));
  return out;
}

/** Data of LIST_META_CONTEXT and SET_META_CONTEXT. */
export function metaData(name: string, queries: readonly string[]): Buffer {
  const strings = [name, ...queries].map((text) => {
    const bytes = Buffer.from(text);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  });
  const count = Buffer.alloc(4);
  count.writeUInt32BE(queries.length);
  return Buffer.concat([strings[0]!, count, ...strings.slice(1)]);
}

export interface ConnectOptions {
  /** Ask for structured replies. Defaults to true. */
  readonly structured?: boolean;
  /** Ask for extended headers. Defaults to false. */
  readonly extended?: boolean;
  /** Metadata contexts to select. Defaults to none. */
  readonly metaContexts?: readonly string[];
  /** Open the export by EXPORT_NAME instead of GO. Defaults to false. */
  readonly byExportName?: boolean;
}

/** Block sizes as the server advertised them, bytes. */
export interface BlockSizes {
  readonly minimum: number;
  readonly preferred: number;
  readonly maximum: number;
}

/** Connects, negotiates, and opens the export; whatever was asked for and not granted is an error. */
export async function connect(
  host: string,
  port: number,
  exportName = '',
  options: ConnectOptions = {},
): Promise<NbdClient> {
  const dialog = await dial(host, port);
  dialog.sendFlags(HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes);
  const style = options.extended === true ? 'extended' : (options.structured ?? true) ? 'structured' : 'simple';
  if (style === 'extended') await dialog.must(Option.extendedHeaders);
  if (style === 'structured') await dialog.must(Option.structuredReply);
  const contexts = new Map<number, string>();
  if (options.metaContexts !== undefined) {
    for (const reply of await dialog.must(Option.setMetaContext, metaData(exportName, options.metaContexts))) {
      if (reply.type === OptionReply.metaContext) contexts.set(reply.data.readUInt32BE(0), reply.data.toString('utf8', 4));
    }
  }
  let size: bigint;
  let flags: number;
  let blocks: BlockSizes | null = null;
  if (options.byExportName === true) {
    dialog.sendOption(Option.exportName, Buffer.from(exportName));
    const reply = await dialog.take(10);
    size = reply.readBigUInt64BE(0);
    flags = reply.readUInt16BE(8);
  } else {
    const replies = await dialog.must(Option.go, infoData(exportName, [Info.blockSize]));
    const infos = new Map(replies.filter((r) => r.type === OptionReply.info).map((r) => [r.data.readUInt16BE(0), r.data]));
    const exported = infos.get(Info.export);
    if (exported === undefined) throw new Error('the server did not describe the export');
    size = exported.readBigUInt64BE(2);
    flags = exported.readUInt16BE(10);
    const sizes = infos.get(Info.blockSize);
    if (sizes !== undefined) {
      blocks = { minimum: sizes.readUInt32BE(2), preferred: sizes.readUInt32BE(6), maximum: sizes.readUInt32BE(10) };
    }
  }
  return new NbdClient(dialog.socket, dialog.leave(), style, Number(size), flags, blocks, contexts);
}

/** One content chunk of a structured read. */
export interface ReadChunk {
  readonly offset: number;
  readonly length: number;
  readonly hole: boolean;
}
/** What one request was answered by. */
export interface Answer {
  /** Bytes of a read, else empty. */
  readonly data: Buffer;
  /** Content chunks of a read, in order of arrival; empty with simple replies. */
  readonly chunks: readonly ReadChunk[];
  /** Descriptors of a block status by context id. */
  readonly status: ReadonlyMap<number, readonly StatusDescriptor[]>;
}
export interface StatusDescriptor {
  readonly length: number;
  readonly flags: number;
}

interface Pending {
  readonly type: number;
  readonly offset: bigint;
  readonly length: number;
  readonly data: Buffer;
  readonly chunks: ReadChunk[];
  readonly status: Map<number, StatusDescriptor[]>;
  covered: number;
  error: NbdReplyError | null;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
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
  /** Cookies in the order in which their replies ended: tests of ordering read it. Bounded to the last 4096. */
  readonly answered: bigint[] = [];
  readonly #style: 'simple' | 'structured' | 'extended';
  readonly #pending = new Map<bigint, Pending>();
  #cookie = 1n;
  #received: Buffer;
  #lost: string | null = null;
  #outgoing: Buffer[] = [];

  constructor(
    socket: net.Socket,
    received: Buffer,
    style: 'simple' | 'structured' | 'extended',
    sizeBytes: number,
    flags: number,
    blockSizes: BlockSizes | null,
    contexts: ReadonlyMap<number, string>,
  ) {
    this.socket = socket;
    this.sizeBytes = sizeBytes;
    this.flags = flags;
    this.blockSizes = blockSizes;
    this.contexts = contexts;
    this.#style = style;
    this.#received = received;
    this.closed = new Promise((resolve) => socket.on('close', () => resolve(this.#lose('the server closed it'))));
    socket.on('error', (error) => this.#lose(error.message));
    socket.on('data', (piece: Buffer) => this.#push(piece));
    if (received.length > 0) this.#push(Buffer.alloc(0));
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

  /** Any request, valid or not. `payload` is sent as it is, whatever `length` says. */
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
      this.#send(this.header(type, flags, cookie, BigInt(offset), length));
      if (payload !== undefined) this.#send(payload);
    });
  }

  /** A request's header in the style that was negotiated. */
  header(type: number, flags: number, cookie: bigint, offset: bigint, length: number): Buffer {
    const extended = this.#style === 'extended';
    const out = Buffer.alloc(extended ? 32 : 28);
    out.writeUInt32BE(extended ? Magic.extendedRequest : Magic.request, 0);
    out.writeUInt16BE(extended && type === Command.write ? flags | CommandFlag.payloadLength : flags, 4);
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

  #push(piece: Buffer): void {
    this.#received = this.#received.length === 0 ? piece : Buffer.concat([this.#received, piece]);
    try {
      let at = 0;
      for (;;) {
        const used = this.#message(this.#received.subarray(at));
        if (used === 0) break;
        at += used;
      }
      this.#received = this.#received.subarray(at);
    } catch (error) {
      this.#lose(error instanceof Error ? error.message : String(error));
      this.socket.destroy();
    }
  }

  /** Handles one whole message at the start of `bytes`; returns its length, 0 when it is not all there. */
  #message(bytes: Buffer): number {
    if (bytes.length < 16) return 0;
    const magic = bytes.readUInt32BE(0);
    if (magic === Magic.simpleReply && this.#style !== 'extended') return this.#simple(bytes);
    if (magic === Magic.structuredReply && this.#style === 'structured') {
      if (bytes.length < 20 || bytes.length < 20 + bytes.readUInt32BE(16)) return 0;
      return this.#chunk(bytes, 20, bytes.readUInt32BE(16));
    }
    if (magic === Magic.extendedReply && this.#style === 'extended') {
      if (bytes.length < 32) return 0;
      const length = Number(bytes.readBigUInt64BE(24));
      if (bytes.length < 32 + length) return 0;
      const { offset } = this.#find(bytes.readBigUInt64BE(8));
      if (bytes.readBigUInt64BE(16) !== offset) throw new Error('an extended reply names another offset than its request');
      return this.#chunk(bytes, 32, length);
    }
    throw new Error(`a ${this.#style} reply began with 0x${magic.toString(16)}`);
  }

  #simple(bytes: Buffer): number {
    const cookie = bytes.readBigUInt64BE(8);
    const pending = this.#find(cookie);
    const error = bytes.readUInt32BE(4);
    if (pending.type === Command.read && this.#style !== 'simple') throw new Error('a read was answered by a simple reply');
    if (error !== 0) {
      pending.error = new NbdReplyError(error, '');
      this.#finish(cookie, pending);
      return 16;
    }
    const dataBytes = pending.type === Command.read ? pending.length : 0;
    if (bytes.length < 16 + dataBytes) return 0;
    bytes.copy(pending.data, 0, 16, 16 + dataBytes);
    pending.covered = dataBytes;
    this.#finish(cookie, pending);
    return 16 + dataBytes;
  }

  #chunk(bytes: Buffer, head: number, length: number): number {
    const flags = bytes.readUInt16BE(4);
    const type = bytes.readUInt16BE(6);
    const cookie = bytes.readBigUInt64BE(8);
    const pending = this.#find(cookie);
    const payload = bytes.subarray(head, head + length);
    switch (type) {
      case ChunkType.none:
        if (length !== 0 || (flags & 1) === 0) throw new Error('a NONE chunk with data, or not the last');
        break;
      case ChunkType.offsetData:
        if (length < 9) throw new Error('an OFFSET_DATA chunk without data');
        this.#content(pending, Number(payload.readBigUInt64BE(0)), payload.subarray(8), length - 8);
        break;
      case ChunkType.offsetHole:
        if (length !== 12) throw new Error('an OFFSET_HOLE chunk of the wrong length');
        this.#content(pending, Number(payload.readBigUInt64BE(0)), null, payload.readUInt32BE(8));
        break;
      case ChunkType.blockStatus:
        this.#status(pending, payload, 4, 8);
        break;
      case ChunkType.blockStatusExtended:
        if (this.#style !== 'extended') throw new Error('an extended block status without extended headers');
        this.#status(pending, payload, 8, 16);
        break;
      default: {
        if ((type & 0x8000) === 0) throw new Error(`a chunk of unknown type ${type}`);
        const messageBytes = payload.readUInt16BE(4);
        if (messageBytes > length - 6 || messageBytes > 4096) throw new Error('an error message beyond its chunk');
        if (payload.readUInt32BE(0) === 0) throw new Error('an error chunk without an error');
        pending.error ??= new NbdReplyError(payload.readUInt32BE(0), payload.toString('utf8', 6, 6 + messageBytes));
      }
    }
    if ((flags & 1) !== 0) this.#finish(cookie, pending);
    return head + length;
  }

  #content(pending: Pending, offset: number, data: Buffer | null, length: number): void {
    const start = Number(pending.offset);
    if (pending.type !== Command.read) throw new Error('content in the answer to something other than a read');
    if (length === 0 || offset < start || offset + length > start + pending.length) throw new Error('content out of range');
    if (pending.chunks.some((chunk) => offset < chunk.offset + chunk.length && chunk.offset < offset + length)) {
      throw new Error('content chunks overlap');
    }
    if (data !== null) data.copy(pending.data, offset - start);
    pending.chunks.push({ offset, length, hole: data === null });
    pending.covered += length;
  }

  #status(pending: Pending, payload: Buffer, head: number, each: number): void {
    if (pending.type !== Command.blockStatus) throw new Error('a status in the answer to something else');
    const count = (payload.length - head) / each;
    if (count < 1 || !Number.isInteger(count)) throw new Error('a block status chunk of the wrong length');
    if (each === 16 && ![0, count].includes(payload.readUInt32BE(4))) throw new Error('a wrong descriptor count');
    const context = payload.readUInt32BE(0);
    if (!this.contexts.has(context)) throw new Error(`a status for context ${context}, which was not selected`);
    if (pending.status.has(context)) throw new Error('two status chunks for one context');
    const descriptors: StatusDescriptor[] = [];
    for (let at = head; at < payload.length; at += each) {
      const length = each === 16 ? Number(payload.readBigUInt64BE(at)) : payload.readUInt32BE(at);
      const flags = each === 16 ? Number(payload.readBigUInt64BE(at + 8)) : payload.readUInt32BE(at + 4);
      if (length === 0) throw new Error('an empty status descriptor');
      descriptors.push({ length, flags });
    }
    pending.status.set(context, descriptors);
  }

  #find(cookie: bigint): Pending {
    const pending = this.#pending.get(cookie);
    if (pending === undefined) throw new Error(`an answer to ${cookie}, which is not outstanding`);
    return pending;
  }

  #finish(cookie: bigint, pending: Pending): void {
    this.#pending.delete(cookie);
    this.answered.push(cookie);
    if (this.answered.length > 4096) this.answered.shift();
    if (pending.error !== null) return pending.reject(pending.error);
    if (pending.type === Command.read && pending.covered !== pending.length) {
      throw new Error(`a read of ${pending.length} bytes was answered with ${pending.covered}`);
    }
    if (pending.type === Command.blockStatus && pending.status.size !== this.contexts.size) {
      throw new Error('a block status was not answered for every context');
    }
    pending.resolve({ data: pending.data, chunks: pending.chunks, status: pending.status });
  }
}

/** Whether an export offers something. */
export const offers = (client: NbdClient, flag: keyof typeof TransmissionFlag): boolean =>
  (client.flags & TransmissionFlag[flag]) !== 0;

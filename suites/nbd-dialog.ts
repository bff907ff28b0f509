/**
 * The handshake from a client's side, step by step: for the test client, and for tests that say what no real client
 * would. Written from the protocol document alone; it shares the document's numbers with the server and no other code.
 */
import net from 'node:net';
import { Magic, OptionReply } from '../src/wire/nbd.ts';

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

  readonly #deadline: NodeJS.Timeout | undefined;

  constructor(socket: net.Socket, timeoutMs?: number) {
    this.socket = socket;
    if (timeoutMs !== undefined) {
      this.#deadline = setTimeout(() => {
        this.#lost ??= `no agreement within ${timeoutMs} ms`;
        socket.destroy();
      }, timeoutMs);
    }
    socket.on('data', this.#onData);
    socket.on('error', (error) => (this.#lost ??= error.message));
    socket.on('close', () => {
      clearTimeout(this.#deadline);
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
    if (head.readUInt32BE(8) !== option)
      throw new Error(`the reply is to option ${head.readUInt32BE(8)}, not ${option}`);
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
    clearTimeout(this.#deadline);
    this.socket.off('data', this.#onData);
    return this.#received;
  }
}

/** Connects and reads the greeting. `timeoutMs`, if given, is how long it takes at most to `leave` the dialog. */
export async function dial(host: string, port: number, timeoutMs?: number): Promise<NbdDialog> {
  const dialog = new NbdDialog(net.connect({ host, port, noDelay: true }), timeoutMs);
  try {
    const greeting = await dialog.take(18);
    if (greeting.toString('latin1', 0, 16) !== 'NBDMAGICIHAVEOPT') throw new Error('this is no newstyle NBD server');
    dialog.handshakeFlags = greeting.readUInt16BE(16);
    return dialog;
  } catch (error) {
    dialog.socket.destroy();
    throw error;
  }
}

/** Dials, sends the client flags, runs, and drops the connection whatever happened. */
export async function talk(
  host: string,
  port: number,
  flags: number,
  run: (dialog: NbdDialog) => Promise<void>,
): Promise<void> {
  const dialog = await dial(host, port);
  try {
    dialog.sendFlags(flags);
    await run(dialog);
  } finally {
    dialog.socket.destroy();
  }
}

/** The types of replies, in order. */
export const types = (replies: readonly OptionReplyMessage[]): number[] => replies.map((reply) => reply.type);

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

/** A compact request at offset 0, with a cookie of 77. */
export function compactRequest(type: number, length: number): Buffer {
  const request = Buffer.alloc(28);
  request.writeUInt32BE(Magic.request, 0);
  request.writeUInt16BE(type, 6);
  request.writeUInt32BE(77, 12);
  request.writeUInt32BE(length, 24);
  return request;
}

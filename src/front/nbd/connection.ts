/**
 * One client's connection: a socket, its handshake, its transmission, and its end. Whatever the client sends can end
 * the connection, with a reason that is logged, and nothing else.
 */
import type { Socket } from 'node:net';
import { receiveFrom } from '../../base/inlet.ts';
import { Negotiation } from './negotiation.ts';
import { ReplyWriter } from '../clients/reply-writer.ts';
import { type Export, Transmission, type TransmissionPort } from './transmission.ts';

/**
 * A read takes so much at most. What is handled at a time then stays in the processor's cache from the read to the last
 * send, and the partner works on the first part of a deep queue while the second is being read.
 */
const READ_BYTES = 64 << 10;

/** Told of everything worth a line: a dotted name and plain values. */
export type NbdLog = (event: string, fields: Readonly<Record<string, string | number | boolean | null>>) => void;

export class Connection implements TransmissionPort {
  readonly #socket: Socket;
  readonly #exported: Export;
  readonly #log: NbdLog;
  readonly #client: string;
  readonly #ended: (connection: Connection) => void;
  readonly #out: ReplyWriter;
  #negotiation: Negotiation | null;
  #transmission: Transmission | null = null;
  readonly #handshakeTimer: NodeJS.Timeout;
  #held = false;
  #finishing = false;
  /** Why the connection ended; the first reason counts. */
  #why: string | null = null;

  /** @param refusal why this client is only told that it cannot be served, or null */
  constructor(
    socket: Socket,
    exported: Export,
    refusal: string | null,
    log: NbdLog,
    ended: (connection: Connection) => void,
  ) {
    this.#socket = socket;
    this.#exported = exported;
    this.#log = log;
    this.#ended = ended;
    this.#client = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`;
    this.#out = new ReplyWriter(socket);
    const { name, sizeBytes, limits } = exported;
    this.#negotiation = new Negotiation({ name, sizeBytes, limits, refusal });
    this.#handshakeTimer = setTimeout(() => this.fail('the handshake took too long'), limits.handshakeMs);
    receiveFrom(socket, this.#received, READ_BYTES);
    socket.on('drain', () => this.#transmission?.drained());
    socket.on('end', () => this.#clientClosed());
    socket.on('error', (error) => (this.#why ??= error.message));
    socket.on('close', () => this.#closed());
    this.#sendReplies();
  }

  /** Its far end, `address port`; null once that is not known any more. */
  get client(): string | null {
    const { remoteAddress, remotePort } = this.#socket;
    // On a listener for both IP versions, IPv4 addresses look like this.
    return remoteAddress === undefined
      ? null
      : `${remoteAddress.replace(/^::ffff:(?=[\d.]+$)/, '')} ${remotePort ?? 0}`;
  }

  /** No more requests; the connection stays open and says nothing but the answers that are on their way. */
  hold(): void {
    this.#held = true;
    clearTimeout(this.#handshakeTimer);
    if (this.#transmission === null) this.#socket.pause();
    else this.#transmission.hold();
  }

  /** Closes at once. */
  close(why: string): void {
    this.#why ??= why;
    this.#transmission?.end();
    this.#socket.destroy();
  }

  receive(on: boolean): void {
    if (on) this.#socket.resume();
    else this.#socket.pause();
  }

  finish(): void {
    if (this.#finishing) return;
    this.#finishing = true;
    this.#why ??= 'the client disconnected';
    this.#socket.destroySoon();
  }

  fail(reason: string): void {
    this.#log('nbd.refuse', { volume: this.#exported.name, client: this.#client, reason });
    this.close(reason);
  }

  readonly #received = (piece: Buffer): boolean => {
    if (this.#finishing || this.#socket.destroyed) return false;
    if (this.#transmission !== null) return this.#transmission.push(piece);
    if (this.#negotiation === null) return false;
    this.#negotiation.parser.push(piece);
    if (!this.#held) this.#negotiate(this.#negotiation);
    return true;
  };

  #negotiate(negotiation: Negotiation): void {
    const step = negotiation.next();
    if (step.kind === 'fail') return this.fail(step.reason);
    this.#sendReplies();
    if (step.kind === 'starved') return;
    clearTimeout(this.#handshakeTimer);
    this.#negotiation = null;
    if (step.kind === 'aborted') return this.finish();
    const { agreement } = step;
    this.#transmission = new Transmission(this.#exported, agreement, this.#out, this, negotiation.parser.queue);
    const { name } = this.#exported;
    this.#log('nbd.serve', {
      volume: name,
      client: this.#client,
      replies: agreement.style,
      allocation: agreement.allocation,
    });
    this.#transmission.begin();
  }

  #sendReplies(): void {
    const replies = this.#negotiation?.replies;
    if (replies === undefined || replies.length === 0) return;
    this.#socket.write(replies.length === 1 ? replies[0]! : Buffer.concat(replies));
    replies.length = 0;
  }

  /** The client closed its side. Only after a goodbye does it still wait for answers. */
  #clientClosed(): void {
    if (this.#transmission?.leaving === true || this.#finishing) return;
    this.close('the client closed the connection');
  }

  #closed(): void {
    clearTimeout(this.#handshakeTimer);
    this.#transmission?.end();
    this.#log('nbd.disconnect', {
      volume: this.#exported.name,
      client: this.#client,
      why: this.#why ?? 'the connection closed',
      requests: this.#transmission?.requests ?? 0,
      errors: this.#transmission?.errors ?? 0,
    });
    this.#ended(this);
  }
}

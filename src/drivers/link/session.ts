/**
 * A session: one authenticated connection of one path. Messages in, frames out, and back. What is sent within one turn
 * of the event loop leaves in one write; under load, all of a round's turns do. The data of operations are handed to the
 * kernel where they lie.
 */
import { Fault } from '../../base/fault.ts';
import type { LinkMessage, MirrorMessage } from '../../ports/link.ts';
import { MAX_VERSION } from '../../wire/link-conversation.ts';
import type { SessionTerms } from '../../wire/link-conversation.ts';
import { FrameReader, FrameWriter } from '../../wire/link-frame.ts';
import { decodeMessage, sinceVersion } from '../../wire/link-messages.ts';
import type { Connection, DownReason } from './connection.ts';
import type { AnswerPoll } from './context.ts';

/** While more operations are unanswered, answers to others come meanwhile, and the processor has better to do. */
const POLLED_OPERATIONS_MAX = 4;

export interface SessionUser {
  message(session: Session, message: LinkMessage): void;
  /** A frame of a type that a newer version knows, and that may be skipped. */
  skipped(session: Session, type: number): void;
  /** The session is over. Told once, never from within `send`; not told after `close`. */
  over(session: Session, reason: DownReason, detail: string): void;
}

export class Session {
  readonly terms: SessionTerms;
  /** True: this side connected. */
  readonly dialed: boolean;
  /** When the session began, by the link's clock. */
  readonly sinceMs: number;
  /** The far address, for the log. */
  readonly remote: string;
  readonly #connection: Connection;
  readonly #user: SessionUser;
  readonly #backlogBytes: number;
  readonly #poll: AnswerPoll;
  readonly #writer: FrameWriter;
  readonly #reader: FrameReader;
  #live = true;
  /** There is something to be flushed, and somebody will do it. */
  #flushing = false;
  /** There was a flush in this round of the event loop. */
  #flushed = false;

  constructor(
    connection: Connection,
    terms: SessionTerms,
    dialed: boolean,
    sinceMs: number,
    backlogBytes: number,
    poll: AnswerPoll,
    user: SessionUser,
  ) {
    this.terms = terms;
    this.dialed = dialed;
    this.sinceMs = sinceMs;
    this.remote = connection.remote;
    this.#connection = connection;
    this.#user = user;
    this.#backlogBytes = backlogBytes;
    this.#poll = poll;
    this.#writer = new FrameWriter(terms.version, terms.sendCounter);
    this.#reader = new FrameReader(terms.receiveCounter);
  }

  /** Begins to deliver; `rest` is what came behind the handshake. */
  start(rest: Buffer): void {
    if (!this.#live) return;
    this.#connection.user = {
      bytes: (chunk) => {
        this.#bytes(chunk);
        return this.#reader.keeps;
      },
      over: (reason, detail) => this.#over(reason, detail),
    };
    if (rest.length > 0) this.#bytes(rest);
  }

  /**
   * False when the session is over, also because this message does not fit into its backlog any more; or when the peer's
   * version does not have the message.
   */
  send(message: LinkMessage): boolean {
    if (!this.#live) return false;
    if (this.terms.version < MAX_VERSION && sinceVersion(message.type) > this.terms.version) return false;
    this.#writer.write(message);
    if (message.type === 'mirror' && unanswered(message) <= POLLED_OPERATIONS_MAX) this.#poll.expect();
    if (this.waitingBytes > this.#backlogBytes) {
      const detail = `more than ${this.#backlogBytes} bytes are waiting to be sent`;
      this.close();
      process.nextTick(() => this.#user.over(this, 'silent', detail));
      return false;
    }
    if (!this.#flushing) {
      this.#flushing = true;
      if (!this.#flushed) process.nextTick(this.#flush);
    }
    return true;
  }

  /** Bytes handed over and not yet taken by the kernel. */
  get waitingBytes(): number {
    return this.#connection.socket.writableLength + this.#writer.pendingBytes;
  }

  /** Nothing is sent or delivered any more, and nothing told. */
  close(): void {
    this.#live = false;
    this.#connection.close();
  }

  /** Like `close`, but what was sent still leaves if it can; `destroy` on the returned socket ends that. */
  finish(): { destroy(): void; once(event: 'close', run: () => void): void } {
    if (this.#live) this.#flush();
    this.#live = false;
    this.#connection.finish();
    return this.#connection.socket;
  }

  /** The first batch of a round of the event loop leaves at the end of its turn, all later ones together after the round. */
  readonly #flush = (): void => {
    this.#flushing = false;
    if (!this.#live || this.#writer.pendingBytes === 0) return;
    if (!this.#flushed) {
      this.#flushed = true;
      setImmediate(this.#roundOver);
    }
    this.#writer.begin(this.#connection.send(this.#writer.batch()));
  };

  readonly #roundOver = (): void => {
    this.#flushed = false;
    if (this.#flushing) this.#flush();
  };

  #bytes(chunk: Buffer): void {
    const reader = this.#reader;
    reader.feed(chunk);
    while (this.#live) {
      const frame = reader.next();
      if (frame === null) return;
      if (frame instanceof Fault) return this.#rubbish(frame);
      const message = decodeMessage(frame.type, frame.control, frame.operations, this.terms.version);
      if (message instanceof Fault) return this.#rubbish(message);
      if (message !== null) this.#user.message(this, message);
      else if (frame.ignorable) this.#user.skipped(this, frame.type);
      else
        return this.#rubbish(
          new Fault('corrupt', `A frame is of type ${frame.type}, which this version does not know.`),
        );
    }
  }

  #rubbish(fault: Fault): void {
    this.#connection.close();
    this.#over('protocol', fault.message);
  }

  #over(reason: DownReason, detail: string): void {
    if (!this.#live) return;
    this.#live = false;
    this.#user.over(this, reason, detail);
  }
}

/** Operations that the partner has not confirmed when it gets the message, as far as that tells. */
function unanswered({ operations, acknowledged }: MirrorMessage): number {
  const last = operations.at(-1);
  return last === undefined ? 0 : last.sequence - acknowledged;
}

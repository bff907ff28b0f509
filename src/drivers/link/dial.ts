/**
 * One attempt to make a session by connecting: connection, handshake, and its end, told once. Whether a proven peer's
 * session is wanted is the path's to say.
 */
import type { Socket } from 'node:net';
import { Fault } from '../../base/fault.ts';
import type { ServerId } from '../../base/names.ts';
import type { Timer } from '../../ports/clock.ts';
import type { SessionTerms } from '../../wire/link-conversation.ts';
import { DialerHandshake } from '../../wire/link-handshake.ts';
import { Connection, type DownReason } from './connection.ts';
import { drawNonce, type LinkContext } from './context.ts';
import { type Address, addressText } from './sockets.ts';

export interface DialUser {
  /** The peer is proven: false when a later incarnation of it has been here. `begun` or `failed` follows at once. */
  meet(terms: SessionTerms): boolean;
  /** The session begins on `connection`; `rest` came behind the handshake. */
  begun(connection: Connection, terms: SessionTerms, rest: Buffer): void;
  /** The attempt failed. */
  failed(reason: DownReason, detail: string): void;
  /** The attempt was one too many: the peer has made another session, and this side is about to learn of it. */
  needless(): void;
}

export class Dial {
  readonly #user: DialUser;
  readonly #to: string;
  readonly #handshake: DialerHandshake;
  readonly #connection: Connection;
  #deadline: Timer;
  #over = false;

  constructor(context: LinkContext, to: Address, peer: ServerId, path: number, lastSession: string, user: DialUser) {
    this.#user = user;
    this.#to = addressText(to);
    this.#handshake = new DialerHandshake(context.self, peer, path, lastSession, drawNonce());
    const { connectMs, handshakeMs } = context.limits;
    this.#deadline = context.clock.after(connectMs, () =>
      this.#fail('unreachable', `no connection within ${connectMs} ms`),
    );
    const socket = context.sockets.connect(to, () => {
      if (this.#over) return;
      this.#deadline.cancel();
      if (connectedToItself(socket)) return this.#fail('refused', 'nothing listens there');
      this.#deadline = context.clock.after(handshakeMs, () =>
        this.#fail('silent', `no handshake within ${handshakeMs} ms`),
      );
      socket.write(this.#handshake.start);
    });
    const told = {
      bytes: (chunk: Buffer): boolean => {
        this.#bytes(chunk);
        return true;
      },
      over: (reason: DownReason, detail: string): void => this.#closed(reason, detail),
    };
    this.#connection = new Connection(socket, this.#to, told, context.sockets.direct);
  }

  /** Gives the attempt up; nothing is told any more. */
  cancel(): void {
    if (this.#over) return;
    this.#end();
    this.#connection.close();
  }

  #bytes(chunk: Buffer): void {
    this.#handshake.feed(chunk);
    while (!this.#over) {
      const step = this.#handshake.step();
      if (step instanceof Fault) return this.#fail('protocol', step.message);
      switch (step.kind) {
        case 'more':
          return;
        case 'send':
          this.#connection.socket.write(step.bytes);
          break;
        case 'accepted':
          return this.#accepted(step.terms, step.ready);
        case 'refused':
          if (step.why === 'duplicate') return this.#needless();
          return this.#fail('protocol', `the peer refuses: ${step.text}`);
        case 'identified':
        case 'established':
          return this.#fail('protocol', 'the handshake took a turn that only an acceptor can take');
      }
    }
  }

  #accepted(terms: SessionTerms, ready: Buffer): void {
    const current = this.#user.meet(terms);
    if (this.#over) return;
    if (!current) return this.#fail('protocol', `a later incarnation than ${terms.incarnation} has been here`);
    this.#end();
    this.#connection.socket.write(ready);
    this.#user.begun(this.#connection, terms, this.#handshake.rest());
  }

  #needless(): void {
    this.#end();
    this.#connection.close();
    this.#user.needless();
  }

  #closed(reason: DownReason, detail: string): void {
    if (this.#over) return;
    // An acceptor that does not believe us closes without a word.
    if (reason === 'closed' && this.#handshake.proven) {
      this.#fail('protocol', `the peer closed the connection during the handshake; its own log says why (${detail})`);
    } else {
      this.#fail(reason, detail);
    }
  }

  #fail(reason: DownReason, detail: string): void {
    if (this.#over) return;
    this.#end();
    this.#connection.close();
    this.#user.failed(reason, `${this.#to}: ${detail}`);
  }

  #end(): void {
    this.#over = true;
    this.#deadline.cancel();
  }
}

/**
 * TCP lets a socket connect to itself, when the system happens to give it the very port that it asks for on its own
 * host; whoever dials again and again meets that one day. It means that nobody listens there.
 */
function connectedToItself(socket: Socket): boolean {
  return socket.localPort === socket.remotePort && socket.localAddress === socket.remoteAddress;
}

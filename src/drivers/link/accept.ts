/**
 * One connection that somebody made to us, until it is a session or is closed. A stranger is told nothing: whoever does
 * not prove that it holds the cluster's key sees the connection close; the reason stands in our log.
 */
import { Fault } from '../../base/fault.ts';
import type { Timer } from '../../ports/clock.ts';
import type { DialerIdentity, Refusal, SessionTerms } from '../../wire/link-conversation.ts';
import { AcceptorHandshake } from '../../wire/link-handshake.ts';
import type { Connection } from './connection.ts';
import { drawNonce, type LinkContext } from './context.ts';

export interface AcceptUser {
  /** The dialer is proven. Null to take it in, else why not. */
  judge(accept: Accept, dialer: DialerIdentity): { readonly why: Refusal; readonly text: string } | null;
  /** The session begins on `connection`; `rest` came behind the handshake. */
  begun(accept: Accept, connection: Connection, terms: SessionTerms, rest: Buffer): void;
  /** It came to nothing. Either this or `begun` is told, once. */
  ended(accept: Accept): void;
}

export class Accept {
  /** The path whose listener took the connection. */
  readonly path: number;
  readonly #context: LinkContext;
  readonly #user: AcceptUser;
  readonly #connection: Connection;
  readonly #handshake: AcceptorHandshake;
  readonly #deadline: Timer;
  /** The dialer has proven itself. */
  #known = false;
  #over = false;

  constructor(context: LinkContext, connection: Connection, path: number, user: AcceptUser) {
    this.path = path;
    this.#context = context;
    this.#user = user;
    this.#connection = connection;
    this.#handshake = new AcceptorHandshake(context.self, drawNonce());
    const { handshakeMs } = context.limits;
    this.#deadline = context.clock.after(handshakeMs, () => this.#fail(`no handshake within ${handshakeMs} ms`));
    connection.user = {
      bytes: (chunk) => {
        this.#bytes(chunk);
        return true;
      },
      over: (_reason, detail) => this.#left(detail),
    };
  }

  /** Closes the connection without a word. */
  cancel(): void {
    if (this.#over) return;
    this.#connection.close();
    this.#end();
  }

  /** The same, to make room for others, which the log should know. */
  evict(): void {
    this.#fail(`${this.#context.limits.handshakes} later connections are shaking hands`);
  }

  #bytes(chunk: Buffer): void {
    this.#handshake.feed(chunk);
    while (!this.#over) {
      const step = this.#handshake.step();
      if (step instanceof Fault) return this.#fail(step.message);
      switch (step.kind) {
        case 'more':
          return;
        case 'send':
          this.#connection.socket.write(step.bytes);
          break;
        case 'identified':
          this.#identified(step.dialer);
          break;
        case 'established':
          this.#over = true;
          this.#deadline.cancel();
          return this.#user.begun(this, this.#connection, step.terms, this.#handshake.rest());
        case 'accepted':
        case 'refused':
          return this.#fail('the handshake took a turn that only a dialer can take');
      }
    }
  }

  #identified(dialer: DialerIdentity): void {
    this.#known = true;
    const refusal = this.#user.judge(this, dialer);
    if (this.#over) return;
    if (refusal === null) {
      this.#connection.socket.write(this.#handshake.accept());
      return;
    }
    const { why, text } = refusal;
    this.#connection.socket.write(this.#handshake.refuse(why, text));
    // Two servers that dialed each other at once is no news.
    if (why !== 'duplicate') this.#note(`${dialer.server}: ${text}`);
    this.#connection.finish();
    this.#end();
  }

  #fail(reason: string): void {
    if (this.#over) return;
    this.#connection.close();
    this.#note(reason);
    this.#end();
  }

  /** The other side gave up by itself: a peer that has got another session in the meantime, or a port scanner. */
  #left(detail: string): void {
    if (this.#over) return;
    const { remote } = this.#connection;
    const fields = { path: this.path, remote, detail };
    if (!this.#known) this.#context.log.throttled(`left ${this.path} ${remote}`, 'info', 'link.abandoned', fields);
    this.#end();
  }

  #note(reason: string): void {
    const { remote } = this.#connection;
    const fields = { path: this.path, remote, reason };
    this.#context.log.throttled(`refused ${this.path} ${remote} ${reason}`, 'warn', 'link.refused', fields);
  }

  #end(): void {
    this.#over = true;
    this.#deadline.cancel();
    this.#user.ended(this);
  }
}

/**
 * One path to one peer, and the question which connection is its session.
 *
 * Either side connects whenever it has no session: so both learn at once that nothing listens any more where a peer
 * died, and it does not matter who started first. Two connections made at the same time must not both become the
 * session, nor cancel each other: of each pair, the server whose id sorts lower decides. It decides on a connection of
 * its own when it says `ready`, on one of the peer's when it says `accept`; the other side adopts what was decided last,
 * so that both always end with the same one. (docs/link-protocol.md, "Which connection is the session".)
 */
import type { Incarnation, ServerId } from '../../base/names.ts';
import type { Timer } from '../../ports/clock.ts';
import type { LinkEvents, LinkMessage, PathRef } from '../../ports/link.ts';
import type { DialerIdentity, Refusal, SessionTerms } from '../../wire/link-conversation.ts';
import type { Accept } from './accept.ts';
import type { Connection, DownReason } from './connection.ts';
import type { LinkContext } from './context.ts';
import { Dial } from './dial.ts';
import { Session } from './session.ts';
import type { Address } from './sockets.ts';

export interface PathUser {
  readonly events: LinkEvents;
  /** The peer was met, proven: false when a later incarnation of it has been here. Sessions of earlier ones are closed. */
  meet(incarnation: Incarnation): boolean;
}

/** What is closing; `destroy` ends it at once. */
export type Closing = ReturnType<Session['finish']>;

export class Path {
  readonly at: PathRef;
  readonly #context: LinkContext;
  readonly #address: Address;
  readonly #user: PathUser;
  readonly #decides: boolean;
  #session: Session | null = null;
  /** The last session, for the handshake: the decider must know which one the other side has seen. */
  #lastSession = '-';
  #dial: Dial | null = null;
  /** A connection of the peer's that was taken in and is not yet ready. */
  #accepting: Accept | null = null;
  #retry: Timer | null = null;
  #attempts = 0;
  #closed = false;

  constructor(context: LinkContext, peer: ServerId, path: number, address: Address, user: PathUser) {
    this.at = { peer, path };
    this.#context = context;
    this.#address = address;
    this.#user = user;
    this.#decides = context.self.server < peer;
  }

  /** Begins to connect. */
  start(): void {
    this.#schedule();
  }

  send(message: LinkMessage): boolean {
    return this.#session !== null && this.#session.send(message);
  }

  /** Closes the session; told as `silent`, soon. */
  drop(why: string): void {
    const session = this.#session;
    if (session === null) return;
    session.close();
    this.#session = null;
    this.#context.clock.soon(() => this.#ended(session, 'silent', why));
  }

  /** The peer has restarted: whatever belongs to an earlier incarnation is over. */
  restarted(incarnation: Incarnation): void {
    const session = this.#session;
    if (session === null || session.terms.incarnation === incarnation) return;
    session.close();
    this.#session = null;
    this.#ended(session, 'closed', 'the peer has restarted');
  }

  /** A dialer on this path has proven itself. Null to take it in. */
  judge(accept: Accept, dialer: DialerIdentity): { why: Refusal; text: string } | null {
    if (!this.#user.meet(dialer.incarnation)) {
      return { why: 'stale', text: `a later incarnation than ${dialer.incarnation} has been here` };
    }
    if (this.#decides && this.#isNews(dialer.lastSession)) {
      return { why: 'duplicate', text: 'there is a session for this path already' };
    }
    this.#accepting?.cancel();
    this.#accepting = accept;
    if (this.#decides) this.#stopDialing();
    this.#retry?.cancel();
    this.#retry = null;
    return null;
  }

  /** Our session is one that we have just decided on, and the dialer had not yet heard of it when it identified itself. */
  #isNews(lastSession: string): boolean {
    const session = this.#session;
    if (session === null || !session.dialed || session.terms.session === lastSession) return false;
    return this.#context.clock.nowMs() - session.sinceMs < this.#context.limits.handshakeMs;
  }

  /** The connection that `accept` shook hands on has become a session. */
  accepted(accept: Accept, connection: Connection, terms: SessionTerms, rest: Buffer): void {
    if (this.#accepting !== accept) return connection.close();
    this.#accepting = null;
    // A later incarnation may have come by another path since.
    if (!this.#user.meet(terms.incarnation)) {
      connection.close();
      return this.#schedule();
    }
    this.#adopt(connection, terms, false, rest);
  }

  /** A connection that was taken in has come to nothing. */
  acceptEnded(accept: Accept): void {
    if (this.#accepting !== accept) return;
    this.#accepting = null;
    this.#schedule();
  }

  /** Nothing is told any more. What was sent may still leave: the caller ends that. */
  close(): Closing | null {
    this.#closed = true;
    this.#stopDialing();
    this.#accepting?.cancel();
    this.#accepting = null;
    this.#retry?.cancel();
    this.#retry = null;
    const session = this.#session;
    this.#session = null;
    return session === null ? null : session.finish();
  }

  #adopt(connection: Connection, terms: SessionTerms, dialed: boolean, rest: Buffer): void {
    this.#stopDialing();
    const accepting = this.#accepting;
    this.#accepting = null;
    accepting?.cancel();
    this.#retry?.cancel();
    this.#retry = null;
    const { clock, limits, log, poll } = this.#context;
    const before = this.#session;
    const session = new Session(connection, terms, dialed, clock.nowMs(), limits.backlogBytes, poll, {
      message: (from, message) => this.#user.events.message(this.at, from.terms.incarnation, message),
      skipped: (from, type) => this.#skipped(from, type),
      over: (from, reason, detail) => this.#over(from, reason, detail),
    });
    this.#session = session;
    this.#lastSession = terms.session;
    if (before !== null) {
      before.close();
      this.#user.events.down(this.at, 'closed', 'replaced by a newer connection');
    }
    const { version, features, incarnation } = terms;
    log.always('info', 'link.up', {
      ...this.#names(),
      incarnation,
      version,
      features,
      dialed,
      remote: connection.remote,
    });
    // Whoever is told may have dropped the path again, or closed the link: `start` does nothing then.
    if (this.#session === session) this.#user.events.up(this.at, incarnation);
    session.start(rest);
  }

  #over(session: Session, reason: DownReason, detail: string): void {
    if (this.#session !== session) return;
    this.#session = null;
    this.#ended(session, reason, detail);
  }

  #ended(session: Session, reason: DownReason, detail: string): void {
    if (this.#closed) return;
    const lived = this.#context.clock.nowMs() - session.sinceMs;
    // A session that breaks at once, again and again, must not make the pair spin.
    this.#attempts = lived >= this.#context.limits.stableMs ? 0 : Math.max(1, this.#attempts);
    this.#context.log.throttled(`session ${this.at.peer} ${this.at.path} ${reason}`, 'warn', 'link.down', {
      ...this.#names(),
      reason,
      detail,
    });
    this.#user.events.down(this.at, reason, detail);
    this.#schedule();
  }

  #skipped(session: Session, type: number): void {
    this.#context.log.throttled(`skipped ${this.at.peer} ${type}`, 'warn', 'link.skipped', {
      ...this.#names(),
      type,
      version: session.terms.version,
    });
  }

  /** Connects after a pause, unless there is nothing to be wished for. */
  #schedule(): void {
    if (
      this.#closed ||
      this.#session !== null ||
      this.#dial !== null ||
      this.#accepting !== null ||
      this.#retry !== null
    )
      return;
    this.#retry = this.#context.clock.after(this.#pauseMs(), () => {
      this.#retry = null;
      this.#connect();
    });
    this.#attempts += 1;
  }

  /** At once, then from 20 to 500 ms, doubling, of which a random half is left out so that nobody marches in step. */
  #pauseMs(): number {
    if (this.#attempts === 0) return 0;
    const { retryMinMs, retryMaxMs } = this.#context.limits;
    const pause = Math.min(retryMaxMs, retryMinMs * 2 ** Math.min(20, this.#attempts - 1));
    return pause * (0.5 + 0.5 * this.#context.spread());
  }

  #connect(): void {
    const { peer, path } = this.at;
    this.#dial = new Dial(this.#context, this.#address, peer, path, this.#lastSession, {
      meet: (terms) => this.#user.meet(terms.incarnation),
      begun: (connection, terms, rest) => {
        this.#dial = null;
        this.#adopt(connection, terms, true, rest);
      },
      failed: (reason, detail) => this.#failed(reason, detail),
      needless: () => {
        this.#dial = null;
        this.#schedule();
      },
    });
  }

  #failed(reason: DownReason, detail: string): void {
    this.#dial = null;
    if (this.#session === null) {
      const { peer, path } = this.at;
      this.#context.log.throttled(`attempt ${peer} ${path} ${reason}`, 'warn', 'link.attempt-failed', {
        ...this.#names(),
        reason,
        detail,
      });
      this.#user.events.down(this.at, reason, detail);
    }
    this.#schedule();
  }

  #stopDialing(): void {
    this.#dial?.cancel();
    this.#dial = null;
  }

  #names(): { peer: string; path: number } {
    return { peer: this.at.peer, path: this.at.path };
  }
}

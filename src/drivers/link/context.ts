/** What all parts of one TcpLink share: who it is, its limits, and the ports it stands on. */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../ports/clock.ts';
import { type HandshakeSelf, NONCE_BYTES } from '../../wire/link-conversation.ts';
import type { SocketMaker } from './sockets.ts';
import type { ThrottledLog } from './throttle.ts';

/** Bounds and paces; all may be given, none must. */
export interface TcpLinkLimits {
  /** Bytes that may wait to be sent on one path before it is dropped. */
  readonly backlogBytes: number;
  /** A connection that was not made in so long will not be. */
  readonly connectMs: number;
  /** A handshake that is not over in so long is. */
  readonly handshakeMs: number;
  /** Connections that may be shaking hands at a time, per path; beyond that, the oldest is closed. */
  readonly handshakes: number;
  /** First and longest pause between attempts to connect. The very first attempt comes at once. */
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  /** A session that lived so long was a good one: after it, the first attempt comes at once again. */
  readonly stableMs: number;
  /** Pause before another attempt to listen at an address that could not be had. */
  readonly listenRetryMs: number;
  /** What was sent before `close` has so long to leave. */
  readonly closeMs: number;
}

export const DEFAULT_LIMITS: TcpLinkLimits = {
  backlogBytes: 256 << 20,
  connectMs: 1_000,
  handshakeMs: 2_000,
  handshakes: 64,
  retryMinMs: 20,
  retryMaxMs: 500,
  stableMs: 500,
  listenRetryMs: 250,
  closeMs: 250,
};

/** Told when an answer is expected at once: nobody sleeps meanwhile (src/drivers/linux/busy-poll.ts). */
export interface AnswerPoll {
  expect(): void;
}

export interface LinkContext {
  readonly self: HandshakeSelf;
  readonly limits: TcpLinkLimits;
  readonly clock: Clock;
  readonly log: ThrottledLog;
  readonly sockets: SocketMaker;
  readonly poll: AnswerPoll;
  /** A number in [0, 1), to spread retries. */
  readonly spread: () => number;
}

export function drawNonce(): Buffer {
  return randomBytes(NONCE_BYTES);
}

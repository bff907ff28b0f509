/**
 * The bounds of the NBD front end: everything a client can make this process hold has one. Their arithmetic:
 *
 *   one connection  maxInFlightBytes + maxPayloadBytes (the request that crosses the bound, or is on its way in)
 *                   + lookaheadBytes + maxBacklogBytes
 *   one volume      maxVolumeBytes + maxConnections x (maxPayloadBytes + lookaheadBytes + maxBacklogBytes) at the very
 *                   worst, when every client stops in the middle of the largest write and takes no reply
 */
import { assert } from '../../base/fault.ts';
import { PORTABLE_PAYLOAD_BYTES } from '../../wire/nbd.ts';

export interface NbdLimits {
  /** Connections of one volume. A few more are let in to be told so (`REFUSED_CONNECTIONS`), the rest are dropped. */
  readonly maxConnections: number;
  /** Requests of one connection that are not answered yet; beyond it nothing more is taken from the connection. */
  readonly maxRequests: number;
  /**
   * Bytes written and asked for by one connection: by requests that are not answered, and in answers that the client has
   * not taken. Beyond it nothing more is taken from the connection.
   */
  readonly maxInFlightBytes: number;
  /** The same, over all connections of a volume. */
  readonly maxVolumeBytes: number;
  /**
   * Bytes received and not taken that a connection holds before it stops reading from its socket. Reading a little
   * ahead is how the end of a connection is noticed whose requests still wait (trap T32).
   */
  readonly lookaheadBytes: number;
  /** Bytes of replies of any kind that the client has not taken; beyond it nothing more is taken from the connection. */
  readonly maxBacklogBytes: number;
  /** Longest READ and WRITE, advertised as the maximum block size. */
  readonly maxPayloadBytes: number;
  /** From connecting to the transmission phase, ms. */
  readonly handshakeMs: number;
  /** Options in one handshake. */
  readonly maxOptions: number;
  /** Longest range that one BLOCK_STATUS looks at; what is asked beyond it is left out of the answer. */
  readonly maxStatusBytes: number;
  /** Most stretches in one BLOCK_STATUS answer; the document asks for no more than 2^20. */
  readonly maxStatusStretches: number;
}

export const DEFAULT_NBD_LIMITS: NbdLimits = {
  maxConnections: 64,
  maxRequests: 1024,
  maxInFlightBytes: 32 << 20,
  maxVolumeBytes: 256 << 20,
  lookaheadBytes: 4 << 20,
  maxBacklogBytes: 4 << 20,
  maxPayloadBytes: PORTABLE_PAYLOAD_BYTES,
  handshakeMs: 10_000,
  maxOptions: 256,
  maxStatusBytes: 1 << 30,
  maxStatusStretches: 1 << 16,
};

/** Connections beyond `maxConnections` that are let in only to be told why they are refused. */
export const REFUSED_CONNECTIONS = 8;

/** Block sizes as advertised: any byte is addressable, 4 KiB is what the stores and media work in. */
export const MINIMUM_BLOCK_BYTES = 1;
export const PREFERRED_BLOCK_BYTES = 4096;

/** Ends the process when limits contradict each other or the document. */
export function checkLimits(limits: NbdLimits): void {
  assert(limits.maxConnections >= 1 && limits.maxRequests >= 1, 'at least one connection and one request');
  assert(limits.maxPayloadBytes >= PREFERRED_BLOCK_BYTES, 'the longest payload holds a preferred block');
  assert(limits.maxPayloadBytes <= PORTABLE_PAYLOAD_BYTES, 'the longest payload is at most 32 MiB');
  assert(limits.maxInFlightBytes >= 1 && limits.maxVolumeBytes >= 1, 'one request is always let in');
  assert(limits.lookaheadBytes >= 64 << 10, 'the look-ahead holds a received piece');
  assert(limits.maxBacklogBytes >= 64 << 10, 'the backlog holds what a socket buffers without being full');
  assert(limits.handshakeMs > 0 && limits.maxOptions >= 1, 'a handshake is possible');
  assert(limits.maxStatusBytes >= 1 && limits.maxStatusBytes < 2 ** 32, 'a status length fits its field');
  assert(limits.maxStatusStretches >= 1 && limits.maxStatusStretches <= 1 << 20, 'status answers are bounded');
}

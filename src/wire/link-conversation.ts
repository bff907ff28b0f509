/**
 * What both roles of the handshake share: its messages, what was said so far, and proofs over it. The course of it, and
 * why it is as it is, stand in link-handshake.ts and docs/link-protocol.md.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { assert, Fault } from '../base/fault.ts';
import type { Incarnation, ServerId } from '../base/names.ts';
import { ControlReader, ControlWriter } from './link-control.ts';
import { type Field, name, record, sentence, u64 } from './link-fields.ts';
import { FIRST_COUNTER_LIMIT } from './link-frame.ts';

/** The oldest and the newest protocol version that this program speaks. */
export const MIN_VERSION = 1;
export const MAX_VERSION = 2;
/** Optional abilities, one bit each, of which the pair uses those that both have. None is defined yet. */
export const FEATURES = 0;

export const NONCE_BYTES = 32;
/** The least that a cluster key must have, so that nobody guesses it. */
export const MIN_KEY_BYTES = 16;
export const PROOF_BYTES = 32;
const HEAD_BYTES = 8;
/** Largest body of a handshake message; newer versions may append to it. */
const MAX_BODY_BYTES = 2048;
/** "HFhs" read as a little-endian number. */
const MAGIC = 0x7368_4648;

/** Numbers of the handshake's messages. */
export const KIND = { hello: 1, challenge: 2, identify: 3, accept: 4, refuse: 5, ready: 6 } as const;

/**
 * Why an acceptor refuses a dialer that has proven that it holds the key. The words are the protocol's; newer versions
 * may add some, and only `duplicate` means anything to a program.
 * - `duplicate`  there is a session for this path already, and the dialer is about to learn of it
 * - `stale`      a later incarnation of the dialer has been here
 * - `self`, `cluster`, `stranger`, `target`, `path`  two configurations that do not fit each other
 * - `version`    no common protocol version
 */
export type Refusal = 'duplicate' | 'stale' | 'self' | 'cluster' | 'stranger' | 'target' | 'path' | 'version';

/** What a server is and can, the same for all its handshakes. */
export interface HandshakeSelf {
  readonly clusterId: string;
  readonly server: ServerId;
  readonly incarnation: Incarnation;
  readonly key: Buffer;
  readonly minVersion: number;
  readonly maxVersion: number;
  /** A bit set below 2^53; unknown bits of the peer's are ignored. */
  readonly features: number;
}

/** A dialer that has proven itself, as it describes itself. */
export interface DialerIdentity {
  readonly clusterId: string;
  readonly server: ServerId;
  readonly incarnation: Incarnation;
  /** Whom it means to speak to. */
  readonly target: ServerId;
  readonly path: number;
  /** The last session that it had with this peer on this path, 32 hexadecimal digits; '-' when none. */
  readonly lastSession: string;
  readonly minVersion: number;
  readonly maxVersion: number;
  readonly features: number;
}

/** What both ends know once the handshake is over. */
export interface SessionTerms {
  readonly peer: ServerId;
  readonly incarnation: Incarnation;
  readonly path: number;
  readonly version: number;
  readonly features: number;
  /** Names the session, 32 hexadecimal digits; no secret. */
  readonly session: string;
  /** First frame counters of the two directions, as this side sees them. */
  readonly sendCounter: number;
  readonly receiveCounter: number;
}

/** What comes next. `send` is to be sent; a fault ends the conversation, without an answer. */
export type HandshakeStep =
  | { readonly kind: 'more' }
  | { readonly kind: 'send'; readonly bytes: Buffer }
  /** Acceptor: call `accept` or `refuse`. */
  | { readonly kind: 'identified'; readonly dialer: DialerIdentity }
  /** Dialer: the peer is proven; send `ready` to begin, or close. */
  | { readonly kind: 'accepted'; readonly terms: SessionTerms; readonly ready: Buffer }
  /** Acceptor: the dialer is ready. */
  | { readonly kind: 'established'; readonly terms: SessionTerms }
  /** Dialer: the peer is proven and does not want this connection. */
  | { readonly kind: 'refused'; readonly why: string; readonly text: string }
  | Fault;

export const MORE: HandshakeStep = { kind: 'more' };

export interface Hello {
  readonly minVersion: number;
  readonly maxVersion: number;
  readonly features: number;
}
type Identify = Pick<DialerIdentity, 'clusterId' | 'server' | 'incarnation' | 'target' | 'path' | 'lastSession'>;
export interface Accept {
  readonly clusterId: string;
  readonly server: ServerId;
  readonly incarnation: Incarnation;
  readonly path: number;
  readonly version: number;
  readonly features: number;
}
interface Refuse {
  readonly why: string;
  readonly text: string;
}

const number = u64<number>();
const id = name<ServerId>(255);
const label = name<string>(255);
const incarnation = name<Incarnation>(64);
export const HELLO = record<Hello>({ minVersion: number, maxVersion: number, features: number });
export const IDENTIFY = record<Identify>({
  clusterId: label,
  server: id,
  incarnation,
  target: id,
  path: number,
  lastSession: name(64),
});
export const ACCEPT = record<Accept>({
  clusterId: label,
  server: id,
  incarnation,
  path: number,
  version: number,
  features: number,
});
export const REFUSE = record<Refuse>({ why: name(64), text: sentence(1024) });

/** The version that two ranges lead to: the highest that both speak; null when there is none. */
export function chooseVersion(
  a: { minVersion: number; maxVersion: number },
  b: { minVersion: number; maxVersion: number },
): number | null {
  const version = Math.min(a.maxVersion, b.maxVersion);
  return version >= a.minVersion && version >= b.minVersion ? version : null;
}

/** Features that both have. Bit sets up to 2^53, beyond what JavaScript's own operators reach. */
export function commonFeatures(a: number, b: number): number {
  return Number(BigInt(a) & BigInt(b));
}

/** What both roles share: gathering messages, remembering what was said, proving. */
export class Conversation {
  readonly self: HandshakeSelf;
  /** Everything that both sides have said, as it was on the wire. */
  #said: Buffer[] = [];
  #buffer: Buffer = Buffer.alloc(0);

  constructor(self: HandshakeSelf) {
    assert(self.key.length >= MIN_KEY_BYTES, `a cluster key has at least ${MIN_KEY_BYTES} bytes`);
    this.self = self;
  }

  feed(chunk: Buffer): void {
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
  }

  rest(): Buffer {
    const rest = this.#buffer;
    this.#buffer = Buffer.alloc(0);
    return rest;
  }

  /** The next message, which must be of one of `kinds`; null when it is not all there. */
  next(
    kinds: readonly number[],
  ): { readonly kind: number; readonly body: Buffer; readonly whole: Buffer } | Fault | null {
    const bytes = this.#buffer;
    // The first bytes tell a stranger already: nobody waits for the rest of an HTTP request.
    const known = Math.min(4, bytes.length);
    for (let at = 0; at < known; at += 1) {
      if (bytes[at] !== ((MAGIC >>> (8 * at)) & 0xff)) return wrong('the other side does not speak the link protocol');
    }
    if (bytes.length < HEAD_BYTES) return null;
    const kind = bytes[4]!;
    const length = bytes.readUInt16LE(6);
    if (!kinds.includes(kind) || bytes[5] !== 0) return wrong(`message ${kind} is out of place`);
    if (length > MAX_BODY_BYTES) return wrong(`a message of ${length} bytes, where ${MAX_BODY_BYTES} are allowed`);
    const end = HEAD_BYTES + length;
    if (bytes.length < end) return null;
    this.#buffer = bytes.subarray(end);
    return { kind, body: bytes.subarray(HEAD_BYTES, end), whole: bytes.subarray(0, end) };
  }

  say(kind: number, ...body: Buffer[]): Buffer {
    const length = body.reduce((sum, part) => sum + part.length, 0);
    const head = Buffer.alloc(HEAD_BYTES);
    head.writeUInt32LE(MAGIC, 0);
    head[4] = kind;
    head.writeUInt16LE(length, 6);
    return Buffer.concat([head, ...body]);
  }

  remember(...bytes: Buffer[]): void {
    // A copy: what was received may be a slice of a chunk that has more in it.
    for (const one of bytes) this.#said.push(Buffer.from(one));
  }

  /** HMAC over the label and all that was remembered, then `more`. */
  proof(purpose: string, ...more: Buffer[]): Buffer {
    const hmac = createHmac('sha256', this.self.key).update(`holdfast link, ${purpose}\0`);
    for (const part of this.#said) hmac.update(part);
    for (const part of more) hmac.update(part);
    return hmac.digest();
  }

  terms(
    role: 'dialer' | 'acceptor',
    peer: { server: ServerId; incarnation: Incarnation },
    path: number,
    accepted: Accept,
  ): SessionTerms {
    const fromDialer = counterOf(this.proof('frames from the dialer'));
    const fromAcceptor = counterOf(this.proof('frames from the acceptor'));
    return {
      peer: peer.server,
      incarnation: peer.incarnation,
      path,
      version: accepted.version,
      features: accepted.features,
      session: this.proof('name of the session').toString('hex', 0, 16),
      sendCounter: role === 'dialer' ? fromDialer : fromAcceptor,
      receiveCounter: role === 'dialer' ? fromAcceptor : fromDialer,
    };
  }
}

/** In constant time: do the first bytes equal the expected proof? */
export function proves(body: Buffer, expected: Buffer): boolean {
  return body.length >= PROOF_BYTES && timingSafeEqual(body.subarray(0, PROOF_BYTES), expected);
}

/** The body of a handshake message. */
export function encode<T>(field: Field<T>, value: T): Buffer {
  const to = new ControlWriter(0, MAX_BODY_BYTES - NONCE_BYTES);
  field.write(to, value);
  return Buffer.from(to.bytes.subarray(0, to.at));
}

/** Unlike in a frame, bytes after the last field are ignored: newer versions may append fields. */
export function decode<T>(field: Field<T>, bytes: Buffer): T | Fault {
  const from = new ControlReader(bytes, Buffer.alloc(0), 0);
  const value = field.read(from);
  return from.failure === null ? value : wrong(`a message is malformed, ${from.failure}`);
}

function counterOf(digest: Buffer): number {
  const counter = digest.readUIntLE(0, 6);
  assert(counter < FIRST_COUNTER_LIMIT, 'six bytes are below 2^48');
  return counter;
}

/** A conversation that ends here. */
export function wrong(reason: string): Fault {
  return new Fault('refused', `The handshake failed: ${reason}.`);
}

/**
 * How two servers find out that they belong together, before the first frame (docs/link-protocol.md, "Handshake"):
 *
 *     dialer                                acceptor
 *       | hello      nonce, versions, features -> |
 *       | <- challenge                      nonce |
 *       | identify   who, to whom, path, proof -> |   the acceptor knows the dialer: it accepts or refuses
 *       | <- accept    who, version, features, proof
 *       |    or: refuse      why, proof           |   the dialer knows the acceptor
 *       | ready      proof                     -> |   both know that both know
 *
 * A proof is an HMAC-SHA-256 with the cluster's key over everything that either side has said so far, with a label that
 * names the prover's role. Both nonces are in it, so that no old conversation can be played again; the label and both
 * names are in it, so that none can be played back to its speaker; the offers are in it, so that nobody in between can
 * talk a pair into an older version. Until a dialer has proven itself it is told 40 bytes, 32 of them random.
 *
 * No sockets, no clock, no chance: bytes in, steps out, nonces are arguments.
 */
import { assert, Fault } from '../base/fault.ts';
import type { ServerId } from '../base/names.ts';
import {
  ACCEPT,
  type Accept,
  chooseVersion,
  commonFeatures,
  Conversation,
  decode,
  type DialerIdentity,
  encode,
  type HandshakeSelf,
  type HandshakeStep,
  HELLO,
  type Hello,
  IDENTIFY,
  KIND,
  MORE,
  NONCE_BYTES,
  PROOF_BYTES,
  proves,
  REFUSE,
  type Refusal,
  type SessionTerms,
  wrong,
} from './link-conversation.ts';

/** The side that connects. `start` is the first thing to send. */
export class DialerHandshake {
  readonly start: Buffer;
  readonly #talk: Conversation;
  readonly #target: ServerId;
  readonly #path: number;
  readonly #lastSession: string;
  #state: 'challenge' | 'answer' | 'over' = 'challenge';

  constructor(self: HandshakeSelf, target: ServerId, path: number, lastSession: string, nonce: Buffer) {
    assert(nonce.length === NONCE_BYTES, 'a nonce has 32 bytes');
    this.#talk = new Conversation(self);
    this.#target = target;
    this.#path = path;
    this.#lastSession = lastSession;
    this.start = this.#talk.say(KIND.hello, nonce, encode(HELLO, self));
    this.#talk.remember(this.start);
  }

  /** True once this side has proven itself: from then on, a close is an answer. */
  get proven(): boolean {
    return this.#state !== 'challenge';
  }

  feed(chunk: Buffer): void {
    this.#talk.feed(chunk);
  }

  /** What was received behind the handshake. */
  rest(): Buffer {
    return this.#talk.rest();
  }

  step(): HandshakeStep {
    switch (this.#state) {
      case 'challenge':
        return this.#onChallenge();
      case 'answer':
        return this.#onAnswer();
      case 'over':
        return MORE;
    }
  }

  #onChallenge(): HandshakeStep {
    const found = this.#talk.next([KIND.challenge]);
    if (found === null) return MORE;
    if (found instanceof Fault) return found;
    if (found.body.length < NONCE_BYTES) return wrong('a challenge without a nonce');
    this.#talk.remember(found.whole);
    const { clusterId, server, incarnation: ours } = this.#talk.self;
    const body = encode(IDENTIFY, {
      clusterId,
      server,
      incarnation: ours,
      target: this.#target,
      path: this.#path,
      lastSession: this.#lastSession,
    });
    const bytes = this.#talk.say(KIND.identify, this.#talk.proof('proof of the dialer', body), body);
    this.#talk.remember(bytes);
    this.#state = 'answer';
    return { kind: 'send', bytes };
  }

  #onAnswer(): HandshakeStep {
    const found = this.#talk.next([KIND.accept, KIND.refuse]);
    if (found === null) return MORE;
    if (found instanceof Fault) return found;
    const accepts = found.kind === KIND.accept;
    const body = found.body.subarray(PROOF_BYTES);
    const expected = this.#talk.proof(accepts ? 'proof of the acceptor' : 'refusal of the acceptor', body);
    if (!proves(found.body, expected)) return wrong('the acceptor does not hold the cluster key');
    this.#state = 'over';
    if (!accepts) {
      const refuse = decode(REFUSE, body);
      return refuse instanceof Fault ? refuse : { kind: 'refused', ...refuse };
    }
    const accept = decode(ACCEPT, body);
    if (accept instanceof Fault) return accept;
    const mismatch = this.#mismatch(accept);
    if (mismatch !== null) return wrong(mismatch);
    this.#talk.remember(found.whole);
    const ready = this.#talk.say(KIND.ready, this.#talk.proof('the dialer is ready'));
    return { kind: 'accepted', terms: this.#talk.terms('dialer', accept, this.#path, accept), ready };
  }

  /** The key is right; is the rest what was asked for? */
  #mismatch(accept: Accept): string | null {
    const { self } = this.#talk;
    if (accept.clusterId !== self.clusterId) return `the acceptor is of cluster '${accept.clusterId}'`;
    if (accept.server !== this.#target) return `the acceptor is '${accept.server}', not '${this.#target}'`;
    if (accept.path !== this.#path) return `the acceptor takes this for path ${accept.path}, not ${this.#path}`;
    if (accept.version < self.minVersion || accept.version > self.maxVersion)
      return `the acceptor chose version ${accept.version}`;
    if (commonFeatures(accept.features, self.features) !== accept.features)
      return 'the acceptor chose features nobody offered';
    return null;
  }
}

/** The side that is connected to. It speaks only when spoken to. */
export class AcceptorHandshake {
  readonly #talk: Conversation;
  readonly #nonce: Buffer;
  #state: 'hello' | 'identify' | 'decide' | 'ready' | 'over' = 'hello';
  #hello: Hello | null = null;
  #terms: SessionTerms | null = null;
  #dialer: DialerIdentity | null = null;

  constructor(self: HandshakeSelf, nonce: Buffer) {
    assert(nonce.length === NONCE_BYTES, 'a nonce has 32 bytes');
    this.#talk = new Conversation(self);
    this.#nonce = nonce;
  }

  feed(chunk: Buffer): void {
    this.#talk.feed(chunk);
  }

  /** What was received behind the handshake. */
  rest(): Buffer {
    return this.#talk.rest();
  }

  step(): HandshakeStep {
    switch (this.#state) {
      case 'hello':
        return this.#onHello();
      case 'identify':
        return this.#onIdentify();
      case 'ready':
        return this.#onReady();
      case 'decide':
      case 'over':
        return MORE;
    }
  }

  /** After `identified`: what to send to take the dialer in. Versions overlap; the caller has checked it. */
  accept(): Buffer {
    const { self } = this.#talk;
    const dialer = this.#dialer;
    assert(this.#state === 'decide' && dialer !== null, 'there is a dialer to be accepted');
    const version = chooseVersion(self, dialer);
    assert(version !== null, 'the versions overlap');
    const accept: Accept = {
      clusterId: self.clusterId,
      server: self.server,
      incarnation: self.incarnation,
      path: dialer.path,
      version,
      features: commonFeatures(self.features, dialer.features),
    };
    const body = encode(ACCEPT, accept);
    const bytes = this.#talk.say(KIND.accept, this.#talk.proof('proof of the acceptor', body), body);
    this.#talk.remember(bytes);
    this.#terms = this.#talk.terms('acceptor', dialer, dialer.path, accept);
    this.#state = 'ready';
    return bytes;
  }

  /** After `identified`: what to send before closing. */
  refuse(why: Refusal, text: string): Buffer {
    assert(this.#state === 'decide', 'there is a dialer to be refused');
    this.#state = 'over';
    const body = encode(REFUSE, { why, text });
    return this.#talk.say(KIND.refuse, this.#talk.proof('refusal of the acceptor', body), body);
  }

  #onHello(): HandshakeStep {
    const found = this.#talk.next([KIND.hello]);
    if (found === null) return MORE;
    if (found instanceof Fault) return found;
    const hello = decode(HELLO, found.body.subarray(NONCE_BYTES));
    if (hello instanceof Fault) return hello;
    this.#hello = hello;
    const bytes = this.#talk.say(KIND.challenge, this.#nonce);
    this.#talk.remember(found.whole, bytes);
    this.#state = 'identify';
    return { kind: 'send', bytes };
  }

  #onIdentify(): HandshakeStep {
    const found = this.#talk.next([KIND.identify]);
    if (found === null) return MORE;
    if (found instanceof Fault) return found;
    const body = found.body.subarray(PROOF_BYTES);
    if (!proves(found.body, this.#talk.proof('proof of the dialer', body)))
      return wrong('the dialer does not hold the cluster key');
    const identify = decode(IDENTIFY, body);
    if (identify instanceof Fault) return identify;
    assert(this.#hello !== null, 'hello comes first');
    this.#talk.remember(found.whole);
    this.#dialer = { ...this.#hello, ...identify };
    this.#state = 'decide';
    return { kind: 'identified', dialer: this.#dialer };
  }

  #onReady(): HandshakeStep {
    const found = this.#talk.next([KIND.ready]);
    if (found === null) return MORE;
    if (found instanceof Fault) return found;
    if (!proves(found.body, this.#talk.proof('the dialer is ready'))) return wrong("the dialer's last proof is wrong");
    assert(this.#terms !== null, 'the dialer was accepted');
    this.#state = 'over';
    return { kind: 'established', terms: this.#terms };
  }
}

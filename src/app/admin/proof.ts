/**
 * Who may ask: every request of the admin HTTP is proven with the cluster's key, and every answer too, so that a
 * stranger can neither act nor read status nor pretend to be a server. No clocks are compared: the server hands out a
 * challenge first, and each challenge is good for one request within a short time of the server's own clock.
 *
 *     proof = HMAC-SHA256(admin key, lines joined by \n)
 *     request: "request", challenge, method, path with query, SHA-256 of the body in hex
 *     answer:  "answer", challenge, status code, SHA-256 of the body in hex
 *     line of a streamed answer: "line", challenge, number of the line from 0, the line
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { deriveKey } from '../key.ts';

/** How long a challenge is good for. */
const CHALLENGE_MS = 10_000;
/**
 * Challenges remembered as used: only proven requests use one, and each is forgotten once it is too old to be good;
 * more than this many in 10 s are turned away.
 */
const MOST_USED = 20_000;

/** The header of a proven answer. */
export const PROOF_HEADER = 'holdfast-proof';

/** Makes and compares proofs with the key derived for the admin HTTP. */
export class Prover {
  readonly #key: Buffer;

  constructor(clusterKey: Buffer) {
    this.#key = deriveKey(clusterKey, 'admin v1');
  }

  request(challenge: string, method: string, path: string, body: string): string {
    return this.#prove('request', challenge, method, path, digest(body));
  }

  answer(challenge: string, status: number, body: string): string {
    return this.#prove('answer', challenge, String(status), digest(body));
  }

  line(challenge: string, index: number, line: string): string {
    return this.#prove('line', challenge, String(index), line);
  }

  #prove(...lines: string[]): string {
    return createHmac('sha256', this.#key).update(lines.join('\n')).digest('hex');
  }
}

const digest = (body: string): string => createHash('sha256').update(body).digest('hex');

/** Whether two proofs are the same, in a time that tells nothing. */
export function sameProof(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}

/** `authorization` of a request. */
export function authorization(challenge: string, proof: string): string {
  return `Holdfast ${challenge} ${proof}`;
}

/** Takes an `authorization` apart; null when it is none of ours. */
export function readAuthorization(
  header: string | undefined,
): { readonly challenge: string; readonly proof: string } | null {
  const match = /^Holdfast ([0-9a-f.]{1,200}) ([0-9a-f]{64})$/.exec(header ?? '');
  return match === null ? null : { challenge: match[1] ?? '', proof: match[2] ?? '' };
}

/** Hands out challenges and takes each at most once. It keeps nothing for those that only ask. */
export class Challenges {
  readonly #secret = randomBytes(32);
  readonly #used = new Map<string, number>();
  readonly #nowMs: () => number;

  /** `nowMs`: a clock that never steps, in milliseconds. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  issue(): string {
    const body = `${Math.floor(this.#nowMs() + CHALLENGE_MS)}.${randomBytes(16).toString('hex')}`;
    return `${body}.${this.#sign(body)}`;
  }

  /** Whether `challenge` was issued here, is young enough, and was not used before. */
  isGood(challenge: string): boolean {
    const cut = challenge.lastIndexOf('.');
    const body = challenge.slice(0, Math.max(cut, 0));
    if (!sameProof(this.#sign(body), challenge.slice(cut + 1))) return false;
    this.#forget();
    return Number(body.split('.')[0]) >= this.#nowMs() && !this.#used.has(challenge) && this.#used.size < MOST_USED;
  }

  /** To be called once the request that names it has been proven. */
  use(challenge: string): void {
    this.#used.set(challenge, Number(challenge.split('.')[0]));
  }

  #sign(body: string): string {
    return createHmac('sha256', this.#secret).update(body).digest('hex');
  }

  /** They were used in about the order of their age, so the oldest come first. */
  #forget(): void {
    const now = this.#nowMs();
    for (const [challenge, goodUntil] of this.#used) {
      if (goodUntil >= now - CHALLENGE_MS) return;
      this.#used.delete(challenge);
    }
  }
}

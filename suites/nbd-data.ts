/** What the cases of the NBD conformance suite write, and how they ask for errors. */
import assert from 'node:assert/strict';
import { NbdReplyError } from './nbd-client.ts';

export const KIB = 1 << 10;
export const MIB = 1 << 20;

/** Bytes that differ with seed and position. */
export function pattern(length: number, seed: number): Buffer {
  const out = Buffer.alloc(length);
  let state = (seed * 2654435761) >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[i] = state >>> 24;
  }
  return out;
}

/** For `assert.rejects`: the server answered with this error value. */
export const fails = (error: number) => (thrown: unknown) =>
  thrown instanceof NbdReplyError && (assert.equal(thrown.error, error), true);

/**
 * The control part of a link message as it is written and read: a cursor each way. What a value looks like in bytes is
 * said in link-fields.ts; here are only the bounds, and the rule that a reader never throws.
 */
import { isUtf8 } from 'node:buffer';
import { assert, Fault } from '../base/fault.ts';
import type { Operation } from '../base/operation.ts';
import { readU64 } from './numbers.ts';
import { decodeOperation, encodedBytes } from './operation.ts';

/** Where a message's control part is built. Reused from message to message: `bytes` up to `at` is the result. */
export class ControlWriter {
  bytes: Buffer;
  at = 0;
  /** The operations of the message; they travel behind the control part. */
  operations: readonly Operation[] = [];
  /** The protocol version that both ends agreed on. */
  readonly version: number;
  readonly #maxBytes: number;

  constructor(version: number, maxBytes: number) {
    this.version = version;
    this.#maxBytes = maxBytes;
    this.bytes = Buffer.allocUnsafeSlow(Math.min(4096, maxBytes));
  }

  /** Begins the next message. */
  reset(): void {
    this.at = 0;
    this.operations = [];
  }

  /** Makes room for `count` more bytes and returns where they go. */
  take(count: number): number {
    const at = this.at;
    const end = at + count;
    assert(end <= this.#maxBytes, `the control part of a link message has at most ${this.#maxBytes} bytes`);
    if (end > this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(this.#maxBytes, Math.max(end, 2 * this.bytes.length)));
      this.bytes.copy(larger, 0, 0, at);
      this.bytes = larger;
    }
    this.at = end;
    return at;
  }
}

/** Reads one message. `failure` is null as long as everything was in order. */
export class ControlReader {
  failure: string | null = null;
  readonly version: number;
  readonly #bytes: Buffer;
  readonly #tail: Buffer;
  #at = 0;
  #tailAt = 0;

  /** `bytes` is the control part, of which nothing is kept; `tail` the encoded operations, which keep a hold on it. */
  constructor(bytes: Buffer, tail: Buffer, version: number) {
    this.#bytes = bytes;
    this.#tail = tail;
    this.version = version;
  }

  /** Notes what is wrong; only the first finding counts. */
  fail(reason: string): void {
    this.failure ??= reason;
  }

  /** Everything was read, and nothing was wrong. Returns what was wrong otherwise. */
  finish(): string | null {
    if (this.#at !== this.#bytes.length) this.fail(`${this.#bytes.length - this.#at} bytes after the last field`);
    if (this.#tailAt !== this.#tail.length) this.fail(`${this.#tail.length - this.#tailAt} bytes after the operations`);
    return this.failure;
  }

  byte(): number {
    const at = this.#take(1);
    return at < 0 ? 0 : this.#bytes[at]!;
  }

  u16(): number {
    const at = this.#take(2);
    return at < 0 ? 0 : this.#bytes.readUInt16LE(at);
  }

  u32(): number {
    const at = this.#take(4);
    return at < 0 ? 0 : this.#bytes.readUInt32LE(at);
  }

  u64(): number {
    const at = this.#take(8);
    if (at < 0) return 0;
    const value = readU64(this.#bytes, at);
    if (value >= 0) return value;
    this.fail('a number above 2^53 - 1');
    return 0;
  }

  real(): number {
    const at = this.#take(8);
    if (at < 0) return 0;
    const value = this.#bytes.readDoubleLE(at);
    if (Number.isFinite(value)) return value;
    this.fail('a number that is not finite');
    return 0;
  }

  /** Moves past `bytes` if it is these that come next. */
  passes(bytes: Buffer): boolean {
    const at = this.#at;
    const mine = this.#bytes;
    const length = bytes.length;
    if (length === 0 || this.failure !== null || length > mine.length - at) return false;
    for (let i = 0; i < length; i += 1) if (mine[at + i] !== bytes[i]) return false;
    this.#at = at + length;
    return true;
  }

  text(length: number): string {
    const from = this.#take(length);
    if (from < 0) return '';
    const to = from + length;
    for (let at = from; at < to; at += 1) {
      if (this.#bytes[at]! < 0x80) continue;
      if (isUtf8(this.#bytes.subarray(from, to))) return this.#bytes.toString('utf8', from, to);
      this.fail('a text that is not UTF-8');
      return '';
    }
    return this.#bytes.toString('latin1', from, to);
  }

  /** The next `count` operations behind the control part, each verified. */
  operations(count: number): Operation[] {
    const found: Operation[] = [];
    for (let done = 0; done < count && this.failure === null; done += 1) {
      const one = decodeOperation(this.#tail, this.#tailAt, this.#tail.length);
      if (one === 'short') this.fail(`the operations end within number ${done + 1} of ${count}`);
      else if (one instanceof Fault) this.fail(`operation ${done + 1} of ${count}: ${one.message}`);
      else {
        found.push(one);
        this.#tailAt += encodedBytes(one);
      }
    }
    return found;
  }

  #take(count: number): number {
    const at = this.#at;
    if (this.failure === null && count <= this.#bytes.length - at) {
      this.#at = at + count;
      return at;
    }
    this.fail('it ends within a field');
    return -1;
  }
}

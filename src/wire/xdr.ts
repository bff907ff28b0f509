/**
 * XDR (RFC 4506), as far as RPC and NFS use it: a reader that never reads beyond its end, never throws and allocates
 * nothing by a length that was only announced, and a writer into room that its owner has measured.
 *
 * The reader is sticky: after the first thing that is wrong `bad` is true, whatever is read is zero or empty, and the
 * caller looks once at the end. Both are objects that are used again and again; what they hand out is the caller's.
 */
import { assert } from '../base/fault.ts';
import { NO_BYTES } from '../base/operation.ts';

const TWO_32 = 0x1_0000_0000;
/** Numbers beyond 2^53 - 1 have a higher half from here on. */
const UNSAFE_HIGH = 0x20_0000;

/** Both halves of a 64-bit number, without arithmetic on bigints. */
const whole = new BigUint64Array(1);
const halves = new Uint32Array(whole.buffer);
const LOW = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? 0 : 1;
const HIGH = 1 - LOW;

const BILLION = 1_000_000_000;
/** The last second that 32 bits hold. */
const LAST_SECOND = TWO_32 - 1;
const LAST_TIME_NS = BigInt(LAST_SECOND) * 1_000_000_000n + 999_999_999n;

/** Bytes that `length` bytes take with their padding. */
export const padded = (length: number): number => (length + 3) & ~3;
/** Bytes of variable-length opaque data of `length` bytes: the length itself, the bytes, their padding. */
export const opaqueBytes = (length: number): number => 4 + padded(length);

/** Reads from `bytes`, between `at` and `end`. */
export class XdrReader {
  bytes: Buffer = NO_BYTES;
  at = 0;
  end = 0;
  /** Something was wrong: too short, a value that its type does not have, padding that is not zero. */
  bad = false;

  /** Begins anew with `bytes` from `at` to `end`, which lie within. */
  reset(bytes: Buffer, at = 0, end = bytes.length): this {
    assert(at >= 0 && at <= end && end <= bytes.length, 'a reader reads within its bytes');
    this.bytes = bytes;
    this.at = at;
    this.end = end;
    this.bad = false;
    return this;
  }

  /** Bytes not read. */
  get left(): number {
    return this.end - this.at;
  }

  /** Says that what was read is not valid. */
  fail(): void {
    this.bad = true;
    this.at = this.end;
  }

  u32(): number {
    const { bytes, at } = this;
    if (this.end - at < 4) {
      this.fail();
      return 0;
    }
    this.at = at + 4;
    // Within `end`, as just checked.
    return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
  }

  /** A boolean is 0 or 1, nothing else. */
  bool(): boolean {
    const value = this.u32();
    if (value > 1) this.fail();
    return value === 1;
  }

  /** An unsigned 64-bit number; beyond 2^53 - 1 it is 2^53 - 1. */
  u64(): number {
    const high = this.u32();
    const low = this.u32();
    return high >= UNSAFE_HIGH ? Number.MAX_SAFE_INTEGER : high * TWO_32 + low;
  }

  /** An unsigned 64-bit number, exact. */
  big64(): bigint {
    const high = this.u32();
    const low = this.u32();
    halves[HIGH] = high;
    halves[LOW] = low;
    return whole[0]!;
  }

  /** Seconds and nanoseconds since 1970 (nfstime3), in ns. */
  timeNs(): bigint {
    const seconds = this.u32();
    const nanoseconds = this.u32();
    return BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds);
  }

  /** Opaque data of at most `most` bytes: a slice. */
  opaque(most: number): Buffer {
    const length = this.u32();
    if (this.bad || length > most || length > this.end - this.at) {
      this.fail();
      return NO_BYTES;
    }
    return this.fixed(length);
  }

  /** `length` bytes and their padding: a slice. */
  fixed(length: number): Buffer {
    const { bytes, at } = this;
    const next = at + padded(length);
    if (next > this.end) {
      this.fail();
      return NO_BYTES;
    }
    for (let i = at + length; i < next; i++) if (bytes[i] !== 0) this.fail();
    if (this.bad) return NO_BYTES;
    this.at = next;
    return bytes.subarray(at, at + length);
  }
}

/**
 * Writes into `bytes` from `at` on. The room is measured before: `check` after writing finds out about a wrong measure,
 * and what would lie beyond the end is not written anywhere.
 */
export class XdrWriter {
  bytes: Buffer = NO_BYTES;
  at = 0;

  reset(bytes: Buffer, at = 0): this {
    this.bytes = bytes;
    this.at = at;
    return this;
  }

  /** What was written from `from` on. */
  done(from = 0): Buffer {
    this.check();
    return this.bytes.subarray(from, this.at);
  }

  check(): void {
    assert(this.at <= this.bytes.length, 'what is written fits the room that was measured for it');
  }

  u32(value: number): void {
    const { bytes, at } = this;
    bytes[at] = value >>> 24;
    bytes[at + 1] = value >>> 16;
    bytes[at + 2] = value >>> 8;
    bytes[at + 3] = value;
    this.at = at + 4;
  }

  bool(value: boolean): void {
    this.u32(value ? 1 : 0);
  }

  /** A whole number from 0 to 2^53 - 1. */
  u64(value: number): void {
    const high = Math.floor(value / TWO_32);
    this.u32(high);
    this.u32(value - high * TWO_32);
  }

  /** A number of 64 bits; higher ones are cut off. */
  big64(value: bigint): void {
    whole[0] = value;
    this.u32(halves[HIGH]!);
    this.u32(halves[LOW]!);
  }

  /** A time in ns since 1970 as seconds and nanoseconds: before 1970 it is 1970, beyond 32 bits their last moment. */
  timeNs(ns: bigint): void {
    if (ns < 0n || ns > LAST_TIME_NS) return this.#edgeOfTime(ns < 0n);
    whole[0] = ns;
    const high = halves[HIGH]!;
    const low = halves[LOW]!;
    // Long division by digits of 16 bits: everything below stays under 10^9 * 2^16. Much cheaper than bigints are.
    let rest = high;
    let seconds = Math.floor(rest / BILLION);
    rest = (rest - seconds * BILLION) * 65_536 + (low >>> 16);
    let digit = Math.floor(rest / BILLION);
    seconds = seconds * 65_536 + digit;
    rest = (rest - digit * BILLION) * 65_536 + (low & 0xffff);
    digit = Math.floor(rest / BILLION);
    this.u32(seconds * 65_536 + digit);
    this.u32(rest - digit * BILLION);
  }

  #edgeOfTime(before: boolean): void {
    this.u32(before ? 0 : LAST_SECOND);
    this.u32(before ? 0 : BILLION - 1);
  }

  /** Variable-length opaque data. */
  opaque(data: Buffer): void {
    this.u32(data.length);
    this.fixed(data);
  }

  /** The bytes and their padding. */
  fixed(data: Buffer): void {
    const length = data.length;
    data.copy(this.bytes, this.at);
    this.at += length;
    this.pad(length);
  }

  /** `count` zeroes, without padding. */
  zeroes(count: number): void {
    this.bytes.fill(0, this.at, this.at + count);
    this.at += count;
  }

  /** The padding behind `length` bytes. */
  pad(length: number): void {
    for (let left = padded(length) - length; left > 0; left--) this.bytes[this.at++] = 0;
  }
}

/** 64-bit little-endian numbers in the formats of the link and the journal, kept within what JavaScript holds exactly. */
import { assert } from '../base/fault.ts';

const TWO_32 = 2 ** 32;
/** The high half of a safe integer is below this. */
const HIGH_LIMIT = 1 << 21;

/** Writes `value`, a safe integer from 0 on, as 8 bytes at `at`. */
export function writeU64(into: Buffer, at: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, 'a number on the wire is a safe integer');
  const high = Math.floor(value / TWO_32);
  into.writeUInt32LE(value - high * TWO_32, at);
  into.writeUInt32LE(high, at + 4);
}

/** The number at `at`; -1 when it is not a safe integer. */
export function readU64(bytes: Buffer, at: number): number {
  const high = bytes.readUInt32LE(at + 4);
  return high < HIGH_LIMIT ? high * TWO_32 + bytes.readUInt32LE(at) : -1;
}

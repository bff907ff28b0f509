/**
 * The cluster's key: the secret that servers and administrators share. It proves who is who on the link and at the
 * admin HTTP; each use derives a key of its own from it, so that what is said in one place means nothing in another.
 */
import { createHmac } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { Fault } from '../base/fault.ts';

const LEAST_KEY_BYTES = 32;
const MOST_KEY_BYTES = 4_096;

/** Reads the key file. Faults: `missing`, or `refused` when it is too short, too long, or others may read it. */
export function readClusterKey(file: string): Buffer {
  let bytes: Buffer;
  let mode: number;
  try {
    mode = statSync(file).mode;
    bytes = readFileSync(file);
  } catch (error) {
    throw new Fault('missing', `the key file ${file} cannot be read: ${(error as Error).message}`, error);
  }
  if ((mode & 0o077) !== 0) {
    throw new Fault('refused', `the key file ${file} may be read by others: \`chmod 600 ${file}\``);
  }
  const key = trimLineEnd(bytes);
  if (key.length < LEAST_KEY_BYTES) {
    throw new Fault('refused', `the key in ${file} is too short: at least ${LEAST_KEY_BYTES} bytes are wanted`);
  }
  if (key.length > MOST_KEY_BYTES) throw new Fault('refused', `${file} is too long for a key: at most 4 KiB`);
  return key;
}

function trimLineEnd(bytes: Buffer): Buffer {
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] === 0x0a || bytes[end - 1] === 0x0d)) end -= 1;
  return bytes.subarray(0, end);
}

/** A key for one use only. */
export function deriveKey(clusterKey: Buffer, use: string): Buffer {
  return createHmac('sha256', clusterKey).update(`holdfast ${use}`).digest();
}

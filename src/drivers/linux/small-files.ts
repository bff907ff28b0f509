/** Small files that describe something, and names that become part of a path. */
import { open } from 'node:fs/promises';
import { Fault } from '../../base/fault.ts';
import { errorCode, faultOfError } from './errno.ts';

/** Fault `refused` unless the name can be part of a path without leading anywhere else. */
export function checkName(name: string, of: 'volume' | 'server'): void {
  if (/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(name)) return;
  throw new Fault('refused', `"${name}" cannot be the name of a ${of}: letters, digits, "-" and "_", at most 64.`);
}

/**
 * The text of a small file; `what` names it, without an article. Throws Fault `missing`, `corrupt` when it is longer than
 * `maxBytes`, `io`.
 */
export async function readBounded(path: string, maxBytes: number, what: string): Promise<string> {
  let file;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') throw new Fault('missing', `There is no ${what}.`, error);
    throw faultOfError(error, `Opening the ${what}`);
  }
  try {
    const buffer = Buffer.allocUnsafe(maxBytes + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, length);
      length += bytesRead;
      if (length > maxBytes) throw new Fault('corrupt', `${path} is longer than ${maxBytes} bytes: it is not ours.`);
      if (bytesRead === 0) return buffer.toString('utf8', 0, length);
    }
  } catch (error) {
    throw faultOfError(error, `Reading the ${what}`);
  } finally {
    await file.close();
  }
}

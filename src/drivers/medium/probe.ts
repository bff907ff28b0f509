/**
 * Does this server reach the medium, and does a sync sync? Real I/O to a file of the server's own beside the volumes,
 * with a deadline: a medium that hangs is as bad as one that fails, and the server must notice it (design, section 7).
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { Fault } from '../../base/fault.ts';
import type { Sharing } from './raw-file.ts';

/** One block: what is written, synced and read back. */
const PROBE_BYTES = 4096;

/** Writes a block nobody wrote before to `path` (its directory must exist), syncs it and reads it back. */
export async function probeFile(path: string, sharing: Sharing): Promise<void> {
  const flags = constants.O_RDWR | constants.O_CREAT | (sharing === 'machines' ? constants.O_DSYNC : 0);
  const written = Buffer.alloc(PROBE_BYTES, randomBytes(32));
  const file = await open(path, flags, 0o644);
  try {
    await file.write(written, 0, PROBE_BYTES, 0);
    await file.datasync();
    const { buffer, bytesRead } = await file.read(Buffer.alloc(PROBE_BYTES), 0, PROBE_BYTES, 0);
    if (bytesRead !== PROBE_BYTES || !written.equals(buffer)) {
      throw new Fault('io', `${path} does not read back as it was written: is another server using the same name?`);
    }
  } finally {
    await file.close();
  }
}

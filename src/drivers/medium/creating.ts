/** What the creations of this room have in common. */
import { stat } from 'node:fs/promises';
import { errorCode, faultOfError } from '../linux/errno.ts';

/** Runs a creation; what the operating system refuses becomes a fault that says what was being made. */
export async function creating<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw faultOfError(error, `Creating ${what}`);
  }
}

/** Whether there is anything at `path`. An error that is not its absence is thrown. */
export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return false;
    throw error;
  }
}

/**
 * Does this server reach the medium, and does a sync sync? Real I/O to a file of the server's own beside the volumes,
 * with a deadline: a medium that hangs is as bad as one that fails, and the server must notice it (design, section 7).
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { type Done, Fault } from '../../base/fault.ts';
import type { Clock } from '../../ports/clock.ts';
import { faultOfError } from '../linux/errno.ts';
import type { Sharing } from './raw-file.ts';

/** A medium that has not answered within this is not reached. */
export const PROBE_DEADLINE_MS = 2_000;
/** One block: what is written, synced and read back. */
const PROBE_BYTES = 4096;

/**
 * Runs one piece of work at a time against a deadline. Work that has not come back stays outstanding, and until it
 * does every further call is answered at once, without piling more I/O on what hangs.
 */
export class Deadline {
  readonly #clock: Clock;
  readonly #deadlineMs: number;
  readonly #what: string;
  #startedAtMs: number | null = null;

  constructor(clock: Clock, deadlineMs: number, what: string) {
    this.#clock = clock;
    this.#deadlineMs = deadlineMs;
    this.#what = what;
  }

  /** `done` is called once, when `work` ends or the deadline passes (fault `timeout`), whichever is first. */
  run(work: () => Promise<void>, done: Done): void {
    const startedAtMs = this.#clock.nowMs();
    if (this.#startedAtMs !== null) {
      const sinceMs = Math.round(startedAtMs - this.#startedAtMs);
      const fault = new Fault('timeout', `${this.#what} has not answered an earlier probe for ${sinceMs} ms.`);
      return void process.nextTick(done, fault);
    }
    this.#startedAtMs = startedAtMs;
    let answered = false;
    const answer = (fault: Fault | null): void => {
      if (answered) return;
      answered = true;
      timer.cancel();
      process.nextTick(done, fault);
    };
    const timer = this.#clock.after(this.#deadlineMs, () =>
      answer(new Fault('timeout', `${this.#what} has not answered a probe within ${this.#deadlineMs} ms.`)),
    );
    const ended = (fault: Fault | null): void => {
      this.#startedAtMs = null;
      answer(fault);
    };
    work().then(
      () => ended(null),
      (error: unknown) => ended(faultOfError(error, `Probing ${this.#what}`)),
    );
  }
}

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

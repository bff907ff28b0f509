/**
 * The seam between the journal and the file system: one file of fixed size that is read anywhere and written so that
 * what `write` reported is on stable storage. The tests put a file of their own behind it, one that loses power.
 */
import { close, constants, fdatasync, fstat, open, read, writev } from 'node:fs';
import { Fault, type Done } from '../../../base/fault.ts';
import { faultOfError } from '../../linux/errno.ts';
import { DirectWriter, refusesDirect } from './direct.ts';

export interface JournalFile {
  /** For messages. */
  readonly path: string;
  /** When it was opened; it never changes. */
  readonly sizeBytes: number;
  /** Writes the buffers one behind the other from `at` on, which is within the file. Stable when `done(null)`. */
  write(buffers: Buffer[], at: number, done: Done): void;
  /** Fills `into` from `at` on; fault `corrupt` when the file ends before. */
  read(into: Buffer, at: number, done: Done): void;
  /** Everything in the file, whoever wrote it, is stable. */
  sync(done: Done): void;
  close(done: Done): void;
}

/**
 * Opens a file that exists. Every write is synchronous (O_DSYNC): one system call instead of write and fdatasync. Small
 * ones pass the kernel's cache where the file system allows it.
 */
export function openJournalFile(path: string, done: (fault: Fault | null, file: NodeJournalFile | null) => void): void {
  open(path, constants.O_RDWR | constants.O_DSYNC | constants.O_NOFOLLOW, (error, fd) => {
    if (error !== null) return done(faultOfError(error, `Opening the journal ${path}`), null);
    fstat(fd, (statError, stats) => {
      if (statError === null && stats.isFile()) {
        return DirectWriter.open(fd, (direct) => done(null, new NodeJournalFile(path, fd, stats.size, direct)));
      }
      close(fd, () =>
        done(
          statError === null
            ? new Fault('corrupt', `The journal ${path} is not a regular file.`)
            : faultOfError(statError, `Opening the journal ${path}`),
          null,
        ),
      );
    });
  });
}

/** What a file asks of its direct writer. */
export type DirectWrites = Pick<DirectWriter, 'takes' | 'write' | 'close'>;

export class NodeJournalFile implements JournalFile {
  readonly path: string;
  readonly fd: number;
  readonly sizeBytes: number;

  /** Null where there is no direct writing. */
  #direct: DirectWrites | null;
  /** What was found to refuse it, until it is closed. */
  #refused: DirectWrites | null = null;

  constructor(path: string, fd: number, sizeBytes: number, direct: DirectWrites | null) {
    this.path = path;
    this.fd = fd;
    this.sizeBytes = sizeBytes;
    this.#direct = direct;
  }

  /** Whether small writes pass the kernel's cache, as far as is known. */
  get isDirect(): boolean {
    return this.#direct !== null;
  }

  write(buffers: Buffer[], at: number, done: Done): void {
    let bytes = 0;
    for (let i = 0; i < buffers.length; i += 1) bytes += buffers[i]!.length;
    const direct = this.#direct;
    if (direct === null || !direct.takes(bytes, at)) {
      writev(this.fd, buffers, at, (error, written) => this.#wrote(buffers, at, bytes, error, written, done));
      return;
    }
    direct.write(buffers, at, (error, written) => {
      if (error === null || !refusesDirect(error)) return this.#wrote(buffers, at, bytes, error, written, done);
      this.#refused ??= direct;
      this.#direct = null;
      this.write(buffers, at, done);
    });
  }

  #wrote(
    buffers: readonly Buffer[],
    at: number,
    bytes: number,
    error: NodeJS.ErrnoException | null,
    written: number,
    done: Done,
  ): void {
    if (error !== null) return done(faultOfError(error, `Writing to the journal ${this.path}`));
    if (written === bytes) return done(null);
    // The kernel may write less than asked for; what is left either goes or fails for a reason.
    if (written === 0) return done(new Fault('io', `Writing to the journal ${this.path} failed: nothing was written.`));
    this.write(behind(buffers, written), at + written, done);
  }

  read(into: Buffer, at: number, done: Done): void {
    if (into.length === 0) return done(null);
    read(this.fd, into, 0, into.length, at, (error, got) => {
      if (error !== null) return done(faultOfError(error, `Reading the journal ${this.path}`));
      if (got === into.length) return done(null);
      if (got === 0) return done(new Fault('corrupt', `The journal ${this.path} ends at byte ${at}, too early.`));
      this.read(into.subarray(got), at + got, done);
    });
  }

  sync(done: Done): void {
    fdatasync(this.fd, (error) =>
      done(error === null ? null : faultOfError(error, `Syncing the journal ${this.path}`)),
    );
  }

  close(done: Done): void {
    const direct = this.#direct ?? this.#refused;
    const closed = (error: NodeJS.ErrnoException | null | undefined): void =>
      done(error === null || error === undefined ? null : faultOfError(error, `Closing the journal ${this.path}`));
    if (direct === null) close(this.fd, closed);
    else direct.close((error) => close(this.fd, (also) => closed(error ?? also)));
  }
}

/** The buffers without their first `skip` bytes. */
export function behind(buffers: readonly Buffer[], skip: number): Buffer[] {
  const rest: Buffer[] = [];
  let left = skip;
  for (const buffer of buffers) {
    if (left >= buffer.length) left -= buffer.length;
    else {
      rest.push(left === 0 ? buffer : buffer.subarray(left));
      left = 0;
    }
  }
  return rest;
}

/** The buffers' first `keep` bytes. */
export function before(buffers: readonly Buffer[], keep: number): Buffer[] {
  const first: Buffer[] = [];
  let left = keep;
  for (const buffer of buffers) {
    if (left === 0) break;
    first.push(left >= buffer.length ? buffer : buffer.subarray(0, left));
    left -= Math.min(left, buffer.length);
  }
  return first;
}

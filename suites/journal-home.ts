/**
 * What the journal's tests share: a world in a temporary directory whose process can end without a word, and a clock.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Done, Fault } from '../src/base/fault.ts';
import type { ServerId, VolumeName } from '../src/base/names.ts';
import type { Clock } from '../src/ports/clock.ts';
import { openFile } from '../src/drivers/store/journal/create.ts';
import type { JournalFile } from '../src/drivers/store/journal/file.ts';
import { openJournal } from '../src/drivers/store/journal/open.ts';
import type { JournalOptions, JournalSeams, OpenedJournal } from '../src/drivers/store/journal/options.ts';

export const realClock: Pick<Clock, 'after' | 'soon'> = {
  soon: (run) => {
    setImmediate(run);
  },
  after: (ms, run) => {
    const timer = setTimeout(run, ms);
    return { cancel: () => clearTimeout(timer) };
  },
};

/** A file whose process ends: what has been issued still happens, nobody is told, and nothing more is issued. */
export class MortalFile implements JournalFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly #file: JournalFile;
  #ended = false;
  #onItsWay = 0;
  #idle: (() => void) | null = null;
  /** What the next write ends with instead of being done. */
  nextWriteFault: Fault | null = null;

  constructor(file: JournalFile) {
    this.#file = file;
    this.path = file.path;
    this.sizeBytes = file.sizeBytes;
  }

  write(buffers: Buffer[], at: number, done: Done): void {
    if (this.#ended) return;
    const fault = this.nextWriteFault;
    if (fault !== null) {
      setImmediate(() => done(fault));
      return;
    }
    this.#onItsWay += 1;
    this.#file.write(buffers, at, (ending) => {
      this.#onItsWay -= 1;
      if (!this.#ended) done(ending);
      else if (this.#onItsWay === 0) this.#idle?.();
    });
  }
  read(into: Buffer, at: number, done: Done): void {
    this.#file.read(into, at, done);
  }
  sync(done: Done): void {
    this.#file.sync(done);
  }
  close(done: Done): void {
    this.#file.close(done);
  }

  async end(): Promise<void> {
    this.#ended = true;
    if (this.#onItsWay > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
    await new Promise<void>((resolve) => this.#file.close(() => resolve()));
  }
}

/** One journal's home. */
export class JournalHome {
  readonly base = mkdtempSync(join(tmpdir(), 'holdfast-journal-'));
  readonly directory = join(this.base, 'journal');
  file: MortalFile | null = null;

  /** Locks nothing: there is one process here, and it "ends" without letting go. */
  readonly #seams: JournalSeams = {
    openRing: async (path) => {
      this.file = new MortalFile(await openFile(path));
      return this.file;
    },
    lock: () => ({ release: () => {} }),
  };

  options(changes: Partial<JournalOptions> = {}): JournalOptions {
    return {
      directory: this.directory,
      server: 'a' as ServerId,
      volume: 'v' as VolumeName,
      capacityBytes: 256 << 10,
      maxDataBytes: 64 << 10,
      clock: realClock,
      ids: { draw: () => randomBytes(16).toString('hex') },
      onDamage: 'refuse',
      ...changes,
    };
  }

  /** Opens it with a file that can end. */
  openMortal(changes: Partial<JournalOptions> = {}): Promise<OpenedJournal> {
    return opened({ ...this.options(changes), seams: this.#seams });
  }

  /** Opens it as the server does. */
  open(changes: Partial<JournalOptions> = {}): Promise<OpenedJournal> {
    return opened(this.options(changes));
  }

  remove(): void {
    rmSync(this.base, { recursive: true });
  }
}

export function opened(options: JournalOptions): Promise<OpenedJournal> {
  return new Promise((resolve, reject) => {
    openJournal(options, (fault, journal) => {
      if (journal === null) reject(fault ?? new Fault('io', 'neither fault nor journal'));
      else resolve(journal);
    });
  });
}

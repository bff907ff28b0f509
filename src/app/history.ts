/**
 * What a server told of late: the event history that `holdfast events` and `status --watch` show. The newest events are
 * kept in memory, and in a file of the state directory, so that they outlive the process: what a server said before
 * it died is what one wants to read at night. The log is the complete account; nothing relies on the history.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import { appendFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Level } from './events.ts';
import type { Fields } from './log.ts';

/** Events kept in memory and given out. */
const MOST_EVENTS = 1_000;
/** The file is put aside as `events.jsonl.1` when it is so long; the one before that is gone then. */
const MOST_FILE_BYTES = 1 << 20;
/** Text that waits for a slow disk: beyond this, events are not written to the file. */
const MOST_WAITING_BYTES = 256 << 10;
/** What comes again and again while nothing happens, or whenever a client likes: the log has it. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  'link.attempt-failed',
  'link.abandoned',
  'link.skipped',
  'nbd.connect',
  'nbd.serve',
  'nbd.disconnect',
  'nbd.refuse',
  'nfs.connect',
  'nfs.mount',
  'nfs.unmount',
  'nfs.disconnect',
  'nfs.refuse',
]);
export const HISTORY_FILE = 'events.jsonl';

/** One event as it is given out. `number` grows by one with each event of this server, over its restarts as well. */
const pastEvent = z.object({
  number: z.int().min(1),
  /** When, in the server's own time of day: ISO 8601. */
  time: z.string(),
  event: z.string(),
  level: z.enum(['debug', 'info', 'warn', 'error']),
  fields: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
});
export type PastEvent = z.output<typeof pastEvent>;

export class History {
  #events: PastEvent[] = [];
  #next = 1;
  #file: string | null = null;
  #waiting = '';
  #writing = false;
  #fileBytes = 0;
  readonly #failed: (why: string) => void;
  #told = false;

  /** `failed` is told once when the file cannot be written. */
  constructor(failed: (why: string) => void) {
    this.#failed = failed;
  }

  /** Takes up what an earlier process left in `directory`, and keeps what comes there. Never throws. */
  keepIn(directory: string): void {
    const file = join(directory, HISTORY_FILE);
    const old = [...eventsIn(`${file}.1`), ...eventsIn(file)].slice(-MOST_EVENTS);
    const last = old.at(-1)?.number ?? 0;
    const early = this.#events.map((event) => ({ ...event, number: event.number + last }));
    this.#next += last;
    this.#events = [...old, ...early].slice(-MOST_EVENTS);
    this.#file = file;
    // Its last line may be torn.
    if (old.length > 0) this.#waiting = '\n';
    for (const event of early) this.#keep(event);
  }

  add(event: string, level: Level, fields: Fields): void {
    if (level === 'debug' || LEFT_OUT.has(event)) return;
    const past: PastEvent = { number: this.#next, time: new Date().toISOString(), event, level, fields: { ...fields } };
    this.#next += 1;
    this.#events.push(past);
    // Cut now and then, not each time.
    if (this.#events.length >= 2 * MOST_EVENTS) this.#events = this.#events.slice(-MOST_EVENTS);
    if (this.#file !== null) this.#keep(past);
  }

  /** The newest events with a number above `after`, at most `most`, the oldest first. */
  after(after: number, most: number = MOST_EVENTS): readonly PastEvent[] {
    return this.#events.filter(({ number }) => number > after).slice(-Math.min(most, MOST_EVENTS));
  }

  /** What waits goes to the file before the process ends; unless the disk is slow just now: nothing waits for it. */
  flush(): void {
    if (this.#file === null || this.#writing || this.#waiting === '') return;
    try {
      appendFileSync(this.#file, this.#waiting, { mode: 0o600 });
      this.#waiting = '';
    } catch {
      // The log has it.
    }
  }

  #keep(event: PastEvent): void {
    if (this.#waiting.length > MOST_WAITING_BYTES) return;
    this.#waiting += `${JSON.stringify(event)}\n`;
    if (!this.#writing) void this.#write();
  }

  async #write(): Promise<void> {
    const file = this.#file;
    if (file === null) return;
    this.#writing = true;
    try {
      if (this.#fileBytes === 0) this.#fileBytes = (await stat(file).catch(() => ({ size: 0 }))).size;
      while (this.#waiting !== '') {
        const text = this.#waiting;
        this.#waiting = '';
        if (this.#fileBytes > MOST_FILE_BYTES) {
          await rename(file, `${file}.1`);
          this.#fileBytes = 0;
        }
        await appendFile(file, text, { mode: 0o600 });
        this.#fileBytes += Buffer.byteLength(text);
      }
    } catch (error) {
      if (!this.#told) this.#failed((error as Error).message);
      this.#told = true;
    } finally {
      this.#writing = false;
    }
  }
}

/** The events in a file; lines that are none, such as a torn last one, are passed over. */
function eventsIn(file: string): PastEvent[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return [];
  }
  return text.split('\n').flatMap((line) => {
    try {
      const read = pastEvent.safeParse(JSON.parse(line));
      return read.success ? [read.data] : [];
    } catch {
      return [];
    }
  });
}

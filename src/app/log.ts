/**
 * Structured logs: one JSON object a line on standard output, or coloured lines when that is a terminal. The names of
 * the events and what they mean are in docs/operating.md.
 */
import { destination, pino } from 'pino';
import type { DestinationStream } from 'pino';
import pretty from 'pino-pretty';
import type { VolumeName } from '../base/names.ts';
import type { Observer } from '../ports/world.ts';
import { levelOf } from './events.ts';
import type { Level } from './events.ts';
import type { History } from './history.ts';

/** Lines waiting for a slow reader of standard output: beyond this they are dropped, never the server's memory. */
const MOST_WAITING_BYTES = 8 << 20;

export type Fields = Readonly<Record<string, string | number | boolean | null>>;

export interface Log {
  /** Writes one event; its level is the event's own unless one is given. */
  note(event: string, fields: Fields, level?: Level): void;
  /** A bug: its stack goes into the log. */
  bug(error: unknown): void;
  /** Writes out what is waiting; to be called before the process ends. */
  flush(): void;
}

/** The log of one server's process; what it tells goes into the history, too. */
export function openLog(server: string, tty: boolean, history: History | null = null): Log {
  const sonic = destination({ dest: 1, sync: false, minLength: 0, maxLength: MOST_WAITING_BYTES });
  const out: DestinationStream = tty
    ? pretty({
        colorize: true,
        hideObject: true,
        ignore: 'pid',
        translateTime: 'SYS:HH:MM:ss.l',
        messageFormat: prettyLine,
        destination: sonic,
      })
    : sonic;
  const logger = pino(
    {
      base: { server },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    out,
  );
  // A reader of standard output that went away must not end a server.
  sonic.on('error', () => undefined);
  return {
    note: (event, fields, level = levelOf(event)) => {
      logger[level](fields, event);
      history?.add(event, level, fields);
    },
    bug: (error) => logger.fatal({ err: error instanceof Error ? error : new Error(String(error)) }, 'process.bug'),
    flush: () => {
      try {
        sonic.flushSync();
      } catch {
        // Nothing is left to be told to.
      }
      history?.flush();
    },
  };
}

/** Fields that say the same on every line, or stand elsewhere on it. */
const LEFT_OUT: ReadonlySet<string> = new Set(['level', 'time', 'server', 'msg', 'err']);

/** `claim.replay        volume=one operations=178 writes=3`, and the stack of a bug below. */
function prettyLine(line: Record<string, unknown>): string {
  const fields = Object.entries(line).filter(([key]) => !LEFT_OUT.has(key));
  const words = fields.map(
    ([key, value]) =>
      `${key}=${typeof value === 'string' && /[\s=]/.test(value) ? JSON.stringify(value) : String(value)}`,
  );
  const bug = line['err'] as { readonly stack?: string } | undefined;
  return `${String(line['msg']).padEnd(18)} ${words.join(' ')}${bug?.stack === undefined ? '' : `\n${bug.stack}`}`;
}

/** The core's notes as log lines. */
export function observerOf(log: Log): Observer {
  return {
    note(event: string, volume: VolumeName | null, fields: Fields): void {
      log.note(event, volume === null ? fields : { volume, ...fields });
    },
  };
}

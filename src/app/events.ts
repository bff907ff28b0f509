/**
 * The levels of the events in the log: whatever is not listed is `info`. docs/operating.md tells what each means.
 */
export type Level = 'debug' | 'info' | 'warn' | 'error';

const LEVELS: ReadonlyMap<string, Level> = new Map([]);

/** The level at which an event is logged. */
export function levelOf(event: string): Level {
  return LEVELS.get(event) ?? 'info';
}

/**
 * The death and what follows, step by step, from the survivor's own log and the client's own clock: each step as it
 * happens, and how long each took in the end.
 */
import type { LogLine } from './child.ts';
import type { Screen } from './screen.ts';
import { bar } from './screen.ts';
import { formatMs } from '../config/units.ts';
import { padEnd, padStart } from '../style.ts';

/** One thing that happened, in ms since 1970. */
interface Moment {
  readonly what: string;
  readonly atMs: number;
}

/** What a line of the survivor's log means to somebody who looks on; null when it is of no interest here. */
function sentenceOf(line: LogLine): string | null {
  const { fields } = line;
  const word = (key: string): string => String(fields[key] ?? '');
  switch (line.event) {
    case 'path.down':
      return `path ${Number(fields['path']) + 1} to ${word('peer')} is down (${word('reason')})`;
    case 'peer.lost':
      return `${word('peer')} is not heard on any path: suspected`;
    case 'claim.begin':
      return `decides to claim: ${word('why')}`;
    case 'claim.swapping':
      return 'coordinator and medium have passed their probes; the claim is swapped into the record';
    case 'claim.fencing':
      return `the claim is done: epoch ${word('epoch')}`;
    case 'claim.proof':
      return `${word('holder')} is proven dead: ${word('proof')}`;
    case 'claim.confirming':
      return 'the record is read again and grants authority';
    case 'claim.replaying':
      return 'the medium is opened afresh';
    case 'claim.replay':
      return `replays ${word('operations')} writes that only its copy holds, as ${word('writes')} to the medium`;
    case 'claim.finishing':
      return 'the medium is synced; the record is swapped to say so';
    case 'serving':
      return 'the swap is done: serves';
    case 'door.open':
      return 'listens at the address of the volume';
    case 'claim.retry':
      return `tries again: ${word('why')}`;
    default:
      return null;
  }
}

/** The phases of a takeover, and the event that ends each. */
const PHASES: readonly { readonly name: string; readonly end: string }[] = [
  { name: 'detection', end: 'claim.begin' },
  { name: 'probes', end: 'claim.swapping' },
  { name: 'claim', end: 'claim.fencing' },
  { name: 'proof of death', end: 'claim.confirming' },
  { name: 'authority', end: 'claim.replaying' },
  { name: 'replay', end: 'claim.finishing' },
  { name: 'record', end: 'serving' },
  { name: 'listening', end: 'door.open' },
  { name: 'first answer', end: 'answer' },
];

/** Follows one takeover from the kill to the first answer. */
export class Timeline {
  readonly #screen: Screen;
  readonly #survivor: string;
  readonly #volume: string;
  readonly #killedMs: number;
  readonly #moments: Moment[] = [];
  #over = false;

  /** `killedMs`: when the signal was sent, ms since 1970. */
  constructor(screen: Screen, survivor: string, volume: string, killedMs: number) {
    this.#screen = screen;
    this.#survivor = survivor;
    this.#volume = volume;
    this.#killedMs = killedMs;
  }

  /** Another line of the survivor's log. */
  heard(line: LogLine): void {
    const { volume } = line.fields;
    if (this.#over || line.atMs < this.#killedMs || (volume !== undefined && volume !== this.#volume)) return;
    const sentence = sentenceOf(line);
    if (sentence !== null) this.tell(line.event, `${this.#survivor}: ${sentence}`, line.atMs);
  }

  /** A moment from elsewhere: the kill, the client's side. */
  tell(what: string, sentence: string, atMs: number): void {
    this.#moments.push({ what, atMs });
    const { paint } = this.#screen;
    const after = padStart(`+${Math.round(atMs - this.#killedMs)} ms`, 10);
    this.#screen.line(`${' '.repeat(10)} ${paint('warn', after)}  ${sentence}`);
  }

  /** The first answer came: how long it all took, and where the time went. */
  finish(atMs: number): void {
    this.#over = true;
    const { paint } = this.#screen;
    const totalMs = Math.max(1, atMs - this.#killedMs);
    const moments = [...this.#moments, { what: 'answer', atMs }];
    this.#screen.line();
    let fromMs = this.#killedMs;
    for (const { name, end: event } of PHASES) {
      const end = moments.find((moment) => moment.what === event);
      // Within the same millisecond: nothing to see.
      if (end === undefined || end.atMs <= fromMs) continue;
      const untilMs = end.atMs;
      const before = ' '.repeat(Math.floor(((fromMs - this.#killedMs) / totalMs) * 40));
      const drawn = bar((untilMs - fromMs) / totalMs, 40).trimEnd() || '▏';
      const row = padEnd(`${before}${paint('warn', drawn)}`, 42);
      this.#screen.line(`            ${padEnd(name, 15)} ${padStart(formatMs(untilMs - fromMs), 8)}  ${row}`);
      fromMs = untilMs;
    }
    this.#screen.line(
      `            ${paint('strong', padEnd('in all', 15))} ${paint('strong', padStart(formatMs(totalMs), 8))}`,
    );
    this.#screen.line();
  }
}

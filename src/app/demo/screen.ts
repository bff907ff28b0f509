/**
 * What the person at the demo sees: lines that stay, each with the time since the beginning, and below them a block
 * that moves. Where there is no terminal the block becomes one plain line a second.
 */
import type { WriteStream } from 'node:tty';
import { paintFor, padEnd } from '../style.ts';
import type { Paint } from '../style.ts';

/** How often the moving block is drawn, and its plain line printed. */
const DRAW_MS = 80;
const PLAIN_MS = 1_000;

export interface Live {
  /** The lines of the moving block. */
  readonly lines: readonly string[];
  /** The same in one plain line. */
  readonly plain: string;
}

export class Screen {
  readonly paint: Paint;
  readonly #out: NodeJS.WriteStream;
  readonly #tty: boolean;
  readonly #startedMs = performance.now();
  #live: (() => Live) | null = null;
  #drawn = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
    this.#tty = out.isTTY === true && process.env['TERM'] !== 'dumb';
    this.paint = paintFor(out);
  }

  /** A line that stays: the time, a short word for what it is about, and the sentence. */
  say(what: string, text: string): void {
    const seconds = ((performance.now() - this.#startedMs) / 1_000).toFixed(1).padStart(6);
    this.line(`${this.paint('dim', `${seconds} s`)}  ${padEnd(this.paint('accent', what), 10)} ${text}`);
  }

  /** A line that stays, as it is. */
  line(text = ''): void {
    this.#erase();
    this.#out.write(`${text}\n`);
    this.#draw();
  }

  /** Shows the moving block until `still`; `look` is asked again and again. */
  move(look: () => Live): void {
    this.still();
    this.#live = look;
    if (this.#tty) {
      this.#draw();
      this.#timer = setInterval(() => {
        this.#erase();
        this.#draw();
      }, DRAW_MS);
    } else {
      this.#timer = setInterval(() => this.#out.write(`            ${look().plain}\n`), PLAIN_MS);
    }
  }

  /** Ends the moving block; with `keep` its last state stays above what follows. */
  still(keep = false): void {
    const live = this.#live;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#erase();
    this.#live = null;
    if (keep && live !== null)
      for (const text of this.#tty ? live().lines : [`            ${live().plain}`]) this.line(text);
  }

  #erase(): void {
    if (this.#drawn > 0) this.#out.write(`\u001b[${this.#drawn}F\u001b[0J`);
    this.#drawn = 0;
  }

  #draw(): void {
    if (!this.#tty || this.#live === null) return;
    const { lines } = this.#live();
    // A line that wraps could not be erased: the terminal's own wrapping is off while the block is written.
    this.#out.write(`\u001b[?7l${lines.join('\n')}\n\u001b[?7h`);
    this.#drawn = lines.length;
  }
}

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** A bar of `cells` characters, `part` (0 to 1) of it full. */
export function bar(part: number, cells: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, part)) * cells * 8);
  const full = Math.floor(eighths / 8);
  const rest = EIGHTHS[eighths % 8] ?? '';
  return padEnd('█'.repeat(full) + rest, cells);
}

/** How many columns there are to draw in. */
export function columns(out: Partial<WriteStream>): number {
  return Math.min(100, Math.max(60, out.columns ?? 80));
}

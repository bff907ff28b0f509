/**
 * Looks of what a person reads in a terminal: colour where there is one, plain text otherwise, tables that line up.
 */
import { stripVTControlCharacters, styleText } from 'node:util';

export type Tone = 'good' | 'bad' | 'warn' | 'dim' | 'strong' | 'accent';

const FORMATS = {
  good: 'green',
  bad: 'red',
  warn: 'yellow',
  dim: 'dim',
  strong: 'bold',
  accent: 'cyan',
} as const;

/** Colours a text, or leaves it as it is. */
export type Paint = (tone: Tone, text: string) => string;

/** Paints when `stream` is a terminal that was not asked to be plain (NO_COLOR). */
export function paintFor(stream: { readonly isTTY?: boolean }): Paint {
  const noColor = process.env['NO_COLOR'];
  const plain = stream.isTTY !== true || (noColor !== undefined && noColor !== '') || process.env['TERM'] === 'dumb';
  return plain ? (_tone, text) => text : (tone, text) => styleText(FORMATS[tone], text);
}

const SEGMENTER = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** How wide a text stands, without its colours. */
export const width = (text: string): number => [...SEGMENTER.segment(stripVTControlCharacters(text))].length;

/** Fills up with spaces on the right. */
export const padEnd = (text: string, to: number): string => text + ' '.repeat(Math.max(0, to - width(text)));
/** Fills up with spaces on the left. */
export const padStart = (text: string, to: number): string => ' '.repeat(Math.max(0, to - width(text))) + text;

/** Rows as lines with columns that line up, two spaces between; `right` names the columns of numbers. */
export function table(rows: readonly (readonly string[])[], right: ReadonlySet<number> = new Set()): string[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, index) => (widths[index] = Math.max(widths[index] ?? 0, width(cell))));
  return rows.map((row) =>
    row
      .map((cell, index) => (right.has(index) ? padStart(cell, widths[index] ?? 0) : padEnd(cell, widths[index] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}

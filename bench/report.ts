/**
 * What the benchmark prints: medians, the ratios that matter with what they should reach, and a picture of them.
 */
import type { ContestantName } from './contestants.ts';
import { CASES, type CaseName, type Measured } from './load.ts';

/** A ratio that the project holds itself to. */
export interface Goal {
  readonly what: string;
  readonly case: CaseName;
  readonly ours: ContestantName;
  readonly theirs: ContestantName;
  readonly of: 'opsPerSecond' | 'mbPerSecond' | 'p50Us';
  /** For latencies, at most; else at least. */
  readonly must: number;
  readonly aim: number;
}

export const GOALS: readonly Goal[] = [
  goal('journals, depth 32 / journal floor', 'fua32', 'holdfast journal', 'floor journal', 'opsPerSecond', 0.6, 0.85),
  goal(
    'journals, depth 32 / nbdkit file, one copy',
    'fua32',
    'holdfast journal',
    'nbdkit file',
    'opsPerSecond',
    1.6,
    2.5,
  ),
  goal('journals, depth 32 / qemu-nbd, one copy', 'fua32', 'holdfast journal', 'qemu-nbd', 'opsPerSecond', 1.6, 2.5),
  goal('journals, depth 32 / Ceph RBD, two copies', 'fua32', 'holdfast journal', 'ceph', 'opsPerSecond', 8, 12),
  goal('journals, depth 32 / Gluster, two copies', 'fua32', 'holdfast journal', 'gluster', 'opsPerSecond', 10, 15),
  goal('journals, depth 1, p50 / journal floor', 'fua1', 'holdfast journal', 'floor journal', 'p50Us', 1.5, 1.15),
  goal('memory, depth 32 / RAM floor', 'fua32', 'holdfast memory', 'floor memory', 'opsPerSecond', 0.6, 0.85),
  goal(
    'memory, depth 32 / nbdkit memory, one copy',
    'fua32',
    'holdfast memory',
    'nbdkit memory',
    'opsPerSecond',
    0.6,
    0.9,
  ),
  goal('memory, depth 1, p50 / RAM floor', 'fua1', 'holdfast memory', 'floor memory', 'p50Us', 1.6, 1.2),
  goal('memory, sequential / RAM floor', 'seq8', 'holdfast memory', 'floor memory', 'mbPerSecond', 0.6, 0.9),
  goal('reads, depth 32 / nbdkit file', 'read32', 'holdfast memory', 'nbdkit file', 'opsPerSecond', 0.8, 1.5),
  goal('confirmed reads, d. 32 / nbdkit file', 'read32', 'holdfast confirmed', 'nbdkit file', 'opsPerSecond', 0.8, 1.5),
];

function goal(
  what: string,
  caseName: CaseName,
  ours: ContestantName,
  theirs: ContestantName,
  of: Goal['of'],
  must: number,
  aim: number,
): Goal {
  return { what, case: caseName, ours, theirs, of, must, aim };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** Medians of everything that was measured, as a table. */
export function medianTable(all: readonly Measured[]): string {
  const rows = [['case', 'who', 'ops/s', 'MB/s', 'p50 us', 'p99 us', 'spread', 'others']];
  for (const [name, { name: title }] of Object.entries(CASES)) {
    for (const who of new Set(all.map((one) => one.contestant))) {
      const some = all.filter((one) => one.case === name && one.contestant === who);
      if (some.length === 0) continue;
      const of = (key: 'opsPerSecond' | 'mbPerSecond' | 'p50Us' | 'p99Us' | 'others'): number =>
        median(some.map((one) => one[key]));
      const ops = some.map((one) => one.opsPerSecond);
      const spread = (Math.max(...ops) - Math.min(...ops)) / of('opsPerSecond');
      rows.push([
        title,
        who,
        of('opsPerSecond').toFixed(0),
        of('mbPerSecond').toFixed(0),
        of('p50Us').toFixed(0),
        of('p99Us').toFixed(0),
        percent(spread),
        percent(of('others')),
      ]);
    }
  }
  return table(rows);
}

/** The goals: the ratio of each round, their median, and a bar. The marks: `|` what it must reach, `+` what it aims at. */
export function goalPicture(all: readonly Measured[]): string {
  const lines: string[] = [];
  for (const one of GOALS) {
    const ratios = ratiosOf(all, one);
    const title = one.what.padEnd(44);
    if (ratios.length === 0) lines.push(`${title}  not measured`);
    else {
      const ratio = median(ratios);
      const isLatency = one.of === 'p50Us';
      const reaches = (limit: number): boolean => (isLatency ? ratio <= limit : ratio >= limit);
      const verdict = reaches(one.aim) ? 'aim' : reaches(one.must) ? 'ok' : 'SHORT';
      const limits = `${isLatency ? 'at most' : 'at least'} ${one.must}, aim ${one.aim}`;
      const range = `${Math.min(...ratios).toFixed(2)}..${Math.max(...ratios).toFixed(2)}`;
      lines.push(
        `${title} ${ratio.toFixed(2).padStart(6)} ${bar(ratio, one.must, one.aim)} ${verdict.padEnd(5)} ${limits} (rounds ${range})`,
      );
    }
  }
  return lines.join('\n');
}

/** Round by round: what was measured minutes apart is not compared. */
export function ratiosOf(all: readonly Measured[], one: Goal): number[] {
  const ratios: number[] = [];
  for (const round of new Set(all.map((measured) => measured.round))) {
    const find = (who: ContestantName): Measured | undefined =>
      all.find((m) => m.round === round && m.case === one.case && m.contestant === who);
    const ours = find(one.ours);
    const theirs = find(one.theirs);
    if (ours !== undefined && theirs !== undefined && theirs[one.of] > 0) ratios.push(ours[one.of] / theirs[one.of]);
  }
  return ratios;
}

const BAR = 32;

/** A bar over 0 .. a little more than the farthest mark. */
function bar(value: number, must: number, aim: number): string {
  const scale = Math.max(value, must, aim) * 1.05;
  const at = (x: number): number => Math.min(BAR - 1, Math.max(0, Math.round((x / scale) * BAR) - 1));
  const cells = Array.from({ length: BAR }, (_, cell): string => (cell <= at(value) ? '#' : '.'));
  cells[at(must)] = '|';
  cells[at(aim)] = '+';
  return cells.join('');
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

/** Columns in line; the first two flush left. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

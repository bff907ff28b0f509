/**
 * A medium that is slow, and one that stops: an image served by nbdkit through FUSE (nbdfuse), its I/O delayed by 20 ms
 * with nbdkit's delay filter, or stopped altogether by stopping nbdkit. What a client waits for, and what memory the two
 * servers take while a writer goes on.
 */
import path from 'node:path';
import { writeFileSync } from 'node:fs';
import { contestantOf } from './contestants.ts';
import { loadClient, measure } from './load.ts';
import {
  findProgram,
  HOST,
  memoryOf,
  output,
  removeScratch,
  Running,
  scratchDirectory,
  sleep,
  waitFor,
} from './machine.ts';
import { Pair } from './pair.ts';
import { median, table } from './report.ts';

const SIZE_MIB = 1_024;
const CAPACITY_MIB = 64;
const DELAY_MS = 20;
const WATCH_S = 10;
const MIB = 2 ** 20;

/** An image whose I/O goes through nbdkit; null when a program or /dev/fuse is missing. */
async function startImage(directory: string, delayMs: number): Promise<{ file: string; processes: Running[] } | null> {
  for (const program of ['nbdkit', 'nbdfuse', 'fusermount3']) if ((await findProgram(program)) === null) return null;
  const file = path.join(directory, 'image');
  const socket = path.join(directory, 'socket');
  writeFileSync(file, '');
  const delay = delayMs === 0 ? [] : ['--filter=delay', `rdelay=${delayMs}ms`, `wdelay=${delayMs}ms`];
  const kit = new Running('nbdkit', [
    '-f',
    '-U',
    socket,
    ...delay.slice(0, 1),
    'memory',
    `${SIZE_MIB}M`,
    ...delay.slice(1),
  ]);
  await sleep(300);
  const fuse = new Running('nbdfuse', [file, '--unix', socket]);
  await waitFor('the image', async () => (await output('stat', ['-c', '%s', file])).trim() === String(SIZE_MIB * MIB));
  return { file, processes: [fuse, kit] };
}

async function withImage(
  delayMs: number,
  store: 'journal' | 'memory',
  body: (pair: Pair, kit: Running) => Promise<void>,
): Promise<boolean> {
  const directory = scratchDirectory();
  const image = await startImage(directory, delayMs);
  if (image === null) {
    removeScratch(directory);
    return false;
  }
  const [, kit] = image.processes;
  try {
    const pair = await Pair.start({ store, capacityMib: CAPACITY_MIB, sizeMib: SIZE_MIB, image: image.file });
    try {
      if (kit !== undefined) await body(pair, kit);
    } finally {
      kit?.signal('SIGCONT');
      await pair.end();
    }
  } finally {
    await output('fusermount3', ['-u', '-z', image.file]).catch(() => '');
    for (const one of image.processes) await one.kill();
    removeScratch(directory);
  }
  return true;
}

/** Acknowledgements with a slow medium beside those with a fast one; depth 1, so that the medium can follow. */
export async function slowMedium(rounds: number, seconds: number, say: (text: string) => void): Promise<void> {
  const program = await loadClient();
  const found = new Map<number, number[]>();
  const rows = [['medium', '', 'p50 us', 'least', 'most']];
  for (const delayMs of [0, DELAY_MS]) {
    const all: number[] = [];
    const done = await withImage(delayMs, 'journal', async (pair) => {
      for (let round = 1; round <= rounds; round += 1)
        all.push((await measure(program, contestantOf(pair, 'holdfast journal'), 'fua1', seconds, round)).p50Us);
    });
    if (!done) return say('slow medium: not measured, it needs nbdkit, nbdfuse and fuse3');
    found.set(delayMs, all);
    const us = (value: number): string => value.toFixed(0);
    rows.push([`${delayMs} ms per I/O`, `n = ${rounds}`, us(median(all)), us(Math.min(...all)), us(Math.max(...all))]);
  }
  const ratio = median(found.get(DELAY_MS) ?? []) / median(found.get(0) ?? []);
  say(
    `4 KiB writes, depth 1, journals, by the medium's speed: ${ratio.toFixed(2)} (at most 1.3, aim 1.1)\n${table(rows)}`,
  );
}

/** The medium stops; a writer goes on until the stores are full, and waits then. Memory must stay where it is. */
export async function stalledMedium(say: (text: string) => void): Promise<void> {
  const program = await loadClient();
  const rows = [['second', '', 'owner MiB', 'partner MiB', 'undestaged MiB']];
  const done = await withImage(0, 'memory', async (pair, kit) => {
    const note = async (second: number): Promise<void> => {
      const mib = (bytes: number): string => (bytes / MIB).toFixed(0);
      const memory = (['a', 'b'] as const).map((name) => mib(memoryOf(pair.server(name).pid).now));
      const view = await pair.view('a');
      rows.push([
        String(second),
        second < 0 ? 'before' : 'stalled',
        ...memory,
        mib(view?.undestagedBytes ?? Number.NaN),
      ]);
    };
    await note(-1);
    kit.signal('SIGSTOP');
    const writer = new Running(program, [HOST, String(pair.ports.a), pair.exportName, 'fua', '4096', '32', '60', '0']);
    for (let second = 1; second <= WATCH_S; second += 1) {
      await sleep(1_000);
      await note(second);
    }
    kit.signal('SIGCONT');
    await writer.kill();
  });
  if (!done) return say('stalled medium: not measured, it needs nbdkit, nbdfuse and fuse3');
  say(`Memory while the medium is stopped and a writer goes on; stores of ${CAPACITY_MIB} MiB\n${table(rows)}`);
}

/**
 * How fast the journal appends, beside its floor: a bare loop of O_DSYNC vectored writes of the same sizes.
 *
 *     npx tsx bench/journal.ts [DIRECTORY]
 *
 * Closed loop: `depth` operations of `size` bytes are kept waiting; each one stored is released and another appended.
 */
import { closeSync, constants, fsyncSync, mkdtempSync, openSync, rmSync, writev, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import type { Epoch, Generation, Sequence, ServerId, VolumeName } from '../src/base/names.ts';
import { dataCrcOf, type Operation, OperationKind, NO_TIME } from '../src/base/operation.ts';
import type { Clock } from '../src/ports/clock.ts';
import type { Store } from '../src/ports/store.ts';
import { openJournal } from '../src/drivers/store/journal/open.ts';

/** Both take turns, and the median of the turns counts: another program's load meets both. */
const TURNS = 5;
const SECONDS = 0.5;
const CAPACITY = 64 << 20;

const clock: Pick<Clock, 'after' | 'soon'> = {
  soon: (run) => setImmediate(run),
  after: (ms, run) => {
    const timer = setTimeout(run, ms);
    return { cancel: () => clearTimeout(timer) };
  },
};

function open(directory: string): Promise<Store> {
  return new Promise((resolve, reject) => {
    openJournal(
      {
        directory,
        server: 'a' as ServerId,
        volume: 'v' as VolumeName,
        capacityBytes: CAPACITY,
        clock,
        ids: { draw: () => randomBytes(16).toString('hex') },
        onDamage: 'refuse',
      },
      (fault, opened) => (opened === null ? reject(fault) : resolve(opened.store)),
    );
  });
}

async function journal(directory: string, depth: number, size: number): Promise<number> {
  const store = await open(join(directory, 'journal'));
  const data = Buffer.alloc(size, 7);
  const dataCrc = dataCrcOf(data);
  let last = 0;
  let stored = 0;
  const next = (): Operation => ({
    epoch: 1 as Epoch,
    sequence: ++last as Sequence,
    kind: OperationKind.write,
    target: '',
    offset: (last % 1000) * size,
    length: size,
    data,
    dataCrc,
    timeNs: NO_TIME,
  });
  const started = performance.now();
  await new Promise<void>((resolve, reject) => {
    const append = (count: number): void => {
      const batch: Operation[] = [];
      for (let i = 0; i < count; i += 1) batch.push(next());
      store.append(batch, stored as Sequence);
    };
    store.listen({
      failed: reject,
      stored: (sequence) => {
        const count = sequence - stored;
        stored = sequence;
        store.release(sequence, sequence);
        if (performance.now() - started < SECONDS * 1000) append(count);
        else if (stored === last) resolve();
      },
    });
    store.begin({ epoch: 1 as Epoch, generations: [1 as Generation], base: 0 as Sequence, complete: true }, () => {});
    append(depth);
  });
  const seconds = (performance.now() - started) / 1000;
  await new Promise<void>((resolve) => store.close(() => resolve()));
  return stored / seconds;
}

/** As many operations as the journal puts into one write, in one vectored write of 4096-byte blocks. */
async function floor(directory: string, batch: number, size: number): Promise<number> {
  const path = join(directory, 'floor');
  const ring = 96 << 20;
  const zeroes = Buffer.alloc(1 << 20);
  let fd = openSync(path, 'w');
  for (let at = 0; at < ring; at += zeroes.length) writeSync(fd, zeroes, 0, zeroes.length, at);
  fsyncSync(fd);
  closeSync(fd);
  fd = openSync(path, constants.O_RDWR | constants.O_DSYNC);
  const head = Buffer.alloc(256 + 64 * batch);
  const content = head.length + batch * size;
  const buffers = [
    head,
    ...Array.from({ length: batch }, () => Buffer.alloc(size, 7)),
    Buffer.alloc((4096 - (content % 4096)) % 4096),
  ];
  const bytes = Math.ceil(content / 4096) * 4096;
  let at = 0;
  let count = 0;
  const started = performance.now();
  await new Promise<void>((resolve, reject) => {
    const step = (): void => {
      if (performance.now() - started > SECONDS * 1000) return resolve();
      if (at + bytes > ring) at = 0;
      writev(fd, buffers, at, (error) => {
        if (error !== null) return reject(error);
        count += batch;
        step();
      });
      at += bytes;
    };
    step();
  });
  closeSync(fd);
  return count / ((performance.now() - started) / 1000);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}

const base = mkdtempSync(join(process.argv[2] ?? tmpdir(), 'holdfast-journal-bench-'));
try {
  for (const [depth, size] of [
    [1, 4096],
    [8, 4096],
    [32, 4096],
    [64, 4096],
    [8, 131072],
  ] as const) {
    const oursAll: number[] = [];
    const bareAll: number[] = [];
    for (let turn = 0; turn < TURNS; turn += 1) {
      oursAll.push(await journal(base, depth, size));
      bareAll.push(await floor(base, depth, size));
    }
    const ours = median(oursAll);
    const bare = median(bareAll);
    const mb = (rate: number): string =>
      `${Math.round(rate).toString().padStart(7)} /s ${Math.round((rate * size) / 1e6)
        .toString()
        .padStart(5)} MB/s`;
    console.log(
      `depth ${depth.toString().padStart(2)} of ${size.toString().padStart(6)} bytes: journal ${mb(ours)}, floor ${mb(bare)}, ratio ${(ours / bare).toFixed(2)}`,
    );
  }
} finally {
  rmSync(base, { recursive: true });
}

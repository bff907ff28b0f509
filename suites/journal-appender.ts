/**
 * A process for the tests to kill: opens the journal in the directory given, begins a log and appends to it without
 * end, releasing some. Prints "EPOCH SEQUENCE" for what was reported stored, or a fault, and nothing else.
 */
import { randomBytes } from 'node:crypto';
import { writeSync } from 'node:fs';
import type { ServerId, VolumeName } from '../src/base/names.ts';
import { headOf, sequence, writeOf } from './store-world.ts';
import { openJournal } from '../src/drivers/store/journal/open.ts';
import { realClock } from './journal-home.ts';

const BATCH = 16;
/** The parent kills long before; a parent that died leaves no process behind. */
const LAST = 100_000;

openJournal(
  {
    directory: process.argv[2] ?? '',
    server: 'a' as ServerId,
    volume: 'v' as VolumeName,
    capacityBytes: 1 << 20,
    maxDataBytes: 64 << 10,
    clock: realClock,
    ids: { draw: () => randomBytes(16).toString('hex') },
    onDamage: 'refuse',
  },
  (fault, opened) => {
    if (opened === null) {
      writeSync(1, `${fault?.kind}: ${fault?.message}\n`);
      return;
    }
    const { store } = opened;
    const epoch = (store.recovered?.head.epoch ?? 0) + 1;
    let last = 0;
    const append = (): void => {
      const batch = Array.from({ length: BATCH }, (_, i) => writeOf(epoch, last + 1 + i, 3000));
      last += BATCH;
      store.append(batch, sequence(0));
    };
    store.listen({
      stored: (through) => {
        writeSync(1, `${epoch} ${through}\n`);
        store.release(sequence(Math.max(0, through - 100)), sequence(through));
        if (through < LAST) append();
      },
      failed: (failure) => writeSync(1, `${failure.kind}: ${failure.message}\n`),
    });
    store.begin(headOf(epoch), () => {});
    append();
    append();
  },
);

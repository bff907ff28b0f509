/** The journal's directory: identity, lock, damage, other capacities, failing disks, and a real process that is killed. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Done } from '../../../base/fault.ts';
import { Fault } from '../../../base/fault.ts';
import type { Epoch, ServerId, VolumeName } from '../../../base/names.ts';
import {
  assertRecovered,
  assertSameOperations,
  headOf,
  sequence,
  writeOf,
  writesOf,
} from '../../../../suites/store-world.ts';
import type { Store } from '../../../ports/store.ts';
import { GROUP_ALIGNMENT } from '../../../wire/journal.ts';
import { readAsideLog } from './aside.ts';
import type { JournalOptions } from './options.ts';
import { JournalHome, opened } from '../../../../suites/journal-home.ts';

/** Runs `run` in a new home. */
function inHome(name: string, run: (home: JournalHome) => Promise<void>): void {
  test(name, async () => {
    const home = new JournalHome();
    try {
      await run(home);
    } finally {
      home.remove();
    }
  });
}

function ended(start: (done: Done) => void): Promise<Fault | null> {
  return new Promise((resolve) => start(resolve));
}

/** Begins a log of epoch 1 with `count` writes and waits until it is stored. */
async function filled(store: Store, count: number, bytes = 4096): Promise<void> {
  const stored = new Promise<void>((resolve, reject) => {
    store.listen({ stored: (through) => (through === count ? resolve() : undefined), failed: reject });
  });
  store.begin(headOf(1), () => {});
  store.append(writesOf(1, 1, count, bytes), sequence(0));
  await stored;
}

async function filledAndClosed(home: JournalHome, count: number): Promise<string> {
  const { store } = await home.open();
  await filled(store, count);
  assert.equal(await ended((done) => store.close(done)), null);
  return store.id;
}

async function refusal(opening: Promise<unknown>): Promise<Fault> {
  return opening.then(
    () => assert.fail('it should have been refused'),
    (error: unknown) => {
      assert.ok(error instanceof Fault, String(error));
      return error;
    },
  );
}

inHome('a journal that is open cannot be opened again, and can when it has been closed', async (home) => {
  const { store, created } = await home.open();
  assert.equal(created, true);
  const fault = await refusal(home.open());
  assert.equal(fault.kind, 'refused');
  assert.match(fault.message, /open already/);
  await ended((done) => store.close(done));
  const again = await home.open();
  assert.equal(again.created, false);
  assert.equal(again.store.id, store.id);
  await ended((done) => again.store.close(done));
});

inHome('a copy is refused, by itself and in the place of the original; a move is not', async (home) => {
  const id = await filledAndClosed(home, 3);
  const copy = join(home.base, 'copy');
  execFileSync('cp', ['-a', home.directory, copy]);
  const fault = await refusal(home.open({ directory: copy }));
  assert.equal(fault.kind, 'refused');
  assert.match(fault.message, /is a copy, or was restored.*remove .*identity/s);
  // Restored: the original is gone and the copy takes its name.
  renameSync(home.directory, join(home.base, 'moved'));
  renameSync(copy, home.directory);
  assert.match((await refusal(home.open())).message, /is a copy/);
  const moved = await home.open({ directory: join(home.base, 'moved') });
  assert.equal(moved.store.id, id);
  assertRecovered(moved.store, headOf(1), 0, writesOf(1, 1, 3));
  await ended((done) => moved.store.close(done));
  // Only the ring restored.
  cpSync(join(home.base, 'moved', 'ring'), join(home.base, 'ring.backup'));
  renameSync(join(home.base, 'ring.backup'), join(home.base, 'moved', 'ring'));
  assert.match((await refusal(home.open({ directory: join(home.base, 'moved') }))).message, /ring is a copy/);
});

inHome('without its identity it is a new store, and what was there is kept', async (home) => {
  const id = await filledAndClosed(home, 3);
  rmSync(join(home.directory, 'identity'));
  const { store, created, damage } = await home.open();
  assert.equal(created, true);
  assert.notEqual(store.id, id);
  assert.equal(store.recovered, null);
  assert.match(damage?.fault.message ?? '', /no identity/);
  assert.deepEqual(readdirSync(join(home.directory, 'aside', damage?.aside ?? '')).sort(), ['about.json', 'ring']);
  assert.equal(store.aside.length, 1);
  await ended((done) => store.close(done));
});

inHome('a creation that was cut short leaves nothing behind', async (home) => {
  const { store } = await home.open();
  await ended((done) => store.close(done));
  // As if it had stopped before the identity: a ring with its first group only.
  rmSync(home.directory, { recursive: true });
  const fresh = new JournalHome();
  try {
    await assert.rejects(
      opened(fresh.options({ ids: { draw: drawOnce() }, directory: home.directory, now: failingDate })),
    );
    assert.deepEqual(readdirSync(home.directory).sort(), ['lock', 'ring']);
    const again = await home.open();
    assert.equal(again.damage, null);
    assert.deepEqual(again.store.aside, []);
    await ended((done) => again.store.close(done));
  } finally {
    fresh.remove();
  }
});

function drawOnce(): () => string {
  let draws = 0;
  return () => `${(draws += 1)}`.repeat(32).slice(0, 32);
}
/** The identity's date is asked for after the ring has been made. */
function failingDate(): Date {
  throw new Fault('io', 'cut short');
}

inHome("another server's or volume's journal is refused", async (home) => {
  await filledAndClosed(home, 1);
  for (const changes of [{ server: 'b' as ServerId }, { volume: 'w' as VolumeName }]) {
    const fault = await refusal(home.open(changes));
    assert.equal(fault.kind, 'refused');
    assert.match(fault.message, /is the one of server "a" for volume "v"/);
  }
});

inHome('damage is refused with file and place, or kept aside on request', async (home) => {
  const id = await filledAndClosed(home, 5);
  const ring = join(home.directory, 'ring');
  const bytes = readFileSync(ring);
  const at = bytes.indexOf('1.4.');
  bytes[at + 1000]! ^= 1;
  writeFileSync(ring, bytes);
  const fault = await refusal(home.open());
  assert.equal(fault.kind, 'corrupt');
  assert.match(fault.message, /ring is damaged in the group at byte \d+: .*data of operation \(1, 4\)/);
  const { store, damage, created } = await home.open({ onDamage: 'set-aside' });
  assert.notEqual(store.id, id);
  assert.equal(created, true);
  assert.equal(store.recovered, null);
  assert.equal(damage?.fault.kind, 'corrupt');
  assert.deepEqual(readdirSync(join(home.directory, 'aside', damage?.aside ?? '')).sort(), [
    'about.json',
    'identity',
    'ring',
  ]);
  assert.equal(store.aside[0]?.name, damage?.aside);
  await ended((done) => store.close(done));
});

const DAMAGES: readonly [string, (home: JournalHome) => void, RegExp][] = [
  ['ring gone', (home) => rmSync(join(home.directory, 'ring')), /ring is gone/],
  ['ring cut', (home) => truncateSync(join(home.directory, 'ring'), 40 * GROUP_ALIGNMENT), /bytes and was made with/],
  ['ring empty', (home) => truncateSync(join(home.directory, 'ring'), 0), /too early/],
  [
    'ring zeroed',
    (home) => writeFileSync(join(home.directory, 'ring'), Buffer.alloc(1 << 20), { flag: 'r+' }),
    /does not begin as/,
  ],
  ['identity empty', (home) => writeFileSync(join(home.directory, 'identity'), '', { flag: 'w' }), /no JSON/],
  [
    'identity of another format',
    (home) => writeFileSync(join(home.directory, 'identity'), '{"format":"x"}'),
    /another version/,
  ],
  [
    'identity half',
    (home) => writeFileSync(join(home.directory, 'identity'), '{"format":"holdfast-journal-1"}'),
    /store is missing/,
  ],
];
for (const [name, damage, message] of DAMAGES) {
  inHome(`damage: ${name}`, async (home) => {
    await filledAndClosed(home, 2);
    damage(home);
    const fault = await refusal(home.open());
    assert.equal(fault.kind, 'corrupt');
    assert.match(fault.message, message);
    const { store } = await home.open({ onDamage: 'set-aside' });
    assert.equal(store.recovered, null);
    await ended((done) => store.close(done));
  });
}

inHome('the capacity may change while operations are held, but not below what they need', async (home) => {
  const id = await filledAndClosed(home, 40);
  const grown = await home.open({ capacityBytes: 1 << 20 });
  assert.equal(grown.store.id, id);
  assert.equal(grown.store.capacityBytes, 1 << 20);
  assertRecovered(grown.store, headOf(1), 0, writesOf(1, 1, 40));
  await ended((done) => grown.store.close(done));
  const fault = await refusal(home.open({ capacityBytes: 128 << 10 }));
  assert.equal(fault.kind, 'refused');
  assert.match(fault.message, /holds 166400 bytes.*new capacity of 131072/);
  const shrunk = await home.open({ capacityBytes: 192 << 10 });
  assert.equal(shrunk.store.id, id);
  assertRecovered(shrunk.store, headOf(1), 0, writesOf(1, 1, 40));
  await ended((done) => shrunk.store.close(done));
});

inHome('impossible capacities are refused', async (home) => {
  for (const capacityBytes of [0, -1, 1000, 1.5 * 2 ** 20 + 0.5, Number.NaN, 2 ** 50]) {
    const fault = await refusal(home.open({ capacityBytes }));
    assert.equal(fault.kind, 'refused');
    assert.match(fault.message, /capacity is from/);
  }
});

inHome('a log put aside can be read back, and its directory says what it is', async (home) => {
  const { store } = await home.open({ now: () => new Date(Date.UTC(2026, 10, 22, 18, 45, 1)) });
  await filled(store, 20);
  assert.equal(await ended((done) => store.setAside(done)), null);
  assert.deepEqual(store.aside, [
    { name: '1-1-20-20261122T184501Z', epoch: 1, firstSequence: 1, lastSequence: 20, bytes: 20 * 4160 },
  ]);
  const directory = join(home.directory, 'aside', '1-1-20-20261122T184501Z');
  assertSameOperations(await readAsideLog(directory), writesOf(1, 1, 20));
  // The same again in the same second has a name of its own.
  store.begin(headOf(1 as Epoch), () => {});
  store.append(writesOf(1, 1, 20), sequence(0));
  assert.equal(await ended((done) => store.setAside(done)), null);
  assert.deepEqual(
    store.aside.map((one) => one.name),
    ['1-1-20-20261122T184501Z', '1-1-20-20261122T184501Z-2'],
  );
  await ended((done) => store.close(done));
  const bytes = readFileSync(join(directory, 'log'));
  bytes[5000]! ^= 1;
  writeFileSync(join(directory, 'log'), bytes);
  await assert.rejects(readAsideLog(directory), /damaged at byte 4160/);
});

inHome('where a log cannot be put aside, it stays what it was', async (home) => {
  const { store } = await home.open();
  await filled(store, 5);
  writeFileSync(join(home.directory, 'aside'), 'in the way');
  const fault = await ended((done) => store.setAside(done));
  assert.ok(fault instanceof Fault, 'it fails');
  store.append(writesOf(1, 6, 7), sequence(5));
  rmSync(join(home.directory, 'aside'));
  assert.equal(await ended((done) => store.close(done)), null);
  const again = await home.open();
  assertRecovered(again.store, headOf(1), 0, writesOf(1, 1, 7));
  await ended((done) => again.store.close(done));
});

inHome(
  'a disk that fails while running is told once; everything that waits ends with it, and what was stored stays',
  async (home) => {
    const { store } = await home.openMortal();
    const failures: Fault[] = [];
    let stored = 0;
    const full = new Promise<void>((resolve) => {
      store.listen({
        stored: (through) => {
          stored = through;
          if (through === 5) resolve();
        },
        failed: (fault) => failures.push(fault),
      });
    });
    store.begin(headOf(1), () => {});
    store.append(writesOf(1, 1, 5), sequence(0));
    await full;
    home.file!.nextWriteFault = new Fault('io', 'the disk is gone');
    store.append(writesOf(1, 6, 8), sequence(5));
    const marked = ended((done) => store.mark(headOf(1).generations, true, done));
    assert.equal((await marked)?.message, 'the disk is gone');
    assert.deepEqual(
      failures.map((fault) => fault.message),
      ['the disk is gone'],
    );
    store.append(writesOf(1, 9, 9), sequence(5));
    store.release(sequence(2), sequence(5));
    assert.equal((await ended((done) => store.begin(headOf(2), done)))?.kind, 'io');
    assert.equal((await ended((done) => store.setAside(done)))?.kind, 'io');
    assert.equal(await ended((done) => store.close(done)), null);
    assert.equal(failures.length, 1);
    assert.equal(stored, 5);
    const again = await home.open();
    assertRecovered(again.store, headOf(1), 0, writesOf(1, 1, 5));
    await ended((done) => again.store.close(done));
  },
);

/** The suites' child programs run as the tests do: compiled, or through the loader that runs the tests. */
function child(name: string, args: readonly string[], prefix: readonly string[] = []): ChildProcess {
  const compiled = import.meta.url.endsWith('.js');
  const program = fileURLToPath(new URL(`../../../../suites/${name}.${compiled ? 'js' : 'ts'}`, import.meta.url));
  const command = [...prefix, process.execPath, ...(compiled ? [] : ['--import', 'tsx']), program, ...args];
  return spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
}

inHome('a process killed while it appends leaves everything it reported stored', async (home) => {
  let epochs = 0;
  for (let round = 0; round < 4; round += 1) {
    const process = child('journal-appender', [home.directory]);
    let reported = 0;
    let last = 0;
    const lines = createInterface({ input: process.stdout! });
    const exited = new Promise<void>((resolve) => process.once('exit', () => resolve()));
    // Each round is killed at another point of the stream of reports.
    const killAt = 5 + round * round * 14;
    for await (const line of lines) {
      const [epoch, through] = line.split(' ').map(Number);
      epochs = epoch!;
      last = through!;
      reported += 1;
      if (reported === killAt) process.kill('SIGKILL');
    }
    await exited;
    const { store } = await home.open({ capacityBytes: 1 << 20 });
    const found = store.recovered;
    assert.equal(found?.head.epoch, epochs);
    const first = (found?.released ?? 0) + 1;
    const end = (found?.released ?? 0) + (found?.operations.length ?? 0);
    assert.ok(end >= last, `round ${round}: ${last} were reported, ${end} found`);
    assertSameOperations(
      found?.operations ?? [],
      Array.from({ length: end - first + 1 }, (_, i) => writeOf(epochs, first + i, 3000)),
    );
    await ended((done) => store.close(done));
  }
});

inHome('a disk without room for the journal is a clear fault, and leaves nothing', async (home) => {
  // No file may grow beyond 64 blocks of 512 or 1024 bytes: the same to a writer as a full disk.
  const process = child('journal-appender', [home.directory], ['sh', '-c', 'ulimit -f 64; exec "$@"', 'sh']);
  let output = '';
  process.stdout!.on('data', (data: Buffer) => (output += data.toString()));
  await new Promise<void>((resolve) => process.once('close', () => resolve()));
  assert.match(output, /^full: Preparing a journal of \d+ bytes/);
  assert.ok(!existsSync(join(home.directory, 'identity')), 'no identity');
  assert.deepEqual(readdirSync(home.directory), ['lock']);
});

inHome('a directory that cannot be written is a clear fault', async (home) => {
  writeFileSync(join(home.base, 'file'), '');
  const changes: Partial<JournalOptions> = { directory: join(home.base, 'file', 'journal') };
  const fault = await refusal(home.open(changes));
  assert.match(fault.message, /Creating the directory .*file\/journal failed/);
});

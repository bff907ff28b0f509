/** The coordinator `directory`: the port's suite, and what only a directory of files can get wrong. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Asking, coordinatorSuite, firstRecord, refused, richRecord } from '../../../suites/coordinator.ts';
import { realStep } from '../../../suites/real-step.ts';
import { Fault } from '../../base/fault.ts';
import type { Incarnation, MediumId, ServerId, Version, VolumeName } from '../../base/names.ts';
import type { VolumeRecord } from '../../ports/coordinator.ts';
import { BootClock, RandomIds } from '../linux/boot-clock.ts';
import { createCoordinator, DirectoryCoordinator, isCoordinator } from './directory.ts';
import { KEPT_VERSIONS, REAL_FILES, RecordDirectory, type RecordFiles } from './record-directory.ts';

const clock = new BootClock();
const volume = 'disk1' as VolumeName;
const mediumId = 'ab'.repeat(16) as MediumId;
const servers = ['a', 'b', 'c'] as ServerId[];
const step = realStep;

function coordinatorOf(directory: string, server: string, files: RecordFiles = REAL_FILES): DirectoryCoordinator {
  return new DirectoryCoordinator({ directory, server: server as ServerId, sharing: 'host', clock, files });
}

async function made(): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-coordinator-'));
  await createCoordinator(directory, new RandomIds());
  await coordinatorOf(directory, 'a').create(volume, firstRecord(mediumId));
  return directory;
}

coordinatorSuite('directory', async () => {
  const directory = await made();
  return {
    volume,
    servers,
    coordinatorOf: (server) => coordinatorOf(directory, server),
    step,
    end: async () => rmSync(directory, { recursive: true }),
  };
});

/** A coordinator's directory with a record at version 1, removed after the test. */
async function scratch(t: TestContext): Promise<{ directory: string; record: string; asking: Asking }> {
  const directory = await made();
  t.after(() => rmSync(directory, { recursive: true }));
  const record = join(directory, 'volumes', volume, 'record');
  return { directory, record, asking: new Asking({ step }, coordinatorOf(directory, 'a')) };
}

const fileOf = (record: string, version: number): string => join(record, `${String(version).padStart(20, '0')}.json`);

/** Swaps from version `from` on up to `to`, as another server. */
async function goOn(directory: string, from: number, to: number): Promise<void> {
  const other = new Asking({ step }, coordinatorOf(directory, 'b'));
  for (let version = from; version <= to; version++) {
    const { outcome } = await other.swap(volume, richRecord(version, version, mediumId));
    assert.equal(outcome, 'done', `version ${version}`);
  }
}

test('several processes swap one record: every version is made once, and told to one of them', async (t) => {
  const { directory, asking } = await scratch(t);
  const fixture = fileURLToPath(import.meta.url).replace('directory.test.', 'compete.fixture.');
  const target = 150;
  const run = promisify(execFile);
  const told = await Promise.all(
    servers.map((server) =>
      run(process.execPath, [...process.execArgv, fixture, directory, server, volume, String(target)]),
    ),
  );
  const made = told.flatMap(({ stdout }) => stdout.trim().split('\n')).filter((line) => line !== '');
  const versions = made.map((line) => Number(line.split(' ')[0])).sort((x, y) => x - y);
  assert.deepEqual(
    versions,
    Array.from({ length: target - 1 }, (_, i) => i + 2),
  );
  const newest = await asking.read(volume);
  assert.ok(made.includes(`${target} ${newest.nonce}`));
});

test('a server frozen at any step of its swap makes no old version again (trap T28)', async (t) => {
  for (const frozenIn of ['prepare', 'prepared', 'listed'] as const) {
    const { directory, record } = await scratch(t);
    await goOn(directory, 2, 7);
    let freeze: () => Promise<void> = async () => {
      freeze = async () => {};
      await goOn(directory, 8, 8 + KEPT_VERSIONS + 4);
      assert.throws(() => readFileSync(fileOf(record, 8)), 'version 8 was removed');
    };
    const files: RecordFiles = {
      ...REAL_FILES,
      prepare: async (path, content) => {
        if (frozenIn === 'prepare') await freeze();
        return REAL_FILES.prepare(path, content);
      },
      list: async (path) => {
        if (frozenIn === 'prepared') await freeze();
        return REAL_FILES.list(path);
      },
      link: async (from, to) => {
        if (frozenIn === 'listed') await freeze();
        return REAL_FILES.link(from, to);
      },
    };
    const sleeper = new Asking({ step }, coordinatorOf(directory, 'c', files));
    const { outcome } = await sleeper.swap(volume, richRecord(8, 4711, mediumId));
    assert.equal(outcome, 'conflict', `frozen in ${frozenIn}`);
    assert.throws(() => readFileSync(fileOf(record, 8)), 'no old version came back');
    assert.equal((await sleeper.read(volume)).version, 8 + KEPT_VERSIONS + 4);
    assert.deepEqual(
      readdirSync(record).filter((name) => name.endsWith('.new')),
      [],
      'nothing prepared is left',
    );
  }
});

test('a winner frozen behind its link while the record goes on very far claims nothing', async (t) => {
  const { directory } = await scratch(t);
  const files: RecordFiles = {
    ...REAL_FILES,
    link: async (from, to) => {
      await REAL_FILES.link(from, to);
      await goOn(directory, 3, 3 + KEPT_VERSIONS);
    },
  };
  const winner = new Asking({ step }, coordinatorOf(directory, 'c', files));
  const { outcome, fault } = await winner.swap(volume, richRecord(2, 4711, mediumId));
  assert.equal(outcome, 'unknown');
  assert.equal(fault?.kind, 'retry');
});

test('a reader frozen at any look does not take an old record for the newest', async (t) => {
  for (let frozenAt = 1; frozenAt <= 4; frozenAt++) {
    const { directory, record } = await scratch(t);
    await goOn(directory, 2, 7);
    let looks = 0;
    let began = 0;
    const files: RecordFiles = {
      ...REAL_FILES,
      look: async (path) => {
        looks += 1;
        if (looks === frozenAt) await goOn(directory, 8, 7 + KEPT_VERSIONS + 4);
        return REAL_FILES.look(path);
      },
    };
    const reader = new RecordDirectory(volume, record, files);
    for (let reading = 0; reading < 3; reading++) {
      const before = began;
      const { version } = await reader.read();
      assert.ok(version >= before, `frozen at look ${frozenAt}`);
      // What had been made when the reading began is the least that the next one shows.
      if (looks >= frozenAt) began = 7 + KEPT_VERSIONS + 4;
    }
  }
});

test('a reader that slept while everything it knew was removed finds the newest record', async (t) => {
  const { directory, record } = await scratch(t);
  await goOn(directory, 2, 7);
  const reader = new RecordDirectory(volume, record);
  assert.equal((await reader.read()).version, 7);
  await goOn(directory, 8, 7 + KEPT_VERSIONS + 10);
  assert.equal((await reader.read()).version, 7 + KEPT_VERSIONS + 10, 'version 8 is gone, and 7 before it');
});

test('a read that finds nothing new lists nothing', async (t) => {
  const { directory, record } = await scratch(t);
  let listings = 0;
  const counting: RecordFiles = {
    ...REAL_FILES,
    list: (path) => {
      listings += 1;
      return REAL_FILES.list(path);
    },
  };
  const reader = new RecordDirectory(volume, record, counting);
  for (let i = 0; i < 10; i++) assert.equal((await reader.read()).version, 1);
  assert.equal(listings, 1);
  await goOn(directory, 2, 2);
  for (let i = 0; i < 10; i++) assert.equal((await reader.read()).version, 2);
  assert.equal(listings, 2);
});

test('the newest versions are kept, the others removed in ascending order, none after a failure', async (t) => {
  const { directory, record } = await scratch(t);
  const removed: string[] = [];
  let stuck = '';
  const files: RecordFiles = {
    ...REAL_FILES,
    remove: async (path) => {
      if (path === stuck) throw Object.assign(new Error('stuck'), { code: 'EIO' });
      removed.push(path);
      await REAL_FILES.remove(path);
    },
  };
  const asking = new Asking({ step }, coordinatorOf(directory, 'a', files));
  stuck = fileOf(record, 3);
  // What somebody prepared for version 2 and died with, and for a version to come.
  const leftover = join(record, '.00000000000000000002.json.0123456789abcdef.new');
  const coming = join(record, '.00000000000000000999.json.0123456789abcdef.new');
  for (const path of [leftover, coming]) writeFileSync(path, '');
  const last = KEPT_VERSIONS + 8;
  for (let version = 2; version <= last; version++) {
    assert.equal((await asking.swap(volume, richRecord(version, version, mediumId))).outcome, 'done');
  }
  // Removal goes on beside the swaps, and one that finds another at work leaves it to that: swap until it was done.
  let version = last;
  const goOnUntilRemoved = async (path: string): Promise<void> => {
    for (let i = 0; !removed.includes(path); i++) {
      assert.ok(i < 1_000, `${path} is removed`);
      if (i % 20 === 0) {
        version += 1;
        assert.equal((await asking.swap(volume, richRecord(version, version, mediumId))).outcome, 'done');
      }
      await step();
    }
  };
  await goOnUntilRemoved(fileOf(record, 2));
  assert.deepEqual([...removed].sort(), [leftover, fileOf(record, 1), fileOf(record, 2)], 'nothing behind the failure');
  assert.equal(removed.at(-1), fileOf(record, 2), 'what was prepared goes before the version itself');
  stuck = '';
  await goOnUntilRemoved(fileOf(record, 9));
  const versions = removed.filter((path) => path !== leftover);
  assert.deepEqual(
    versions,
    versions.map((_, i) => fileOf(record, i + 1)),
    'ascending, none left out',
  );
  const left = readdirSync(record);
  for (let kept = version - KEPT_VERSIONS + 1; kept <= version; kept++) {
    assert.ok(left.includes(`${String(kept).padStart(20, '0')}.json`), `version ${kept} is kept`);
  }
  assert.ok(left.includes('.00000000000000000999.json.0123456789abcdef.new'));
});

test('an error after the link may have happened is an unknown outcome; before it, a conflict', async (t) => {
  const eio = (): never => {
    throw Object.assign(new Error('broken'), { code: 'EIO' });
  };
  const cases: readonly (readonly [string, Partial<RecordFiles>, string, number])[] = [
    ['prepare', { prepare: async () => eio() }, 'conflict', 1],
    ['no room', { prepare: async () => Promise.reject(Object.assign(new Error(), { code: 'ENOSPC' })) }, 'conflict', 1],
    ['list', { list: async () => eio() }, 'conflict', 1],
    ['link, not done', { link: async () => eio() }, 'unknown', 1],
    ['link, done', { link: async (from, to) => REAL_FILES.link(from, to).then(eio) }, 'done', 2],
    [
      'link denied',
      { link: async () => Promise.reject(Object.assign(new Error(), { code: 'EACCES' })) },
      'conflict',
      1,
    ],
    ['sync', { syncDirectory: async () => eio() }, 'unknown', 2],
  ];
  for (const [what, broken, expected, version] of cases) {
    const { directory, asking } = await scratch(t);
    const unlucky = new Asking({ step }, coordinatorOf(directory, 'c', { ...REAL_FILES, ...broken }));
    const { outcome, fault } = await unlucky.swap(volume, richRecord(2, 6, mediumId));
    assert.equal(outcome, expected, what);
    assert.equal(fault === null, expected === 'done', what);
    if (what === 'no room') assert.equal(fault?.kind, 'full');
    assert.equal((await asking.read(volume)).version, version, what);
  }
});

test('a link whose reply was lost and that finds its own name taken has succeeded', async (t) => {
  const { directory } = await scratch(t);
  const files: RecordFiles = {
    ...REAL_FILES,
    link: async (from, to) => {
      await REAL_FILES.link(from, to);
      await REAL_FILES.link(from, to);
    },
  };
  const asking = new Asking({ step }, coordinatorOf(directory, 'c', files));
  assert.equal((await asking.swap(volume, richRecord(2, 6, mediumId))).outcome, 'done');
});

test('a record is told only when it is durable', async (t) => {
  const { directory, record } = await scratch(t);
  await goOn(directory, 2, 2);
  let synced = 0;
  let broken = true;
  const files: RecordFiles = {
    ...REAL_FILES,
    syncDirectory: async (path) => {
      if (broken) throw Object.assign(new Error(), { code: 'EIO' });
      synced += 1;
      await REAL_FILES.syncDirectory(path);
    },
  };
  const reader = new RecordDirectory(volume, record, files);
  await assert.rejects(() => reader.read());
  broken = false;
  assert.equal((await reader.read()).version, 2);
  assert.equal(synced, 1);
});

test('damage to the newest version is a fault, never an older record', async (t) => {
  const damages: readonly ((path: string) => void)[] = [
    (path) => truncateSync(path, 100),
    (path) => truncateSync(path, 0),
    (path) => writeFileSync(path, readFileSync(path, 'utf8').replace('"epoch": 5', '"epoch": 6')),
    (path) => writeFileSync(path, readFileSync(path, 'utf8').replace('"volume": "disk1"', '"volume": "disk2"')),
    (path) => writeFileSync(path, readFileSync(path, 'utf8').replace('holdfast-record-1', 'holdfast-record-9')),
    (path) => appendFileSync(path, 'x'.repeat(1 << 20)),
    (path) => writeFileSync(path, readFileSync(fileOf(join(path, '..'), 1))),
  ];
  for (const damage of damages) {
    const { directory, record, asking } = await scratch(t);
    await goOn(directory, 2, 2);
    assert.equal((await asking.read(volume)).version, 2);
    damage(fileOf(record, 2));
    await refused(() => asking.read(volume), 'corrupt');
  }
});

test('a record that a person only reformatted is still good', async (t) => {
  const { directory, record, asking } = await scratch(t);
  await goOn(directory, 2, 2);
  const path = fileOf(record, 2);
  assert.match(readFileSync(path, 'utf8'), /\n {4}"mirror": "replaying",\n/, 'it is readable');
  writeFileSync(path, JSON.stringify(JSON.parse(readFileSync(path, 'utf8'))));
  assert.deepEqual(await asking.read(volume), richRecord(2, 2, mediumId));
});

test('a directory that is not the coordinator’s gets nothing and has nothing', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-coordinator-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const asking = new Asking({ step }, coordinatorOf(directory, 'a'));
  await refused(() => asking.read(volume), 'missing');
  const { outcome, fault } = await asking.swap(volume, richRecord(2, 2, mediumId));
  assert.deepEqual([outcome, fault?.kind], ['conflict', 'missing']);
  const entry = { server: 'a' as ServerId, incarnation: '0'.repeat(32) as Incarnation, counter: 1, unfit: null };
  await refused(() => asking.writeEntry(entry), 'missing');
  await refused(() => asking.probe(), 'missing');
  const coordinator = coordinatorOf(directory, 'a');
  await refused(() => coordinator.create(volume, firstRecord(mediumId)), 'missing');
  await refused(() => coordinator.listVolumes(), 'missing');
  assert.equal(await isCoordinator(directory), false);
  assert.deepEqual(readdirSync(directory), []);
});

test('creating twice is refused, also when the first version is long gone; volumes are listed', async (t) => {
  const { directory } = await scratch(t);
  assert.equal(await isCoordinator(directory), true);
  await refused(() => createCoordinator(directory, new RandomIds()), 'conflict');
  const coordinator = coordinatorOf(directory, 'a');
  await refused(() => coordinator.create(volume, firstRecord(mediumId)), 'conflict');
  await goOn(directory, 2, KEPT_VERSIONS + 8);
  await refused(() => coordinator.create(volume, firstRecord(mediumId)), 'conflict');
  await coordinator.create('another' as VolumeName, firstRecord(mediumId));
  assert.deepEqual(await coordinator.listVolumes(), ['another', 'disk1']);
  await refused(() => coordinator.create('../evil' as VolumeName, firstRecord(mediumId)), 'refused');
});

test('a record that goes back to an old copy is noticed', async (t) => {
  const { directory, record, asking } = await scratch(t);
  await goOn(directory, 2, 5);
  const known: VolumeRecord = await asking.read(volume);
  for (const version of [4, 5]) rmSync(fileOf(record, version));
  const next = { ...known, version: 6 as Version, nonce: 'x' };
  const { outcome, fault } = await asking.swap(volume, next);
  assert.deepEqual([outcome, fault?.kind], ['conflict', 'corrupt']);
});

test('an entry that a loss of power tore says nothing until its server writes again', async (t) => {
  const { directory, asking } = await scratch(t);
  const entry = { server: 'a' as ServerId, incarnation: '0'.repeat(32) as Incarnation, counter: 1, unfit: null };
  await asking.writeEntry(entry);
  truncateSync(join(directory, 'servers', 'a.json'), 10);
  await refused(() => asking.readEntry('a' as ServerId), 'missing');
  await asking.writeEntry({ ...entry, counter: 2 });
  assert.equal((await asking.readEntry('a' as ServerId)).counter, 2);
});

test('a coordinator that hangs takes one thread for each volume’s reads, and calls do not pile up', async (t) => {
  const { directory } = await scratch(t);
  let hanging = 0;
  const files: RecordFiles = {
    ...REAL_FILES,
    list: () => {
      hanging += 1;
      return new Promise(() => {});
    },
  };
  const coordinator = coordinatorOf(directory, 'a', files);
  const faults: Fault[] = [];
  for (let i = 0; i < 1_000; i++) {
    coordinator.read(volume, (fault) => {
      if (fault !== null) faults.push(fault);
    });
  }
  for (let i = 0; i < 50; i++) await step();
  assert.equal(hanging, 1);
  assert.equal(faults.length, 850);
  assert.ok(faults.every((fault) => fault.kind === 'retry'));
});

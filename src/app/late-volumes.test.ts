/** Volumes that come while a server runs: what joins, what waits, and what a broken file does. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Fault } from '../base/fault.ts';
import type { Coordinator, VolumeRecord } from '../ports/coordinator.ts';
import { loadConfig } from './config/load.ts';
import { LateVolumes } from './late-volumes.ts';

const BASE = `
[cluster]
id = "late"
key-file = "key"
[[server]]
name = "a"
state = "a"
admin = "127.0.0.1:1"
link = ["127.0.0.1:2"]
machine = "here"
[[server]]
name = "b"
state = "b"
admin = "127.0.0.1:3"
link = ["127.0.0.1:4"]
machine = "here"
[[medium]]
name = "shared"
driver = "directory"
path = "shared"
`;
const volume = (name: string, port: number, servers = '"a", "b"', size = '16MiB'): string =>
  `[[volume]]\nname = "${name}"\nmedium = "shared"\nsize = "${size}"\naddress = "127.0.0.1:${port}"\nservers = [${servers}]\n`;

function world(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-late-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'c.toml');
  const write = (...parts: string[]): void => writeFileSync(file, [BASE, ...parts].join('\n'));
  write(volume('one', 10), volume('unmade', 11));
  const { config } = loadConfig(file);
  assert.ok(config !== null, 'the configuration is right');
  const created = new Set<string>(['one']);
  const joined: string[] = [];
  const notes: string[] = [];
  let refusal: Fault | null = null;
  const coordinator = {
    read: (name: string, done: (fault: Fault | null, record: VolumeRecord | null) => void) =>
      setImmediate(() =>
        created.has(name)
          ? done(null, { mediumId: 'm' } as unknown as VolumeRecord)
          : done(new Fault('missing', 'no record'), null),
      ),
  } as unknown as Coordinator;
  const late = new LateVolumes({
    config,
    server: 'a',
    coordinator,
    log: { note: (event) => void notes.push(event), bug: assert.fail, flush: () => undefined },
    missing: config.volumes.filter(({ name }) => !created.has(name)),
    join: async ({ name }) => {
      if (refusal !== null) throw refusal;
      joined.push(name);
    },
  });
  return { late, write, created, joined, notes, refuse: (fault: Fault | null) => void (refusal = fault) };
}

test('what was created since joins, once; what was not is named', async (t) => {
  const { late, created, joined } = world(t);
  assert.deepEqual(await late.reload(), {
    added: [],
    remarks: ['volume "unmade" has not been created: `holdfast volume create unmade`'],
  });
  created.add('unmade');
  assert.deepEqual(await late.reload(), { added: ['unmade'], remarks: [] });
  assert.deepEqual(await late.reload(), { added: [], remarks: [] });
  assert.deepEqual(joined, ['unmade']);
});

test('a volume that is new in the file joins; what else changed waits for the next start, by name', async (t) => {
  const { late, write, created, joined } = world(t);
  write(volume('one', 10, '"b", "a"'), volume('new', 12), volume('theirs', 13, '"b"'), '[timings]\nlease = "2s"');
  created.add('new').add('theirs');
  const { added, remarks } = await late.reload();
  assert.deepEqual(added, ['new']);
  assert.deepEqual(joined, ['new']);
  const waits = 'this takes effect when a is started anew';
  assert.deepEqual(remarks, [
    `a timing changed: ${waits}`,
    `volume "unmade" is gone: ${waits}`,
    `volume "one" changed: ${waits}`,
    'volume "unmade" has not been created: `holdfast volume create unmade`',
  ]);
});

test('a volume that cannot be opened is told, and tried again', async (t) => {
  const { late, created, refuse, notes } = world(t);
  created.add('unmade');
  refuse(new Fault('full', 'no room for its journal'));
  const { added, remarks } = await late.reload();
  assert.deepEqual([added, remarks], [[], ['volume "unmade" cannot be served here: no room for its journal']]);
  assert.ok(notes.includes('volume.join-failed'), 'it is in the log');
  refuse(null);
  assert.deepEqual((await late.reload()).added, ['unmade']);
});

test('a file with a mistake changes nothing', async (t) => {
  const { late, write, created, joined } = world(t);
  created.add('new');
  write(volume('one', 10), volume('new', 12), 'nonsense');
  await assert.rejects(late.reload(), /has mistakes, nothing was changed: line \d+: not TOML/);
  assert.deepEqual(joined, []);
});

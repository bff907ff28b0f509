/** Creating volumes: only what was asked for is made, what is there is never overwritten, and a creation can be resumed. */
import { strict as assert } from 'node:assert';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { Fault } from '../base/fault.ts';
import type { FaultKind } from '../base/fault.ts';
import { parseConfig } from './config/load.ts';
import type { Config, VolumeConfig } from './config/load.ts';
import { createVolume, readRecord } from './volumes.ts';

interface World {
  readonly directory: string;
  readonly config: Config;
  readonly disk: VolumeConfig;
  readonly image: VolumeConfig;
  readonly files: VolumeConfig;
}

function world(t: TestContext, records = ''): World {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-volumes-'));
  t.after(() => rmSync(directory, { recursive: true }));
  mkdirSync(join(directory, 'shared'));
  const source = `
[cluster]
id = "test"
key-file = "key"
${records}
[[server]]
name = "a"
state = "a"
admin = "127.0.0.1:1"
link = ["127.0.0.1:2"]
[[medium]]
name = "shared"
driver = "directory"
path = "shared"
[[medium]]
name = "raw"
driver = "image"
path = "disk.raw"
[[volume]]
name = "disk"
medium = "shared"
size = "1MiB"
address = "127.0.0.1:3"
servers = ["a"]
[[volume]]
name = "image"
medium = "raw"
size = "1MiB"
address = "127.0.0.1:4"
servers = ["a"]
[[volume]]
name = "files"
type = "files"
medium = "shared"
address = "127.0.0.1:5"
servers = ["a"]
[volume.export]
root-mode = "2750"
`;
  const { config, mistakes } = parseConfig(source, join(directory, 'cluster.toml'));
  assert.deepEqual(mistakes, null);
  const [disk, image, files] = config?.volumes ?? [];
  assert.ok(config !== null && disk !== undefined && image !== undefined && files !== undefined);
  return { directory, config, disk, image, files };
}

const fault = (kind: FaultKind, words: RegExp) => (error: unknown) =>
  error instanceof Fault && error.kind === kind && words.test(error.message);

test('a volume on a directory is created once, and nothing without being asked for', async (t) => {
  const { directory, config, disk } = world(t);
  await assert.rejects(createVolume(config, disk, {}), fault('missing', /--create-medium/));
  await assert.rejects(readRecord(config, disk), fault('missing', /no coordinator/));
  const { mediumId } = await createVolume(config, disk, { createMedium: true });
  assert.equal((await readRecord(config, disk))?.mediumId, mediumId);
  assert.ok(existsSync(join(directory, 'shared', 'volumes', 'disk', 'disk.img')));
  await assert.rejects(
    createVolume(config, disk, { createMedium: true, adopt: true }),
    fault('conflict', /created already/),
  );
});

test('a volume on an image, its records beside a directory medium', async (t) => {
  const { directory, config, disk, image } = world(t);
  await assert.rejects(createVolume(config, image, { createMedium: true }), fault('missing', /--create-coordinator/));
  assert.equal(existsSync(join(directory, 'disk.raw')), false, 'nothing was made on the way');
  await createVolume(config, disk, { createMedium: true });
  await assert.rejects(createVolume(config, image, {}), fault('missing', /--create-medium/));
  await createVolume(config, image, { createMedium: true });
  assert.equal((await readRecord(config, image))?.mirror, 'suspended');
});

test('records in a directory of their own are made only by their own flag', async (t) => {
  const { config, disk } = world(t, '[coordinator]\npath = "records"');
  await assert.rejects(createVolume(config, disk, { createMedium: true }), fault('missing', /--create-coordinator/));
  await createVolume(config, disk, { createCoordinator: true });
  assert.notEqual(await readRecord(config, disk), null);
});

test('what holds data is taken only when that is said, and then as it is', async (t) => {
  const { directory, config, image } = world(t);
  const file = join(directory, 'disk.raw');
  writeFileSync(file, Buffer.alloc(1 << 20, 7));
  const options = { createMedium: true, createCoordinator: true };
  await assert.rejects(createVolume(config, image, options), fault('conflict', /--adopt/));
  await createVolume(config, image, { ...options, adopt: true });
  assert.ok(readFileSync(file).equals(Buffer.alloc(1 << 20, 7)));
});

test('an image of another size is refused', async (t) => {
  const { directory, config, image } = world(t);
  writeFileSync(join(directory, 'disk.raw'), Buffer.alloc(4_096));
  const options = { createMedium: true, createCoordinator: true, adopt: true };
  await assert.rejects(createVolume(config, image, options), fault('refused', /bytes/));
});

test('a creation that was cut short before its record is taken up', async (t) => {
  const { directory, config, disk } = world(t);
  await createVolume(config, disk, { createMedium: true });
  const record = join(directory, 'shared', 'volumes', 'disk', 'record');
  rmSync(record, { recursive: true });
  assert.equal(await readRecord(config, disk), null);
  await createVolume(config, disk, {});
  rmSync(record, { recursive: true });
  writeFileSync(join(directory, 'shared', 'volumes', 'disk', 'disk.img'), Buffer.alloc(1 << 20, 9));
  await assert.rejects(createVolume(config, disk, {}), fault('conflict', /may hold data.*--adopt/));
  await createVolume(config, disk, { adopt: true });
});

test('a files volume is a directory with the permissions asked for, created once and taken up when cut short', async (t) => {
  const { directory, config, files } = world(t);
  await createVolume(config, files, { createMedium: true });
  const home = join(directory, 'shared', 'volumes', 'files');
  assert.equal(statSync(join(home, 'tree')).mode & 0o7777, 0o2750);
  await assert.rejects(createVolume(config, files, {}), fault('conflict', /created already/));
  rmSync(join(home, 'record'), { recursive: true });
  await createVolume(config, files, {});
  rmSync(join(home, 'record'), { recursive: true });
  writeFileSync(join(home, 'tree', 'data'), 'of somebody');
  await assert.rejects(createVolume(config, files, {}), fault('conflict', /may hold data.*--adopt/));
  await createVolume(config, files, { adopt: true });
  assert.equal(readFileSync(join(home, 'tree', 'data'), 'utf8'), 'of somebody');
});

test('a volume does not change its type', async (t) => {
  const { directory, config, disk, files } = world(t);
  await createVolume(config, disk, { createMedium: true });
  await createVolume(config, files, {});
  for (const name of ['disk', 'files'])
    rmSync(join(directory, 'shared', 'volumes', name, 'record'), { recursive: true });
  const [asFiles, asBlock] = [
    { ...files, name: 'disk' },
    { ...disk, name: 'files' },
  ];
  await assert.rejects(createVolume(config, asFiles, { adopt: true }), fault('conflict', /already/));
  await assert.rejects(createVolume(config, asBlock, { adopt: true }), fault('conflict', /already/));
});

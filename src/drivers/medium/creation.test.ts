/** What the media of this room promise beyond the port: creation, identity, faults of the operating system. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Fault, type FaultKind } from '../../base/fault.ts';
import type { MediumId, ServerId, VolumeName } from '../../base/names.ts';
import type { MediumVolume } from '../../ports/medium.ts';
import { BootClock, RandomIds } from '../linux/boot-clock.ts';
import {
  createMedium,
  createVolume,
  DirectoryMedium,
  listMediumVolumes,
  readMediumId,
  volumeBytes,
} from './directory.ts';
import { createImage, describeImage, ImageMedium } from './image.ts';
import { piecesFrom } from './raw-calls.ts';
import type { Sharing } from './raw-file.ts';

const clock = new BootClock();
const ids = new RandomIds();
const server = 'a' as ServerId;
const volume = 'disk1' as VolumeName;

function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-creation-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

async function refused(run: () => Promise<unknown>, kind: FaultKind, saying = ''): Promise<void> {
  await assert.rejects(
    run,
    (error) =>
      error instanceof Fault && error.kind === kind && error.message.includes(saying) && /[.?]$/.test(error.message),
  );
}

function mediumOf(directory: string, sharing: Sharing = 'host'): DirectoryMedium {
  return new DirectoryMedium({ directory, server, sharing, clock });
}

function open(medium: DirectoryMedium | ImageMedium, id: MediumId, name = volume): Promise<MediumVolume> {
  return new Promise((resolve, reject) =>
    medium.open(name, id, (fault, opened) => (fault === null ? resolve(opened as MediumVolume) : reject(fault))),
  );
}

function probe(medium: DirectoryMedium | ImageMedium, id: MediumId): Promise<void> {
  return new Promise((resolve, reject) => medium.probe(id, (fault) => (fault === null ? resolve() : reject(fault))));
}

const call = (start: (done: (fault: Fault | null) => void) => void): Promise<void> =>
  new Promise((resolve, reject) => start((fault) => (fault === null ? resolve() : reject(fault))));

test('a medium is created once, in a directory of its own', async (t) => {
  const directory = scratch(t);
  const id = await createMedium(directory, ids);
  assert.equal(await readMediumId(directory), id);
  await refused(() => createMedium(directory, ids), 'conflict');
  const used = join(directory, 'volumes');
  writeFileSync(join(used, 'letter.txt'), 'dear');
  await refused(() => createMedium(used, ids), 'refused', 'letter.txt');
  assert.deepEqual(readdirSync(used), ['letter.txt']);
  await refused(() => createMedium(join(directory, 'absent'), ids), 'missing');
});

test('a volume is created once, sparse, and as a raw image that other tools understand', async (t) => {
  const directory = scratch(t);
  await refused(() => createVolume(directory, volume, 4096), 'missing');
  await createMedium(directory, ids);
  await createVolume(directory, volume, 1 << 30);
  const image = join(directory, 'volumes', volume, 'disk.img');
  assert.deepEqual([statSync(image).size, statSync(image).blocks], [1 << 30, 0]);
  assert.equal(await volumeBytes(directory, volume), 1 << 30);
  assert.deepEqual(await listMediumVolumes(directory), [volume]);
  await refused(() => createVolume(directory, volume, 1 << 30), 'conflict');
  for (const name of ['../x', '', '.', 'a/b', 'x'.repeat(65)]) {
    await refused(() => createVolume(directory, name as VolumeName, 4096), 'refused');
  }
  for (const size of [0, -1, 1.5, Number.NaN, 2 ** 60]) {
    await refused(() => createVolume(directory, 'other' as VolumeName, size), 'refused');
  }
  assert.deepEqual(readdirSync(join(directory, 'volumes', volume)).sort(), ['disk.img', 'volume.json']);
});

test('a creation that was cut short is taken up; an image with data in its place is left alone', async (t) => {
  const directory = scratch(t);
  mkdirSync(join(directory, 'volumes'));
  const id = await createMedium(directory, ids);
  const home = join(directory, 'volumes', volume);
  mkdirSync(home);
  writeFileSync(join(home, 'disk.img'), '');
  truncateSync(join(home, 'disk.img'), 8192);
  await refused(() => createVolume(directory, volume, 4096), 'conflict');
  await createVolume(directory, volume, 8192);
  const opened = await open(mediumOf(directory), id);
  await call((done) => opened.close(done));
  const other = join(directory, 'volumes', 'other');
  mkdirSync(other);
  writeFileSync(join(other, 'disk.img'), 'x'.repeat(4096));
  await refused(() => createVolume(directory, 'other' as VolumeName, 4096), 'conflict');
  assert.equal(readFileSync(join(other, 'disk.img'), 'utf8'), 'x'.repeat(4096));
});

test('where the mount is missing, an empty directory is no medium, and nothing is made in it (trap T23)', async (t) => {
  const real = scratch(t);
  const id = await createMedium(real, ids);
  await createVolume(real, volume, 4096);
  const empty = join(scratch(t), 'mount');
  mkdirSync(empty);
  await refused(() => open(mediumOf(empty), id), 'missing');
  await refused(() => probe(mediumOf(empty), id), 'missing');
  await refused(() => readMediumId(empty), 'missing');
  assert.deepEqual(readdirSync(empty), []);
  const stranger = scratch(t);
  await createMedium(stranger, ids);
  await createVolume(stranger, volume, 4096);
  await refused(() => open(mediumOf(stranger), id), 'refused', 'not the expected medium');
  await refused(() => probe(mediumOf(stranger), id), 'refused', 'not the expected medium');
  assert.deepEqual(readdirSync(join(stranger, 'servers')), []);
});

test('an image of another size, gone, or under another name is refused', async (t) => {
  const directory = scratch(t);
  const id = await createMedium(directory, ids);
  await createVolume(directory, volume, 8192);
  const home = join(directory, 'volumes', volume);
  truncateSync(join(home, 'disk.img'), 4096);
  await refused(() => open(mediumOf(directory), id), 'corrupt', '4096');
  rmSync(join(home, 'disk.img'));
  await refused(() => open(mediumOf(directory), id), 'missing');
  mkdirSync(join(home, 'disk.img'));
  await refused(() => open(mediumOf(directory), id), 'refused');
  const path = join(home, 'volume.json');
  writeFileSync(path, readFileSync(path, 'utf8').replace('disk1', 'disk2'));
  await refused(() => open(mediumOf(directory), id), 'corrupt', 'disk2');
  writeFileSync(path, '{"format":"holdfast-volume-9"}');
  await refused(() => open(mediumOf(directory), id), 'corrupt');
  writeFileSync(join(directory, 'holdfast-medium.json'), 'not json');
  await refused(() => open(mediumOf(directory), id), 'corrupt');
});

test('where machines share the storage, every write is synchronous', async (t) => {
  const directory = scratch(t);
  const id = await createMedium(directory, ids);
  await createVolume(directory, volume, 8192);
  const image = join(directory, 'volumes', volume, 'disk.img');
  const O_DSYNC = 0o10000;
  for (const [sharing, expected] of [
    ['host', 0],
    ['machines', O_DSYNC],
  ] as const) {
    const opened = await open(mediumOf(directory, sharing), id);
    assert.deepEqual(
      flagsOf(image).map((flags) => flags & O_DSYNC),
      [expected],
    );
    await call((done) => opened.close(done));
    assert.deepEqual(flagsOf(image), [], 'closed');
  }
});

/** The flags of this process's descriptors on the file. */
function flagsOf(path: string): number[] {
  const inode = statSync(path).ino;
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      if (statSync(`/proc/self/fd/${fd}`).ino !== inode) return [];
      const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
      return [Number.parseInt(/flags:\s+(\d+)/.exec(info)?.[1] ?? '', 8)];
    } catch {
      return [];
    }
  });
}

test('an image is a medium for one volume, known by the file beside it', async (t) => {
  const directory = scratch(t);
  const path = join(directory, 'raw');
  await refused(() => describeImage(path), 'missing');
  const id = await createImage(path, volume, 8192, ids);
  assert.deepEqual(await describeImage(path), { id, bytes: 8192, volume });
  await refused(() => createImage(path, volume, 8192, ids), 'conflict');
  const medium = new ImageMedium({ path, volume, server, sharing: 'host', clock });
  await probe(medium, id);
  const opened = await open(medium, id);
  await call((done) => opened.close(done));
  await refused(() => open(medium, id, 'other' as VolumeName), 'missing');
  const other = 'other' as VolumeName;
  await refused(
    () => open(new ImageMedium({ path, volume: other, server, sharing: 'host', clock }), id, other),
    'missing',
  );
  rmSync(path);
  await refused(() => open(medium, id), 'missing');
  await refused(() => probe(medium, id), 'missing');
  assert.equal(existsSync(path), false);
});

test('an image that is there keeps its bytes when it becomes a medium', async (t) => {
  const path = join(scratch(t), 'raw');
  writeFileSync(path, 'x'.repeat(5000));
  await refused(() => createImage(path, volume, 8192, ids), 'refused', '5000');
  const id = await createImage(path, volume, 5000, ids);
  const opened = await open(new ImageMedium({ path, volume, server, sharing: 'host', clock }), id);
  const data = await new Promise<Buffer | null>((resolve) => opened.read('', 0, 5000, (_fault, read) => resolve(read)));
  assert.equal(data?.toString(), 'x'.repeat(5000));
  await call((done) => opened.close(done));
  assert.equal(readFileSync(path, 'utf8'), 'x'.repeat(5000));
});

test('a full file system is told as full, and freeing room mends it', { skip: noMounts() }, async (t) => {
  const directory = scratch(t);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'holdfast-test', directory]);
  try {
    const id = await createMedium(directory, ids);
    await createVolume(directory, volume, 16 << 20);
    const opened = await open(mediumOf(directory), id);
    const piece = Buffer.alloc(1 << 20, 'x');
    await call((done) => opened.write('', 0, [piece], done));
    await refused(() => call((done) => opened.write('', 4 << 20, [piece, piece], done)), 'full', 'ENOSPC');
    await refused(() => call((done) => opened.reserve('', 8 << 20, 2 << 20, done)), 'full');
    await call((done) => opened.zero('', 0, 6 << 20, true, done));
    await call((done) => opened.reserve('', 8 << 20, 1 << 20, done));
    await call((done) => opened.write('', 8 << 20, [piece], done));
    await call((done) => opened.close(done));
  } finally {
    execFileSync('umount', ['--lazy', directory]);
  }
});

function noMounts(): string | false {
  if (process.getuid?.() !== 0) return 'mounting a small file system needs root';
  try {
    execFileSync('unshare', ['--mount', 'true'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'mounting is not allowed here';
  }
}

test('what is left of pieces behind a short write', () => {
  const pieces = ['abc', 'd', 'efg'].map((text) => Buffer.from(text));
  const left = (count: number): string[] => piecesFrom(pieces, count).map((piece) => piece.toString());
  assert.deepEqual(left(0), ['abc', 'd', 'efg']);
  assert.deepEqual(left(2), ['c', 'd', 'efg']);
  assert.deepEqual(left(3), ['d', 'efg']);
  assert.deepEqual(left(4), ['efg']);
  assert.deepEqual(left(6), ['g']);
  assert.deepEqual(left(7), []);
});

/** What files volumes of a directory medium promise beyond the ports: creation, crashes, other processes, other users, broken media. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { aDirectory, aFile, DrivenFiles, fails } from '../../../../suites/tree-driver.ts';
import { until } from '../../../../suites/until.ts';
import { Fault, type FaultKind } from '../../../base/fault.ts';
import type { VolumeName } from '../../../base/names.ts';
import { RandomIds } from '../../linux/boot-clock.ts';
import { createMedium, createVolume, listMediumVolumes, readVolumeKind, volumeBytes } from '../directory.ts';
import { kernelHandlesWork } from './abilities.ts';
import { MADE, MADE_TYPES, worldOf } from '../../../../suites/files-process.ts';
import { createFilesVolume, filesHome } from './home.ts';
import { OPEN_MAX } from './open-objects.ts';
import type { HandleKind } from './words.ts';

const volume = 'home' as VolumeName;
const ids = new RandomIds();
const isRoot = process.getuid?.() === 0;
const hasHandles = kernelHandlesWork(tmpdir());
const KINDS: readonly HandleKind[] = hasHandles ? ['kernel', 'index'] : ['index'];
const PLAIN = { mode: 0o755, uid: null, gid: null } as const;
/** Who owns nothing. */
const NOBODY = 65_534;

function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-files-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

async function made(directory: string, handles?: HandleKind): Promise<string> {
  await createMedium(directory, ids);
  await createFilesVolume(directory, volume, handles === undefined ? PLAIN : { ...PLAIN, handles });
  return directory;
}

async function opened(directory: string): Promise<DrivenFiles> {
  return DrivenFiles.open(await worldOf(directory, volume));
}

async function refused(run: Promise<unknown>, kind: FaultKind, saying: RegExp): Promise<void> {
  await assert.rejects(run, (error) => {
    assert.ok(error instanceof Fault, String(error));
    assert.equal(error.kind, kind);
    assert.match(error.message, saying);
    return true;
  });
}

/** A process that runs the fixture; `as` another user, when that is given. */
function fixture(
  args: readonly string[],
  as?: number,
): { readonly command: string; readonly args: string[]; readonly options: object } {
  const file = fileURLToPath(
    new URL(`../../../../suites/files-process${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url),
  );
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const user = as === undefined ? {} : { uid: as, gid: as };
  return { command: process.execPath, args: [...process.execArgv, file, ...args], options: { env, ...user } };
}

const openFds = (): number => readdirSync('/proc/self/fd').length;

test('a files volume is created once, with an ordinary directory for its tree', async (t) => {
  const directory = scratch(t);
  await refused(createFilesVolume(directory, volume, PLAIN), 'missing', /no description of the medium|no .*medium/i);
  await createMedium(directory, ids);
  await createFilesVolume(directory, volume, { ...PLAIN, mode: 0o2750 });
  const at = filesHome(directory, volume);
  assert.equal(statSync(at.tree).mode & 0o7777, 0o2750);
  assert.deepEqual([statSync(at.secret).mode & 0o777, statSync(at.secret).size], [0o600, 32]);
  assert.deepEqual([statSync(at.replies).size, statSync(at.replies).blocks * 512 >= 4 << 20], [4 << 20, true]);
  assert.equal(await readVolumeKind(directory, volume), 'files');
  assert.deepEqual(await listMediumVolumes(directory), [volume]);
  await refused(volumeBytes(directory, volume), 'refused', /created for files/);
  await refused(createFilesVolume(directory, volume, PLAIN), 'conflict', /already/);
  await refused(createVolume(directory, volume, 4096), 'conflict', /already/);
  await createVolume(directory, 'disk' as VolumeName, 4096);
  await refused(createFilesVolume(directory, 'disk' as VolumeName, PLAIN), 'conflict', /already/);
  await refused(createFilesVolume(directory, '../x' as VolumeName, PLAIN), 'refused', /cannot be the name/);
  await refused(createFilesVolume(directory, 'y' as VolumeName, { ...PLAIN, mode: 0o20000 }), 'refused', /mode/);
  const files = await opened(directory);
  const f = (await files.create(files.root, 'f', aFile(0o604))).id;
  await files.write(f, 0, Buffer.from('plain'));
  await files.close();
  assert.equal(readFileSync(join(at.tree, 'f'), 'utf8'), 'plain', 'whoever mounts the medium sees plain files');
});

test('a block volume made before volumes said their kind can be read', async (t) => {
  const directory = scratch(t);
  await createMedium(directory, ids);
  await createVolume(directory, 'disk' as VolumeName, 8192);
  const path = join(directory, 'volumes', 'disk', 'volume.json');
  const { kind, ...old } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  assert.equal(kind, 'block');
  writeFileSync(path, JSON.stringify(old));
  assert.equal(await readVolumeKind(directory, 'disk' as VolumeName), 'block');
  assert.equal(await volumeBytes(directory, 'disk' as VolumeName), 8192);
  writeFileSync(path, JSON.stringify({ ...old, kind: 'tape' }));
  await refused(readVolumeKind(directory, 'disk' as VolumeName), 'corrupt', /no description of a volume/);
});

test('a creation that was cut short is taken up; what is not its own is left alone', async (t) => {
  const directory = scratch(t);
  await createMedium(directory, ids);
  const at = filesHome(directory, volume);
  mkdirSync(at.home);
  mkdirSync(at.tree);
  writeFileSync(at.replies, Buffer.alloc(4 << 20));
  await createFilesVolume(directory, volume, PLAIN);
  await (await opened(directory)).close();
  for (const [name, put] of [
    ['tree', (path: string) => (mkdirSync(path), writeFileSync(join(path, 'letter'), 'dear'))],
    ['tree', (path: string) => symlinkSync('/etc', path)],
    ['secret', (path: string) => writeFileSync(path, 'short')],
    ['replies', (path: string) => mkdirSync(path)],
  ] as const) {
    const other = `other-${name}-${Math.random().toString(36).slice(2)}` as VolumeName;
    mkdirSync(filesHome(directory, other).home);
    put(join(filesHome(directory, other).home, name));
    await refused(createFilesVolume(directory, other, PLAIN), 'conflict', /left alone/);
  }
});

test('parts that are missing or damaged are said by name', async (t) => {
  const directory = await made(scratch(t));
  const at = filesHome(directory, volume);
  truncateSync(at.secret, 5);
  await refused(opened(directory), 'corrupt', /secret/);
  rmSync(at.secret);
  await refused(opened(directory), 'missing', /secret/);
  writeFileSync(at.secret, Buffer.alloc(32));
  renameSync(at.tree, `${at.tree}-away`);
  await refused(opened(directory), 'missing', /tree/);
  symlinkSync('/etc', at.tree);
  await assert.rejects(opened(directory), Fault);
});

for (const handles of KINDS) {
  test(`${handles}: what was being made when its owner was killed is gone, all else is whole`, async (t) => {
    const directory = await made(scratch(t), handles);
    const at = filesHome(directory, volume);
    const run = fixture(['make', directory, volume]);
    const child = spawn(run.command, run.args, { ...run.options, stdio: ['ignore', 'pipe', 'inherit'] });
    let dots = 0;
    await new Promise<void>((resolve) => {
      child.stdout.on('data', (data: Buffer) => {
        dots += data.length;
        if (dots >= 12) child.kill('SIGKILL');
      });
      child.on('exit', () => resolve());
    });
    mkdirSync(join(at.fresh, 'left-1'));
    writeFileSync(join(at.fresh, 'left-2'), 'half');
    symlinkSync('/etc', join(at.fresh, 'left-3'));
    const files = await opened(directory);
    assert.deepEqual(readdirSync(at.fresh), []);
    const listed = await files.listAll(files.root, 100);
    assert.ok(listed.length >= 12 * 8, `${listed.length} objects`);
    for (const { name } of listed) {
      const { attributes } = await files.lookup(files.root, name);
      assert.ok(MADE_TYPES.some((type) => name.toString().startsWith(type) && type === attributes.type));
      assert.deepEqual([attributes.mtimeNs, attributes.atimeNs], [MADE.mtimeNs, MADE.atimeNs], name.toString());
      if (attributes.type !== 'symlink') assert.equal(attributes.mode, MADE.mode);
    }
    await files.close();
  });

  test(`${handles}: another process knows the same objects by the same ids`, async (t) => {
    const directory = await made(scratch(t), handles);
    const files = await opened(directory);
    const d = await files.create(files.root, 'd', aDirectory());
    const f = await files.create(d.id, 'f', aFile());
    const gone = await files.create(d.id, 'gone', aFile());
    await files.rename(d.id, 'f', files.root, 'moved');
    await files.remove(d.id, 'gone');
    const run = fixture(['look', directory, volume, files.root, d.id, f.id, gone.id]);
    const seen = execFileSync(run.command, run.args, { ...run.options, encoding: 'utf8' });
    const number = async (id: string): Promise<number> => Number((await files.attributes(id)).fileNumber);
    assert.deepEqual(JSON.parse(seen), [await number(files.root), await number(d.id), await number(f.id), 'ESTALE']);
    await files.close();
  });

  test(`${handles}: few files are open at a time, and none when the volume is closed`, async (t) => {
    const directory = await made(scratch(t), handles);
    await (await opened(directory)).close();
    const before = openFds();
    const files = await opened(directory);
    const names = Array.from({ length: OPEN_MAX + 300 }, (_, i) => Buffer.from(`f${i}`));
    const created: string[] = [];
    await files.together(
      names.map((name, i) => (done) => {
        files.tree.create(files.root, name, aFile(), (fault, object) => {
          created[i] = object?.id ?? '';
          done(fault);
        });
      }),
    );
    const faults = await files.together(
      created.map((id) => (done) => files.volume.write(id, 0, [Buffer.from('x')], done)),
    );
    assert.ok(faults.every((fault) => fault === null));
    await files.sync();
    await files.attributes(files.root);
    // Those too many are closed by another thread.
    await until('few descriptors are open', () => openFds() - before < OPEN_MAX + 60);
    for (const id of created.slice(0, 20)) assert.equal((await files.read(id, 0, 1)).toString(), 'x');
    await files.close();
    assert.ok(openFds() <= before, `${openFds()} descriptors, ${before} before`);
  });

  test(`${handles}: nothing outside of the tree is reached`, async (t) => {
    const directory = await made(scratch(t), handles);
    const at = filesHome(directory, volume);
    const files = await opened(directory);
    await files.create(files.root, 'out', { type: 'symlink', to: Buffer.from('/etc'), attributes: aFile().attributes });
    const link = (await files.lookup(files.root, 'out')).id;
    await fails(files.lookup(link, 'passwd'), 'ENOTDIR');
    await fails(files.create(link, 'x', aFile()), 'ENOTDIR');
    await fails(files.remove(link, 'passwd'), 'ENOTDIR');
    const d = (await files.create(files.root, 'd', aDirectory())).id;
    const inner = (await files.create(d, 'inner', aDirectory())).id;
    await files.close();
    // Somebody who may moves a directory out: it is no longer one of the volume.
    renameSync(join(at.tree, 'd'), join(at.home, 'elsewhere'));
    const again = await opened(directory);
    await fails(again.lookup(d, '..'), 'ESTALE');
    await fails(again.lookup(d, 'inner'), 'ESTALE');
    await fails(again.lookup(inner, '..'), 'ESTALE');
    await fails(again.list(d, 0n, 10), 'ESTALE');
    await fails(again.create(inner, 'x', aFile()), 'ESTALE');
    await fails(again.lookup(again.root, 'd'), 'ENOENT');
    await again.close();
    assert.deepEqual(readdirSync(join(at.home, 'elsewhere', 'inner')), []);
  });

  test(`${handles}: what others change beside the volume is seen a second later`, async (t) => {
    const directory = await made(scratch(t), handles);
    const at = filesHome(directory, volume);
    const files = await opened(directory);
    const f = (await files.create(files.root, 'f', aFile())).id;
    const d = (await files.create(files.root, 'd', aDirectory())).id;
    await files.lookup(files.root, 'f');
    renameSync(join(at.tree, 'f'), join(at.tree, 'd', 'g'));
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    await fails(files.lookup(files.root, 'f'), 'ENOENT');
    assert.equal((await files.lookup(d, 'g')).id, f);
    renameSync(join(at.tree, 'd'), join(at.tree, 'e'));
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    await files.write(f, 0, Buffer.from('there'));
    await files.close();
    assert.equal(readFileSync(join(at.tree, 'e', 'g'), 'utf8'), 'there');
  });
}

test('ids of what is gone, many at once, are told from one that is there', async (t) => {
  const directory = await made(scratch(t), 'index');
  const first = await opened(directory);
  const gone: string[] = [];
  for (let i = 0; i < 40; i += 1) {
    gone.push((await first.create(first.root, `f${i}`, aFile())).id);
    await first.remove(first.root, `f${i}`);
  }
  const there = (await first.create(first.root, 'there', aFile())).id;
  await first.close();
  // Opened afresh, the index knows neither them nor it.
  const files = await opened(directory);
  const faults = await files.together([
    ...gone.map((id) => (done: (fault: Fault | null) => void) => files.tree.attributes(id, (fault) => done(fault))),
    (done) => files.volume.write(there, 0, [Buffer.from('x')], done),
  ]);
  assert.equal(faults.pop(), null);
  assert.deepEqual([...new Set(faults.map((fault) => fault?.kind))], ['missing']);
  assert.equal((await files.read(there, 0, 1)).toString(), 'x');
  await files.close();
});

test(
  'an ordinary user serves a volume: the suite, as nobody',
  { skip: isRoot ? false : 'needs root to become nobody' },
  (t) => {
    // Where syncs cost nothing: here it is about rights.
    const parent = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'holdfast-files-'));
    t.after(() => rmSync(parent, { recursive: true }));
    chownSync(parent, NOBODY, NOBODY);
    const run = fixture(['suite', parent], NOBODY);
    const { status, stdout, stderr } = spawnSync(run.command, run.args, { ...run.options, encoding: 'utf8' });
    if (/EACCES|ERR_MODULE_NOT_FOUND/.test(stderr) && !/^ok|^# Subtest/m.test(stdout)) {
      return t.skip('nobody cannot read the program here');
    }
    assert.equal(
      status,
      0,
      `${stdout
        .split('\n')
        .filter((line) => /^not ok|Error|expected/.test(line))
        .join('\n')}${stderr}`,
    );
  },
);

test(
  'a volume named by kernel handles is refused to who may not open them',
  { skip: isRoot && hasHandles ? false : 'needs root and handles' },
  async (t) => {
    const parent = scratch(t);
    const directory = await made(parent, 'kernel');
    execFileSync('chown', ['-R', `${NOBODY}:${NOBODY}`, parent]);
    chmodSync(parent, 0o755);
    const run = fixture(['look', directory, volume], NOBODY);
    const { status, stderr } = spawnSync(run.command, run.args, { ...run.options, encoding: 'utf8' });
    assert.notEqual(status, 0);
    assert.match(stderr, /CAP_DAC_READ_SEARCH|EACCES/);
  },
);

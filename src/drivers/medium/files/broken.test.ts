/** Files volumes on media that are full or broken: on file systems of their own, where those can be mounted. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { aDirectory, aFile, DrivenFiles, errnoOf, fails } from '../../../../suites/tree-driver.ts';
import { Fault, type FaultKind } from '../../../base/fault.ts';
import type { VolumeName } from '../../../base/names.ts';
import { RandomIds } from '../../linux/boot-clock.ts';
import { createMedium } from '../directory.ts';
import { kernelHandlesWork } from './abilities.ts';
import { worldOf } from '../../../../suites/files-process.ts';
import { createFilesVolume } from './home.ts';
import type { HandleKind } from './words.ts';

const volume = 'home' as VolumeName;
const isRoot = process.getuid?.() === 0;
const hasHandles = kernelHandlesWork(tmpdir());
const KINDS: readonly HandleKind[] = hasHandles ? ['kernel', 'index'] : ['index'];

async function made(directory: string, handles?: HandleKind): Promise<void> {
  await createMedium(directory, new RandomIds());
  const plain = { mode: 0o755, uid: null, gid: null };
  await createFilesVolume(directory, volume, handles === undefined ? plain : { ...plain, handles });
}

async function opened(directory: string): Promise<DrivenFiles> {
  return DrivenFiles.open(await worldOf(directory, volume));
}

async function refused(run: Promise<unknown>, kind: FaultKind, saying: RegExp): Promise<void> {
  await assert.rejects(run, (error) => error instanceof Fault && error.kind === kind && saying.test(error.message));
}

/** A file system of its own, unmounted afterwards; null where that cannot be. */
function mounted(t: TestContext, args: readonly string[], prepare: (image: string) => string): string | null {
  const parent = mkdtempSync(join(tmpdir(), 'holdfast-broken-'));
  const at = join(parent, 'mnt');
  mkdirSync(at);
  t.after(() => {
    spawnSync('umount', ['-l', at]);
    rmSync(parent, { recursive: true });
  });
  try {
    execFileSync('mount', [...args, prepare(join(parent, 'image')), at], { stdio: 'pipe' });
    return at;
  } catch {
    return null;
  }
}

test('a full medium says so, and what is removed gives its room back', async (t) => {
  const at = isRoot ? mounted(t, ['-t', 'tmpfs', '-o', 'size=12m,nr_inodes=40'], () => 'tmpfs') : null;
  if (at === null) return t.skip('nothing can be mounted here');
  for (const handles of KINDS) {
    const directory = join(at, handles);
    mkdirSync(directory);
    await made(directory, handles);
    const files = await opened(directory);
    const f = (await files.create(files.root, 'f', aFile())).id;
    const block = Buffer.alloc(1 << 20, 1);
    let written = 0;
    const fill = async (): Promise<void> => {
      for (; ; written += 1) await files.write(f, written << 20, block);
    };
    await refused(fill(), 'full', /ENOSPC/);
    assert.ok(written >= 2, `${written} MiB`);
    await files.write('replies', 0, Buffer.alloc(4 << 20, 2));
    await files.sync();
    let last: string;
    for (let i = 0; ; i += 1) {
      last = await errnoOf(files.create(files.root, `n${i}`, aFile()));
      if (last !== 'ok') break;
    }
    assert.equal(last, 'ENOSPC');
    await files.remove(files.root, 'f');
    // Its room comes back when the last descriptor is closed, which nobody waits for.
    while ((await files.usage()).availableBytes < 1 << 20) await files.world.step();
    await files.close();
    rmSync(directory, { recursive: true });
  }
});

test('a medium that went read-only after an error fails every change, and takes none for done', async (t) => {
  if (!isRoot || !hasHandles) return t.skip('needs root and handles');
  const at = mounted(t, ['-o', 'loop,errors=remount-ro'], (image) => {
    writeFileSync(image, '');
    truncateSync(image, 64 << 20);
    execFileSync('mkfs.ext4', ['-q', image], { stdio: 'pipe' });
    return image;
  });
  if (at === null) return t.skip('no loop mount of ext4 here');
  const device = execFileSync('findmnt', ['-no', 'SOURCE', at], { encoding: 'utf8' }).trim().replace('/dev/', '');
  const trigger = `/sys/fs/ext4/${device}/trigger_fs_error`;
  if (!existsSync(trigger)) return t.skip('this kernel breaks no file system on request');
  const directory = join(at, 'medium');
  mkdirSync(directory);
  await made(directory);
  const files = await opened(directory);
  const f = (await files.create(files.root, 'f', aFile())).id;
  await files.write(f, 0, Buffer.from('before'));
  await files.sync();
  writeFileSync(trigger, '1');
  await fails(files.create(files.root, 'g', aFile()), 'EROFS', 'EIO');
  await fails(files.create(files.root, 'd', aDirectory()), 'EROFS', 'EIO');
  await fails(files.change(f, { mode: 0o600 }), 'EROFS', 'EIO');
  await fails(files.remove(files.root, 'f'), 'EROFS', 'EIO');
  await fails(files.rename(files.root, 'f', files.root, 'h'), 'EROFS', 'EIO');
  await assert.rejects(
    (async () => {
      await files.write(f, 4096, Buffer.alloc(8192, 1));
      await files.stamp(f, 1n);
      await files.sync();
    })(),
    Fault,
  );
  assert.equal((await files.read(f, 0, 6)).toString(), 'before');
  await files.close();
  await assert.rejects(opened(directory), Fault);
});

/**
 * What the tests of files volumes run in a process of its own:
 *
 *     make DIRECTORY VOLUME        makes objects in the root for ever, each with the same attributes; a dot for each
 *     look DIRECTORY VOLUME IDS…   prints what each id is, as JSON
 *     suite PARENT                 runs the ports' suite, as whoever runs it
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { realStep } from './real-step.ts';
import { type FilesWorld, treeSuite } from './tree.ts';
import { DrivenFiles, errnoOf } from './tree-driver.ts';
import type { ServerId, VolumeName } from '../src/base/names.ts';
import type { Creation } from '../src/ports/tree.ts';
import { BootClock, RandomIds } from '../src/drivers/linux/boot-clock.ts';
import { createMedium, DirectoryMedium, readMediumId } from '../src/drivers/medium/directory.ts';
import { createFilesVolume } from '../src/drivers/medium/files/home.ts';

/** What `make` gives everything that it makes. */
export const MADE = { mode: 0o640, uid: null, gid: null, atimeNs: 1_000n, mtimeNs: 1_234_567_890n } as const;
export const MADE_TYPES = ['file', 'directory', 'fifo', 'symlink'] as const;

export async function worldOf(directory: string, volume: string): Promise<FilesWorld> {
  return {
    medium: new DirectoryMedium({ directory, server: 'a' as ServerId, sharing: 'host', clock: new BootClock() }),
    volume: volume as VolumeName,
    mediumId: await readMediumId(directory),
    manyEntries: 1_000,
    asserts: false,
    step: realStep,
    end: async () => {},
  };
}

async function make(directory: string, volume: string): Promise<never> {
  const files = await DrivenFiles.open(await worldOf(directory, volume));
  for (let i = 0; ; i += 8) {
    await files.together(
      Array.from({ length: 8 }, (_, k) => (done) => {
        const type = MADE_TYPES[(i + k) % MADE_TYPES.length] ?? 'file';
        const what: Creation =
          type === 'symlink' ? { type, to: Buffer.from('somewhere'), attributes: MADE } : { type, attributes: MADE };
        files.tree.create(files.root, Buffer.from(`${type}-${i + k}`), what, (fault) => done(fault));
      }),
    );
    process.stdout.write('.');
  }
}

async function look(directory: string, volume: string, ids: readonly string[]): Promise<void> {
  const files = await DrivenFiles.open(await worldOf(directory, volume));
  const found = [];
  for (const id of ids) {
    const errno = await errnoOf(files.attributes(id));
    found.push(errno === 'ok' ? Number((await files.attributes(id)).fileNumber) : errno);
  }
  process.stdout.write(JSON.stringify(found));
  await files.close();
}

function suite(parent: string): void {
  treeSuite('files, index, an ordinary user', async () => {
    const directory = mkdtempSync(join(parent, 'world-'));
    await createMedium(directory, new RandomIds());
    await createFilesVolume(directory, 'home' as VolumeName, { mode: 0o755, uid: null, gid: null });
    return { ...(await worldOf(directory, 'home')), end: async () => rmSync(directory, { recursive: true }) };
  });
}

const [mode, directory, volume, ...ids] = process.argv.slice(2);
if (mode === 'make' && directory !== undefined && volume !== undefined) await make(directory, volume);
if (mode === 'look' && directory !== undefined && volume !== undefined) await look(directory, volume, ids);
if (mode === 'suite' && directory !== undefined) suite(directory);

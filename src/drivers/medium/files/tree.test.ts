/** Files volumes of a directory medium against the ports' suite, with both kinds of handles. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { realStep } from '../../../../suites/real-step.ts';
import { type FilesWorld, treeSuite } from '../../../../suites/tree.ts';
import type { ServerId, VolumeName } from '../../../base/names.ts';
import { BootClock, RandomIds } from '../../linux/boot-clock.ts';
import { createMedium, DirectoryMedium } from '../directory.ts';
import type { Sharing } from '../raw-file.ts';
import { kernelHandlesWork } from './abilities.ts';
import { createFilesVolume } from './home.ts';
import type { HandleKind } from './words.ts';

const volume = 'home' as VolumeName;
/** Entries of the largest directory. The whole hundred thousand take long where others want the processor, too. */
const MANY = process.env['HOLDFAST_E2E_LONG'] === '1' ? 100_000 : 20_000;
const clock = new BootClock();

async function world(parent: string, handles: HandleKind, sharing: Sharing, manyEntries: number): Promise<FilesWorld> {
  const scratch = mkdtempSync(join(parent, 'holdfast-tree-'));
  const mediumId = await createMedium(scratch, new RandomIds());
  await createFilesVolume(scratch, volume, { mode: 0o755, uid: null, gid: null, handles });
  return {
    medium: new DirectoryMedium({ directory: scratch, server: 'a' as ServerId, sharing, clock }),
    volume,
    mediumId,
    manyEntries,
    asserts: false,
    step: realStep,
    end: async () => rmSync(scratch, { recursive: true, force: true }),
  };
}

const noHandles = kernelHandlesWork(tmpdir()) ? false : 'no kernel file handles here, or no right to open them';
const noMemory = existsSync('/dev/shm') ? false : 'there is no /dev/shm here';

treeSuite('files, kernel handles', () => world(tmpdir(), 'kernel', 'host', 2_000), noHandles);
treeSuite('files, kernel handles, machines', () => world(tmpdir(), 'kernel', 'machines', 500), noHandles);
treeSuite('files, index', () => world(tmpdir(), 'index', 'host', 2_000));
treeSuite('files, index, on tmpfs', () => world('/dev/shm', 'index', 'host', 5_000), noMemory);
treeSuite('files, kernel handles, on tmpfs', () => world('/dev/shm', 'kernel', 'host', MANY), noHandles || noMemory);

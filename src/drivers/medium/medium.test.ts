/** The media of this room against the medium port's suite. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mediumSuite, type MediumWorld, pseudoRandom } from '../../../suites/medium.ts';
import { realStep } from '../../../suites/real-step.ts';
import type { MediumId, ServerId, VolumeName } from '../../base/names.ts';
import type { Medium } from '../../ports/medium.ts';
import { BootClock, RandomIds } from '../linux/boot-clock.ts';
import { createMedium, createVolume, DirectoryMedium } from './directory.ts';
import { createImage, ImageMedium } from './image.ts';
import type { Sharing } from './raw-file.ts';

const volume = 'disk1' as VolumeName;
const server = 'a' as ServerId;
const clock = new BootClock();
/** No multiple of any block size. */
const ODD_BYTES = 1_300_001;

interface Made {
  readonly medium: Medium;
  readonly mediumId: MediumId;
  readonly sizeBytes: number;
  readonly end?: () => void;
}

async function world(parent: string, make: (scratch: string) => Promise<Made>): Promise<MediumWorld> {
  const scratch = mkdtempSync(join(parent, 'holdfast-medium-'));
  const made = await make(scratch);
  return {
    ...made,
    volume,
    unitBytes: 1,
    asserts: false,
    fill: (length, seed) => {
      const random = pseudoRandom(seed);
      const data = Buffer.alloc(length);
      for (let i = 0; i < length; i++) data[i] = 1 + random(255);
      return data;
    },
    step: realStep,
    end: async () => {
      made.end?.();
      rmSync(scratch, { recursive: true, force: true });
    },
  };
}

async function directory(scratch: string, sharing: Sharing): Promise<Made> {
  const mediumId = await createMedium(scratch, new RandomIds());
  await createVolume(scratch, volume, ODD_BYTES);
  return {
    medium: new DirectoryMedium({ directory: scratch, server, sharing, clock }),
    mediumId,
    sizeBytes: ODD_BYTES,
  };
}

async function image(scratch: string): Promise<Made> {
  const path = join(scratch, 'raw');
  const mediumId = await createImage(path, volume, ODD_BYTES, new RandomIds());
  return { medium: new ImageMedium({ path, volume, server, sharing: 'host', clock }), mediumId, sizeBytes: ODD_BYTES };
}

const DEVICE_BYTES = 1_310_720 + 512;

async function device(scratch: string, sharing: Sharing): Promise<Made> {
  const backing = join(scratch, 'backing');
  writeFileSync(backing, '');
  truncateSync(backing, DEVICE_BYTES);
  const path = execFileSync('losetup', ['--find', '--show', backing], { encoding: 'utf8' }).trim();
  const end = (): void => void execFileSync('losetup', ['--detach', path]);
  try {
    const mediumId = await createImage(path, volume, DEVICE_BYTES, new RandomIds());
    const medium = new ImageMedium({ path, volume, server, sharing, clock });
    return { medium, mediumId, sizeBytes: DEVICE_BYTES, end };
  } catch (error) {
    end();
    throw error;
  }
}

for (const sharing of ['host', 'machines'] as const) {
  mediumSuite(`directory, ${sharing}`, () => world(tmpdir(), (scratch) => directory(scratch, sharing)));
}
mediumSuite(
  'directory on tmpfs',
  () => world('/dev/shm', (scratch) => directory(scratch, 'host')),
  existsSync('/dev/shm') ? false : 'there is no /dev/shm here',
);
mediumSuite('image file', () => world(tmpdir(), image));
for (const sharing of ['host', 'machines'] as const) {
  mediumSuite(
    `image device, ${sharing}`,
    () => world(tmpdir(), (scratch) => device(scratch, sharing)),
    noLoopDevices(),
  );
}

/** Block devices are tried on loop devices, which only root can make, and not in every container. */
function noLoopDevices(): string | false {
  try {
    execFileSync('losetup', ['--find'], { stdio: ['ignore', 'pipe', 'ignore'] });
    return process.getuid?.() === 0 ? false : 'loop devices need root';
  } catch {
    return 'losetup finds no loop device here';
  }
}

/**
 * For tests: a process of its own that swaps a record until it stands at the given version, and prints each version
 * that it was told to have made.
 *
 *     compete.fixture.js DIRECTORY SERVER VOLUME TARGET
 */
import type { ServerId, Version, VolumeName } from '../../base/names.ts';
import type { VolumeRecord } from '../../ports/coordinator.ts';
import { BootClock, RandomIds } from '../linux/boot-clock.ts';
import { DirectoryCoordinator } from './directory.ts';

const [directory = '', server = '', volume = '', target = '0'] = process.argv.slice(2);
const coordinator = new DirectoryCoordinator({
  directory,
  server: server as ServerId,
  sharing: 'host',
  clock: new BootClock(),
});
const ids = new RandomIds();

function go(): void {
  coordinator.read(volume as VolumeName, (fault, found) => {
    if (found === null) throw fault ?? new Error('neither fault nor record');
    if (found.version < Number(target)) swap(found);
  });
}

function swap(found: VolumeRecord): void {
  const next: VolumeRecord = { ...found, version: (found.version + 1) as Version, nonce: ids.draw(), why: server };
  coordinator.swap(volume as VolumeName, next, (outcome, fault) => {
    if (outcome === 'unknown') throw fault ?? new Error('unknown without a fault');
    if (outcome === 'done') process.stdout.write(`${next.version} ${next.nonce}\n`);
    go();
  });
}

go();

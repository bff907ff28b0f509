/**
 * A files volume in memory that is registered with the port mapper of this host, for portmapper.test.ts. It says `open`
 * when it can be mounted, and leaves in good order when its input ends.
 */
import { writeSync } from 'node:fs';
import type { Epoch, VolumeName } from '../../src/base/names.ts';
import { NfsDoors } from '../../src/front/nfs/doors.ts';
import { createFilesProgram } from '../../src/front/nfs/files-program.ts';
import { EXPORT } from '../../suites/files-caller.ts';
import { MemoryFiles } from '../../suites/memory-files.ts';

const VOLUME = 'home' as VolumeName;
const say = (text: string): void => void writeSync(1, `${text}\n`);

const exported = { ...EXPORT, portmapper: true, address: { host: '127.0.0.1', port: 20_490 } };
const doors = new NfsDoors({
  exports: new Map([[VOLUME, exported]]),
  program: createFilesProgram,
  log: (event, fields) => {
    if (event !== 'nfs.portmap') return;
    say(String(fields['done']));
    if (fields['done'] !== 'registered') process.exit(0);
  },
});
doors.open(VOLUME, 1 as Epoch, new MemoryFiles(), (fault) => {
  if (fault !== null) throw fault;
});
process.stdin.resume().on('end', () => doors.close(VOLUME, 'the test is over'));

/** The demo's program on files and its books are right: they outlast a lost connection and find every wrong byte and name. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { EXPORT } from '../../../suites/files-caller.ts';
import { MemoryFiles } from '../../../suites/memory-files.ts';
import type { Epoch, VolumeName } from '../../base/names.ts';
import { NfsDoors } from '../../front/nfs/doors.ts';
import { createFilesProgram } from '../../front/nfs/files-program.ts';
import { done } from '../exit.ts';
import { Notes } from './notes.ts';
import { Share } from './share.ts';

const VOLUME = 'files' as VolumeName;

test('notes are made, renamed and removed once, whatever becomes of the connection, and read back', async (t) => {
  const service = new MemoryFiles();
  const address = { host: '127.0.0.1', port: 0 };
  const exports = new Map([[VOLUME, { ...EXPORT, address }]]);
  const doors = new NfsDoors({ exports, program: createFilesProgram, log: () => undefined });
  t.after(() => doors.close(VOLUME, 'the test is over'));
  await done((settle) => doors.open(VOLUME, 1 as Epoch, service, settle));
  address.port = doors.port(VOLUME) ?? 0;
  const share = new Share('127.0.0.1', address.port, '/files');
  t.after(() => share.close());
  const notes = new Notes(share);
  const running = notes.run();
  const made = async (number: number): Promise<void> => {
    while (notes.files < number) await new Promise((resolve) => setTimeout(resolve, 2));
  };
  await made(4);
  for (const epoch of [2, 3]) {
    await done((settle) => doors.open(VOLUME, epoch as Epoch, service, settle));
    await made(4 * epoch);
  }
  notes.stop();
  await running;
  const whole = await notes.check();
  assert.deepEqual([whole.wrongBytes, whole.wrongNames], [0, []]);
  assert.ok(whole.checkedBytes > 0 && share.takeLongestMs() > 0);

  const handle = await share.lookup('note-2');
  const bytes = await share.read(handle);
  bytes[5] = (bytes[5] ?? 0) ^ 1;
  await share.write(handle, bytes);
  await share.create('stranger');
  await share.remove('note-1');
  const wrong = await notes.check();
  assert.deepEqual([wrong.wrongBytes, wrong.wrongNames.toSorted()], [1, ['note-1', 'stranger']]);
  await assert.rejects(share.create('stranger'), /NFS error 17/);
});

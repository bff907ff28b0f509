import assert from 'node:assert/strict';
import { chmodSync, closeSync, fstatSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { O_RDWR } from './at-calls.ts';
import { OwnedFiles } from './owned-files.ts';

const { EEXIST, EACCES } = constants.errno;
const isRoot = process.getuid?.() === 0;

test('a file is made with owner, group and mode at once, or not at all', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-owned-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const fd = openSync(directory, 'r');
  const mask = process.umask(0o022);
  const files = OwnedFiles.take(fd);
  process.umask(mask);
  if (files === null) return t.skip('directories made here have a default list of access rights');
  const own = files.create(fd, 'own', O_RDWR, 0o640, null, null);
  assert.ok(own !== null && own >= 0);
  assert.equal(fstatSync(own).mode & 0o7777, 0o640);
  assert.equal(fstatSync(own).uid, process.geteuid?.());
  closeSync(own);
  assert.equal(files.create(fd, 'own', O_RDWR, 0o640, null, null), -EEXIST);
  assert.equal(files.create(fd, 'wide', O_RDWR, 0o666, null, null), null, 'the mask would take some of it away');
  assert.equal(files.create(fd, 'set-id', O_RDWR, 0o4755, null, null), null);
  if (isRoot) {
    assert.equal(files.create(fd, 'closed', O_RDWR, 0o644, 1234, 2345), -EACCES, 'where that owner may not write');
    assert.deepEqual(readdirSync(directory), ['own']);
    chmodSync(directory, 0o777);
    const others = files.create(fd, 'others', O_RDWR, 0o604, 1234, 2345);
    assert.ok(others !== null && others >= 0);
    const { uid, gid, mode } = fstatSync(others);
    assert.deepEqual([uid, gid, mode & 0o7777], [1234, 2345, 0o604]);
    closeSync(others);
    const after = files.create(fd, 'after', O_RDWR, 0o644, null, null);
    assert.ok(after !== null && after >= 0);
    assert.deepEqual([fstatSync(after).uid, fstatSync(after).gid], [0, process.getegid?.()], 'nothing of it stays');
    closeSync(after);
  } else assert.equal(files.create(fd, 'other', O_RDWR, 0o644, 1234, 2345), null);
  closeSync(fd);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FilesCaller, NOTHING, mode, user } from '../../../../suites/files-caller.ts';
import { MemoryFiles } from '../../../../suites/memory-files.ts';
import { NfsStatus } from '../../../wire/nfs/types.ts';

const opened = (service = new MemoryFiles()): Promise<FilesCaller> => new FilesCaller(service).open();

test('a file is written and read back, before and after it was destaged', async () => {
  const caller = await opened();
  const file = await caller.file('a');
  const wrote = await caller.write(file, 0, 'hello world');
  assert.ok(wrote.status === NfsStatus.ok);
  assert.equal(wrote.count, 11);
  assert.equal(wrote.committed, 2);
  assert.equal(await caller.text(file), 'hello world');
  const before = await caller.attributes(file);
  assert.equal(before.sizeBytes, 11);
  caller.service.destage();
  assert.equal(caller.service.undestaged, 0);
  assert.deepEqual({ ...(await caller.attributes(file)), usedBytes: 0 }, { ...before, usedBytes: 0 });
  assert.equal(await caller.text(file), 'hello world');
});

test('UNSTABLE is answered FILE_SYNC, COMMIT has the same verifier, and an empty WRITE is none', async () => {
  const caller = await opened();
  const file = await caller.file('a');
  const wrote = await caller.send({ procedure: 'write', handle: file, offset: 0, stable: 0, data: Buffer.from('x') });
  const committed = await caller.send({ procedure: 'commit', handle: file, offset: 0, count: 0 });
  assert.ok(wrote.status === NfsStatus.ok && committed.status === NfsStatus.ok);
  assert.equal(wrote.committed, 2);
  assert.equal(wrote.verifier, committed.verifier);
  const nothing = await caller.write(file, 100, '');
  assert.ok(nothing.status === NfsStatus.ok && nothing.count === 0);
  assert.equal((await caller.attributes(file)).sizeBytes, 1);
});

test('wcc data of a WRITE is what was shown before and what is shown after', async () => {
  const caller = await opened();
  const file = await caller.file('a');
  const shown = await caller.attributes(file);
  const one = caller.write(file, 0, 'one');
  const two = caller.write(file, 10, 'two');
  const [first, second] = [await one, await two];
  assert.ok(first.status === NfsStatus.ok && second.status === NfsStatus.ok);
  const { sizeBytes, mtimeNs, ctimeNs } = shown;
  assert.deepEqual(first.wcc.before, { sizeBytes, mtimeNs, ctimeNs });
  const after = first.wcc.after;
  assert.ok(after !== null && second.wcc.after !== null);
  assert.deepEqual(second.wcc.before, { sizeBytes: 3, mtimeNs: after.mtimeNs, ctimeNs: after.ctimeNs });
  assert.ok(second.wcc.after.mtimeNs > after.mtimeNs && after.mtimeNs > mtimeNs);
  assert.equal(second.wcc.after.sizeBytes, 13);
});

test('attributes do not show a write that is not acknowledged', async () => {
  const caller = await opened();
  const file = await caller.file('a');
  const shown = await caller.attributes(file);
  caller.service.keepBack();
  const wrote = caller.write(file, 0, 'not yet');
  assert.deepEqual(await caller.attributes(file), shown);
  caller.service.goOn();
  const done = await wrote;
  assert.ok(done.status === NfsStatus.ok);
  assert.equal((await caller.attributes(file)).sizeBytes, 7);
});

test('READ tells the end, reads holes as zeroes, and nothing behind the end', async () => {
  const caller = await opened();
  const file = await caller.file('a');
  await caller.write(file, 5, 'end');
  const all = await caller.read(file);
  assert.ok(all.status === NfsStatus.ok && all.eof);
  assert.equal(all.count, 8);
  assert.equal(await caller.text(file), '\0\0\0\0\0end');
  const part = await caller.read(file, 0, 6);
  assert.ok(part.status === NfsStatus.ok && !part.eof);
  assert.equal(part.count, 6);
  const behind = await caller.read(file, 100, 6);
  assert.ok(behind.status === NfsStatus.ok && behind.eof);
  assert.equal(behind.count, 0);
});

test('SETATTR cuts and extends, sets times, and keeps its order with writes', async () => {
  const caller = await opened();
  const file = await caller.file('a');
  await caller.write(file, 0, '0123456789');
  const cut = await caller.setattr(file, { sizeBytes: 4 });
  assert.equal(cut.status, NfsStatus.ok);
  assert.equal(cut.wcc.before?.sizeBytes, 10);
  assert.equal(cut.wcc.after?.sizeBytes, 4);
  const longer = caller.setattr(file, { sizeBytes: 8 });
  const wrote = caller.write(file, 2, 'XY');
  await Promise.all([longer, wrote]);
  assert.equal(await caller.text(file), '01XY\0\0\0\0');
  await caller.setattr(file, { mtime: 1_000_000_005n, atime: 7n, mode: 0o600 });
  const { mtimeNs, atimeNs, mode: bits } = await caller.attributes(file);
  assert.deepEqual([mtimeNs, atimeNs, bits], [1_000_000_005n, 7n, 0o600]);
  caller.service.destage();
  const node = [...caller.service.tree.nodes.values()].find(({ type }) => type === 'file');
  assert.equal(node?.mtimeNs, 1_000_000_005n);
  assert.equal(node?.data.toString('latin1'), '01XY\0\0\0\0');
});

test('a guard that does not match keeps everything as it is', async () => {
  const caller = await opened();
  const file = await caller.file('a');
  const { ctimeNs } = await caller.attributes(file);
  assert.equal((await caller.setattr(file, { mode: 0o600 }, ctimeNs - 1n)).status, NfsStatus.notSync);
  assert.equal((await caller.attributes(file)).mode, 0o644);
  assert.equal((await caller.setattr(file, { mode: 0o600 }, ctimeNs)).status, NfsStatus.ok);
  assert.equal((await caller.attributes(file)).mode, 0o600);
});

test('EXCLUSIVE is recognised by its verifier, on the next server too', async () => {
  const caller = await opened();
  const how = { mode: 'exclusive', verifier: 0xfedc_ba98_7654_3210n } as const;
  const ask = { procedure: 'create', directory: caller.root, name: Buffer.from('x'), how } as const;
  const made = await caller.send(ask);
  assert.ok(made.status === NfsStatus.ok);
  const other = await caller.send({ ...ask, how: { ...how, verifier: 1n } });
  assert.equal(other.status, NfsStatus.exist);
  const next = await opened(new MemoryFiles(caller.service.remains(0)));
  const again = await next.send({ ...ask, directory: next.root });
  assert.ok(again.status === NfsStatus.ok);
  assert.deepEqual(again.handle, made.handle);
  assert.ok(again.handle !== null);
  await next.setattr(again.handle, { mtime: 'now', atime: 'now' });
  assert.equal((await next.send({ ...ask, directory: next.root })).status, NfsStatus.exist);
});

test('GUARDED and UNCHECKED', async () => {
  const caller = await opened();
  const file = await caller.file('a');
  await caller.write(file, 0, 'text');
  const guarded = { mode: 'guarded', attributes: mode(0o600) } as const;
  const name = Buffer.from('a');
  const refused = await caller.send({ procedure: 'create', directory: caller.root, name, how: guarded });
  assert.equal(refused.status, NfsStatus.exist);
  const kept = await caller.create(caller.root, 'a', mode(0o600));
  assert.ok(kept.status === NfsStatus.ok);
  assert.equal(kept.attributes?.sizeBytes, 4);
  assert.equal(kept.attributes?.mode, 0o644);
  const cut = await caller.create(caller.root, 'a', { ...NOTHING, sizeBytes: 0 });
  assert.ok(cut.status === NfsStatus.ok);
  assert.equal(cut.attributes?.sizeBytes, 0);
});

test('names: directories, links, renames, removals', async () => {
  const caller = await opened();
  const { root } = caller;
  const dir = await caller.directory('d');
  const file = await caller.file('a');
  assert.equal((await caller.link(file, dir, 'b')).attributes?.links, 2);
  assert.equal((await caller.link(file, dir, 'b')).status, NfsStatus.exist);
  assert.equal((await caller.link(dir, dir, 'c')).status, NfsStatus.isdir);
  assert.equal((await caller.remove(root, 'd')).status, NfsStatus.isdir);
  assert.equal((await caller.rmdir(root, 'a')).status, NfsStatus.notdir);
  assert.equal((await caller.rmdir(root, 'd')).status, NfsStatus.notempty);
  assert.equal((await caller.rename(root, 'a', dir, 'b')).status, NfsStatus.ok);
  assert.equal((await caller.getattr(file)).status, NfsStatus.ok);
  assert.equal((await caller.attributes(file)).links, 2);
  assert.equal((await caller.remove(root, 'a')).status, NfsStatus.ok);
  assert.equal((await caller.rename(dir, 'b', root, 'e')).status, NfsStatus.ok);
  assert.equal((await caller.rename(root, 'd', dir, 'x')).status, NfsStatus.inval);
  assert.equal((await caller.remove(root, 'e')).status, NfsStatus.ok);
  assert.equal((await caller.getattr(file)).status, NfsStatus.stale);
  assert.equal((await caller.write(file, 0, 'x')).status, NfsStatus.stale);
  assert.equal((await caller.rmdir(root, 'd')).status, NfsStatus.ok);
  assert.equal((await caller.getattr(dir)).status, NfsStatus.stale);
  assert.equal((await caller.lookup(root, 'd')).status, NfsStatus.noent);
});

test('symbolic links are read, never followed; special files are made', async () => {
  const caller = await opened();
  const made = await caller.symlink(caller.root, 's', '../../etc/passwd');
  assert.ok(made.status === NfsStatus.ok && made.handle !== null);
  const got = await caller.send({ procedure: 'readlink', handle: made.handle });
  assert.ok(got.status === NfsStatus.ok);
  assert.equal(got.to.toString(), '../../etc/passwd');
  assert.equal((await caller.lookup(made.handle, 'x')).status, NfsStatus.notdir);
  assert.equal((await caller.read(made.handle)).status, NfsStatus.inval);
  assert.equal((await caller.symlink(caller.root, 't', 'x'.repeat(5000))).status, NfsStatus.nametoolong);
  const name = Buffer.from('null');
  const what = { type: 'character', major: 1, minor: 3, attributes: mode(0o666) } as const;
  const device = await caller.send({ procedure: 'mknod', directory: caller.root, name, what });
  assert.ok(device.status === NfsStatus.ok);
  assert.equal(device.attributes?.minor, 3);
  const ask = { procedure: 'mknod', directory: caller.root, name: Buffer.from('n2') } as const;
  assert.equal((await caller.send({ ...ask, what }, { credential: user(7) })).status, NfsStatus.acces);
  const none = { type: 'none', asked: 'file' } as const;
  assert.equal((await caller.send({ ...ask, what: none })).status, NfsStatus.badtype);
});

test('names that cannot be, and those that are bytes', async () => {
  const caller = await opened();
  const { root } = caller;
  const status = async (name: string): Promise<number> => (await caller.create(root, name)).status;
  assert.equal(await status(''), NfsStatus.inval);
  assert.equal(await status('a/b'), NfsStatus.inval);
  assert.equal(await status('a\0b'), NfsStatus.inval);
  assert.equal(await status('.'), NfsStatus.exist);
  assert.equal(await status('..'), NfsStatus.exist);
  assert.equal(await status('x'.repeat(256)), NfsStatus.nametoolong);
  assert.equal(await status('x'.repeat(255)), NfsStatus.ok);
  assert.equal(await status('\xff\xfe\x80 '), NfsStatus.ok);
  assert.equal((await caller.lookup(root, '\xff\xfe\x80 ')).status, NfsStatus.ok);
  assert.equal((await caller.rmdir(root, '.')).status, NfsStatus.inval);
  assert.equal((await caller.rmdir(root, '..')).status, NfsStatus.exist);
  assert.equal((await caller.remove(root, '..')).status, NfsStatus.isdir);
  assert.equal((await caller.rename(root, '.', root, 'q')).status, NfsStatus.inval);
  const dot = await caller.lookup(root, '.');
  const parent = await caller.lookup(root, '..');
  assert.ok(dot.status === NfsStatus.ok && parent.status === NfsStatus.ok);
  assert.deepEqual([dot.handle, parent.handle], [root, root]);
});

test('handles that are forged, of another volume, or no handles at all', async () => {
  const caller = await opened();
  const file = await caller.file('a');
  const forged = Buffer.from(file);
  forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1;
  assert.equal((await caller.getattr(forged)).status, NfsStatus.badhandle);
  assert.equal((await caller.getattr(Buffer.alloc(0))).status, NfsStatus.badhandle);
  assert.equal((await caller.write(Buffer.alloc(64, 1), 0, 'x')).status, NfsStatus.badhandle);
  assert.equal((await caller.getattr(file)).status, NfsStatus.ok);
});

test('FSSTAT, FSINFO, PATHCONF, ACCESS, NULL', async () => {
  const caller = await opened();
  const handle = caller.root;
  const stat = await caller.send({ procedure: 'fsstat', handle });
  assert.ok(stat.status === NfsStatus.ok);
  assert.equal(stat.availableBytes, 1 << 28);
  const info = await caller.send({ procedure: 'fsinfo', handle });
  assert.ok(info.status === NfsStatus.ok);
  assert.equal(info.wtmax, 1 << 20);
  assert.equal(info.properties, 27);
  const conf = await caller.send({ procedure: 'pathconf', handle });
  assert.ok(conf.status === NfsStatus.ok);
  assert.equal(conf.nameMax, 255);
  const file = await caller.file('a', mode(0o640));
  const access = await caller.send({ procedure: 'access', handle: file, access: 63 }, { credential: user(5) });
  assert.ok(access.status === NfsStatus.ok);
  assert.equal(access.access, 0);
  assert.deepEqual(await caller.send({ procedure: 'null' }), { procedure: 'null' });
});

/** The part of the files volumes' suite (suites/tree.ts) that is about attributes and the kinds of objects. */
import assert from 'node:assert/strict';
import type { Creation } from '../src/ports/tree.ts';
import { aDirectory, aFile, countsLinks, errnoOf, fails, type Run, UNCHANGED, withMode } from './tree-driver.ts';

/** Not what any clock says by itself, and finer than floating point can tell. */
const ATIME_NS = 1_234_567_890_123_456_789n;
const MTIME_NS = 987_654_321_987_654_321n;

export function attributesSuite(run: Run): void {
  run('every kind of object is made with its attributes, and keeps them', async (files) => {
    const times = { atimeNs: ATIME_NS, mtimeNs: MTIME_NS };
    const kinds: readonly Creation[] = [
      { type: 'file', attributes: { ...withMode(0o4751), ...times } },
      { type: 'directory', attributes: { ...withMode(0o1777), ...times } },
      { type: 'symlink', to: Buffer.from([0xff, 0x2f, 0x41]), attributes: { ...withMode(0o777), ...times } },
      { type: 'fifo', attributes: { ...withMode(0o600), ...times } },
      { type: 'socket', attributes: { ...withMode(0o666), ...times } },
    ];
    for (const what of kinds) {
      const made = await files.create(files.root, what.type, what);
      const { attributes } = made;
      assert.equal(attributes.type, what.type);
      countsLinks(attributes, what.type === 'directory' ? 2 : 1);
      if (what.type !== 'symlink') assert.equal(attributes.mode, what.attributes.mode);
      assert.deepEqual([attributes.atimeNs, attributes.mtimeNs], [ATIME_NS, MTIME_NS]);
      if (what.type === 'symlink') assert.deepEqual(await files.readLink(made.id), what.to);
      else await fails(files.readLink(made.id), 'EINVAL');
      assert.deepEqual((await files.lookup(files.root, what.type)).attributes, await files.attributes(made.id));
      assert.equal((await files.attributes(made.id)).fileNumber, attributes.fileNumber);
    }
    const numbers = (await files.listAll(files.root, 3)).map(({ fileNumber }) => fileNumber);
    assert.equal(new Set(numbers).size, kinds.length);
    for (const { name, fileNumber } of await files.listAll(files.root, 100)) {
      assert.equal((await files.lookup(files.root, name)).attributes.fileNumber, fileNumber);
    }
  });

  run('devices, where they may be made', async (files) => {
    const what: Creation = { type: 'character', major: 259, minor: 70_000, attributes: withMode(0o640) };
    const errno = await errnoOf(files.create(files.root, 'device', what));
    if (errno !== 'ok') return assert.equal(errno, 'EPERM');
    const { attributes } = await files.lookup(files.root, 'device');
    assert.deepEqual([attributes.type, attributes.major, attributes.minor], ['character', 259, 70_000]);
    const changed = await files.change((await files.lookup(files.root, 'device')).id, { mode: 0o666 });
    assert.equal(changed.mode, 0o666);
    await files.create(files.root, 'block', { type: 'block', major: 7, minor: 3, attributes: UNCHANGED });
    assert.equal((await files.lookup(files.root, 'block')).attributes.type, 'block');
    await files.remove(files.root, 'device');
  });

  run('mode and times are changed, each by itself', async (files) => {
    for (const what of [aFile(), aDirectory()]) {
      const { id, attributes: before } = await files.create(files.root, what.type, what);
      const changed = await files.change(id, { mode: 0o4000 });
      assert.deepEqual([changed.mode, changed.mtimeNs], [0o4000, before.mtimeNs]);
      assert.equal((await files.change(id, { mtimeNs: MTIME_NS })).mtimeNs, MTIME_NS);
      const both = await files.change(id, { atimeNs: ATIME_NS, mode: 0o1755 });
      assert.deepEqual([both.atimeNs, both.mtimeNs, both.mode], [ATIME_NS, MTIME_NS, 0o1755]);
      assert.deepEqual(await files.attributes(id), both);
      assert.ok(both.ctimeNs >= before.ctimeNs, 'ctime goes on');
    }
    const to = { type: 'symlink', to: Buffer.from('file'), attributes: UNCHANGED } as const;
    const link = (await files.create(files.root, 'link', to)).id;
    assert.equal((await files.change(link, { mtimeNs: -1n })).mtimeNs, -1n);
    assert.notEqual((await files.lookup(files.root, 'file')).attributes.mtimeNs, -1n, 'a link is not followed');
    const root = await files.change(files.root, { mode: 0o700, mtimeNs: 5n });
    assert.deepEqual([root.mode, root.mtimeNs], [0o700, 5n]);
  });

  run('owners are changed where that is allowed, and else not', async (files) => {
    const { uid, gid } = await files.attributes(files.root);
    const owned = { ...aFile(), attributes: { ...withMode(0o640), uid: uid + 5, gid: gid + 6 } };
    const { id, attributes } = await files.create(files.root, 'f', owned);
    assert.equal(attributes.mode, 0o640);
    if (files.tree.limits.changesOwners) {
      assert.deepEqual([attributes.uid, attributes.gid], [uid + 5, gid + 6]);
      const changed = await files.change(id, { uid: uid + 7 });
      assert.deepEqual([changed.uid, changed.gid], [uid + 7, gid + 6]);
    } else {
      assert.deepEqual([attributes.uid], [uid]);
      await fails(files.change(id, { uid: uid + 7 }), 'EPERM');
      await files.change(id, { uid, gid: attributes.gid });
    }
  });

  run('a directory that hands on its group does', async (files) => {
    const { gid } = await files.attributes(files.root);
    const group = files.tree.limits.changesOwners ? gid + 3 : gid;
    const shared = { type: 'directory', attributes: { ...withMode(0o2775), gid: group } } as const;
    const d = (await files.create(files.root, 'd', shared)).id;
    assert.equal((await files.create(d, 'f', aFile())).attributes.gid, group);
  });

  run('an object that shuts its owner out can be used all the same', async (files) => {
    const f = (await files.create(files.root, 'f', aFile(0o000))).id;
    await files.write(f, 0, Buffer.from('still'));
    await files.sync();
    assert.equal((await files.attributes(f)).mode, 0o000);
    const d = (await files.create(files.root, 'd', aDirectory(0o300))).id;
    await files.create(d, 'x', aFile(0o444));
    assert.equal((await files.listAll(d, 10)).length, 1);
    assert.equal((await files.attributes(d)).mode, 0o300);
    await files.change(f, { mode: 0o400 });
    assert.equal((await files.read(f, 0, 5)).toString(), 'still');
    const shut = (await files.create(d, 'shut', aDirectory())).id;
    const inner = (await files.create(shut, 'inner', aFile())).id;
    await files.change(shut, { mode: 0o000 });
    await files.write(inner, 0, Buffer.from('in there'));
    await files.sync();
    assert.equal((await files.lookup(shut, 'inner')).id, inner);
    assert.equal((await files.attributes(shut)).mode, 0o000);
    await files.change(shut, { mode: 0o700 });
    // So that whoever clears up may look into it.
    await files.change(d, { mode: 0o700 });
  });
}

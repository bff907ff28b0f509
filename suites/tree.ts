/**
 * The conformance suite of files volumes (src/ports/tree.ts, and src/ports/medium.ts for their objects): what every medium
 * promises, run by the driver's short test and by the simulated one. It sees nothing but the ports, waits for no time, and
 * takes steps until what it waits for has happened.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '../src/base/fault.ts';
import { REPLIES } from '../src/ports/tree.ts';
import { aDirectory, aFile, call, countsLinks, DrivenFiles, fails, type FilesWorld, type Run } from './tree-driver.ts';
import { attributesSuite } from './tree-attributes.ts';
import { bytesSuite } from './tree-bytes.ts';
import { listingSuite } from './tree-listing.ts';
import { randomSuite } from './tree-random.ts';

export type { FilesWorld } from './tree-driver.ts';

/**
 * Runs the suite; `make` is called for each test and gives a fresh world. `skip` says why it cannot run here, `skipBytes` why
 * what is about the bytes of large files cannot.
 */
export function treeSuite(
  name: string,
  make: () => Promise<FilesWorld>,
  skip: string | false = false,
  skipBytes: string | false = skip,
): void {
  const runUnless =
    (why: string | false): Run =>
    (what, body) => {
      test(`${name}: ${what}`, { skip: why }, async () => {
        const world = await make();
        try {
          const files = await DrivenFiles.open(world);
          await body(files, world);
          await files.close();
        } finally {
          await world.end();
        }
      });
    };
  const run = runUnless(skip);
  namesSuite(run);
  livesSuite(run);
  attributesSuite(run);
  bytesSuite(runUnless(skipBytes));
  listingSuite(run);
  randomSuite(run);
}

function namesSuite(run: Run): void {
  run('a new volume is one empty directory, its own parent', async (files) => {
    const root = await files.attributes(files.root);
    assert.deepEqual([root.type, root.mode], ['directory', 0o755]);
    countsLinks(root, 2);
    assert.deepEqual(await files.listAll(files.root, 10), []);
    for (const name of ['.', '..']) assert.equal((await files.lookup(files.root, name)).id, files.root);
    await fails(files.lookup(files.root, 'nothing'), 'ENOENT');
    assert.equal(files.tree.secret.length, 32);
    assert.equal(files.volume.sizeBytes(files.root), files.tree.limits.largestFileBytes);
    const { totalBytes, freeBytes, availableBytes, totalObjects, freeObjects } = await files.usage();
    assert.ok(totalBytes >= freeBytes && freeBytes >= availableBytes && availableBytes > 0, 'room');
    assert.ok(totalObjects >= freeObjects && freeObjects >= 0, 'objects');
  });

  run('any bytes are a name, but NUL and `/`, up to the longest', async (files) => {
    const names = [
      Buffer.from([0xff, 0xfe, 0x80]),
      Buffer.from(' \n\\*"'),
      Buffer.from('...'),
      Buffer.from('ähm'),
      Buffer.alloc(files.tree.limits.nameBytes, 'x'),
    ];
    for (const name of names) {
      const made = await files.create(files.root, name, aFile());
      assert.equal((await files.lookup(files.root, name)).id, made.id);
    }
    const listed = (await files.listAll(files.root, 2)).map(({ name }) => name.toString('latin1'));
    assert.deepEqual(listed.sort(), names.map((name) => name.toString('latin1')).sort());
    const long = Buffer.alloc(files.tree.limits.nameBytes + 1, 'x');
    for (const [name, errno] of [
      [Buffer.alloc(0), 'EINVAL'],
      [Buffer.from('a\0b'), 'EINVAL'],
      [Buffer.from('a/b'), 'EINVAL'],
      [Buffer.from('../x'), 'EINVAL'],
      [long, 'ENAMETOOLONG'],
    ] as const) {
      await fails(files.lookup(files.root, name), errno);
      await fails(files.create(files.root, name, aFile()), errno);
      await fails(files.link((await files.lookup(files.root, '...')).id, files.root, name), errno);
      await fails(files.remove(files.root, name), errno);
      await fails(files.removeDirectory(files.root, name), errno);
      await fails(files.rename(files.root, name, files.root, 'y'), errno);
      await fails(files.rename(files.root, '...', files.root, name), errno);
    }
    assert.equal((await files.listAll(files.root, 100)).length, names.length, 'what was refused changed nothing');
  });

  run('`.` and `..` are for looking up', async (files) => {
    const directory = (await files.create(files.root, 'd', aDirectory())).id;
    const below = (await files.create(directory, 'e', aDirectory())).id;
    assert.equal((await files.lookup(below, '..')).id, directory);
    assert.equal((await files.lookup(below, '.')).id, below);
    assert.equal((await files.lookup(directory, '..')).id, files.root);
    for (const dots of ['.', '..']) {
      await fails(files.create(directory, dots, aFile()), 'EEXIST');
      await fails(files.create(directory, dots, aDirectory()), 'EEXIST');
      await fails(files.remove(directory, dots), 'EISDIR');
      await fails(files.removeDirectory(directory, dots), dots === '.' ? 'EINVAL' : 'ENOTEMPTY');
      await fails(files.rename(directory, dots, files.root, 'x'), 'EBUSY');
      await fails(files.rename(files.root, 'd', directory, dots), 'EBUSY');
    }
  });

  run('names are made, linked, moved and removed as on a POSIX file system', async (files) => {
    const { root } = files;
    const a = await files.create(root, 'a', aFile());
    await fails(files.create(root, 'a', aFile()), 'EEXIST');
    await fails(files.create(root, 'a', aDirectory()), 'EEXIST');
    const d = (await files.create(root, 'd', aDirectory())).id;
    await fails(files.create(a.id, 'b', aFile()), 'ENOTDIR');
    await fails(files.lookup(a.id, 'b'), 'ENOTDIR');
    await fails(files.list(a.id, 0n, 10), 'ENOTDIR');
    await files.link(a.id, d, 'b');
    assert.equal((await files.lookup(d, 'b')).id, a.id);
    assert.equal((await files.attributes(a.id)).links, 2);
    await fails(files.link(a.id, d, 'b'), 'EEXIST');
    await fails(files.link(d, root, 'e'), 'EPERM');
    await fails(files.remove(root, 'd'), 'EISDIR', 'EPERM');
    await fails(files.removeDirectory(root, 'a'), 'ENOTDIR');
    await fails(files.removeDirectory(root, 'd'), 'ENOTEMPTY');
    await fails(files.remove(root, 'nothing'), 'ENOENT');
    await fails(files.rename(root, 'nothing', root, 'x'), 'ENOENT');
    await fails(files.rename(root, 'a', root, 'd'), 'EISDIR', 'ENOTEMPTY');
    await fails(files.rename(root, 'd', root, 'a'), 'ENOTDIR');
    await fails(files.rename(root, 'd', d, 'x'), 'EINVAL');
    // Two names of one object: nothing is done.
    await files.rename(root, 'a', d, 'b');
    assert.equal((await files.lookup(root, 'a')).id, a.id);
    await files.remove(d, 'b');
    assert.equal((await files.attributes(a.id)).links, 1);
    await files.rename(root, 'a', d, 'c');
    assert.equal((await files.lookup(d, 'c')).id, a.id);
    await fails(files.lookup(root, 'a'), 'ENOENT');
    await files.create(root, 'e', aDirectory());
    await files.rename(root, 'd', root, 'e');
    assert.equal((await files.lookup(root, 'e')).id, d);
    assert.equal((await files.lookup(d, '..')).id, root);
  });
}

function livesSuite(run: Run): void {
  run('an id is its object’s for life: through renames, links and opening afresh', async (first, world) => {
    const d = (await first.create(first.root, 'd', aDirectory())).id;
    const f = (await first.create(first.root, 'f', aFile())).id;
    await first.write(f, 0, Buffer.from('content'));
    await first.sync();
    await first.rename(first.root, 'f', d, 'g');
    await first.link(f, first.root, 'h');
    const deeper = (await first.create(d, 'e', aDirectory())).id;
    await first.rename(d, 'e', first.root, 'e2');
    await first.rename(first.root, 'd', deeper, 'd2');
    await first.close();
    const files = await DrivenFiles.open(world);
    assert.equal(files.root, first.root);
    assert.deepEqual(files.tree.secret, first.tree.secret);
    assert.equal((await files.attributes(f)).links, 2);
    assert.equal((await files.read(f, 0, 7)).toString(), 'content');
    assert.equal((await files.lookup(deeper, 'd2')).id, d);
    assert.equal((await files.lookup(d, 'g')).id, f);
    assert.equal((await files.lookup(d, '..')).id, deeper);
    assert.equal((await files.lookup(files.root, 'e2')).id, deeper);
    await files.remove(d, 'g');
    assert.equal((await files.attributes(f)).links, 1, 'it has another name');
    await files.close();
  });

  run(
    'what was removed is stale, takes modifications without effect, and is missing to who reads it',
    async (files) => {
      const { root } = files;
      const f = (await files.create(root, 'f', aFile())).id;
      const d = (await files.create(root, 'd', aDirectory())).id;
      const s = (
        await files.create(root, 's', { type: 'symlink', to: Buffer.from('f'), attributes: aFile().attributes })
      ).id;
      await files.write(f, 0, Buffer.from('x'));
      await files.remove(root, 'f');
      await files.removeDirectory(root, 'd');
      await files.remove(root, 's');
      for (const id of [f, d, s]) {
        await fails(files.attributes(id), 'ESTALE');
        await fails(files.change(id, { mode: 0o600 }), 'ESTALE');
        await fails(files.link(id, root, 'again'), 'ESTALE');
      }
      await fails(files.readLink(s), 'ESTALE');
      await fails(files.lookup(d, 'x'), 'ESTALE');
      await fails(files.lookup(d, '.'), 'ESTALE');
      await fails(files.list(d, 0n, 10), 'ESTALE');
      await fails(files.create(d, 'x', aFile()), 'ESTALE');
      await fails(files.remove(d, 'x'), 'ESTALE');
      await fails(files.rename(root, 'nothing', d, 'x'), 'ESTALE', 'ENOENT');
      await files.create(root, 'n', aFile());
      await fails(files.rename(root, 'n', d, 'x'), 'ESTALE');
      await files.write(f, 0, Buffer.from('y'));
      await files.write(f, 0, Buffer.from('y'), Buffer.from('z'));
      await files.zero(f, 0, 1);
      await files.resize(f, 100);
      await files.stamp(f, 1n);
      await files.sync();
      const missing = (error: unknown): boolean => error instanceof Fault && error.kind === 'missing';
      await assert.rejects(files.read(f, 0, 1), missing);
      await assert.rejects(
        call(files.world, (done) => files.volume.extents(f, 0, 1, done)),
        missing,
      );
      assert.deepEqual(
        (await files.listAll(root, 10)).map(({ name }) => name.toString()),
        ['n'],
      );
    },
  );

  run('an id never comes to mean another object', async (files) => {
    const gone: string[] = [];
    for (let i = 0; i < 150; i += 1) {
      const made = await files.create(files.root, 'same', i % 3 === 0 ? aDirectory() : aFile());
      assert.ok(!gone.includes(made.id), 'an id of its own');
      if (i % 3 === 0) await files.removeDirectory(files.root, 'same');
      else await files.remove(files.root, 'same');
      gone.push(made.id);
    }
    const last = (await files.create(files.root, 'same', aFile())).id;
    await files.write(last, 0, Buffer.from('mine'));
    for (const id of gone.slice(-40)) {
      await fails(files.attributes(id), 'ESTALE');
      await files.write(id, 0, Buffer.from('yours')).catch((fault: unknown) => {
        // A directory's id, that was, takes no bytes; removed, it takes them without effect.
        assert.fail(String(fault));
      });
      await files.resize(id, 0);
    }
    assert.equal((await files.read(last, 0, 4)).toString(), 'mine');
    await files.remove(files.root, 'same');
  });

  run('an id that was never given out is stale', async (files) => {
    for (const id of ['', 'x', 'AQGB', 'A'.repeat(54), '../../etc/passwd', REPLIES]) {
      await fails(files.attributes(id), 'ESTALE');
      await fails(files.lookup(id, 'x'), 'ESTALE', 'ENOTDIR');
    }
  });

  run('the replies are an object of their own, no part of the tree', async (first, world) => {
    const data = Buffer.alloc(2048, 7);
    await first.write(REPLIES, 1024, data);
    await first.sync();
    assert.deepEqual(await first.listAll(first.root, 10), []);
    await first.close();
    const files = await DrivenFiles.open(world);
    assert.deepEqual(await files.read(REPLIES, 1024, 2048), data);
    await files.close();
  });

  run(
    'many changes at once all happen; a close waits for them, and nothing is taken afterwards',
    async (files, world) => {
      const names = Array.from({ length: 100 }, (_, i) => `n${i}`);
      const faults = await files.together(
        names.map(
          (name) => (done) => files.tree.create(files.root, Buffer.from(name), aFile(), (fault) => done(fault)),
        ),
      );
      assert.deepEqual(
        faults.filter((fault) => fault !== null),
        [],
      );
      const order: string[] = [];
      await files.together([
        ...names.map((name) => (done: (fault: Fault | null) => void) => {
          files.tree.remove(files.root, Buffer.from(name), (fault) => {
            order.push(name);
            done(fault);
          });
        }),
        (done) =>
          files.volume.close((fault) => {
            order.push('closed');
            done(fault);
          }),
      ]);
      assert.equal(order.length, 101);
      assert.equal(order.at(-1), 'closed');
      const refused = (error: unknown): boolean => error instanceof Fault && error.kind === 'refused';
      await assert.rejects(files.attributes(files.root), refused);
      await assert.rejects(files.create(files.root, 'x', aFile()), refused);
      if (!world.asserts) await assert.rejects(files.write(REPLIES, 0, Buffer.from('x')), refused);
      const again = await DrivenFiles.open(world);
      assert.deepEqual(await again.listAll(again.root, 10), []);
      await again.close();
    },
  );
}

/** The part of the files volumes' suite (suites/tree.ts) that is about the bytes, sizes and times of objects. */
import assert from 'node:assert/strict';
import { Fault } from '../src/base/fault.ts';
import { pseudoRandom } from './medium.ts';
import { aDirectory, aFile, call, DrivenFiles, fails, type Run } from './tree-driver.ts';
import type { Extent } from '../src/ports/medium.ts';

const refused = (error: unknown): boolean => error instanceof Fault && error.kind === 'refused';

export function bytesSuite(run: Run): void {
  run(
    'an object has the size that writes and resizes make of it, and is zeroes where nothing was written',
    async (files) => {
      const f = (await files.create(files.root, 'f', aFile())).id;
      assert.deepEqual(await files.read(f, 0, 10), Buffer.alloc(10));
      await files.write(f, 100_000, Buffer.from('far'));
      assert.equal((await files.attributes(f)).sizeBytes, 100_003);
      assert.equal((await files.read(f, 99_998, 8)).toString('latin1'), '\0\0far\0\0\0');
      await files.resize(f, 100_001);
      assert.equal((await files.read(f, 100_000, 3)).toString('latin1'), 'f\0\0');
      await files.resize(f, 200_000);
      assert.equal((await files.attributes(f)).sizeBytes, 200_000);
      assert.equal(
        (await files.read(f, 100_000, 3)).toString('latin1'),
        'f\0\0',
        'what was cut off does not come back',
      );
      await files.zero(f, 90_000, 1 << 20);
      assert.equal((await files.attributes(f)).sizeBytes, 200_000, 'zeroes do not make it larger');
      await files.zero(f, 300_000, 10, false);
      assert.equal((await files.attributes(f)).sizeBytes, 200_000);
      await files.resize(f, 0);
      assert.equal((await files.attributes(f)).sizeBytes, 0);
    },
  );

  run('the time that is set stays, to the nanosecond, also when opened afresh', async (first, world) => {
    const f = (await first.create(first.root, 'f', aFile())).id;
    await first.write(f, 0, Buffer.from('x'));
    await first.resize(f, 10);
    await first.stamp(f, 1_111_111_111_999_999_999n);
    await first.sync();
    assert.equal((await first.attributes(f)).mtimeNs, 1_111_111_111_999_999_999n);
    assert.equal((await first.read(f, 0, 1)).toString(), 'x');
    assert.equal((await first.attributes(f)).mtimeNs, 1_111_111_111_999_999_999n, 'a read changes nothing');
    await first.close();
    const files = await DrivenFiles.open(world);
    assert.equal((await files.attributes(f)).mtimeNs, 1_111_111_111_999_999_999n);
    await files.close();
  });

  run('objects are as large as their limit, and no larger', async (files) => {
    const f = (await files.create(files.root, 'f', aFile())).id;
    const most = files.volume.sizeBytes(f);
    assert.ok(most >= 1 << 30, `${most} bytes`);
    const last = Buffer.from('end');
    await files.write(f, most - 3, last);
    assert.equal((await files.attributes(f)).sizeBytes, most);
    assert.deepEqual(await files.read(f, most - 3, 3), last);
    await assert.rejects(files.write(f, most - 2, last), refused);
    await assert.rejects(files.resize(f, most + 1), refused);
    await assert.rejects(files.read(f, most, 1), refused);
    await assert.rejects(files.read(f, -1, 1), refused);
    await assert.rejects(files.read(f, 0, 0), refused);
    await assert.rejects(files.write(f, 0.5, last), refused);
    await assert.rejects(files.resize(f, -1), refused);
    await files.resize(f, most);
    await files.resize(f, 0);
  });

  run('only files have bytes', async (files) => {
    const d = (await files.create(files.root, 'd', aDirectory())).id;
    const s = (
      await files.create(files.root, 's', {
        type: 'symlink',
        to: Buffer.from('/etc/passwd'),
        attributes: aFile().attributes,
      })
    ).id;
    const p = (await files.create(files.root, 'p', { type: 'fifo', attributes: aFile().attributes })).id;
    for (const id of [d, s, p, files.root]) {
      await assert.rejects(files.write(id, 0, Buffer.from('x')), refused);
      await assert.rejects(files.read(id, 0, 1), refused);
      await assert.rejects(files.resize(id, 1), refused);
    }
    await fails(files.lookup(s, 'x'), 'ENOTDIR');
  });

  run(
    'what was written, zeroed and resized is what is read, in many objects, also when opened afresh',
    async (first, world) => {
      const random = pseudoRandom(11);
      let files = first;
      const objects: { readonly id: string; content: Buffer }[] = [];
      for (let i = 0; i < 6; i += 1)
        objects.push({ id: (await files.create(files.root, `f${i}`, aFile())).id, content: Buffer.alloc(0) });
      for (let round = 0; round < 150; round += 1) {
        const object = objects[random(objects.length)] as (typeof objects)[number];
        const at = random(60_000);
        const length = 1 + random(30_000);
        const what = random(4);
        if (what === 0) {
          await files.resize(object.id, at);
          object.content = resized(object.content, at);
        } else if (what === 1) {
          await files.zero(object.id, at, length, random(2) === 0);
          object.content.fill(0, Math.min(at, object.content.length), Math.min(at + length, object.content.length));
        } else {
          const data = Buffer.alloc(length, 1 + random(255));
          const cut = random(length + 1);
          await files.write(
            object.id,
            at,
            ...[data.subarray(0, cut), data.subarray(cut)].filter((piece) => piece.length > 0),
          );
          object.content = resized(object.content, Math.max(object.content.length, at + length));
          data.copy(object.content, at);
        }
        if (round % 50 === 49) {
          await files.sync();
          await files.close();
          files = await DrivenFiles.open(world);
        }
      }
      for (const { id, content } of objects) {
        assert.equal((await files.attributes(id)).sizeBytes, content.length);
        const beyond = Buffer.concat([content, Buffer.alloc(1000)]);
        assert.ok((await files.read(id, 0, beyond.length)).equals(beyond));
        await holesAreZeroes(files, id, beyond);
      }
      await files.close();
    },
  );

  run('small writes to many objects at once', async (files) => {
    const ids: string[] = [];
    for (let i = 0; i < 70; i += 1) ids.push((await files.create(files.root, `f${i}`, aFile())).id);
    const faults = await files.together(
      ids.flatMap((id, i) =>
        [0, 1, 2].map((part) => (done: (fault: Fault | null) => void) => {
          files.volume.write(id, part * 4096, [Buffer.alloc(4096, i + part)], done);
        }),
      ),
    );
    assert.ok(
      faults.every((fault) => fault === null),
      'all are written',
    );
    await files.sync();
    for (const [i, id] of ids.entries()) {
      const data = await files.read(id, 0, 3 * 4096);
      assert.deepEqual([data[0], data[4096], data[8192]], [i, i + 1, i + 2]);
    }
  });
}

function resized(content: Buffer, length: number): Buffer {
  const grown = Buffer.alloc(length);
  content.copy(grown);
  return grown;
}

/** Extents cover the range without gaps, and there is nothing in a hole. */
async function holesAreZeroes(files: DrivenFiles, id: string, content: Buffer): Promise<void> {
  const extents = await call<readonly Extent[]>(files.world, (done) =>
    files.volume.extents(id, 0, content.length, done),
  );
  let at = 0;
  for (const { offset, length, hole } of extents) {
    assert.equal(offset, at, 'contiguous');
    if (hole) assert.ok(content.subarray(offset, offset + length).equals(Buffer.alloc(length)), 'nothing in a hole');
    at += length;
  }
  assert.equal(at, content.length, 'covering');
}

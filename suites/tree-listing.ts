/** The part of the files volumes' suite (suites/tree.ts) that is about listing directories. */
import assert from 'node:assert/strict';
import { pseudoRandom } from './medium.ts';
import { aDirectory, aFile, type DrivenFiles, fails, type Run } from './tree-driver.ts';

export function listingSuite(run: Run): void {
  run('a directory is listed in parts of any size', async (files) => {
    const names = await fill(files, files.root, 300);
    for (const most of [1, 7, 299, 300, 5_000]) {
      const listed = (await files.listAll(files.root, most)).map(({ name }) => name.toString());
      assert.deepEqual(listed.toSorted(), names.toSorted(), `${most} at a time`);
    }
    const { entries } = await files.list(files.root, 0n, 300);
    for (const i of [0, 150, 298]) {
      const rest = await files.list(files.root, entries[i]?.cookie ?? 0n, 1);
      assert.deepEqual(rest.entries[0]?.name, entries[i + 1]?.name, 'a cookie leads behind its entry');
    }
    const behind = await files.list(files.root, entries[299]?.cookie ?? 0n, 10);
    assert.deepEqual(behind, { entries: [], end: true });
    for (const { cookie } of entries) assert.ok(cookie >= 1n && cookie <= 2n ** 63n - 4n, `cookie ${cookie}`);
    await fails(files.list(files.root, -1n, 10), 'EINVAL');
    await fails(files.list(files.root, 2n ** 63n, 10), 'EINVAL');
    await fails(files.list(files.root, 0n, 0), 'EINVAL');
  });

  run('names that stay are listed once each, while others come and go', async (files) => {
    const directory = (await files.create(files.root, 'd', aDirectory())).id;
    const stay = new Set(await fill(files, directory, 120));
    const random = pseudoRandom(5);
    let made = 0;
    const passing: string[] = [];
    for (let round = 0; round < 4; round += 1) {
      const listed = await files.listAll(directory, 10, async () => {
        for (let i = 0; i < 3; i += 1) {
          const name = `passing${(made += 1)}`;
          await files.create(directory, name, aFile());
          passing.push(name);
        }
        for (let i = 0; i < 2; i += 1) {
          const [gone] = passing.splice(random(passing.length), 1);
          if (gone !== undefined) await files.remove(directory, gone);
        }
      });
      const seen = listed.map(({ name }) => name.toString());
      assert.equal(new Set(seen).size, seen.length, 'no name is doubled');
      for (const name of stay) assert.ok(seen.includes(name), `${name} is not lost`);
    }
  });

  run('a very large directory is listed whole', async (files, world) => {
    const directory = (await files.create(files.root, 'many', aDirectory())).id;
    const names = await fill(files, directory, world.manyEntries);
    const seen = new Set<string>();
    let cookie = 0n;
    for (let end = false; !end;) {
      const listing = await files.list(directory, cookie, 1_000);
      for (const { name } of listing.entries) seen.add(name.toString());
      cookie = listing.entries.at(-1)?.cookie ?? cookie;
      ({ end } = listing);
    }
    assert.equal(seen.size, names.length);
  });
}

/** Makes `count` files, many at once; their names. */
async function fill(files: DrivenFiles, directory: string, count: number): Promise<string[]> {
  const names = Array.from({ length: count }, (_, i) => `file-${i}`);
  for (let at = 0; at < count; at += 500) {
    const faults = await files.together(
      names.slice(at, at + 500).map((name) => (done) => {
        files.tree.create(directory, Buffer.from(name), aFile(), (fault) => done(fault));
      }),
    );
    assert.deepEqual(
      faults.filter((fault) => fault !== null),
      [],
    );
  }
  return names;
}

/**
 * The server dies at every step of every request that cannot be repeated; the next one starts from what is left, and the
 * client sends its request again, from another port.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { FilesCaller, NOTHING, mode } from '../../../../suites/files-caller.ts';
import { MemoryFiles } from '../../../../suites/memory-files.ts';
import { encodeResult } from '../../../wire/nfs/table.ts';
import type { NfsArguments } from '../../../wire/nfs/types.ts';

/** Handles of what every world begins with: /d (empty), /full/x, /a ("text"), /b, both names of one file: /l1 and /l2. */
interface Handles {
  readonly root: Buffer;
  readonly d: Buffer;
  readonly full: Buffer;
  readonly a: Buffer;
  readonly l1: Buffer;
}

interface Case {
  readonly asks: (at: Handles, ctimeNs: bigint) => NfsArguments;
  /** The mutating call of the tree that may succeed once only. */
  readonly once: string;
  /** Status of the answer, and of the same request asked as a new one afterwards. */
  readonly status: number;
  readonly afterwards: number;
}

const name = (text: string): Buffer => Buffer.from(text);
const CASES: Readonly<Record<string, Case>> = {
  create: {
    asks: ({ root }) => ({
      procedure: 'create',
      directory: root,
      name: name('new'),
      how: { mode: 'guarded', attributes: mode(0o640) },
    }),
    once: 'create',
    status: 0,
    afterwards: 17,
  },
  'create with a size': {
    asks: ({ root }) => ({
      procedure: 'create',
      directory: root,
      name: name('new'),
      how: { mode: 'guarded', attributes: { ...mode(0o640), sizeBytes: 100 } },
    }),
    once: 'create',
    status: 0,
    afterwards: 17,
  },
  'create, unchecked': {
    asks: ({ root }) => ({
      procedure: 'create',
      directory: root,
      name: name('new'),
      how: { mode: 'unchecked', attributes: mode(0o640) },
    }),
    once: 'create',
    status: 0,
    afterwards: 0,
  },
  'create, unchecked, of a file that is there': {
    asks: ({ root }) => ({
      procedure: 'create',
      directory: root,
      name: name('a'),
      how: { mode: 'unchecked', attributes: mode(0o640) },
    }),
    once: 'create',
    status: 0,
    afterwards: 0,
  },
  'create, unchecked, of a directory that is there': {
    asks: ({ root }) => ({
      procedure: 'create',
      directory: root,
      name: name('full'),
      how: { mode: 'unchecked', attributes: mode(0o640) },
    }),
    once: 'create',
    status: 17,
    afterwards: 17,
  },
  'create of a file that is there': {
    asks: ({ root }) => ({
      procedure: 'create',
      directory: root,
      name: name('a'),
      how: { mode: 'unchecked', attributes: { ...NOTHING, sizeBytes: 2 } },
    }),
    once: 'create',
    status: 0,
    afterwards: 0,
  },
  mkdir: {
    asks: ({ root }) => ({ procedure: 'mkdir', directory: root, name: name('new'), attributes: mode(0o700) }),
    once: 'create',
    status: 0,
    afterwards: 17,
  },
  symlink: {
    asks: ({ root }) => ({
      procedure: 'symlink',
      directory: root,
      name: name('new'),
      to: Buffer.alloc(4000, 'x'),
      attributes: NOTHING,
    }),
    once: 'create',
    status: 0,
    afterwards: 17,
  },
  mknod: {
    asks: ({ root }) => ({
      procedure: 'mknod',
      directory: root,
      name: name('new'),
      what: { type: 'fifo', attributes: mode(0o600) },
    }),
    once: 'create',
    status: 0,
    afterwards: 17,
  },
  remove: {
    asks: ({ root }) => ({ procedure: 'remove', directory: root, name: name('a') }),
    once: 'remove',
    status: 0,
    afterwards: 2,
  },
  'remove of one of two names': {
    asks: ({ root }) => ({ procedure: 'remove', directory: root, name: name('l1') }),
    once: 'remove',
    status: 0,
    afterwards: 2,
  },
  rmdir: {
    asks: ({ root }) => ({ procedure: 'rmdir', directory: root, name: name('d') }),
    once: 'removeDirectory',
    status: 0,
    afterwards: 2,
  },
  'rmdir that fails': {
    asks: ({ root }) => ({ procedure: 'rmdir', directory: root, name: name('full') }),
    once: 'removeDirectory',
    status: 66,
    afterwards: 66,
  },
  rename: {
    asks: ({ root, d }) => ({
      procedure: 'rename',
      from: { directory: root, name: name('a') },
      to: { directory: d, name: name('c') },
    }),
    once: 'rename',
    status: 0,
    afterwards: 2,
  },
  'rename over a file': {
    asks: ({ root }) => ({
      procedure: 'rename',
      from: { directory: root, name: name('a') },
      to: { directory: root, name: name('b') },
    }),
    once: 'rename',
    status: 0,
    afterwards: 2,
  },
  'rename of one of two names': {
    asks: ({ root }) => ({
      procedure: 'rename',
      from: { directory: root, name: name('l1') },
      to: { directory: root, name: name('b') },
    }),
    once: 'rename',
    status: 0,
    afterwards: 2,
  },
  link: {
    asks: ({ d, a }) => ({ procedure: 'link', handle: a, directory: d, name: name('c') }),
    once: 'link',
    status: 0,
    afterwards: 17,
  },
  'guarded setattr': {
    asks: ({ a }, guardNs) => ({ procedure: 'setattr', handle: a, change: { ...NOTHING, mode: 0o600 }, guardNs }),
    once: 'none',
    status: 0,
    afterwards: 10_002,
  },
  'guarded setattr of everything': {
    asks: ({ a }, guardNs) => ({
      procedure: 'setattr',
      handle: a,
      change: { mode: 0o600, uid: 5, gid: 6, sizeBytes: 2, atime: 'now', mtime: 77n },
      guardNs,
    }),
    once: 'none',
    status: 0,
    afterwards: 10_002,
  },
  'setattr of the size': {
    asks: ({ a }) => ({ procedure: 'setattr', handle: a, change: { ...NOTHING, sizeBytes: 2 }, guardNs: null }),
    once: 'none',
    status: 0,
    afterwards: 0,
  },
};

async function world(): Promise<{ readonly service: MemoryFiles; readonly at: Handles }> {
  const caller = await new FilesCaller(new MemoryFiles()).open();
  const { root } = caller;
  const d = await caller.directory('d');
  const full = await caller.directory('full');
  await caller.create(full, 'x');
  const a = await caller.file('a');
  await caller.write(a, 0, 'text');
  // Long ago: that a file was changed shortly behind its mtime is not told from its destage (src/front/nfs/inode.ts).
  await caller.setattr(a, { mtime: 5n });
  await caller.file('b');
  const l1 = await caller.file('l1');
  await caller.link(l1, root, 'l2');
  return { service: new MemoryFiles(caller.service.remains(0)), at: { root, d, full, a, l1 } };
}

/** The tree without its times: names, types, modes, sizes, links. */
function shapeOf({ tree }: MemoryFiles, id = tree.rootId, below = ''): string[] {
  const node = tree.node(id);
  const line = `${below || '/'} ${node.type} ${node.mode.toString(8)} ${node.uid}:${node.gid} ${node.links} ${node.data.length}`;
  const names = [...node.names].sort(([x], [y]) => (x < y ? -1 : 1));
  return [
    line,
    ...names.flatMap(([entry, { id: child }]) => shapeOf({ tree } as MemoryFiles, child, `${below}/${entry}`)),
  ];
}

async function quiet(): Promise<void> {
  for (let turns = 0; turns < 40; turns += 1) await turn();
}

for (const [title, { asks, once, status, afterwards }] of Object.entries(CASES))
  for (const lost of [0, 1])
    test(`${title}: once, wherever the server dies${lost === 0 ? '' : ', and what was not acknowledged is gone'}`, async () => {
      // As it goes when nobody dies.
      const calm = await world();
      const calmCaller = await new FilesCaller(calm.service).open();
      const calmAsked = asks(calm.at, (await calmCaller.attributes(calm.at.a)).ctimeNs);
      assert.equal(await statusOf(calmCaller, calmAsked), status);
      calm.service.destage();
      const expected = shapeOf(calm.service);

      let answeredAt = Infinity;
      let middle = 0;
      for (let step = 0; step < answeredAt; step += 1) {
        const { service, at } = await world();
        const first = await new FilesCaller(service).open();
        const asked = asks(at, (await first.attributes(at.a)).ctimeNs);
        const before = service.tree.succeeded.filter((call) => call === once).length;
        service.dieAt(service.steps + step);
        let answer: Buffer | null = null;
        first.raw(asked, { xid: 9, port: 700 }).then((bytes) => (answer = bytes), assert.fail);
        await quiet();
        if (answer !== null) answeredAt = step;
        first.program.end('it died');

        const next = new MemoryFiles(service.remains(lost));
        const second = await new FilesCaller(next).open();
        if (second.logged.includes('nfs.recover')) middle += 1;
        const again = await second.raw(asked, { xid: 9, port: 701 });
        if (answer !== null) assert.deepEqual(again, answer, `another answer after step ${step}`);
        assert.equal(again.readUInt32BE(0), status, `status after step ${step}`);
        next.destage();
        assert.deepEqual(shapeOf(next), expected, `the tree after step ${step}`);
        const times = next.tree.succeeded.filter((call) => call === once).length - before;
        assert.ok(times <= 1, `${times} times ${once} after step ${step}`);

        // And on the third server, after one more death.
        const third = await new FilesCaller(new MemoryFiles(next.remains(0))).open();
        assert.deepEqual(await third.raw(asked, { xid: 9, port: 702 }), again);
        assert.equal(await statusOf(third, asked), afterwards);
      }
      assert.ok(answeredAt > 0 && (middle > 0 || once === 'create'), 'it died in the middle, too');
    });

async function statusOf(caller: FilesCaller, asked: NfsArguments): Promise<number> {
  return (await caller.raw(asked)).readUInt32BE(0);
}

test('what is sent again while it runs is answered with the one answer, and runs once', async () => {
  const { service, at } = await world();
  const caller = await new FilesCaller(service).open();
  service.keepBack();
  const asked = CASES['mkdir']?.asks(at, 0n);
  assert.ok(asked !== undefined);
  const answers = [700, 701, 702].map((port) => caller.raw(asked, { xid: 4, port }));
  await quiet();
  service.goOn();
  const [one, two, three] = await Promise.all(answers);
  assert.deepEqual([two, three], [one, one]);
  assert.equal(service.tree.succeeded.filter((call) => call === 'create').length, 6 + 1);
});

test('another client, another xid, other arguments, another user: another request', async () => {
  const { service, at } = await world();
  const caller = await new FilesCaller(service).open();
  const asked = CASES['mkdir']?.asks(at, 0n);
  assert.ok(asked !== undefined);
  assert.equal((await caller.raw(asked, { xid: 4 })).readUInt32BE(0), 0);
  assert.equal((await caller.raw(asked, { xid: 4 })).readUInt32BE(0), 0);
  assert.equal((await caller.raw(asked, { xid: 5 })).readUInt32BE(0), 17);
  assert.equal((await caller.raw(asked, { xid: 4, address: '10.0.0.1' })).readUInt32BE(0), 17);
  assert.equal((await caller.raw(asked, { xid: 4, credential: { uid: 0, gid: 1, gids: [] } })).readUInt32BE(0), 17);
});

test('a request that is refused is not recorded; one that was begun is, whatever came of it', async () => {
  const { service, at } = await world();
  const caller = await new FilesCaller(service).open();
  const writes = service.counts.write;
  assert.equal((await caller.remove(at.root, 'nothing', { xid: 50 })).status, 2);
  assert.equal(service.counts.write, writes);
  const again = await caller.rmdir(at.root, 'full', { xid: 51 });
  assert.equal(again.status, 66);
  assert.equal(service.counts.write, writes + 2);
  await caller.remove(at.full, 'x');
  const bytes = Buffer.from(encodeResult(await caller.rmdir(at.root, 'full', { xid: 51 })));
  assert.deepEqual(bytes, Buffer.from(encodeResult(again)));
});

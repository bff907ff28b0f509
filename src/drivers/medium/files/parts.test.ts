/** The parts of a files volume by themselves. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import type { Fault } from '../../../base/fault.ts';
import type { AttributeChange, Attributes } from '../../../ports/tree.ts';
import { closeFd, openAt } from '../../linux/at-calls.ts';
import { SyncBatch } from '../../linux/sync-batch.ts';
import { BatchSync } from './batch-sync.ts';
import { Committer } from './committer.ts';
import { DirectoryReader, parseListing, readListing } from './directory-reader.ts';
import { InodeIndex, TreeWalk } from './inode-index.ts';
import { hasJournal, keepsOrder } from './keeps-order.ts';
import { Known } from './known.ts';
import { ID_BYTES_MAX, indexId, indexOf, kernelHandle, kernelId } from './object-id.ts';
import { OpenObjects } from './open-objects.ts';
import { Touched } from './touched.ts';
import type { Answer } from './words.ts';

const { EBADF } = constants.errno;

function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-parts-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

test('ids of both forms come back as they went, and fit into a handle', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 255 }), fc.uint8Array({ minLength: 1, maxLength: 38 }), (type, bytes) => {
      const handle = Buffer.alloc(8 + 128);
      handle.writeUInt32LE(bytes.length, 0);
      handle.writeInt32LE(type, 4);
      handle.set(bytes, 8);
      const id = kernelId(handle);
      assert.ok(id !== null && Buffer.from(id, 'base64url').length <= ID_BYTES_MAX);
      assert.equal(Buffer.from(id, 'base64url').toString('base64url'), id);
      const back = Buffer.alloc(8 + 128);
      assert.ok(kernelHandle(id, back));
      assert.ok(back.subarray(0, 8 + bytes.length).equals(handle.subarray(0, 8 + bytes.length)));
      assert.equal(indexOf(id), null);
    }),
  );
  fc.assert(
    fc.property(fc.bigInt(0n, 2n ** 64n - 1n), fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), (inode, bornNs) => {
      const id = indexId(inode, bornNs);
      assert.deepEqual(indexOf(id), { inode, bornNs });
      assert.equal(kernelHandle(id, Buffer.alloc(136)), false);
    }),
  );
  const large = Buffer.alloc(136);
  large.writeUInt32LE(39, 0);
  assert.equal(kernelId(large), null, 'a longer handle is none');
});

test('what is no id is none, whatever it is', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 80 }), (text) => {
      const handle = Buffer.alloc(136);
      const found = indexOf(text);
      if (found !== null) assert.equal(indexId(found.inode, found.bornNs), text);
      if (kernelHandle(text, handle)) assert.equal(kernelId(handle), text);
    }),
  );
});

test('what was looked at before or during a change is not kept', () => {
  const known = new Known<string>(100);
  known.put('a', 'seen', known.moment);
  assert.equal(known.get('a'), 'seen');
  const before = known.moment;
  known.enter('a');
  assert.equal(known.get('a'), undefined);
  known.put('a', 'during', known.moment);
  assert.equal(known.get('a'), undefined, 'a change is on its way');
  known.leave('a');
  known.put('a', 'old', before);
  assert.equal(known.get('a'), undefined, 'looked at before the change');
  known.put('b', 'other', before);
  assert.equal(known.get('b'), 'other', 'of another it is good');
  known.put('a', 'new', known.moment);
  assert.equal(known.get('a'), 'new');
  const long = known.moment;
  for (let i = 0; i < 10_000; i += 1) known.change(`c${i}`);
  known.put('d', 'before a great many changes', long);
  assert.equal(known.get('d'), undefined, 'nobody remembers whether it has changed');
});

test('what is kept is bounded', () => {
  const known = new Known<number>(10);
  for (let i = 0; i < 100; i += 1) known.put(`${i}`, i, known.moment);
  assert.deepEqual([known.get('89'), known.get('90'), known.get('99')], [undefined, 90, 99]);
});

test('two changes of one thing at once are both waited for', () => {
  const known = new Known<string>(10);
  known.enter('a');
  known.enter('a');
  known.leave('a');
  known.put('a', 'too early', known.moment);
  assert.equal(known.get('a'), undefined);
  known.leave('a');
  known.put('a', 'now', known.moment);
  assert.equal(known.get('a'), 'now');
});

function manyFiles(directory: string): void {
  for (const name of ['a', 'b', 'b/c', 'b/c/d']) mkdirSync(join(directory, name));
  for (let i = 0; i < 50; i += 1) writeFileSync(join(directory, i % 2 === 0 ? 'a' : 'b/c/d', `f${i}`), '');
}

test('a walk finds what is wanted, however little the index keeps', (t) => {
  const directory = scratch(t);
  manyFiles(directory);
  const rootFd = openSync(directory, 'r');
  const reader = new DirectoryReader();
  const wantedIn = (path: string): { readonly numbers: Map<string, bigint>; readonly parent: string } => {
    const listing = readListing(openSync(join(directory, path), 'r'), 0n, 100);
    assert.ok(typeof listing !== 'number');
    const { entries } = parseListing(listing, 100);
    return { numbers: new Map(entries.map(({ name, fileNumber }) => [name.toString(), fileNumber])), parent: path };
  };
  const root = wantedIn('.').numbers;
  const deep = wantedIn('b/c/d').numbers;
  const number = deep.get('f7') ?? 0n;
  for (const max of [8, 1000]) {
    const index = new InodeIndex(max);
    const wanted = new Set([number, 1n]);
    const walk = new TreeWalk(index, reader, rootFd, wanted, (fd, name, flags) => openAt(fd, name, flags, 0));
    while (walk.step());
    assert.deepEqual([...wanted], [1n], 'what is not there stays wanted');
    assert.equal(walk.failed, 0);
    assert.ok(index.size <= max);
    assert.deepEqual(index.path(number, rootNumber(reader, rootFd)), ['b', 'c', 'd', 'f7']);
    index.drop(number, 1n, 'f7');
    assert.notEqual(index.path(number, rootNumber(reader, rootFd)), null, 'it lost a name that was not remembered');
  }
  assert.ok(root.has('a') && root.has('b'));
});

function rootNumber(reader: DirectoryReader, rootFd: number): bigint {
  let found = 0n;
  // As the entries are read, `.` is left out; the parent of the root’s own entries is what is asked for.
  const listing = readListing(rootFd, 0n, 100);
  if (typeof listing === 'number') return found;
  const bytes = Buffer.from(listing.bytes, 0, listing.length);
  for (let at = 0; at < bytes.length; at += bytes.readUInt16LE(at + 16)) {
    if (bytes[at + 19] === 0x2e && bytes[at + 20] === 0) found = bytes.readBigUInt64LE(at);
  }
  assert.ok(reader instanceof DirectoryReader);
  return found;
}

test('an index whose places lead round in a circle leads nowhere', () => {
  const index = new InodeIndex(10);
  index.put(5n, 6n, 'a');
  index.put(6n, 5n, 'b');
  assert.equal(index.path(5n, 2n), null);
  assert.equal(index.path(7n, 2n), null);
  assert.deepEqual(index.path(2n, 2n), []);
});

const noFault = (): { readonly result: Promise<Fault | null>; readonly done: (fault: Fault | null) => void } => {
  let done: (fault: Fault | null) => void = () => {};
  const result = new Promise<Fault | null>((resolve) => (done = resolve));
  return { result, done };
};

test('a sync that fails is told to those whose it is, and to nobody else', async (t) => {
  const directory = scratch(t);
  const rootFd = openSync(directory, 'r');
  // The null device cannot be synced: EINVAL.
  const broken = openSync('/dev/null', 'r+');
  const committer = new Committer(rootFd);
  const [good, bad, all] = [noFault(), noFault(), noFault()];
  committer.commit([rootFd], good.done);
  committer.commit([rootFd, broken], bad.done);
  assert.equal(await good.result, null);
  assert.equal((await bad.result)?.kind, 'refused');
  committer.commit(null, all.done);
  assert.equal(await all.result, null);
  committer.release();
});

test('after a sync that failed everything is synced, and a sync covers what returned before it', async (t) => {
  const directory = scratch(t);
  const rootFd = openSync(directory, 'r');
  const open = new OpenObjects({
    path: directory,
    syncsRanges: false,
    returned: () => {},
    closeMany: (fds, done) => {
      for (const fd of fds) closeFd(fd);
      done();
    },
  });
  const touched = new Touched(open, rootFd);
  const sync = (): Promise<number> => new Promise((resolve) => touched.sync(resolve));
  assert.equal(await sync(), 0, 'nothing to do');
  const broken = open.adopt('x', openSync('/dev/null', 'r+'), 'file');
  touched.add(broken);
  assert.notEqual(await sync(), 0);
  assert.equal(await sync(), 0, 'the file system as a whole');
  for (let i = 0; i < 200; i += 1) {
    const path = join(directory, `f${i}`);
    writeFileSync(path, 'x');
    const object = open.adopt(`f${i}`, openSync(path, 'r+'), 'file');
    touched.add(object);
    open.release(object);
  }
  assert.equal(await sync(), 0, 'very many');
  open.release(broken);
  touched.forget();
  await new Promise<void>((resolve) => open.closeAll(resolve));
});

test('many files are synced at once, and each says how it went', async (t) => {
  const directory = scratch(t);
  const fds = Array.from({ length: 64 }, (_, i) =>
    i % 10 === 3 ? openSync('/dev/null', 'r+') : openSync(join(directory, `f${i}`), 'w'),
  );
  const batch = SyncBatch.take();
  const run = (list: readonly number[]): Promise<readonly number[]> =>
    new Promise((resolve) => batch.run(list, resolve));
  const errnos = await run(fds);
  errnos.forEach((errno, i) => assert.equal(errno !== 0, i % 10 === 3, `file ${i}: ${errno}`));
  assert.deepEqual(await run(fds.slice(0, 1)), [0]);
  batch.release();
});

test('a known entry that changes again and again keeps its place, and the oldest make room', () => {
  const known = new Known<number>(3);
  for (let i = 0; i < 10; i += 1) {
    known.enter('often');
    known.leave('often');
    known.put('often', i, known.moment);
    assert.equal(known.get('often'), i);
  }
  const long = known.moment;
  known.enter('changing');
  for (const key of ['a', 'b', 'c', 'd', 'e']) known.put(key, 1, known.moment);
  assert.equal(known.get('often'), undefined);
  assert.equal(known.get('e'), 1);
  known.put('changing', 1, known.moment);
  assert.equal(known.get('changing'), undefined, 'what is being changed is not forgotten to be');
  known.put('often', 1, long - 1);
  assert.equal(known.get('often'), undefined, 'nobody knows any more whether it has changed since');
});

test('what a batch of changes touched is synced before it is answered: each by itself, or the last where that does', (t) => {
  const directory = scratch(t);
  const rootFd = openSync(directory, 'r');
  const file = (name: string): number => openSync(join(directory, name), 'w');
  const ask = { id: 'd', fd: -1, name: 'x', isDirectory: false };
  const removed = { lost: { id: 'x', gone: true, last: -1 }, directory: {} as Attributes };
  // Nothing is open under it.
  const closed = 999_999;
  for (const [syncs, errnos] of [
    ['each', [0, EBADF, 0]],
    ['last', [0, 0, 0]],
  ] as const) {
    const sync = new BatchSync(syncs, rootFd);
    assert.ok(sync.covers('remove') && !sync.covers('stamp') && !sync.covers('lookup'));
    assert.deepEqual(sync.run(), []);
    sync.made({ number: 1, op: 'remove', ask }, { ...removed, opened: -1 });
    sync.made({ number: 2, op: 'remove', ask }, { ...removed, opened: closed });
    const made = { id: 'f', attributes: {} as Attributes, fd: file(syncs), opened: -1, directory: {} as Attributes };
    const what = { type: 'file', to: '', major: 0, minor: 0, attributes: {} as AttributeChange } as const;
    sync.made({ number: 3, op: 'create', ask: { id: 'd', fd: -1, name: 'x', keep: false, what } }, made);
    const replies = sync.run();
    assert.deepEqual(
      replies.map(({ number, errno, durable }) => [number, errno, durable]),
      errnos.map((errno, at) => [at + 1, errno, errno === 0]),
    );
    assert.equal((replies.at(-1)?.answer as Answer<'create'> | undefined)?.fd, -1, 'what is not to be kept is closed');
    // The last one cannot be synced: nothing is durable, as far as anybody knows.
    sync.made({ number: 4, op: 'remove', ask }, { ...removed, opened: -1 });
    sync.made({ number: 5, op: 'remove', ask }, { ...removed, opened: closed });
    assert.deepEqual(
      sync.run().map(({ errno }) => errno),
      syncs === 'each' ? [0, EBADF] : [EBADF, EBADF],
    );
    // What cannot be open takes a sync of everything.
    sync.made(
      { number: 6, op: 'change', ask: { id: 's', fd: -1, change: {} as AttributeChange } },
      { attributes: {} as Attributes, opened: -1 },
    );
    assert.deepEqual(
      sync.run().map(({ errno, durable }) => [errno, durable]),
      [[0, true]],
    );
    sync.end();
  }
  assert.ok(!new BatchSync('asker', rootFd).covers('create'));
  closeFd(rootFd);
});

test('a file system is taken to keep order only where it says so', async (t) => {
  assert.ok(hasJournal('412\n') && hasJournal('0'));
  for (const text of ['<none>\n', '', 'x']) assert.ok(!hasJournal(text));
  assert.equal(await keepsOrder(join(scratch(t), 'nothing')), false);
  assert.equal(await keepsOrder('/proc'), false);
});

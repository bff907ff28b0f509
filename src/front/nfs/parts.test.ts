/** The parts that requests are made of, each by itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { FilesCaller, NOTHING, mode } from '../../../suites/files-caller.ts';
import { MemoryFiles } from '../../../suites/memory-files.ts';
import { Fault } from '../../base/fault.ts';
import { TreeFault, type TreeErrno } from '../../ports/tree.ts';
import { NfsStatus } from '../../wire/nfs/types.ts';
import { Unanswered, failureOf } from './faults.ts';
import { Handles } from './handles.ts';
import { Locks } from './locks.ts';
import { SLOTS, SLOT_BYTES, decodeIntent, decodeSlot, encodeIntent, encodeSlot, keyOf } from './replies/slot.ts';
import type { Intent } from './replies/slot.ts';

// ---- handles

test('a handle is the object, signed: the same every time, and nothing else decodes', () => {
  const mine = new Handles(Buffer.alloc(32, 1));
  const other = new Handles(Buffer.alloc(32, 2));
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 48 }), fc.nat(600), (bytes, bit) => {
      const id = Buffer.from(bytes).toString('base64url');
      const handle = mine.encode(id);
      assert.ok(handle.length <= 64);
      assert.deepEqual(handle, mine.encode(id));
      assert.equal(mine.decode(handle), id);
      assert.equal(other.decode(handle), null);
      const forged = Buffer.from(handle);
      const at = bit % (handle.length * 8);
      forged[at >> 3] = (forged[at >> 3] ?? 0) ^ (1 << (at & 7));
      assert.equal(mine.decode(forged), null);
      assert.equal(mine.decode(handle.subarray(0, -1)), null);
    }),
  );
  for (const id of ['a=b', 'plain.id', 'A']) assert.equal(mine.decode(mine.encode(id)), id);
  assert.equal(mine.decode(Buffer.alloc(0)), null);
  assert.throws(() => mine.encode('.'.repeat(60)), /fits into a handle/);
});

// ---- faults

test('faults of the file system are told, those of this server are not', () => {
  const told: readonly (readonly [TreeErrno, number])[] = [
    ['EPERM', NfsStatus.perm],
    ['ENOENT', NfsStatus.noent],
    ['ENOSPC', NfsStatus.nospc],
    ['EDQUOT', NfsStatus.dquot],
    ['ESTALE', NfsStatus.stale],
    ['ENOTEMPTY', NfsStatus.notempty],
    ['EMLINK', NfsStatus.mlink],
    ['EIO', NfsStatus.io],
  ];
  for (const [errno, status] of told) assert.equal(failureOf(new TreeFault(errno, 'as ordered')), status);
  assert.equal(failureOf(new Fault('full', 'as ordered')), NfsStatus.nospc);
  assert.equal(failureOf(new Fault('missing', 'as ordered')), NfsStatus.stale);
  for (const kind of ['retry', 'timeout', 'moved', 'refused', 'conflict'] as const)
    assert.ok(failureOf(new Fault(kind, 'as ordered')) instanceof Unanswered);
});

// ---- locks

test('locks are handed over in order, and several are taken without a circle', async () => {
  const locks = new Locks();
  const order: string[] = [];
  const work = async (who: string, keys: readonly string[]): Promise<void> => {
    await locks.acquire(keys);
    order.push(`${who} in`);
    await turn();
    order.push(`${who} out`);
    locks.release(keys);
  };
  await Promise.all([work('1', ['b', 'a']), work('2', ['a', 'b', 'a']), work('3', ['b']), work('4', ['c'])]);
  assert.equal(locks.size, 0);
  const inside = new Set<string>();
  for (const event of order) {
    const [who = '', what] = event.split(' ');
    if (what === 'in') inside.add(who);
    else inside.delete(who);
    assert.ok([...inside].filter((one) => one !== '4').length <= 1, order.join(', '));
  }
});

// ---- slots

const bytes = (maxLength: number) => fc.uint8Array({ maxLength, minLength: 1 }).map((array) => Buffer.from(array));
const id = fc.string({ minLength: 1, maxLength: 64, unit: fc.constantFrom(...'abcXYZ019-_'.split('')) });
const nullable = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: null });
const intents: fc.Arbitrary<Intent> = fc.oneof(
  fc.record({ kind: fc.constant('make' as const), directory: id, name: bytes(255), sizeBytes: nullable(fc.nat()) }),
  fc.record({ kind: fc.constantFrom('remove' as const, 'link' as const), directory: id, name: bytes(255), id }),
  fc.record({
    kind: fc.constant('rename' as const),
    directory: id,
    name: bytes(255),
    id,
    toDirectory: id,
    toName: bytes(255),
  }),
  fc.record({
    kind: fc.constant('change' as const),
    id,
    mode: nullable(fc.nat(0o7777)),
    uid: nullable(fc.nat()),
    gid: nullable(fc.nat()),
    sizeBytes: nullable(fc.maxSafeNat()),
    atimeNs: nullable(fc.bigInt({ min: 0n, max: 2n ** 62n })),
    mtimeNs: nullable(fc.bigInt({ min: 0n, max: 2n ** 62n })),
  }),
);

test('what is in a slot comes out of it; one damaged bit is noticed', () => {
  const askers = fc.record({
    address: fc.oneof(fc.ipV4(), fc.ipV6()),
    xid: fc.nat(0xffff_ffff),
    procedure: fc.nat(21),
    digest: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((array) => Buffer.from(array)),
  });
  fc.assert(
    fc.property(askers, intents, fc.integer({ min: 1, max: 2 ** 40 }), fc.nat(7999), (asker, intent, serial, bit) => {
      const encoded = encodeSlot({ serial, asker, state: 'intent', body: encodeIntent(intent) });
      assert.ok(encoded.length <= SLOT_BYTES);
      const slot = Buffer.alloc(SLOT_BYTES, 0xee);
      encoded.copy(slot);
      const decoded = decodeSlot(slot);
      assert.ok(decoded !== null && decoded !== 'damaged');
      assert.deepEqual(decodeIntent(decoded.body), { ...intent });
      assert.deepEqual([decoded.serial, decoded.state], [serial, 'intent']);
      assert.equal(keyOf(decoded.asker), keyOf(asker));
      const at = bit % (encoded.length * 8);
      slot[at >> 3] = (slot[at >> 3] ?? 0) ^ (1 << (at & 7));
      assert.equal(decodeSlot(slot), 'damaged');
    }),
  );
  assert.equal(decodeSlot(Buffer.alloc(SLOT_BYTES)), null);
});

// ---- the ring

test('the ring goes round: the last 4,096 are known, and older ones are forgotten', async () => {
  const caller = await new FilesCaller(new MemoryFiles()).open();
  const asked = { procedure: 'mkdir', directory: caller.root, attributes: mode(0o755) } as const;
  const make = (at: number) => caller.send({ ...asked, name: Buffer.from(`d${at}`) }, { xid: at });
  for (let at = 0; at <= SLOTS; at += 64) {
    const some = Array.from({ length: Math.min(64, SLOTS + 1 - at) }, (_, i) => make(at + i));
    assert.ok((await Promise.all(some)).every(({ status }) => status === 0));
    caller.service.destage();
  }
  assert.equal((await make(0)).status, NfsStatus.exist);
  assert.equal((await make(1)).status, NfsStatus.ok);
  assert.equal((await make(SLOTS)).status, NfsStatus.ok);
  const next = await new FilesCaller(new MemoryFiles(caller.service.remains(0))).open();
  assert.deepEqual(next.logged, []);
  const again = { ...asked, name: Buffer.from(`d${SLOTS}`) };
  assert.equal((await next.send(again, { xid: SLOTS })).status, NfsStatus.ok);
  assert.equal((await next.send(again, { xid: SLOTS + 1 })).status, NfsStatus.exist);
});

test('a damaged slot costs one reply, and is told', async () => {
  const caller = await new FilesCaller(new MemoryFiles()).open();
  const asked = { procedure: 'mkdir', directory: caller.root, attributes: mode(0o755) } as const;
  for (const xid of [1, 2]) await caller.send({ ...asked, name: Buffer.from(`d${xid}`) }, { xid });
  const remains = caller.service.remains(0);
  remains.replies[SLOT_BYTES + 100] = (remains.replies[SLOT_BYTES + 100] ?? 0) ^ 1;
  const next = await new FilesCaller(new MemoryFiles(remains)).open();
  assert.deepEqual(next.logged, ['nfs.recover']);
  assert.equal((await next.send({ ...asked, name: Buffer.from('d1') }, { xid: 1 })).status, NfsStatus.exist);
  assert.equal((await next.send({ ...asked, name: Buffer.from('d2') }, { xid: 2 })).status, NfsStatus.ok);
});

test('a name that is being changed is looked up in its turn: what was shown is durable', async () => {
  for (const [call, ask, before, after] of [
    ['create', (caller: FilesCaller) => caller.create(caller.root, 'new'), NfsStatus.noent, NfsStatus.ok],
    ['remove', (caller: FilesCaller) => caller.remove(caller.root, 'new'), NfsStatus.ok, NfsStatus.noent],
  ] as const) {
    const service = new MemoryFiles();
    if (call === 'remove') await (await new FilesCaller(service).open()).file('new');
    const caller = await new FilesCaller(service).open();
    const made = service.tree.succeeded.filter((one) => one === call).length;
    const asking = ask(caller);
    while (service.tree.succeeded.filter((one) => one === call).length === made) await turn();
    service.keepBack();
    const found: number[] = [];
    const looks = [0, 1].map(() => caller.lookup(caller.root, 'new').then(({ status }) => found.push(status)));
    const other = await caller.lookup(caller.root, 'other');
    assert.equal(other.status, NfsStatus.noent, 'other names are not waited for');
    for (let turns = 0; turns < 40; turns += 1) await turn();
    assert.deepEqual(found, [], `${call}: neither ${before} nor ${after} before it has ended`);
    service.goOn();
    assert.equal((await asking).status, NfsStatus.ok);
    await Promise.all(looks);
    assert.deepEqual(found, [after, after]);
  }
});

// ---- trouble

test('a medium in trouble is asked again; what it did in its trouble is not done twice', async () => {
  for (const done of [false, true])
    for (const [call, ask] of [
      ['create', (caller: FilesCaller) => caller.create(caller.root, 'new')],
      ['remove', (caller: FilesCaller) => caller.remove(caller.root, 'a')],
      ['rename', (caller: FilesCaller) => caller.rename(caller.root, 'a', caller.root, 'b')],
      ['lookup', (caller: FilesCaller) => caller.lookup(caller.root, 'a')],
    ] as const) {
      const service = new MemoryFiles();
      await (await new FilesCaller(service).open()).file('a');
      const caller = await new FilesCaller(service).open();
      const before = service.tree.succeeded.filter((one) => one === call).length;
      service.tree.failNext(call, new Fault(done ? 'timeout' : 'io', 'as ordered'), done);
      assert.equal((await ask(caller)).status, 0, `${call}, ${done}`);
      if (call !== 'lookup') assert.equal(service.tree.succeeded.filter((one) => one === call).length, before + 1);
    }
});

test('a full volume says so before anything is acknowledged, and a failed write changes no attributes', async () => {
  const caller = await new FilesCaller(new MemoryFiles()).open();
  const file = await caller.file('a');
  const shown = await caller.attributes(file);
  caller.service.failNext('full', 'write');
  assert.equal((await caller.write(file, 0, 'x')).status, NfsStatus.nospc);
  assert.deepEqual(await caller.attributes(file), shown);
  caller.service.failNext('full', 'truncate');
  assert.equal((await caller.setattr(file, { sizeBytes: 9 })).status, NfsStatus.nospc);
  assert.equal((await caller.attributes(file)).sizeBytes, 0);
});

test('a service that is being deposed gives no errors: nothing is answered', async () => {
  const caller = await new FilesCaller(new MemoryFiles()).open();
  const file = await caller.file('a');
  for (const kind of ['moved', 'retry', 'refused'] as const) {
    caller.service.failNext(kind, 'write');
    await assert.rejects(caller.write(file, 0, 'x'), { name: 'Error' });
    caller.service.failNext(kind, 'call');
    await assert.rejects(caller.getattr(file));
    caller.service.failNext(kind, 'read');
    await caller.write(file, 0, 'x');
    await assert.rejects(caller.read(file));
  }
});

// ---- eviction, times

test('an inode that was evicted with undestaged data comes back as it was shown', async () => {
  const service = new MemoryFiles();
  const caller = await new FilesCaller(service, { caches: { inodes: 2, names: 2 } }).open();
  const file = await caller.file('a');
  await caller.write(file, 0, '0123456789');
  await caller.setattr(file, { sizeBytes: 5 });
  await caller.write(file, 7, 'x');
  const shown = await caller.attributes(file);
  for (let at = 0; at < 40; at += 1) await caller.file(`other${at}`);
  const { usedBytes: _used, ...again } = await caller.attributes(file);
  assert.deepEqual({ ...again, usedBytes: shown.usedBytes }, shown);
  service.destage(1);
  for (let at = 0; at < 40; at += 1) await caller.attributes(await caller.handle(`other${at}`));
  assert.equal((await caller.attributes(file)).sizeBytes, 8);
  assert.equal(await caller.text(file), '01234\0\0x');
  service.destage();
  for (let at = 0; at < 40; at += 1) await caller.attributes(await caller.handle(`other${at}`));
  const last = await caller.attributes(file);
  assert.deepEqual([last.sizeBytes, last.mtimeNs, last.ctimeNs], [8, shown.mtimeNs, shown.ctimeNs]);
});

test('mtime and ctime grow with every change, even when the clocks stand still', async () => {
  const standing = 1_700_000_000_000_000_000n;
  const caller = await new FilesCaller(new MemoryFiles(), { wallClockNs: () => standing }).open();
  const file = await caller.file('a');
  let last = await caller.attributes(file);
  for (let round = 0; round < 5; round += 1) {
    await caller.write(file, 0, 'x');
    const next = await caller.attributes(file);
    assert.ok(next.mtimeNs > last.mtimeNs && next.ctimeNs > last.ctimeNs);
    await caller.setattr(file, { mode: 0o600 + round });
    last = await caller.attributes(file);
    assert.equal(last.mtimeNs, next.mtimeNs);
    assert.ok(last.ctimeNs > next.ctimeNs);
  }
  const before = await caller.attributes(caller.root);
  const made = await caller.create(caller.root, 'b');
  assert.ok(made.status === 0);
  assert.equal(made.directory.before?.mtimeNs, before.mtimeNs);
  assert.ok((made.directory.after?.mtimeNs ?? 0n) > before.mtimeNs);
});

test('destaging shows in nothing', async () => {
  const caller = await new FilesCaller(new MemoryFiles()).open();
  const file = await caller.file('a', { ...NOTHING, mode: 0o4755 });
  await caller.write(file, 0, 'text', { credential: { uid: 5, gid: 5, gids: [] } }).catch(assert.fail);
  assert.equal((await caller.attributes(file)).mode, 0o4755);
  await caller.setattr(file, { mode: 0o4777 });
  await caller.write(file, 0, 'TEXT', { credential: { uid: 5, gid: 5, gids: [] } });
  const shown = await caller.attributes(file);
  assert.equal(shown.mode, 0o777);
  caller.service.destage();
  await turn();
  assert.deepEqual({ ...(await caller.attributes(file)), usedBytes: 0 }, { ...shown, usedBytes: 0 });
});

// ---- directories

test('a large directory is listed in parts while names come and go: none is lost, none doubled', async () => {
  const caller = await new FilesCaller(new MemoryFiles()).open();
  const all = 2000;
  for (let at = 0; at < all; at += 100)
    await Promise.all(Array.from({ length: 100 }, (_, i) => caller.create(caller.root, `f${at + i}`)));
  caller.service.destage();
  for (const procedure of ['readdir', 'readdirplus'] as const) {
    const seen = new Map<string, number>();
    let cookie = 0n;
    for (let verifier = 0n, round = 0, eof = false; !eof; round += 1) {
      const bytes = 2000 + 100 * (round % 7);
      const asked = { handle: caller.root, cookie, verifier };
      const got =
        procedure === 'readdir'
          ? await caller.send({ procedure, ...asked, count: bytes })
          : await caller.send({ procedure, ...asked, dirCount: bytes, maxCount: bytes });
      assert.ok(got.status === 0 && got.entries.length > 0);
      for (const { name, cookie: next } of got.entries) {
        seen.set(name.toString(), (seen.get(name.toString()) ?? 0) + 1);
        cookie = next;
      }
      ({ verifier, eof } = got);
      if (round < 60) await caller.create(caller.root, `${procedure}${round}`);
      if (round > 0 && round < 60) await caller.remove(caller.root, `${procedure}${round - 1}`);
    }
    for (const name of ['.', '..', ...Array.from({ length: all }, (_, at) => `f${at}`)])
      assert.equal(seen.get(name), 1, `${name} by ${procedure}`);
    assert.ok([...seen.values()].every((times) => times === 1));
  }
});

test('listings keep to the bytes they are allowed, and say when those are too few', async () => {
  const caller = await new FilesCaller(new MemoryFiles()).open();
  for (let at = 0; at < 50; at += 1) await caller.create(caller.root, `${'x'.repeat(at * 5)}${at}`);
  for (const bytes of [120, 300, 1000, 4096]) {
    const asked = { handle: caller.root, cookie: 0n, verifier: 0n };
    const plain = await caller.raw({ procedure: 'readdir', ...asked, count: bytes });
    assert.ok(plain.length - 4 <= bytes || plain.readUInt32BE(0) === NfsStatus.toosmall, `${plain.length} of ${bytes}`);
    const plus = await caller.raw({ procedure: 'readdirplus', ...asked, dirCount: bytes, maxCount: bytes });
    assert.ok(plus.length - 4 <= bytes || plus.readUInt32BE(0) === NfsStatus.toosmall, `${plus.length} of ${bytes}`);
  }
  const few = { handle: caller.root, cookie: 0n, verifier: 0n, count: 100 };
  assert.equal((await caller.send({ procedure: 'readdir', ...few })).status, NfsStatus.toosmall);
  const foreign = { handle: caller.root, cookie: 5n, verifier: 99n, count: 4096 };
  assert.equal((await caller.send({ procedure: 'readdir', ...foreign })).status, NfsStatus.badCookie);
});

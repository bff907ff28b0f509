/** The codecs of all 22 procedures: what is written is read again, and any bytes are arguments, a result, or null. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeDump, decodeExport, decodeMnt, encodeDump, encodeExport, encodeMnt, MountStatus } from '../mount.ts';
import { entryBytes, entryDirBytes, entryPlusBytes, LISTING_BYTES } from './entries.ts';
import { readResultBytes } from './read.ts';
import type { NfsResult } from './results.ts';
import { decodeArguments, decodeResult, encodeArguments, encodeResult, procedureNumber, resultBound } from './table.ts';
import { CLAMPED, type NfsArguments, type NfsError, NfsStatus, type ProcedureName, PROCEDURES } from './types.ts';

// ---- any words

/** Plain objects, as the codecs make them. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record<T>(model, { noNullPrototype: true }) as fc.Arbitrary<T>;

const u32 = fc.oneof(fc.nat(0xffff_ffff), fc.constantFrom(0, 1, 0xffff_ffff));
const u53 = fc.oneof(fc.maxSafeNat(), fc.constantFrom(0, 0xffff_ffff, 0x1_0000_0000, Number.MAX_SAFE_INTEGER));
const u64 = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.constantFrom(0n, 2n ** 63n, 2n ** 64n - 1n));
const time = fc.bigInt({ min: 0n, max: (2n ** 32n - 1n) * 1_000_000_000n });
const bytesUpTo = (maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes));
const handle = bytesUpTo(64);
const name = bytesUpTo(300);
const of = <T extends ProcedureName>(procedure: T): fc.Arbitrary<T> => fc.constant(procedure);
const ok = fc.constant(NfsStatus.ok);
const error = fc.constantFrom(
  ...Object.values(NfsStatus).filter((status): status is NfsError => status !== NfsStatus.ok),
);
const status = fc.oneof(ok, error);

const setTime = fc.oneof(fc.constant(null), fc.constant('now' as const), time);
const sattr = record({
  mode: fc.option(u32),
  uid: fc.option(u32),
  gid: fc.option(u32),
  sizeBytes: fc.option(u53),
  atime: setTime,
  mtime: setTime,
});
const fattr = record({
  type: fc.constantFrom(
    'file' as const,
    'directory' as const,
    'symlink' as const,
    'block' as const,
    'character' as const,
    'fifo' as const,
    'socket' as const,
  ),
  mode: u32,
  links: u32,
  uid: u32,
  gid: u32,
  sizeBytes: u53,
  usedBytes: u53,
  major: u32,
  minor: u32,
  fsid: u64,
  fileNumber: u64,
  atimeNs: time,
  mtimeNs: time,
  ctimeNs: time,
});
const attributes = fc.option(fattr);
const wcc = record({
  before: fc.option(record({ sizeBytes: u53, mtimeNs: time, ctimeNs: time })),
  after: attributes,
});
const nameIn = { directory: handle, name };

// ---- any arguments

const mknod = fc.oneof(
  record({
    type: fc.constantFrom('block' as const, 'character' as const),
    attributes: sattr,
    major: u32,
    minor: u32,
  }),
  record({ type: fc.constantFrom('fifo' as const, 'socket' as const), attributes: sattr }),
  record({
    type: fc.constant('none' as const),
    asked: fc.constantFrom('file' as const, 'directory' as const, 'symlink' as const),
  }),
);
const how = fc.oneof(
  record({ mode: fc.constantFrom('unchecked' as const, 'guarded' as const), attributes: sattr }),
  record({ mode: fc.constant('exclusive' as const), verifier: u64 }),
);
const ARGUMENTS: { readonly [P in ProcedureName]: fc.Arbitrary<NfsArguments> } = {
  null: record({ procedure: of('null') }),
  getattr: record({ procedure: of('getattr'), handle }),
  setattr: record({ procedure: of('setattr'), handle, change: sattr, guardNs: fc.option<bigint>(time) }),
  lookup: record({ procedure: of('lookup'), ...nameIn }),
  access: record({ procedure: of('access'), handle, access: u32 }),
  readlink: record({ procedure: of('readlink'), handle }),
  read: record({ procedure: of('read'), handle, offset: u53, count: u32 }),
  write: record({
    procedure: of('write'),
    handle,
    offset: u53,
    stable: fc.constantFrom(0 as const, 1 as const, 2 as const),
    data: bytesUpTo(600),
  }),
  create: record({ procedure: of('create'), ...nameIn, how }),
  mkdir: record({ procedure: of('mkdir'), ...nameIn, attributes: sattr }),
  symlink: record({ procedure: of('symlink'), ...nameIn, attributes: sattr, to: bytesUpTo(600) }),
  mknod: record({ procedure: of('mknod'), ...nameIn, what: mknod }),
  remove: record({ procedure: of('remove'), ...nameIn }),
  rmdir: record({ procedure: of('rmdir'), ...nameIn }),
  rename: record({ procedure: of('rename'), from: record(nameIn), to: record(nameIn) }),
  link: record({ procedure: of('link'), handle, ...nameIn }),
  readdir: record({ procedure: of('readdir'), handle, cookie: u64, verifier: u64, count: u32 }),
  readdirplus: record({
    procedure: of('readdirplus'),
    handle,
    cookie: u64,
    verifier: u64,
    dirCount: u32,
    maxCount: u32,
  }),
  fsstat: record({ procedure: of('fsstat'), handle }),
  fsinfo: record({ procedure: of('fsinfo'), handle }),
  pathconf: record({ procedure: of('pathconf'), handle }),
  commit: record({ procedure: of('commit'), handle, offset: u53, count: u32 }),
};

// ---- any results

const failedWith = <P extends ProcedureName, E>(procedure: P, rest: E): fc.Arbitrary<NfsResult> =>
  record({ procedure: of(procedure), status: error, ...rest }) as unknown as fc.Arbitrary<NfsResult>;
const made = <P extends 'create' | 'mkdir' | 'symlink' | 'mknod'>(procedure: P): fc.Arbitrary<NfsResult> =>
  fc.oneof(
    record({
      procedure: of(procedure),
      status: ok,
      handle: fc.option(handle),
      attributes,
      directory: wcc,
    }) as unknown as fc.Arbitrary<NfsResult>,
    failedWith(procedure, { directory: wcc }),
  );
const entry = { fileNumber: u64, name, cookie: u64 };
const listed = { status: ok, attributes, verifier: u64, eof: fc.boolean() };
/** A read as a client sees it: one piece. */
const read = bytesUpTo(600).chain((data) =>
  record({
    procedure: of('read'),
    status: ok,
    attributes,
    count: fc.constant(data.length),
    eof: fc.boolean(),
    pieces: fc.constant(data.length === 0 ? [] : [{ length: data.length, data }]),
  }),
);
const RESULTS: { readonly [P in ProcedureName]: fc.Arbitrary<NfsResult> } = {
  null: record({ procedure: of('null') }),
  getattr: fc.oneof(record({ procedure: of('getattr'), status: ok, attributes: fattr }), failedWith('getattr', {})),
  setattr: record({ procedure: of('setattr'), status, wcc }),
  lookup: fc.oneof(
    record({ procedure: of('lookup'), status: ok, handle, attributes, directory: attributes }),
    failedWith('lookup', { directory: attributes }),
  ),
  access: fc.oneof(
    record({ procedure: of('access'), status: ok, attributes, access: u32 }),
    failedWith('access', { attributes }),
  ),
  readlink: fc.oneof(
    record({ procedure: of('readlink'), status: ok, attributes, to: bytesUpTo(600) }),
    failedWith('readlink', { attributes }),
  ),
  read: fc.oneof(read, failedWith('read', { attributes })),
  write: fc.oneof(
    record({
      procedure: of('write'),
      status: ok,
      wcc,
      count: u32,
      committed: fc.constantFrom(0 as const, 1 as const, 2 as const),
      verifier: u64,
    }),
    failedWith('write', { wcc }),
  ),
  create: made('create'),
  mkdir: made('mkdir'),
  symlink: made('symlink'),
  mknod: made('mknod'),
  remove: record({ procedure: of('remove'), status, directory: wcc }),
  rmdir: record({ procedure: of('rmdir'), status, directory: wcc }),
  rename: record({ procedure: of('rename'), status, from: wcc, to: wcc }),
  link: record({ procedure: of('link'), status, attributes, directory: wcc }),
  readdir: fc.oneof(
    record({ procedure: of('readdir'), ...listed, entries: fc.array(record(entry), { maxLength: 12 }) }),
    failedWith('readdir', { attributes }),
  ),
  readdirplus: fc.oneof(
    record({
      procedure: of('readdirplus'),
      ...listed,
      entries: fc.array(record({ ...entry, attributes, handle: fc.option(handle) }), { maxLength: 8 }),
    }),
    failedWith('readdirplus', { attributes }),
  ),
  fsstat: fc.oneof(
    record({
      procedure: of('fsstat'),
      status: ok,
      attributes,
      totalBytes: u53,
      freeBytes: u53,
      availableBytes: u53,
      totalObjects: u53,
      freeObjects: u53,
      availableObjects: u53,
      invariantSeconds: u32,
    }),
    failedWith('fsstat', { attributes }),
  ),
  fsinfo: fc.oneof(
    record({
      procedure: of('fsinfo'),
      status: ok,
      attributes,
      rtmax: u32,
      rtpref: u32,
      rtmult: u32,
      wtmax: u32,
      wtpref: u32,
      wtmult: u32,
      dtpref: u32,
      maxFileBytes: u53,
      timeDeltaNs: time,
      properties: u32,
    }),
    failedWith('fsinfo', { attributes }),
  ),
  pathconf: fc.oneof(
    record({
      procedure: of('pathconf'),
      status: ok,
      attributes,
      linkMax: u32,
      nameMax: u32,
      noTruncation: fc.boolean(),
      chownRestricted: fc.boolean(),
      caseInsensitive: fc.boolean(),
      casePreserving: fc.boolean(),
    }),
    failedWith('pathconf', { attributes }),
  ),
  commit: fc.oneof(record({ procedure: of('commit'), status: ok, wcc, verifier: u64 }), failedWith('commit', { wcc })),
};

// ---- laws

for (const procedure of PROCEDURES) {
  test(`${procedure}: arguments come back; cut short, grown or changed they are other arguments or none`, () => {
    fc.assert(
      fc.property(ARGUMENTS[procedure], fc.nat(), fc.nat(), fc.nat(255), (args, cut, at, byte) => {
        const bytes = encodeArguments(args);
        assert.equal(bytes.length % 4, 0);
        assert.deepEqual(decodeArguments(procedure, bytes), args);
        assert.equal(decodeArguments(procedure, Buffer.concat([bytes, Buffer.alloc(4)])), null);
        if (bytes.length === 0) return;
        assert.equal(decodeArguments(procedure, bytes.subarray(0, cut % bytes.length)), null);
        const changed = Buffer.from(bytes);
        changed[at % bytes.length] = byte;
        stable(decodeArguments(procedure, changed));
      }),
      { numRuns: 60 },
    );
  });

  test(`${procedure}: results come back within their bound; cut short or changed they are other results or none`, () => {
    fc.assert(
      fc.property(RESULTS[procedure], fc.nat(), fc.nat(), fc.nat(255), (result, cut, at, byte) => {
        const bytes = encodeResult(result);
        assert.ok(bytes.length <= resultBound(result), `${bytes.length} of ${resultBound(result)}`);
        if (result.procedure === 'read') assert.equal(bytes.length, readResultBytes(result));
        assert.deepEqual(decodeResult(procedure, bytes), result);
        if (bytes.length === 0) return;
        assert.equal(decodeResult(procedure, bytes.subarray(0, cut % bytes.length)), null);
        const changed = Buffer.from(bytes);
        changed[at % bytes.length] = byte;
        decodeResult(procedure, changed);
      }),
      { numRuns: 60 },
    );
  });

  test(`${procedure}: any bytes are arguments, a result, or null`, () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(u32, fc.nat(4)), { maxLength: 60 }), fc.nat(3), (list, cut) => {
        const bytes = Buffer.alloc(list.length * 4);
        list.forEach((word, i) => bytes.writeUInt32BE(word, i * 4));
        const cutBytes = bytes.subarray(0, Math.max(0, bytes.length - cut));
        stable(decodeArguments(procedure, cutBytes));
        decodeResult(procedure, cutBytes);
      }),
      { numRuns: 100 },
    );
  });
}

/** What decodes encodes to a form that decodes to the same. */
function stable(args: NfsArguments | null): void {
  if (args === null) return;
  assert.deepEqual(decodeArguments(args.procedure, encodeArguments(args)), args);
}

test('the numbers are those of RFC 1813', () => {
  assert.equal(PROCEDURES.length, 22);
  assert.deepEqual(
    (['null', 'read', 'write', 'rename', 'readdirplus', 'commit'] as const).map(procedureNumber),
    [0, 6, 7, 14, 17, 21],
  );
});

test('a WRITE whose count and length differ is none', () => {
  const bytes = encodeArguments({
    procedure: 'write',
    handle: Buffer.alloc(4),
    offset: 0,
    stable: 2,
    data: Buffer.alloc(8),
  });
  bytes.writeUInt32BE(7, 16);
  assert.equal(decodeArguments('write', bytes), null);
});

test('offsets and sizes beyond 2^53 are clamped', () => {
  const bytes = encodeArguments({ procedure: 'read', handle: Buffer.alloc(4), offset: 5, count: 1 });
  bytes.writeBigUInt64BE(2n ** 64n - 1n, 8);
  const args = decodeArguments('read', bytes);
  assert.ok(args?.procedure === 'read');
  assert.equal(args.offset, CLAMPED);
});

test('the payload of a WRITE is a slice of what was received', () => {
  const data = Buffer.from('payload!');
  const bytes = encodeArguments({ procedure: 'write', handle: Buffer.alloc(4), offset: 0, stable: 0, data });
  const args = decodeArguments('write', bytes);
  assert.ok(args?.procedure === 'write');
  assert.equal(args.data.buffer, bytes.buffer);
});

test('lists of a hundred thousand entries are read without depth', () => {
  const entries = Array.from({ length: 100_000 }, (_, i) => ({
    fileNumber: BigInt(i),
    name: Buffer.from(String(i)),
    cookie: BigInt(i + 1),
  }));
  const result = { procedure: 'readdir', status: 0, attributes: null, verifier: 0n, entries, eof: true } as const;
  const decoded = decodeResult('readdir', encodeResult(result));
  assert.ok(decoded?.status === 0);
  assert.equal(decoded.entries.length, 100_000);
  // a chain that never ends
  const endless = Buffer.alloc(400_000);
  for (let at = 0; at < endless.length; at += 4) endless.writeUInt32BE(1, at);
  assert.equal(decodeResult('readdir', endless), null);
  assert.equal(decodeDump(endless), null);
  assert.equal(decodeExport(endless), null);
});

test('what entries are said to take is what they take', () => {
  fc.assert(
    fc.property(RESULTS.readdirplus, (result) => {
      if (result.procedure !== 'readdirplus' || result.status !== NfsStatus.ok) return;
      let sum = 4 + LISTING_BYTES - (result.attributes === null ? 84 : 0);
      for (const each of result.entries) {
        sum += entryPlusBytes(each.name.length, each.attributes !== null, each.handle?.length ?? null);
      }
      assert.equal(encodeResult(result).length, sum);
      const names = result.entries.reduce((total, each) => total + entryBytes(each.name.length), 0);
      const plain = encodeResult({ ...result, procedure: 'readdir' });
      assert.equal(plain.length, 4 + LISTING_BYTES - (result.attributes === null ? 84 : 0) + names);
      assert.equal(entryDirBytes(5), entryBytes(5) - 4);
    }),
    { numRuns: 60 },
  );
});

test('MOUNT: results come back, and any bytes are a result or null', () => {
  const path = bytesUpTo(100);
  fc.assert(
    fc.property(
      fc.array(record({ host: path, directory: path }), { maxLength: 8 }),
      fc.array(record({ directory: path, groups: fc.array(path, { maxLength: 4 }) }), { maxLength: 4 }),
      handle,
      fc.array(u32, { maxLength: 4 }),
      fc.uint8Array({ maxLength: 200 }),
      (mounts, exports, root, flavors, noise) => {
        assert.deepEqual(decodeDump(encodeDump(mounts)), mounts);
        assert.deepEqual(decodeExport(encodeExport(exports)), exports);
        const mnt = { status: MountStatus.ok, handle: root, flavors };
        assert.deepEqual(decodeMnt(encodeMnt(mnt)), mnt);
        assert.deepEqual(decodeMnt(encodeMnt({ status: MountStatus.acces })), { status: MountStatus.acces });
        for (const decode of [decodeDump, decodeExport, decodeMnt]) decode(Buffer.from(noise));
      },
    ),
    { numRuns: 200 },
  );
});

/** Any arguments and any results of NFS version 3, as fast-check draws them, for tests of codecs and of who uses them. */
import fc from 'fast-check';
import type { NfsResult } from '../src/wire/nfs/results.ts';
import { type NfsArguments, type NfsError, NfsStatus, type ProcedureName } from '../src/wire/nfs/types.ts';

// ---- any words

/** Plain objects, as the codecs make them. */
export const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record<T>(model, { noNullPrototype: true }) as fc.Arbitrary<T>;

export const u32 = fc.oneof(fc.nat(0xffff_ffff), fc.constantFrom(0, 1, 0xffff_ffff));
const u53 = fc.oneof(fc.maxSafeNat(), fc.constantFrom(0, 0xffff_ffff, 0x1_0000_0000, Number.MAX_SAFE_INTEGER));
const u64 = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.constantFrom(0n, 2n ** 63n, 2n ** 64n - 1n));
const time = fc.bigInt({ min: 0n, max: (2n ** 32n - 1n) * 1_000_000_000n });
export const bytesUpTo = (maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes));
export const handle = bytesUpTo(64);
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
export const ARGUMENTS: { readonly [P in ProcedureName]: fc.Arbitrary<NfsArguments> } = {
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
export const RESULTS: { readonly [P in ProcedureName]: fc.Arbitrary<NfsResult> } = {
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

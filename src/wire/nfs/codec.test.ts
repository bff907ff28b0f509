/** The codecs of all 22 procedures: what is written is read again, and any bytes are arguments, a result, or null. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ARGUMENTS, bytesUpTo, handle, record, RESULTS, u32 } from '../../../suites/nfs-words.ts';
import { decodeDump, decodeExport, decodeMnt, encodeDump, encodeExport, encodeMnt, MountStatus } from '../mount.ts';
import { entryBytes, entryDirBytes, entryPlusBytes, LISTING_BYTES } from './entries.ts';
import { readResultBytes } from './read.ts';
import { decodeArguments, decodeResult, encodeArguments, encodeResult, procedureNumber, resultBound } from './table.ts';
import { CLAMPED, type NfsArguments, NfsStatus, PROCEDURES } from './types.ts';

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

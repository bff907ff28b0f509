import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { crc32c } from '../base/crc32c.ts';
import { Fault } from '../base/fault.ts';
import type { Epoch, Sequence } from '../base/names.ts';
import {
  dataCrcOf,
  LARGEST_OBJECT_BYTES,
  NO_BYTES,
  NO_TIME,
  type Operation,
  OPERATION_HEADER_BYTES,
  OperationKind,
} from '../base/operation.ts';
import {
  decodeOperation,
  encodedBytes,
  encodedHeadBytes,
  encodeOperationHeader,
  OPERATION_HEAD_BYTES_MAX,
} from './operation.ts';

const number = fc.oneof(
  fc.integer({ min: 1, max: 1000 }),
  fc.maxSafeNat().map((n) => Math.max(1, n)),
);
const target = fc.string({ unit: 'grapheme', maxLength: 24 }).filter((text) => Buffer.byteLength(text) <= 64);

const operation: fc.Arbitrary<Operation> = fc
  .record({
    epoch: number,
    sequence: number,
    target: fc.oneof(fc.constant(''), target),
    offset: fc.nat({ max: Number.MAX_SAFE_INTEGER - 2 ** 40 }),
    kind: fc.constantFrom(...Object.values(OperationKind)),
    data: fc.uint8Array({ minLength: 1, maxLength: 300 }),
    length: fc.integer({ min: 1, max: 2 ** 40 }),
    timeNs: fc.oneof(fc.constant(NO_TIME), fc.bigInt({ min: 1n, max: 2n ** 63n - 1n })),
  })
  .map(({ epoch, sequence, kind, data, length, offset, ...rest }) => {
    const bytes = kind === OperationKind.write ? Buffer.from(data) : NO_BYTES;
    return {
      ...rest,
      epoch: epoch as Epoch,
      sequence: sequence as Sequence,
      kind,
      data: bytes,
      ...rangeOf(kind, offset, kind === OperationKind.write ? bytes.length : length),
      dataCrc: dataCrcOf(bytes),
    };
  });

function rangeOf(kind: OperationKind, offset: number, length: number): { offset: number; length: number } {
  if (kind === OperationKind.stamp) return { offset: 0, length: 0 };
  if (kind !== OperationKind.truncate) return { offset, length };
  const size = offset % LARGEST_OBJECT_BYTES;
  return { offset: size, length: LARGEST_OBJECT_BYTES - size };
}

function encode(one: Operation): Buffer {
  const head = Buffer.alloc(OPERATION_HEAD_BYTES_MAX, 0xee);
  const bytes = encodeOperationHeader(one, head, 0);
  assert.equal(bytes, encodedHeadBytes(one));
  return Buffer.concat([head.subarray(0, bytes), one.data]);
}

test('an operation comes back as it was, wherever it lies, and is encoded the same again', () => {
  fc.assert(
    fc.property(operation, fc.nat({ max: 9 }), (one, lead) => {
      const bytes = Buffer.concat([Buffer.alloc(lead, 1), encode(one), Buffer.alloc(5, 2)]);
      const found = decodeOperation(bytes, lead, bytes.length);
      assert.ok(found !== 'short' && !(found instanceof Fault));
      assert.deepEqual({ ...found, data: found.data }, one);
      assert.deepEqual(encode(found), encode(one));
      // The data are a slice, not a copy.
      if (one.data.length > 0) assert.equal(found.data.buffer, bytes.buffer);
    }),
  );
});

test('cut anywhere, an operation is short and nothing else', () => {
  fc.assert(
    fc.property(operation, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (one, part) => {
      const bytes = encode(one);
      assert.equal(decodeOperation(bytes, 0, Math.floor(bytes.length * part)), 'short');
    }),
  );
});

test('any flipped bit is a fault, or asks for bytes that a fault follows', () => {
  fc.assert(
    fc.property(operation, fc.nat(), (one, where) => {
      const bytes = Buffer.concat([encode(one), Buffer.alloc(64)]);
      const bit = where % (encodedBytes(one) * 8);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      const found = decodeOperation(bytes, 0, bytes.length);
      assert.ok(found instanceof Fault && found.kind === 'corrupt', `bit ${bit}`);
    }),
    { numRuns: 500 },
  );
});

test('rubbish is a fault', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 64, maxLength: 400 }), (bytes) => {
      assert.ok(decodeOperation(Buffer.from(bytes), 0, bytes.length) instanceof Fault);
    }),
  );
});

/** A well-checksummed header whose fields were changed by `change`. */
function forged(one: Operation, change: (bytes: Buffer) => void): Buffer {
  const bytes = encode(one);
  change(bytes);
  const head = OPERATION_HEADER_BYTES + bytes.readUInt16LE(10);
  bytes.writeUInt32LE(crc32c(bytes.subarray(8, head)), 4);
  return bytes;
}

test('fields out of their bounds are faults, whatever the checksum says', () => {
  const data = Buffer.from('abcd');
  const one: Operation = {
    epoch: 1 as Epoch,
    sequence: 2 as Sequence,
    kind: OperationKind.write,
    target: 'file',
    offset: 8,
    length: 4,
    data,
    dataCrc: dataCrcOf(data),
    timeNs: 5n,
  };
  const cases: readonly [string, (bytes: Buffer) => void, RegExp][] = [
    ['kind', (b) => (b[8] = 9), /unknown kind 9/],
    ['flags', (b) => (b[9] = 1), /flags or reserved/],
    ['reserved', (b) => (b[60] = 1), /flags or reserved/],
    ['epoch', (b) => b.fill(0, 16, 24), /without epoch/],
    ['sequence', (b) => b.fill(0, 24, 32), /without epoch or sequence/],
    ['offset', (b) => b.fill(0xff, 32, 40), /impossible range/],
    ['end', (b) => b.writeBigUInt64LE(BigInt(Number.MAX_SAFE_INTEGER), 32), /impossible range/],
    ['length', (b) => b.fill(0, 40, 48), /impossible range/],
    ['data length', (b) => b.writeUInt32LE(3, 12), /over 4 bytes that carries 3/],
    ['range of a stamp', (b) => (b[8] = OperationKind.stamp), /impossible range/],
    ['range of a truncate', (b) => (b[8] = OperationKind.truncate), /impossible range/],
    ['data of a trim', (b) => (b[8] = OperationKind.trim), /over 4 bytes that carries 4/],
    [
      'too much data',
      (b) => (b.writeUInt32LE((32 << 20) + 1, 12), b.writeUInt32LE((32 << 20) + 1, 40)),
      /carries 33554433/,
    ],
    ['target', (b) => b.fill(0xff, 64, 68), /not UTF-8/],
    ['data checksum', (b) => (b[b.length - 1] = 0), /data of operation \(1, 2\)/],
  ];
  for (const [name, change, message] of cases) {
    const found = decodeOperation(forged(one, change), 0, 72);
    assert.ok(found instanceof Fault, `${name} is noticed`);
    assert.equal(found.kind, 'corrupt');
    assert.match(found.message, message);
  }
  const long = encode(one);
  long.writeUInt16LE(65, 10);
  const found = decodeOperation(long, 0, long.length);
  assert.ok(found instanceof Fault, 'a long target is noticed before it is waited for');
});

test('what cannot be written is a bug', () => {
  const one: Operation = {
    epoch: 1 as Epoch,
    sequence: 1 as Sequence,
    kind: OperationKind.trim,
    target: 'x'.repeat(65),
    offset: 0,
    length: 1,
    data: NO_BYTES,
    dataCrc: 0,
    timeNs: NO_TIME,
  };
  assert.throws(() => encodeOperationHeader(one, Buffer.alloc(200), 0), /64 bytes/);
  assert.throws(() => encodeOperationHeader({ ...one, target: '', offset: 0.5 }, Buffer.alloc(200), 0), /safe integer/);
});

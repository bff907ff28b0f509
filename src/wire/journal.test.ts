import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { crc32c } from '../base/crc32c.ts';
import { Fault } from '../base/fault.ts';
import type { Epoch, Generation, Sequence } from '../base/names.ts';
import { dataCrcOf, type Operation, OperationKind } from '../base/operation.ts';
import {
  alignUp,
  decodeGroupHeader,
  decodeGroupOperations,
  decodeSuperblock,
  encodeGroupHeader,
  encodeSuperblock,
  GROUP_HEADER_BYTES,
  type GroupHeader,
} from './journal.ts';
import { encodedHeadBytes, encodeOperationHeader } from './operation.ts';

const KEY = Buffer.from('0123456789abcdef');
const nat = fc.maxSafeNat();
const PLAIN = { noNullPrototype: true } as const;

const header: fc.Arbitrary<GroupHeader> = fc.record(
  {
    number: nat,
    position: nat,
    bytes: fc.nat({ max: 0xffff_ffff }),
    operations: fc.nat({ max: 1000 }),
    headsBytes: fc.nat(),
    headsCrc: fc.nat({ max: 0xffff_ffff }),
    dataBytes: nat,
    tail: fc.record({ number: nat, position: nat }, PLAIN),
    previousPosition: nat,
    previousCrc: fc.nat({ max: 0xffff_ffff }),
    logNumber: nat,
    head: fc.option(
      fc.record(
        {
          epoch: nat.map((n) => n as Epoch),
          generations: fc.array(
            nat.map((n) => n as Generation),
            { maxLength: 4 },
          ),
          base: nat.map((n) => n as Sequence),
          complete: fc.boolean(),
        },
        PLAIN,
      ),
    ),
    released: nat.map((n) => n as Sequence),
    acknowledged: nat.map((n) => n as Sequence),
  },
  PLAIN,
);

test('a group header comes back as it was', () => {
  fc.assert(
    fc.property(header, (one) => {
      const block = Buffer.alloc(512, 0xaa);
      const crc = encodeGroupHeader(one, KEY, block);
      assert.deepEqual(decodeGroupHeader(block, 0, KEY), { ...one, crc });
      assert.ok(
        block.subarray(GROUP_HEADER_BYTES).every((byte) => byte === 0xaa),
        'nothing behind it is touched',
      );
    }),
  );
});

test('any flipped bit in a group header, and any other key, and it is none', () => {
  fc.assert(
    fc.property(header, fc.nat({ max: GROUP_HEADER_BYTES * 8 - 1 }), (one, bit) => {
      const block = Buffer.alloc(GROUP_HEADER_BYTES);
      encodeGroupHeader(one, KEY, block);
      assert.equal(decodeGroupHeader(block, 0, Buffer.alloc(16)), null);
      block[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal(decodeGroupHeader(block, 0, KEY), null);
    }),
  );
});

function writeOf(sequence: number, text: string): Operation {
  const data = Buffer.from(text);
  return {
    epoch: 3 as Epoch,
    sequence: sequence as Sequence,
    kind: OperationKind.write,
    target: 't',
    offset: 0,
    length: data.length,
    data,
    dataCrc: dataCrcOf(data),
    timeNs: 7n,
  };
}

/** A group of `operations`; `heads` are those that are written, if others. */
function group(
  operations: readonly Operation[],
  heads: readonly Operation[] = operations,
): { found: Buffer; bytes: number } {
  const encoded = (ones: readonly Operation[]): Buffer =>
    Buffer.concat(
      ones.map((one) => {
        const head = Buffer.alloc(encodedHeadBytes(one));
        encodeOperationHeader(one, head, 0);
        return head;
      }),
    );
  const data = Buffer.concat(operations.map((one) => one.data));
  const right = encoded(operations);
  const bytes = alignUp(GROUP_HEADER_BYTES + right.length + data.length);
  const block = Buffer.alloc(bytes);
  encodeGroupHeader(
    {
      number: 1,
      position: 0,
      bytes,
      operations: operations.length,
      headsBytes: right.length,
      headsCrc: crc32c(right),
      dataBytes: data.length,
      tail: { number: 1, position: 0 },
      previousPosition: 0,
      previousCrc: 0,
      logNumber: 1,
      head: null,
      released: 0 as Sequence,
      acknowledged: 0 as Sequence,
    },
    KEY,
    block,
  );
  encoded(heads).copy(block, GROUP_HEADER_BYTES);
  data.copy(block, GROUP_HEADER_BYTES + right.length);
  return { found: block, bytes };
}

test("a group's operations come back, every byte of it verified", () => {
  const operations = [writeOf(1, 'one'), writeOf(2, 'two'), writeOf(3, 'three')];
  const { found } = group(operations);
  const decoded = decodeGroupHeader(found, 0, KEY);
  assert.ok(decoded !== null, 'a header');
  const again = decodeGroupOperations(decoded, found);
  assert.ok(!(again instanceof Fault), 'operations');
  assert.deepEqual(
    again.map((one) => ({ ...one, data: one.data })),
    operations,
  );
  for (let at = GROUP_HEADER_BYTES; at < found.length; at += 1) {
    const flipped = Buffer.from(found);
    flipped[at]! ^= 0x10;
    assert.ok(decodeGroupOperations(decoded, flipped) instanceof Fault, `byte ${at}`);
  }
});

test("another operation's head, whole and with its own checksum, does not pass for the one that was written", () => {
  const operations = [writeOf(1, 'one'), writeOf(2, 'two')];
  const { found } = group(operations, [writeOf(1, 'one'), writeOf(9, 'two')]);
  const decoded = decodeGroupHeader(found, 0, KEY);
  assert.ok(decoded !== null, 'a header');
  const result = decodeGroupOperations(decoded, found);
  assert.ok(result instanceof Fault, 'noticed');
  assert.match(result.message, /heads do not match/);
});

test('a superblock comes back, and a flipped bit in it is a fault', () => {
  const one = {
    store: 'ab'.repeat(16),
    key: KEY,
    ringBytes: 1 << 30,
    groupBytesMax: 1 << 25,
    place: '12345:1700000000000000000',
  };
  const block = encodeSuperblock(one);
  assert.deepEqual(decodeSuperblock(block), one);
  for (let bit = 0; bit < block.length * 8; bit += 7) {
    const flipped = Buffer.from(block);
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    assert.ok(decodeSuperblock(flipped) instanceof Fault, `bit ${bit}`);
  }
  assert.ok(decodeSuperblock(block.subarray(0, 100)) instanceof Fault, 'a short one');
});

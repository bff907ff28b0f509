/** Records: the same however they are cut, bounded by what came and not by what was announced. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RecordReader } from './rpc-record.ts';

const MAX_RECORD = 8192;

/** The record in fragments that end at `cuts`; zero-length ones where cuts fall together. */
function marked(record: Buffer, cuts: readonly number[]): Buffer {
  const ends = [...cuts.map((cut) => cut % (record.length + 1)).toSorted((a, b) => a - b), record.length];
  let from = 0;
  return Buffer.concat(
    ends.flatMap((end, i) => {
      const mark = Buffer.alloc(4);
      mark.writeUInt32BE((i === ends.length - 1 ? 0x8000_0000 : 0) + end - from);
      const fragment = record.subarray(from, end);
      from = end;
      return [mark, fragment];
    }),
  );
}

/** Every record found, as hex, and how it ended. */
function records(pieces: readonly Buffer[], reader = new RecordReader(MAX_RECORD, 7)): string[] {
  const found: string[] = [];
  for (const piece of pieces) {
    reader.push(piece);
    for (;;) {
      const verdict = reader.next();
      if (verdict === 'starved') break;
      if (verdict === 'garbage') return [...found, `garbage: ${reader.reason}`];
      found.push(reader.bytes.toString('hex', reader.from, reader.to));
    }
  }
  return found;
}

function cutAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].toSorted((a, b) => a - b);
  return [0, ...places].map((from, i) => Buffer.from(bytes.subarray(from, places[i] ?? bytes.length)));
}

/** Pieces that lie one behind the other, as an inlet hands them out. */
function cutInPlace(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].toSorted((a, b) => a - b);
  return [0, ...places].map((from, i) => bytes.subarray(from, places[i] ?? bytes.length));
}

test('records are the same in any fragments and any pieces', () => {
  const record = fc.record({
    bytes: fc.uint8Array({ maxLength: 300 }),
    fragments: fc.oneof(fc.constant([]), fc.array(fc.nat(), { maxLength: 6 })),
  });
  fc.assert(
    fc.property(fc.array(record, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 8 }), (list, cuts) => {
      const expected = list.map(({ bytes }) => Buffer.from(bytes).toString('hex'));
      const stream = Buffer.concat(list.map(({ bytes, fragments }) => marked(Buffer.from(bytes), fragments)));
      assert.deepEqual(records([Buffer.from(stream)]), expected);
      assert.deepEqual(records(cutAt(stream, cuts)), expected);
      assert.deepEqual(records(cutInPlace(stream, cuts)), expected);
      assert.deepEqual(records(Array.from(stream, (byte) => Buffer.from([byte]))), expected);
    }),
    { numRuns: 200 },
  );
});

test('any bytes at all are records, a wait for more, or garbage', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.array(fc.nat(), { maxLength: 8 }), (bytes, cuts) => {
      const whole = records([Buffer.from(bytes)]);
      assert.deepEqual(records(cutAt(Buffer.from(bytes), cuts)), whole);
    }),
    { numRuns: 500 },
  );
});

const word = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

test('a record that is too long is refused at its mark, also when its fragments add up', () => {
  assert.deepEqual(records([word(0x8000_0000 + MAX_RECORD + 1)]), [
    'garbage: a record of 8193 bytes is longer than the 8192 that are allowed',
  ]);
  assert.deepEqual(records([word(0xffff_ffff)]), [
    'garbage: a record of 2147483647 bytes is longer than the 8192 that are allowed',
  ]);
  assert.match(records([word(8000), Buffer.alloc(8000), word(193)])[0] ?? '', /^garbage: a record of 8193 bytes/);
});

test('fragments without end are refused', () => {
  const reader = new RecordReader(MAX_RECORD, 7);
  assert.deepEqual(records([Buffer.alloc(4 * 1024)], reader), []);
  assert.deepEqual(records([Buffer.alloc(4)], reader), ['garbage: a record has more than 1024 fragments']);
  assert.equal(reader.next(), 'garbage');
});

test('memory follows what came, not what was announced', () => {
  const reader = new RecordReader(1 << 20, 7);
  reader.push(word(0x8000_0000 + (1 << 20)));
  assert.equal(reader.next(), 'starved');
  assert.equal(reader.gatheringBytes, 0);
  reader.push(Buffer.alloc(10));
  assert.equal(reader.next(), 'starved');
  assert.equal(reader.gatheringBytes, 4096);
  assert.equal(reader.halfway, true);
  let sent = 10;
  while (sent + 65_536 < 1 << 20) {
    reader.push(Buffer.alloc(65_536));
    sent += 65_536;
    assert.equal(reader.next(), 'starved');
    assert.ok(reader.costBytes <= 4 * sent, `${reader.costBytes} for ${sent}`);
  }
  reader.push(Buffer.alloc((1 << 20) - sent));
  assert.equal(reader.next(), 'record');
  assert.equal(reader.to - reader.from, 1 << 20);
  assert.equal(reader.costBytes, 0);
  assert.equal(reader.halfway, false);
});

test('payloads stay where they came only when that does not keep much else', () => {
  const call = (procedure: number, length: number): Buffer => {
    const record = Buffer.alloc(length);
    record.writeUInt32BE(procedure, 20);
    return marked(record, []);
  };
  const pins = (...calls: Buffer[]): boolean[] => {
    const reader = new RecordReader(MAX_RECORD, 7);
    const piece = Buffer.allocUnsafeSlow(calls.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const each of calls) at += each.copy(piece, at);
    reader.push(piece);
    return calls.map(() => (assert.equal(reader.next(), 'record'), reader.mayPin));
  };
  assert.deepEqual(pins(call(7, 4096), call(7, 4096)), [true, true]);
  assert.deepEqual(pins(call(7, 4096), call(1, 8000)), [false, false]);
  assert.deepEqual(pins(call(1, 100), call(7, 4096)), [true, true]);
  assert.deepEqual(pins(call(1, 100), call(1, 100)), [false, false]);
});

test('a record that goes on behind its beginning in memory is not copied, and what is read over is not kept', () => {
  const record = Buffer.alloc(5000, 3);
  record.writeUInt32BE(7, 20);
  const memory = marked(record, []);
  const reader = new RecordReader(MAX_RECORD, 7);
  for (const piece of cutInPlace(memory, [2, 1000, 4000])) {
    assert.equal(reader.next(), 'starved');
    reader.push(piece);
    assert.equal(reader.keeps, true);
  }
  assert.equal(reader.next(), 'record');
  assert.equal(reader.bytes.buffer, memory.buffer);
  assert.equal(reader.mayPin, true);
  assert.equal(reader.keeps, true);
  record.writeUInt32BE(1, 20);
  reader.push(marked(record, []));
  assert.equal(reader.next(), 'record');
  assert.equal(reader.mayPin, false);
  assert.equal(reader.keeps, false);
});

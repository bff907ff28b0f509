import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { anyMessage, plain } from '../../suites/link-messages.ts';
import { crc32c } from '../base/crc32c.ts';
import { Fault } from '../base/fault.ts';
import type { Epoch, Generation, Sequence, VolumeName } from '../base/names.ts';
import { dataCrcOf, OperationKind, NO_TIME } from '../base/operation.ts';
import type { LinkMessage, MirrorMessage } from '../ports/link.ts';
import {
  FLAG_IGNORABLE,
  FRAME_HEADER_BYTES,
  FrameReader,
  FrameWriter,
  MAX_CONTROL_BYTES,
  MAX_OPERATIONS_BYTES,
} from './link-frame.ts';
import { decodeMessage } from './link-messages.ts';

const VERSION = 2;
const COUNTER = 0x1234_5678_9abc;

function framed(messages: readonly LinkMessage[], counter = COUNTER): Buffer {
  const writer = new FrameWriter(VERSION, counter);
  for (const message of messages) writer.write(message);
  const bytes = writer.pendingBytes;
  const whole = Buffer.concat(writer.take());
  assert.equal(whole.length, bytes);
  return whole;
}

/** Reads all of the chunks; stops at the first fault. */
function read(chunks: readonly Buffer[], counter = COUNTER): (LinkMessage | Fault)[] {
  const reader = new FrameReader(counter);
  const found: (LinkMessage | Fault)[] = [];
  for (const chunk of chunks) {
    reader.feed(chunk);
    for (let frame = reader.next(); frame !== null; frame = reader.next()) {
      const message =
        frame instanceof Fault ? frame : decodeMessage(frame.type, frame.control, frame.operations, VERSION);
      assert(message !== null);
      found.push(message);
      if (message instanceof Fault) return found;
    }
  }
  return found;
}

function cut(bytes: Buffer, lengths: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let at = 0;
  for (const length of lengths) {
    // Memory of its own for each chunk, as a socket would have it.
    chunks.push(Buffer.from(new Uint8Array(bytes.subarray(at, at + length)).buffer));
    at += length;
  }
  if (at < bytes.length) chunks.push(Buffer.from(new Uint8Array(bytes.subarray(at)).buffer));
  return chunks;
}

function mirror(sizes: readonly number[]): MirrorMessage {
  const operations = sizes.map((size, index) => {
    const data = Buffer.alloc(size, index + 1);
    const sequence = (index + 1) as Sequence;
    const fields = {
      kind: OperationKind.write,
      target: '',
      offset: index * size,
      length: size,
      data,
      dataCrc: dataCrcOf(data),
      timeNs: NO_TIME,
    };
    return { epoch: 1 as Epoch, sequence, ...fields };
  });
  const life = { volume: 'v' as VolumeName, epoch: 1 as Epoch, generation: 1 as Generation };
  return { type: 'mirror', ...life, operations, acknowledged: 0 as Sequence, released: 0 as Sequence };
}

test('however the stream is cut, the same messages come out', () => {
  const cuts = fc.array(fc.oneof(fc.nat(5), fc.nat(400)), { maxLength: 40 });
  fc.assert(
    fc.property(fc.array(anyMessage(300), { maxLength: 6 }), cuts, (messages, lengths) => {
      const expected = messages.map(plain);
      const bytes = framed(messages);
      for (const chunks of [
        [bytes],
        cut(bytes, lengths),
        cut(
          bytes,
          Array.from({ length: bytes.length }, () => 1),
        ),
      ]) {
        assert.deepEqual(
          read(chunks).map((one) => plain(one as LinkMessage)),
          expected,
        );
      }
    }),
    { numRuns: 200 },
  );
});

test('a flipped byte is found: what comes before it is whole, nothing false comes after', () => {
  fc.assert(
    fc.property(
      fc.array(anyMessage(500), { minLength: 1, maxLength: 5 }),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (messages, at, bits) => {
        const bytes = framed(messages);
        bytes[at % bytes.length]! ^= bits;
        const found = read([bytes]);
        const last = found.at(-1);
        assert(last instanceof Fault, 'it was found');
        assert.equal(last.kind, 'corrupt');
        assert.deepEqual(
          found.slice(0, -1).map((one) => plain(one as LinkMessage)),
          messages.slice(0, found.length - 1).map(plain),
        );
      },
    ),
    { numRuns: 1000 },
  );
});

test('garbage is refused for ever and never throws', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: FRAME_HEADER_BYTES, maxLength: 300 }), (garbage) => {
      const reader = new FrameReader(COUNTER);
      reader.feed(Buffer.from(garbage));
      const first = reader.next();
      assert(first instanceof Fault);
      assert.equal(reader.next(), first);
      reader.feed(framed([mirror([10])]));
      assert.equal(reader.next(), first);
    }),
    { numRuns: 500 },
  );
});

test('frames of another session, played again, left out or doubled are refused', () => {
  const first = framed([mirror([10])]);
  const other = framed([mirror([10])], COUNTER + 12_345);
  assert.match((read([other])[0] as Fault).message, /counter is 12345 off/);
  assert.match((read([Buffer.concat([first, first])])[1] as Fault).message, /counter is -1 off/);
  const three = framed([mirror([10]), mirror([10]), mirror([10])]);
  const gap = Buffer.concat([three.subarray(0, first.length), three.subarray(2 * first.length)]);
  assert.match((read([gap])[1] as Fault).message, /counter is 1 off/);
});

/** A header that is right in everything but what the test is about. */
function header(change: (header: Buffer) => void): Buffer {
  const writer = new FrameWriter(VERSION, COUNTER);
  writer.writeRaw(200, FLAG_IGNORABLE, Buffer.alloc(0));
  const bytes = Buffer.concat(writer.take());
  change(bytes);
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, 28)), 28);
  return bytes;
}

test('oversized frames and unknown flags are refused before anything is allocated', () => {
  const reasons: readonly (readonly [RegExp, (header: Buffer) => void])[] = [
    [/control part has \d+ bytes, \d+ are allowed/, (bytes) => bytes.writeUInt32LE(MAX_CONTROL_BYTES + 1, 16)],
    [/operations have \d+ bytes, \d+ are allowed/, (bytes) => bytes.writeUInt32LE(MAX_OPERATIONS_BYTES + 1, 20)],
    [/unknown flags/, (bytes) => (bytes[5] = 2)],
    [/unknown flags/, (bytes) => (bytes[6] = 1)],
    [/counter/, (bytes) => (bytes[15] = 0x20)],
    [/magic number/, (bytes) => (bytes[0] = 0)],
  ];
  for (const [reason, change] of reasons) {
    const reader = new FrameReader(COUNTER);
    reader.feed(header(change));
    const found = reader.next();
    assert(found instanceof Fault);
    assert.match(found.message, reason);
  }
});

test('a frame of an unknown type comes out as such, and the stream goes on', () => {
  const writer = new FrameWriter(VERSION, COUNTER);
  writer.writeRaw(200, FLAG_IGNORABLE, Buffer.from('from the future'));
  writer.write(mirror([10]));
  const reader = new FrameReader(COUNTER);
  reader.feed(Buffer.concat(writer.take()));
  const unknown = reader.next();
  assert(unknown !== null && !(unknown instanceof Fault));
  assert.deepEqual([unknown.type, unknown.ignorable, unknown.control.toString()], [200, true, 'from the future']);
  assert.equal(decodeMessage(unknown.type, unknown.control, unknown.operations, VERSION), null);
  const known = reader.next();
  assert(known !== null && !(known instanceof Fault));
  assert.deepEqual([known.type, known.ignorable], [1, false]);
});

test('data are not copied on the way out, and once at most on the way in', () => {
  const message = mirror([4096, 4096, 100]);
  const writer = new FrameWriter(VERSION, COUNTER);
  writer.write(message);
  writer.write(message);
  const parts = writer.take();
  const data = message.operations.map((operation) => operation.data);
  assert.deepEqual(
    parts.map((part) => data.indexOf(part)),
    [-1, 0, -1, 1, -1, 0, -1, 1, -1],
  );

  const bytes = framed([message]);
  const chunk = cut(bytes, [])[0]!;
  const whole = read([chunk])[0] as MirrorMessage;
  assert.equal(whole.operations[0]!.data.buffer, chunk.buffer, 'a frame that came whole stays where it is');

  const gathered = read(cut(bytes, [5000]))[0] as MirrorMessage;
  const buffers = new Set(gathered.operations.map((operation) => operation.data.buffer));
  assert.equal(buffers.size, 1);
  const payload = message.operations.reduce((sum, operation) => sum + 64 + operation.data.length, 0);
  assert.equal([...buffers][0]!.byteLength, payload, 'one that was gathered lies in a buffer of its exact size');

  const [many] = cut(framed(Array.from({ length: 20 }, () => mirror([500]))), []);
  const sliced = read([many!]) as MirrorMessage[];
  assert(
    sliced.every((one) => one.operations[0]!.data.buffer === many!.buffer),
    'many small ones are most of it together',
  );

  const crowd = Buffer.concat([framed([mirror([100])]), Buffer.alloc(5000)]);
  const small = read([Buffer.from(new Uint8Array(crowd).buffer)])[0] as MirrorMessage;
  assert.equal(small.operations[0]!.data.buffer.byteLength, 164, 'a small one does not keep a large chunk alive');
});

test('a frame that goes on in the same memory is waited for there, wherever it was cut', () => {
  const messages = [mirror([4096, 100]), mirror([700])];
  const bytes = framed(messages);
  const chunk = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(chunk);
  for (const at of [1, 31, 32, 33, 60, 150, 4000, 5000, bytes.length - 1]) {
    const reader = new FrameReader(COUNTER);
    const found: MirrorMessage[] = [];
    const drain = (): void => {
      for (let frame = reader.next(); frame !== null; frame = reader.next()) {
        assert(!(frame instanceof Fault));
        found.push(decodeMessage(frame.type, frame.control, frame.operations, VERSION) as MirrorMessage);
      }
    };
    reader.feed(chunk.subarray(0, at));
    drain();
    assert.ok(reader.keeps);
    reader.feed(chunk.subarray(at));
    drain();
    assert.deepEqual(found.map(plain), messages.map(plain));
    for (const { operations } of found)
      for (const { data } of operations) assert.equal(data.buffer, chunk.buffer, `cut at ${at}`);
  }
});

test('a control part larger than a slab goes alone', () => {
  const volume = { volume: 'v'.repeat(200) as VolumeName, epoch: 1 as Epoch, generation: 1 as Generation };
  const marks = { acknowledged: 1 as Sequence, released: 1 as Sequence, sent: 1 as Sequence };
  const volumes = Array.from({ length: 1000 }, () => ({ ...volume, ...marks }));
  const messages: LinkMessage[] = [
    mirror([10]),
    { type: 'heartbeat', sentAtMs: 1, unfit: null, entry: 0, volumes },
    mirror([10]),
  ];
  assert.deepEqual(
    read([framed(messages)]).map((one) => plain(one as LinkMessage)),
    messages.map(plain),
  );
});

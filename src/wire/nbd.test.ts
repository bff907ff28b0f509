/** The NBD codec: whole or byte by byte the same, bounded, and never surprised by garbage. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Command, CommandFlag, Magic, Option } from './nbd.ts';
import { ByteQueue } from './nbd-gather.ts';
import {
  decodeInfoRequest,
  decodeMetaRequest,
  decodeString,
  HandshakeParser,
  MAX_OPTION_BYTES,
} from './nbd-handshake.ts';
import { cutString } from './nbd-replies.ts';
import { type RequestFields, RequestParser } from './nbd-requests.ts';

const MAX_PAYLOAD = 1000;

interface Shape {
  readonly flags: number;
  readonly type: number;
  readonly cookie: bigint;
  readonly offset: bigint;
  readonly length: number;
}

function requestBytes(extended: boolean, { flags, type, cookie, offset, length }: Shape): Buffer {
  const head = Buffer.alloc(extended ? 32 : 28);
  const marked = extended && type === Command.write ? flags | CommandFlag.payloadLength : flags;
  head.writeUInt32BE(extended ? Magic.extendedRequest : Magic.request, 0);
  head.writeUInt16BE(marked, 4);
  head.writeUInt16BE(type, 6);
  head.writeBigUInt64BE(cookie, 8);
  head.writeBigUInt64BE(offset, 16);
  if (extended) head.writeBigUInt64BE(BigInt(length), 24);
  else head.writeUInt32BE(length, 24);
  const payload = Buffer.alloc(type === Command.write ? length : 0);
  for (let i = 0; i < payload.length; i++) payload[i] = (i * 7 + length) & 0xff;
  return Buffer.concat([head, payload]);
}

/** Everything that a parser finds, as text, when it is given the pieces one after the other. */
function parse(extended: boolean, pieces: readonly Buffer[]): string[] {
  const parser = new RequestParser(extended, MAX_PAYLOAD);
  const found: string[] = [];
  for (const piece of pieces) {
    parser.push(piece);
    for (;;) {
      const verdict = parser.next();
      if (verdict === 'starved') break;
      if (verdict === 'garbage') {
        found.push(`garbage: ${parser.reason}`);
        return found;
      }
      found.push(describe(parser.fields));
    }
  }
  return found;
}

function describe(f: RequestFields): string {
  const cookie = (BigInt(f.cookieHigh) << 32n) | BigInt(f.cookieLow);
  const offset = (BigInt(f.offsetHigh) << 32n) | BigInt(f.offsetLow);
  return [f.flags, f.type, cookie, offset, f.length, f.oversized, f.payload.toString('hex')].join(' ');
}

function cutAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].toSorted((a, b) => a - b);
  // pieces of their own memory, as a socket hands them out
  return [0, ...places].map((from, i) => Buffer.from(bytes.subarray(from, places[i] ?? bytes.length)));
}

const shape = fc.record({
  flags: fc.nat(0x1f),
  type: fc.oneof(fc.constant(Command.write), fc.nat(0xffff)),
  cookie: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  offset: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  length: fc.oneof(fc.nat(64), fc.nat(MAX_PAYLOAD), fc.nat(3 * MAX_PAYLOAD)),
});

for (const extended of [false, true]) {
  const style = extended ? 'extended' : 'compact';

  test(`${style} requests are the same however they are cut`, () => {
    fc.assert(
      fc.property(fc.array(shape, { maxLength: 12 }), fc.array(fc.nat(), { maxLength: 12 }), (shapes, cuts) => {
        const stream = Buffer.concat(shapes.map((each) => requestBytes(extended, each)));
        const whole = parse(extended, [Buffer.from(stream)]);
        assert.deepEqual(parse(extended, cutAt(stream, cuts)), whole);
        const bytes = Array.from(stream, (byte) => Buffer.from([byte]));
        assert.deepEqual(parse(extended, bytes), whole);
      }),
      { numRuns: 300 },
    );
  });

  test(`${style} requests say what was sent`, () => {
    fc.assert(
      fc.property(fc.array(shape, { maxLength: 8 }), (shapes) => {
        const fitting = shapes.map((each) => ({ ...each, length: Math.min(each.length, MAX_PAYLOAD) }));
        const found = parse(extended, [Buffer.concat(fitting.map((each) => requestBytes(extended, each)))]);
        const expected = fitting.map((each) => {
          const bytes = requestBytes(extended, each);
          const payload = bytes.subarray(extended ? 32 : 28).toString('hex');
          return [bytes.readUInt16BE(4), each.type, each.cookie, each.offset, each.length, false, payload].join(' ');
        });
        assert.deepEqual(found, expected);
      }),
    );
  });

  test(`garbage instead of ${style} requests never throws and stays garbage`, () => {
    const magic = Buffer.alloc(4);
    magic.writeUInt32BE(extended ? Magic.extendedRequest : Magic.request);
    const garbage = fc.array(fc.oneof(fc.uint8Array({ maxLength: 80 }), fc.constant(magic)), { maxLength: 10 });
    fc.assert(
      fc.property(garbage, (pieces) => {
        const parser = new RequestParser(extended, MAX_PAYLOAD);
        let dead = false;
        for (const piece of pieces) {
          parser.push(Buffer.from(piece));
          for (let verdict = parser.next(); verdict !== 'starved'; verdict = parser.next()) {
            assert.ok(!dead || verdict === 'garbage');
            dead = verdict === 'garbage';
            if (dead) break;
            assert.ok(parser.fields.payload.length <= MAX_PAYLOAD);
          }
        }
      }),
      { numRuns: 500 },
    );
  });
}

test('an oversized compact payload is dropped without being held, an extended one is garbage', () => {
  const big: Shape = { flags: 0, type: Command.write, cookie: 1n, offset: 0n, length: MAX_PAYLOAD + 1 };
  const parser = new RequestParser(false, MAX_PAYLOAD);
  const stream = requestBytes(false, big);
  parser.push(stream.subarray(0, 500));
  assert.equal(parser.next(), 'starved');
  assert.equal(parser.gatheringBytes, 0);
  assert.equal(parser.queue.length, 0);
  parser.push(stream.subarray(500));
  assert.equal(parser.next(), 'request');
  assert.equal(parser.fields.oversized, true);
  assert.equal(parser.fields.payload.length, 0);
  assert.match(parse(true, [requestBytes(true, big)])[0] ?? '', /^garbage: a payload of 1001 bytes/);
});

test('payloads stay in the received piece only when they are most of it', () => {
  const write = (length: number): Buffer => requestBytes(false, { flags: 0, type: 1, cookie: 1n, offset: 0n, length });
  const flush = requestBytes(false, { flags: 0, type: 3, cookie: 1n, offset: 0n, length: 0 });
  const payloads = (piece: Buffer): Buffer[] => {
    const own = Buffer.allocUnsafeSlow(piece.length);
    piece.copy(own);
    const parser = new RequestParser(false, MAX_PAYLOAD);
    parser.push(own);
    const found: Buffer[] = [];
    while (parser.next() === 'request') if (parser.fields.payload.length > 0) found.push(parser.fields.payload);
    for (const payload of found)
      assert.ok(payload.buffer.byteLength === payload.length || payload.buffer === own.buffer);
    return found.filter((payload) => payload.buffer === own.buffer);
  };
  assert.equal(payloads(Buffer.concat([write(500), flush, write(500), write(500)])).length, 3);
  assert.equal(payloads(Buffer.concat([write(100), ...Array.from({ length: 20 }, () => flush)])).length, 0);
  assert.equal(payloads(Buffer.concat(Array.from({ length: 50 }, () => write(8)))).length, 0);
});

test('a payload that spans pieces is gathered into one buffer of its size', () => {
  const stream = requestBytes(false, { flags: 0, type: 1, cookie: 1n, offset: 0n, length: 900 });
  const parser = new RequestParser(false, MAX_PAYLOAD);
  parser.push(stream.subarray(0, 400));
  assert.equal(parser.next(), 'starved');
  assert.equal(parser.gatheringBytes, 900);
  parser.push(stream.subarray(400));
  assert.equal(parser.next(), 'request');
  assert.equal(parser.gatheringBytes, 0);
  assert.equal(parser.fields.payload.buffer.byteLength, 900);
  assert.ok(parser.fields.payload.equals(stream.subarray(28)));
});

test('a payload that goes on in the same memory is waited for there, and not copied', () => {
  const head = requestBytes(false, { flags: 0, type: 1, cookie: 1n, offset: 0n, length: 900 });
  const stream = Buffer.allocUnsafeSlow(2 * head.length);
  stream.set(head);
  stream.set(head, head.length);
  const parser = new RequestParser(false, MAX_PAYLOAD, new ByteQueue(), 1024);
  const first = head.length;
  for (const [from, to] of [
    [0, 400],
    [400, 401],
    [401, first + 100],
  ] as const) {
    assert.equal(parser.next(), 'starved');
    parser.push(stream.subarray(from, to));
  }
  assert.equal(parser.next(), 'request');
  assert.equal(parser.fields.payload.buffer, stream.buffer);
  assert.ok(parser.fields.payload.equals(head.subarray(28)));
  assert.equal(parser.next(), 'starved');
  assert.ok(parser.keeps);
  // The second one goes on elsewhere.
  parser.push(Buffer.from(stream.subarray(first + 100)));
  assert.equal(parser.next(), 'request');
  assert.notEqual(parser.fields.payload.buffer, stream.buffer);
  assert.ok(parser.fields.payload.equals(head.subarray(28)));
  assert.equal(parser.next(), 'starved');
  assert.ok(!parser.keeps, 'what was gathered keeps nothing of the piece');
});

test('a queue of tiny pieces costs more than its bytes', () => {
  const queue = new ByteQueue();
  for (let i = 0; i < 100; i++) queue.push(Buffer.from([i]));
  assert.equal(queue.length, 100);
  assert.ok(queue.costBytes > 100 * 100);
  assert.equal(queue.drop(1000), 900);
  assert.equal(queue.costBytes, 0);
});

/** Everything that a handshake parser finds, as text. */
function shake(pieces: readonly Buffer[]): string[] {
  const parser = new HandshakeParser();
  const found: string[] = [];
  for (const piece of pieces) {
    parser.push(piece);
    for (let event = parser.next(); event.kind !== 'starved'; event = parser.next()) {
      if (event.kind === 'option') found.push(`${event.option} ${event.tooBig} ${event.data.toString('hex')}`);
      else found.push(JSON.stringify(event));
      if (event.kind === 'garbage') return found;
    }
  }
  return found;
}

const optionBytes = (option: number, data: Uint8Array): Buffer => {
  const head = Buffer.from('49484156454f5054' + '0'.repeat(16), 'hex');
  head.writeUInt32BE(option, 8);
  head.writeUInt32BE(data.length, 12);
  return Buffer.concat([head, data]);
};

test('options are the same however they are cut', () => {
  const option = fc.tuple(fc.nat(20), fc.uint8Array({ maxLength: 60 }));
  fc.assert(
    fc.property(fc.array(option, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 8 }), (options, cuts) => {
      const stream = Buffer.concat([
        Buffer.from([0, 0, 0, 3]),
        ...options.map(([type, data]) => optionBytes(type, data)),
      ]);
      const whole = shake([Buffer.from(stream)]);
      assert.equal(whole.length, 1 + options.length);
      assert.deepEqual(shake(cutAt(stream, cuts)), whole);
      assert.deepEqual(shake(Array.from(stream, (byte) => Buffer.from([byte]))), whole);
    }),
  );
});

test('garbage instead of a handshake never throws', () => {
  const magic = Buffer.from('49484156454f5054', 'hex');
  const garbage = fc.array(fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.constant(magic)), { maxLength: 10 });
  fc.assert(
    fc.property(garbage, (pieces) => {
      const found = shake(pieces.map((piece) => Buffer.from(piece)));
      assert.ok(found.length < 100);
    }),
    { numRuns: 500 },
  );
});

test('option data are bounded: dropped when too big, garbage when absurd', () => {
  const flags = Buffer.from([0, 0, 0, 1]);
  const big = optionBytes(Option.info, Buffer.alloc(MAX_OPTION_BYTES + 1));
  assert.deepEqual(shake([flags, big, optionBytes(Option.list, Buffer.alloc(0))]).slice(1), ['6 true ', '3 false ']);
  const absurd = optionBytes(Option.info, Buffer.alloc(0));
  absurd.writeUInt32BE(0xffffffff, 12);
  assert.match(shake([flags, absurd])[1] ?? '', /garbage.*claims 4294967295 bytes/);
});

test('option data of any content decode to something or to null', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(40), (bytes, small) => {
      const data = Buffer.from(bytes);
      // small numbers where lengths are expected get further than random ones
      if (data.length >= 4) data.writeUInt32BE(small, 0);
      const info = decodeInfoRequest(data);
      if (info !== null) assert.equal(6 + Buffer.byteLength(info.name) + 2 * info.wanted.length, data.length);
      const meta = decodeMetaRequest(data);
      if (meta !== null) {
        const strings = [meta.name, ...meta.queries];
        assert.equal(4 + strings.reduce((sum, text) => sum + 4 + Buffer.byteLength(text), 0), data.length);
      }
    }),
    { numRuns: 1000 },
  );
});

test('strings are UTF-8 without NUL, at most 4096 bytes, and are cut between characters', () => {
  assert.equal(decodeString(Buffer.from('vm-disk é')), 'vm-disk é');
  assert.equal(decodeString(Buffer.from([0xc3])), null);
  assert.equal(decodeString(Buffer.from('a\0')), null);
  assert.equal(decodeString(Buffer.alloc(4097, 65)), null);
  assert.equal(decodeString(Buffer.alloc(4096, 65))?.length, 4096);
  assert.equal(cutString('é'.repeat(3000)).length, 4096);
  assert.equal(cutString(`x${'é'.repeat(3000)}`).length, 4095);
});

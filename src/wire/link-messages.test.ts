import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { anyMessage, plain } from '../../suites/link-messages.ts';
import { Fault } from '../base/fault.ts';
import type { Epoch, Generation, Sequence, StoreId, VolumeName } from '../base/names.ts';
import type { HandoverAnswerMessage, LinkMessage } from '../ports/link.ts';
import { ControlReader, ControlWriter } from './link-control.ts';
import { flag, list, name, record, sentence, since, u64, word } from './link-fields.ts';
import { MAX_CONTROL_BYTES } from './link-frame.ts';
import { decodeMessage, encodeControl, MAX_HEARTBEAT_VOLUMES, MAX_NAME_BYTES } from './link-messages.ts';
import { encodeOperationHeader, encodedHeadBytes } from './operation.ts';

const VERSION = 2;

/** A message's two parts, as a frame would carry them. */
function encode(message: LinkMessage): { code: number; control: Buffer; tail: Buffer } {
  const to = new ControlWriter(VERSION, MAX_CONTROL_BYTES);
  const code = encodeControl(message, to);
  const tail = to.operations.flatMap((operation) => {
    const head = Buffer.alloc(encodedHeadBytes(operation));
    encodeOperationHeader(operation, head, 0);
    return [head, operation.data];
  });
  return { code, control: Buffer.from(to.bytes.subarray(0, to.at)), tail: Buffer.concat(tail) };
}

test('what is written is read, for every type of message', () => {
  fc.assert(
    fc.property(anyMessage(), (message) => {
      const { code, control, tail } = encode(message);
      const found = decodeMessage(code, control, tail, VERSION);
      assert(found !== null && !(found instanceof Fault));
      assert.deepEqual(plain(found), plain(message));
    }),
    { numRuns: 1000 },
  );
});

test('damage is refused, or gives a message that encodes to the same bytes; it never throws', () => {
  let refused = 0;
  let read = 0;
  const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(anyMessage(), damage, fc.nat(30), (message, changes, cut) => {
      const whole = encode(message);
      const control = whole.control.subarray(0, cut < 10 ? Math.max(0, whole.control.length - cut) : undefined);
      for (const [at, byte] of changes) if (control.length > 0) control[at % control.length] = byte;
      const found = decodeMessage(whole.code, control, whole.tail, VERSION);
      assert(found !== null);
      if (found instanceof Fault) {
        refused += 1;
        assert.equal(found.kind, 'corrupt');
        assert.match(found.message, /^A [a-z-]+ message is malformed: .+\.$/);
      } else {
        read += 1;
        const again = encode(found);
        assert.deepEqual(again, { code: whole.code, control: Buffer.from(control), tail: whole.tail });
      }
    }),
    { numRuns: 3000 },
  );
  assert(refused > 500 && read > 300, `both happened often: ${refused} refused, ${read} read`);
});

test('garbage under every number is refused or unknown', () => {
  fc.assert(
    fc.property(
      fc.nat(20),
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array({ maxLength: 100 }),
      (code, control, tail) => {
        const found = decodeMessage(code, Buffer.from(control), Buffer.from(tail), VERSION);
        if (code < 1 || code > 16) assert.equal(found, null);
        else if (!(found instanceof Fault)) {
          assert(found !== null);
          assert.deepEqual(encode(found).control, Buffer.from(control));
        }
      },
    ),
    { numRuns: 3000 },
  );
});

test('the bytes are those of docs/link-protocol.md', () => {
  const life = { volume: 'vol' as VolumeName, epoch: 2 as Epoch, generation: 3 as Generation };
  const lifeHex = '0300766f6c' + '0200000000000000' + '0300000000000000';
  const stored = encode({
    type: 'stored',
    ...life,
    store: 'st' as StoreId,
    received: 258 as Sequence,
    stored: 257 as Sequence,
    released: 0 as Sequence,
    gap: true,
  });
  assert.equal(stored.code, 2);
  const numbers = '0201000000000000' + '0101000000000000' + '0000000000000000';
  assert.equal(stored.control.toString('hex'), `${lifeHex}02007374${numbers}01`);
  const beat = encode({ type: 'heartbeat', sentAtMs: 1.5, unfit: null, entry: 0, volumes: [] });
  assert.equal(beat.code, 4);
  assert.equal(beat.control.toString('hex'), '000000000000f83f' + '00' + '0000000000000000' + '0000');
  const answer: HandoverAnswerMessage = {
    type: 'handover-answer',
    volume: life.volume,
    epoch: life.epoch,
    nonce: 'n',
    state: 'agreed',
    undestagedBytes: 0,
    refusal: 'no',
  };
  const expected = '0300766f6c' + '0200000000000000' + '01006e' + '02' + '0000000000000000' + '0102006e6f';
  assert.equal(encode(answer).control.toString('hex'), expected);
});

test('the largest heartbeat and its answer fit', () => {
  const longest = 'x'.repeat(MAX_NAME_BYTES);
  const life = { volume: longest as VolumeName, epoch: 1 as Epoch, generation: 1 as Generation };
  const top = Number.MAX_SAFE_INTEGER as Sequence;
  const copy = { store: longest as StoreId, received: top, stored: top, released: top };
  const grants = Array.from({ length: MAX_HEARTBEAT_VOLUMES }, () => ({ ...life, granted: true, copy }));
  const message: LinkMessage = { type: 'heartbeat-ack', sentAtMs: 0, grants };
  const { code, control, tail } = encode(message);
  assert.deepEqual(plain(decodeMessage(code, control, tail, VERSION) as LinkMessage), plain(message));
});

test('a long sentence is cut at the end of a character, a long name is a bug', () => {
  const to = new ControlWriter(VERSION, 4096);
  const field = sentence(10);
  for (const [written, expected] of [
    ['123456789é', '123456789'],
    ['12345678é0', '12345678é'],
    ['1234567😀', '1234567'],
    ['123456😀', '123456😀'],
    ['123456😀😀', '123456😀'],
    ['😀😀😀😀', '😀😀'],
    ['', ''],
  ] as const) {
    to.reset();
    field.write(to, written);
    const from = new ControlReader(to.bytes.subarray(0, to.at), Buffer.alloc(0), VERSION);
    assert.equal(field.read(from), expected);
    assert.equal(from.finish(), null);
  }
  assert.throws(() => name<string>(3).write(to, 'four'), /broken invariant/);
  assert.throws(() => name<string>(3).write(to, ''), /broken invariant/);
});

test('fields that only newer versions have do not travel to older ones', () => {
  interface Growing {
    readonly type: 'growing';
    readonly first: number;
    readonly second: readonly boolean[];
    readonly third: 'yes' | 'no';
  }
  const table = record<Omit<Growing, 'type'>>({
    first: u64<number>(),
    second: since(2, list(flag, 4), []),
    third: since(3, word<'yes' | 'no'>({ yes: 0, no: 1 }), 'no'),
  });
  const value = { first: 1, second: [true, false], third: 'yes' as const };
  const lengths = [1, 2, 3].map((version) => {
    const to = new ControlWriter(version, 4096);
    table.write(to, value);
    const from = new ControlReader(to.bytes.subarray(0, to.at), Buffer.alloc(0), version);
    const expected = { ...value, ...(version < 2 ? { second: [] } : {}), ...(version < 3 ? { third: 'no' } : {}) };
    assert.deepEqual(table.read(from), expected);
    assert.equal(from.finish(), null);
    return to.at;
  });
  assert.deepEqual(lengths, [8, 12, 13]);
});

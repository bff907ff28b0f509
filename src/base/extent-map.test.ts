import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ExtentMap } from './extent-map.ts';

/** The slow, obvious version: one slot per byte. */
class Bytes {
  readonly slots: (number | null)[];

  constructor(size: number) {
    this.slots = new Array<number | null>(size).fill(null);
  }

  set(offset: number, length: number, value: number): void {
    this.slots.fill(value, offset, offset + length);
  }

  remove(offset: number, length: number, value: number): void {
    for (let at = offset; at < offset + length; at += 1) if (this.slots[at] === value) this.slots[at] = null;
  }

  covers(offset: number, length: number): boolean {
    return this.slots.slice(offset, offset + length).every((value) => value !== null);
  }
}

/** What `visit` says, spelled out per byte; checks order, clipping and that parts do not overlap on the way. */
function perByte(map: ExtentMap<number>, offset: number, length: number): (number | null)[] {
  const slots = new Array<number | null>(length).fill(null);
  let last = offset;
  map.visit(offset, length, (from, to, value) => {
    assert.ok(from >= last && to > from && to <= offset + length, `part [${from}, ${to})`);
    slots.fill(value, from - offset, to - offset);
    last = to;
  });
  return slots;
}

const listed = (map: ExtentMap<string>): string =>
  [...map.entries()].map(({ from, to, value }) => `${from}-${to}${value}`).join(' ');

test('a newer range replaces, trims and splits what it overlaps', () => {
  const map = new ExtentMap<string>();
  map.set(0, 10, 'a');
  map.set(20, 10, 'b');
  assert.equal(listed(map), '0-10a 20-30b');
  map.set(5, 20, 'c');
  assert.equal(listed(map), '0-5a 5-25c 25-30b');
  map.set(10, 2, 'd');
  assert.equal(listed(map), '0-5a 5-10c 10-12d 12-25c 25-30b');
  map.set(10, 2, 'e');
  assert.equal(listed(map), '0-5a 5-10c 10-12e 12-25c 25-30b');
  map.set(0, 30, 'f');
  assert.equal(listed(map), '0-30f');
  map.invariants();
});

test('identical neighbours stay apart', () => {
  const map = new ExtentMap<string>();
  map.set(0, 10, 'a');
  map.set(10, 10, 'a');
  assert.equal(map.pieces, 2);
});

test('removal takes only what lies in the range and has the value', () => {
  const map = new ExtentMap<string>();
  map.set(0, 10, 'a');
  map.set(10, 10, 'b');
  map.set(20, 10, 'a');
  map.remove(5, 20, 'a');
  assert.equal(listed(map), '0-5a 10-20b 25-30a');
  map.remove(12, 3, 'b');
  assert.equal(listed(map), '0-5a 10-12b 15-20b 25-30a');
  assert.equal(map.covers(10, 2), true);
  assert.equal(map.covers(10, 3), false);
  assert.equal(map.covers(13, 0), true);
  map.clear();
  assert.equal(map.pieces, 0);
  assert.equal(listed(map), '');
});

test('ranges reach up to byte 2^53 and no further', () => {
  const map = new ExtentMap<string>();
  const last = 2 ** 53 - 4096;
  map.set(last, 4096, 'z');
  map.set(2 ** 40 + 1, 1, 'y');
  assert.equal(listed(map), `${2 ** 40 + 1}-${2 ** 40 + 2}y ${last}-${2 ** 53}z`);
  assert.equal(map.covers(last, 4096), true);
  assert.throws(() => map.set(last, 4097, 'x'), /ends at or before byte 2\^53/);
  assert.throws(() => map.set(-1, 2, 'x'), /whole number of bytes/);
  assert.throws(() => map.set(1, 0, 'x'), /has a length/);
  assert.throws(() => map.visit(0.5, 1, () => {}), /whole number of bytes/);
});

test('who changes the map while visiting it is found out; who looks things up is not disturbed', () => {
  const map = new ExtentMap<string>();
  for (let at = 0; at < 1000; at += 1) map.set(at * 10, 5, 'a');
  assert.throws(() => map.visit(0, 100, () => map.set(0, 1, 'b')), /does not change the map/);
  assert.throws(() => map.visit(10, 100, () => map.remove(10, 5, 'a')), /does not change the map/);
  assert.throws(() => map.visit(0, 100, () => map.clear()), /does not change the map/);
  for (let at = 0; at < 1000; at += 1) map.set(at * 10, 5, 'a');
  let asked = 0;
  map.visit(0, 5000, () => {
    assert.equal(map.covers(9000, 5), true);
    asked += 1;
  });
  assert.equal(asked, 500);
  assert.equal(map.pieces, 1000);
  map.invariants();
});

test('it says what a byte array says, whatever is done to both', () => {
  const size = 1200;
  const range = fc
    .tuple(fc.nat(size - 1), fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: size })))
    .map(([offset, length]) => ({ offset, length: Math.min(length, size - offset) }));
  const step = fc.oneof(
    { weight: 20, arbitrary: fc.record({ do: fc.constant('set' as const), range, value: fc.nat(9) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('remove' as const), range, value: fc.nat(9) }) },
    {
      weight: 2,
      arbitrary: fc.record({ do: fc.constant('stripes' as const), range, value: fc.integer({ min: 2, max: 7 }) }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('look' as const), range, value: fc.nat(9) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
      const map = new ExtentMap<number>();
      const bytes = new Bytes(size);
      for (const {
        do: what,
        range: { offset, length },
        value,
      } of steps) {
        switch (what) {
          case 'set':
            map.set(offset, length, value);
            bytes.set(offset, length, value);
            break;
          case 'stripes': // many small pieces at once, so that chunks fill, split and empty
            for (let at = offset; at < offset + length; at += value) {
              map.set(at, 1, at % 10);
              bytes.set(at, 1, at % 10);
            }
            break;
          case 'remove': {
            for (let held = value; held <= 9; held += 1) {
              map.remove(offset, length, held);
              bytes.remove(offset, length, held);
            }
            break;
          }
          case 'look':
            assert.deepEqual(perByte(map, offset, length), bytes.slots.slice(offset, offset + length));
            assert.equal(map.covers(offset, length), bytes.covers(offset, length));
            break;
          default:
            what satisfies never;
        }
        map.invariants();
      }
      assert.deepEqual(perByte(map, 0, size), bytes.slots);
      assert.deepEqual(
        [...map.entries()].reduce((sum, { from, to }) => sum + to - from, 0),
        bytes.slots.filter((value) => value !== null).length,
      );
    }),
    { numRuns: 150 },
  );
});

test('a large map grows, is overwritten and shrinks, sound all the way, and gives its room back', () => {
  const map = new ExtentMap<number>();
  const blocks = 20_000;
  const whole = blocks * 4096;
  let random = 12_345;
  const next = (): number => (random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0);
  for (let count = 0; count < blocks; count += 1) map.set((next() % blocks) * 4096, 4096, count % 16);
  map.invariants();
  const full = map.pieces;
  assert.ok(full > blocks / 2);
  assert.ok(map.room < 4 * full);
  for (let count = 0; count < 1000; count += 1) {
    map.set((next() % blocks) * 4096 + 512, 1024, count % 16);
    map.remove((next() % blocks) * 4096, 65_536, count % 3);
  }
  map.invariants();
  for (let value = 1; value < 16; value += 1) {
    map.remove(0, whole, value);
    map.invariants();
  }
  assert.ok(map.pieces > 0 && map.pieces < full / 8);
  assert.ok(map.room < full);
  map.remove(0, whole, 0);
  map.invariants();
  assert.equal(map.pieces, 0);
  assert.ok(map.room <= 128);
  map.set(0, whole, 1);
  assert.equal(map.pieces, 1);
});

test('one piece over many takes them out together, and gives their room back', () => {
  const map = new ExtentMap<number>();
  for (let at = 0; at < 10_000; at += 1) map.set(at * 10, 5, at);
  map.set(12, 99_900, 1);
  map.invariants();
  assert.deepEqual([...map.entries()].map(({ from, to }) => [from, to]).slice(0, 3), [
    [0, 5],
    [10, 12],
    [12, 99_912],
  ]);
  assert.equal(map.pieces, 3 + 9);
  assert.ok(map.room <= 128);
});

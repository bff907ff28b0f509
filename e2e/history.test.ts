/** The judge itself: histories of one disk pass, and each way of losing or ageing a write is found. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { History, SECTOR_BYTES, type Write } from './history.ts';
import { Prng } from './prng.ts';

/** A disk of a few sectors that does exactly what it is told. */
class Disk {
  readonly history: History;
  readonly bytes: Buffer;

  constructor(sectors = 4) {
    this.history = new History(sectors, 1);
    this.bytes = Buffer.alloc(sectors * SECTOR_BYTES);
  }

  send(first: number, count = 1, zero = false): Write {
    return this.history.begin(first, count, zero);
  }

  apply(write: Write, first: number, count = 1): void {
    const data = write.zero ? Buffer.alloc(count * SECTOR_BYTES) : this.history.data(write, first, count);
    data.copy(this.bytes, first * SECTOR_BYTES);
  }

  write(first: number, count = 1, zero = false): Write {
    const write = this.send(first, count, zero);
    this.apply(write, first, count);
    this.history.acknowledged(write);
    return write;
  }

  read(first = 0, count = 1, begin = this.history.now()): void {
    this.history.read(
      first,
      Buffer.from(this.bytes.subarray(first * SECTOR_BYTES, (first + count) * SECTOR_BYTES)),
      begin,
    );
  }

  judged(): string | null {
    this.history.judge();
    return this.history.report();
  }
}

test('a disk that does what it is told is found to be one', () => {
  const chance = new Prng(7);
  const disk = new Disk(16);
  const open: { write: Write; first: number; count: number }[] = [];
  for (let round = 0; round < 5_000; round += 1) {
    const first = chance.below(12);
    const count = chance.between(1, 4);
    switch (chance.below(6)) {
      case 0:
      case 1:
        open.push({ write: disk.send(first, count, chance.chance(20)), first, count });
        break;
      case 2:
      case 3: {
        const [one] = open.splice(chance.below(open.length), 1);
        if (one === undefined) break;
        if (chance.chance(80)) disk.apply(one.write, one.first, one.count);
        else break;
        if (chance.chance(80)) disk.history.acknowledged(one.write);
        break;
      }
      case 4:
        disk.read(first, count);
        break;
      default:
        if (round % 500 === 0) {
          open.length = 0;
          disk.history.conclude(disk.bytes);
        }
    }
  }
  assert.equal(disk.judged(), null);
});

test('an acknowledged write that is gone is found', () => {
  const disk = new Disk();
  disk.write(0);
  const before = Buffer.from(disk.bytes);
  disk.read();
  disk.write(0);
  before.copy(disk.bytes);
  disk.read();
  assert.match(disk.judged() ?? '', /happened and was not seen|cannot both be/);
});

test('a write that is lost although its predecessor was never read is found', () => {
  const disk = new Disk();
  disk.write(0);
  const before = Buffer.from(disk.bytes);
  disk.write(0);
  before.copy(disk.bytes);
  disk.read();
  assert.match(disk.judged() ?? '', /happened and was not seen/);
});

test('the only write of a sector, lost, is found', () => {
  const disk = new Disk();
  disk.write(2);
  disk.bytes.fill(0);
  disk.read(2);
  assert.match(disk.judged() ?? '', /nothing made them zero/);
});

test('zeroes that are lost are found', () => {
  const disk = new Disk();
  disk.write(0);
  const before = Buffer.from(disk.bytes);
  disk.read();
  disk.write(0, 1, true);
  before.copy(disk.bytes);
  disk.read();
  assert.match(disk.judged() ?? '', /zeroes 2 .* happened and was not seen/);
});

test('a read that is older than an earlier read is found, also of writes that were never acknowledged', () => {
  const disk = new Disk();
  disk.write(0);
  const before = Buffer.from(disk.bytes);
  disk.apply(disk.send(0), 0);
  disk.read();
  before.copy(disk.bytes);
  disk.read();
  assert.match(disk.judged() ?? '', /cannot both be|happened and was not seen/);
});

test('an unanswered write may be there or not, and may appear late, until it is bounded', () => {
  const free = new Disk();
  const late = free.send(0);
  free.write(0);
  free.read();
  free.apply(late, 0);
  free.read();
  assert.equal(free.judged(), null);

  const bounded = new Disk();
  const ghost = bounded.send(0);
  bounded.history.bounded(ghost, bounded.history.now());
  bounded.write(0);
  bounded.apply(ghost, 0);
  bounded.read();
  assert.match(bounded.judged() ?? '', /happened and was not seen/);
});

test('a torn sector, and one of another place, are found', () => {
  const torn = new Disk();
  torn.write(0);
  torn.bytes.copyWithin(SECTOR_BYTES - 8, 0, 8);
  torn.read();
  assert.match(torn.judged() ?? '', /torn or not ours/);

  const moved = new Disk();
  moved.write(0);
  moved.bytes.copyWithin(SECTOR_BYTES, 0, SECTOR_BYTES);
  moved.read(1);
  assert.match(moved.judged() ?? '', /torn or not ours/);
});

test('what shows up after a full check that did not show it is found', () => {
  const disk = new Disk();
  const ghost = disk.send(0);
  disk.write(0);
  disk.history.conclude(disk.bytes);
  disk.apply(ghost, 0);
  disk.read();
  assert.match(disk.judged() ?? '', /overwritten before the last full check/);
});

test('the zones agree with a search of all orders', () => {
  const chance = new Prng(20_231);
  const found = { fine: 0, broken: 0 };
  for (let world = 0; world < 4_000; world += 1) {
    const disk = new Disk(1);
    const ops: Op[] = [];
    const contents: { number: number; bytes: Buffer }[] = [{ number: 0, bytes: Buffer.from(disk.bytes) }];
    for (let index = 0; index < 5; index += 1) {
      const kind = chance.chance(55) ? 'write' : 'read';
      if (kind === 'write') {
        const write = disk.send(0);
        contents.push({ number: write.number, bytes: disk.history.data(write, 0, 1) });
        ops.push({ kind, number: write.number, begin: write.begin, end: Infinity, write });
      } else ops.push({ kind, number: -1, begin: disk.history.now(), end: Infinity, write: null });
      // Any of the open operations may end now; reads see anything that was sent by then.
      for (const op of ops) {
        if (op.end !== Infinity || !chance.chance(45)) continue;
        if (op.write !== null) {
          disk.history.acknowledged(op.write);
          op.end = op.write.end;
        } else {
          const seen = chance.pick(contents);
          op.number = seen.number;
          disk.history.read(0, seen.bytes, op.begin);
          op.end = disk.history.now();
        }
      }
    }
    const possible = explains(0, new Set(), ops);
    found[possible ? 'fine' : 'broken'] += 1;
    const report = disk.judged();
    // Reads of zeroes are judged by a weaker rule, which may miss something and never accuses wrongly.
    const zeroesRead = ops.some((op) => op.kind === 'read' && op.end !== Infinity && op.number === 0);
    if (possible) assert.equal(report, null, JSON.stringify(ops));
    else if (!zeroesRead) assert.notEqual(report, null, JSON.stringify(ops));
  }
  assert.ok(found.fine > 200 && found.broken > 200, JSON.stringify(found));
});

interface Op {
  readonly kind: 'write' | 'read';
  number: number;
  readonly begin: number;
  end: number;
  readonly write: Write | null;
}

/** Whether some order of the operations that are not done yet gives every read what it saw, beginning with `value`. */
function explains(value: number, done: ReadonlySet<Op>, ops: readonly Op[]): boolean {
  const open = ops.filter((op) => !done.has(op));
  // What was never answered need not have happened.
  if (open.every((op) => op.end === Infinity)) return true;
  const firstEnd = Math.min(...open.map((op) => op.end));
  return open.some((op) => {
    if (op.begin > firstEnd || (op.kind === 'read' && (op.end === Infinity || op.number !== value))) return false;
    return explains(op.kind === 'write' ? op.number : value, new Set([...done, op]), ops);
  });
}

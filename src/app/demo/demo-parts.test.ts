/** The demo's own instruments are right: its client, its books, its archive. What they find can then be believed. */
import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { MemoryService } from '../../../suites/memory-service.ts';
import type { Epoch, VolumeName } from '../../base/names.ts';
import { NbdDoors } from '../../front/nbd/doors.ts';
import { done } from '../exit.ts';
import { findRoot } from '../root.ts';
import { makeArchive } from './archive.ts';
import { Disk } from './disk.ts';
import { Counter, FileWriter } from './ledger.ts';
import { NbdSession } from './nbd-client.ts';
import { bar } from './screen.ts';

const VOLUME = 'one' as VolumeName;

interface Served {
  readonly service: MemoryService;
  readonly doors: NbdDoors;
  readonly port: number;
  /** Closes every connection and listens again at the same port. */
  readonly reopen: () => Promise<void>;
}

async function serve(t: TestContext): Promise<Served> {
  const service = new MemoryService({ sizeBytes: 8 << 20 });
  const address = { host: '127.0.0.1', port: 0 };
  const doors = new NbdDoors({ addresses: new Map([[VOLUME, address]]), log: () => undefined });
  let epoch = 1;
  await done((settle) => doors.open(VOLUME, epoch as Epoch, service, settle));
  const port = doors.port(VOLUME) ?? 0;
  address.port = port;
  t.after(() => doors.close(VOLUME, 'the test is over'));
  const reopen = (): Promise<void> => {
    epoch += 1;
    return done((settle) => doors.open(VOLUME, epoch as Epoch, service, settle));
  };
  return { service, doors, port, reopen };
}

test('the client writes and reads what it wrote', async (t) => {
  const { service, port } = await serve(t);
  const session = await NbdSession.open('127.0.0.1', port, 'one');
  assert.equal(session.sizeBytes, 8 << 20);
  const data = Buffer.from('a write of some bytes');
  await Promise.all([session.write(4_096, data), session.write(100_000, data)]);
  assert.deepEqual(service.bytes.subarray(4_096, 4_096 + data.length), data);
  assert.deepEqual(await session.read(100_000, data.length), data);
  session.close();
  await assert.rejects(session.read(0, 1), /closed/);
});

test('the client is refused what is not there, and tells of errors', async (t) => {
  const { service, port } = await serve(t);
  await assert.rejects(NbdSession.open('127.0.0.1', port, 'two'), /refuses the export/);
  const session = await NbdSession.open('127.0.0.1', port, 'one');
  service.failNext('io', 'write');
  await assert.rejects(session.write(0, Buffer.alloc(10)), /error 5/);
  await session.write(0, Buffer.alloc(10, 1));
  session.close();
});

test('a disk sends again what was not answered', async (t) => {
  const { service, port, reopen } = await serve(t);
  const seen: string[] = [];
  const disk = new Disk('127.0.0.1', port, 'one', {
    lost: (unanswered) => seen.push(`lost ${unanswered}`),
    back: () => seen.push('back'),
  });
  t.after(() => disk.close());
  await disk.write(0, Buffer.alloc(512, 1));
  service.wait();
  const writes = [disk.write(512, Buffer.alloc(512, 2)), disk.write(1_024, Buffer.alloc(512, 3))];
  while (service.unanswered < 2) await new Promise((resolve) => setImmediate(resolve));
  await reopen();
  service.go();
  await Promise.all(writes);
  assert.deepEqual(seen, ['lost 2', 'back']);
  assert.deepEqual([service.bytes[0], service.bytes[512], service.bytes[1_024]], [1, 2, 3]);
});

test('the books find every byte, and every byte that is wrong', async (t) => {
  const { service, port } = await serve(t);
  const disk = new Disk('127.0.0.1', port, 'one', { lost: () => undefined, back: () => undefined });
  t.after(() => disk.close());
  const file = Buffer.from(Array.from({ length: 700_000 }, (_, index) => (index * 7) % 251));
  const writer = new FileWriter(disk, file, 1 << 30);
  const first = writer.nextAnswer();
  await writer.run();
  assert.ok((await first) > 0);
  assert.equal(writer.count, writer.pieces);
  assert.equal(writer.acknowledgedBytes, file.length);
  assert.deepEqual(await writer.check(disk, writer.snapshot()), { checkedBytes: file.length, wrongBytes: 0 });
  service.bytes[300_000] = (service.bytes[300_000] ?? 0) ^ 1;
  service.bytes[699_999] = (service.bytes[699_999] ?? 0) ^ 1;
  assert.deepEqual(await writer.check(disk, writer.snapshot()), { checkedBytes: file.length, wrongBytes: 2 });
});

test('the counter checks its newest write of each block', async (t) => {
  const { service, port } = await serve(t);
  const disk = new Disk('127.0.0.1', port, 'one', { lost: () => undefined, back: () => undefined });
  t.after(() => disk.close());
  const counter = new Counter(disk);
  const running = counter.run();
  while (counter.count < 3) await new Promise((resolve) => setImmediate(resolve));
  counter.stop();
  await running;
  assert.deepEqual(await counter.check(disk), { checkedBytes: counter.count * 4_096, wrongBytes: 0 });
  assert.ok(counter.takeLongestMs() > 0);
  service.bytes[4_096] = 0;
  assert.equal((await counter.check(disk)).wrongBytes, 1);
});

test('the archive is one that tar reads', (t) => {
  const { bytes, files } = makeArchive(findRoot());
  assert.equal(bytes.length % 4_096, 0);
  assert.ok(files > 20);
  const listed = spawnSync('tar', ['-tf', '-'], { input: bytes, maxBuffer: 1 << 26 });
  if (listed.error !== undefined) return t.skip('tar is not installed');
  assert.equal(listed.status, 0, listed.stderr.toString());
  assert.equal(listed.stdout.toString().trim().split('\n').length, files);
});

test('bars fill up', () => {
  assert.equal(bar(0, 4), '    ');
  assert.equal(bar(0.5, 4), '██  ');
  assert.equal(bar(1, 4), '████');
  assert.equal(bar(2, 4), '████');
  assert.equal(bar(1 / 32, 4), '▏   ');
});

/** The port `Doors` on NBD: who listens when, what happens to connections on hold and close, and to requests then. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import type { Fault } from '../../base/fault.ts';
import type { Epoch, VolumeName } from '../../base/names.ts';
import { MemoryService } from '../../../suites/memory-service.ts';
import { connect, NbdConnectionLost, NbdReplyError } from '../../../suites/nbd-client.ts';
import { EXPORT_NAME, serveNbd } from '../../../suites/nbd-serve.ts';
import { NbdDoors } from './doors.ts';

const HOST = '127.0.0.1';
const memory = (): MemoryService => new MemoryService({ sizeBytes: 16 << 20 });
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Waits for a condition that other turns of this process bring about. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

/** Resolves when the address refuses connections or takes them. */
function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: HOST, port });
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

function doorsAt(port: number): NbdDoors {
  return new NbdDoors({ addresses: new Map([[EXPORT_NAME, { host: HOST, port }]]), log: () => {} });
}

test('nothing is listened on before open and after close', async () => {
  const first = await serveNbd(memory());
  assert.equal(await listens(first.port), true);
  await first.close();
  assert.equal(await listens(first.port), false);
  const doors = doorsAt(first.port);
  assert.equal(doors.port(EXPORT_NAME), null);
  assert.equal(await listens(first.port), false);
});

test('an address that its previous owner holds is taken over within milliseconds of being free', async () => {
  const old = await serveNbd(memory());
  const next = doorsAt(old.port);
  let opened: Fault | null | undefined;
  next.open(EXPORT_NAME, 2 as Epoch, memory(), (fault) => (opened = fault));
  for (let i = 0; i < 20; i++) await turn();
  assert.equal(opened, undefined);
  const client = await connect(HOST, old.port);
  await new Promise<void>((resolve) => old.doors.hold(EXPORT_NAME, resolve));
  const freedAt = performance.now();
  await until(() => opened !== undefined);
  assert.equal(opened, null);
  assert.ok(performance.now() - freedAt < 500);
  // the old owner's client is neither answered nor dropped until the old owner closes
  const read = client.read(0, 4096);
  const other = await connect(HOST, old.port);
  await other.read(0, 4096);
  assert.equal(client.inFlight, 1);
  old.doors.close(EXPORT_NAME, 'the next owner listens');
  await assert.rejects(read, NbdConnectionLost);
  await other.disconnect();
  next.close(EXPORT_NAME, 'done');
});

test('a door that is closed while it waits for its address never opens', async () => {
  const old = await serveNbd(memory());
  const next = doorsAt(old.port);
  let reports = 0;
  next.open(EXPORT_NAME, 2 as Epoch, memory(), () => reports++);
  for (let i = 0; i < 5; i++) await turn();
  next.close(EXPORT_NAME, 'changed its mind');
  await old.close();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(reports, 0);
  assert.equal(await listens(old.port), false);
});

test('close right after open never reports and leaves nothing', async () => {
  const port = await freePort();
  const doors = doorsAt(port);
  let reports = 0;
  doors.open(EXPORT_NAME, 1 as Epoch, memory(), () => reports++);
  doors.close(EXPORT_NAME, 'at once');
  for (let i = 0; i < 20; i++) await turn();
  assert.equal(reports, 0);
  assert.equal(await listens(port), false);
});

test('a volume without an address, or with a foreign one, is refused by a fault', async () => {
  const doors = new NbdDoors({
    addresses: new Map([['away' as VolumeName, { host: '192.0.2.1', port: 10809 }]]),
    log: () => {},
  });
  const open = (volume: string): Promise<Fault | null> =>
    new Promise((resolve) => doors.open(volume as VolumeName, 1 as Epoch, memory(), resolve));
  assert.equal((await open('nowhere'))?.kind, 'refused');
  const away = await open('away');
  assert.equal(away?.kind, 'io');
  assert.match(away.message, /volume away cannot be served at 192\.0\.2\.1:10809/);
  doors.close('away' as VolumeName, 'done');
  doors.close('nobody' as VolumeName, 'harmless');
  await new Promise<void>((resolve) => doors.hold('nobody' as VolumeName, resolve));
});

test('opening anew drops the connections of the earlier epoch', async () => {
  const serving = await serveNbd(memory());
  const client = await connect(HOST, serving.port);
  const opened = new Promise((resolve) => serving.doors.open(EXPORT_NAME, 2 as Epoch, memory(), resolve));
  await client.closed;
  assert.equal(await opened, null);
  await serving.close();
});

test('on hold: answers on their way arrive, faults and new requests are kept to itself', async () => {
  const service = memory();
  const serving = await serveNbd(service);
  const client = await connect(HOST, serving.port);
  service.wait();
  const good = client.write(0, Buffer.alloc(4096, 1));
  const bad = client.write(4096, Buffer.alloc(4096, 1));
  await until(() => service.unanswered === 2);
  await new Promise<void>((resolve) => serving.doors.hold(EXPORT_NAME, resolve));
  assert.equal(await listens(serving.port), false);
  const late = client.read(0, 4096);
  service.failNext('moved', 'write');
  service.failNext('io', 'status');
  // the first write fails, the second succeeds
  service.go();
  await bad;
  for (let i = 0; i < 20; i++) await turn();
  assert.equal(service.counts.read, 0);
  assert.equal(client.inFlight, 2);
  await serving.close();
  await assert.rejects(good, NbdConnectionLost);
  await assert.rejects(late, NbdConnectionLost);
});

test('requests that were received before the hold and not taken are not taken any more', async () => {
  const service = memory();
  const serving = await serveNbd(service, { maxRequests: 1 });
  const client = await connect(HOST, serving.port);
  service.wait();
  const first = client.write(0, Buffer.alloc(4096, 1));
  const second = client.write(0, Buffer.alloc(4096, 2));
  await until(() => service.unanswered === 1);
  for (let i = 0; i < 20; i++) await turn();
  await new Promise<void>((resolve) => serving.doors.hold(EXPORT_NAME, resolve));
  service.go();
  await first;
  for (let i = 0; i < 20; i++) await turn();
  assert.equal(service.counts.write, 1);
  await serving.close();
  await assert.rejects(second, NbdConnectionLost);
});

test('a handshake on hold is not answered', async () => {
  const serving = await serveNbd(memory());
  const socket = net.connect({ host: HOST, port: serving.port });
  let received = 0;
  socket.on('data', (piece) => (received += piece.length));
  // What was sent and is never read makes the system reset the connection instead of closing it.
  socket.on('error', () => undefined);
  await until(() => received === 18);
  await new Promise<void>((resolve) => serving.doors.hold(EXPORT_NAME, resolve));
  socket.write(Buffer.from('0000000349484156454f50540000000300000000', 'hex'));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(received, 18);
  const closed = new Promise((resolve) => socket.on('close', resolve));
  await serving.close();
  await closed;
});

test('close drops connections at once, cancels their requests, and later answers go nowhere', async () => {
  const service = memory();
  const serving = await serveNbd(service);
  const client = await connect(HOST, serving.port);
  service.wait();
  const write = client.write(0, Buffer.alloc(4096, 1));
  await until(() => service.unanswered === 1);
  serving.doors.close(EXPORT_NAME, 'deposed');
  await assert.rejects(write, NbdConnectionLost);
  service.go();
  await until(() => service.counts.cancelled === 1);
  assert.equal(service.counts.write, 0);
  assert.ok(serving.lines.some((line) => line.startsWith('nbd.disconnect') && line.includes('deposed')));
});

for (const how of ['drops', 'closes'] as const) {
  test(`requests of a client that ${how} its connection before they are admitted are cancelled`, async () => {
    const service = memory();
    const serving = await serveNbd(service);
    const client = await connect(HOST, serving.port);
    service.wait();
    const writes = Promise.allSettled(
      Array.from({ length: 20 }, (_, i) => client.write(i * 4096, Buffer.alloc(4096, 1))),
    );
    await until(() => service.unanswered === 20);
    if (how === 'drops') client.socket.resetAndDestroy();
    else client.socket.end();
    await until(() => serving.doors.connections(EXPORT_NAME) === 0);
    service.go();
    await until(() => service.counts.cancelled === 20);
    assert.equal(service.counts.write, 0);
    assert.ok((await writes).every((write) => write.status === 'rejected'));
    await serving.close();
  });
}

test('each fault of the volume has its error value, and a sentence with structured replies', async () => {
  const service = memory();
  const serving = await serveNbd(service);
  const client = await connect(HOST, serving.port, '', { metaContexts: ['base:allocation'] });
  const expected = {
    full: 28,
    refused: 22,
    moved: 108,
    retry: 108,
    timeout: 5,
    io: 5,
    corrupt: 5,
    missing: 5,
    conflict: 5,
  };
  const requests = {
    write: () => client.write(0, Buffer.alloc(10)),
    zero: () => client.writeZeroes(0, 10, { noHole: true }),
    trim: () => client.trim(0, 10),
    read: () => client.read(0, 10),
    cache: () => client.cache(0, 10),
    status: () => client.blockStatus(0, 10),
  };
  for (const [kind, error] of Object.entries(expected)) {
    for (const request of Object.values(requests)) {
      service.failNext(kind as Fault['kind']);
      await assert.rejects(request(), (thrown) => {
        assert.ok(thrown instanceof NbdReplyError);
        assert.equal(thrown.error, error);
        assert.match(thrown.message, new RegExp(`a fault of kind ${kind}, as ordered`));
        return true;
      });
    }
  }
  await client.disconnect();
  await serving.close();
});

test('a write that is submitted in parts fails when one part does', async () => {
  const service = new MemoryService({ sizeBytes: 16 << 20, maxRequestBytes: 4096 });
  const serving = await serveNbd(service);
  const client = await connect(HOST, serving.port);
  service.failNext('full', 'write');
  await assert.rejects(client.write(100, Buffer.alloc(10_000, 7)), NbdReplyError);
  await client.write(100, Buffer.alloc(10_000, 7));
  assert.deepEqual(await client.read(100, 10_000), Buffer.alloc(10_000, 7));
  assert.equal(service.counts.write, 6);
  await client.disconnect();
  await serving.close();
});

async function freePort(): Promise<number> {
  const serving = await serveNbd(memory());
  await serving.close();
  return serving.port;
}

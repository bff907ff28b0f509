/** What a client can make the NBD front end hold is bounded, and what it can make it do ends with its connection. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { Command, Info, Option, OptionReply } from '../../wire/nbd.ts';
import { MemoryService } from '../../../suites/memory-service.ts';
import { connect, type NbdClient } from '../../../suites/nbd-client.ts';
import { dial, infoData } from '../../../suites/nbd-dialog.ts';
import { EXPORT_NAME, type NbdServing, serveNbd } from '../../../suites/nbd-serve.ts';
import { DEFAULT_NBD_LIMITS, type NbdLimits } from './limits.ts';

const HOST = '127.0.0.1';
const KIB = 1 << 10;
const MIB = 1 << 20;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

/** Enough turns for everything that loopback sockets have under way to arrive, several times over. */
async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await turn();
  await new Promise((resolve) => setTimeout(resolve, 20));
}

async function serving(
  limits: Partial<NbdLimits>,
  run: (service: MemoryService, served: NbdServing) => Promise<void>,
): Promise<void> {
  const service = new MemoryService({ sizeBytes: 64 * MIB });
  const served = await serveNbd(service, limits);
  try {
    await run(service, served);
  } finally {
    await served.close();
  }
}

const writes = (client: NbdClient, count: number, length: number): Promise<void[]> =>
  Promise.all(Array.from({ length: count }, (_, i) => client.write(i * length, Buffer.alloc(length, i + 1))));

test('no more requests than allowed are taken from a connection, the others wait and are served', () =>
  serving({ maxRequests: 8 }, async (service, { port }) => {
    const client = await connect(HOST, port);
    service.wait();
    const all = writes(client, 100, 4096);
    await settle();
    assert.equal(service.unanswered, 8);
    service.go();
    await all;
    assert.equal(service.counts.write, 100);
    await client.disconnect();
  }));

test('no more bytes than allowed are taken from a connection, but for the request that crosses the bound', () =>
  serving({ maxInFlightBytes: 100 * KIB }, async (service, { port }) => {
    const client = await connect(HOST, port);
    service.wait();
    const all = writes(client, 40, 32 * KIB);
    await settle();
    assert.equal(service.unanswered, 4);
    service.go();
    await all;
    const reads = Array.from({ length: 40 }, (_, i) => client.read(i * 32 * KIB, 32 * KIB));
    (await Promise.all(reads)).forEach((data, i) => assert.ok(data.every((byte) => byte === i + 1)));
    await client.disconnect();
  }));

test('a volume bounds what all its connections have in flight, and serves each of them', () =>
  serving({ maxVolumeBytes: 64 * KIB }, async (service, { port }) => {
    const clients = await Promise.all(Array.from({ length: 5 }, () => connect(HOST, port)));
    service.wait();
    const all = clients.map((client) => writes(client, 20, 16 * KIB));
    await settle();
    assert.equal(service.unanswered, 4);
    service.go();
    await Promise.all(all);
    assert.equal(service.counts.write, 100);
    // one that leaves while it waits is forgotten
    service.wait();
    const lost = clients.map((client) => Promise.allSettled([writes(client, 20, 16 * KIB)]));
    await until(() => service.unanswered === 4);
    for (const client of clients.slice(1)) client.destroy();
    await settle();
    service.go();
    const [first] = await Promise.all(lost);
    assert.equal(first?.[0]?.status, 'fulfilled');
    await clients[0]?.disconnect();
  }));

test('clients that come and go while the volume hangs neither keep memory nor shut the others out', () =>
  serving({ maxVolumeBytes: 64 * KIB }, async (service, { port, doors }) => {
    const payloads: { readonly data: Buffer; cancelled: boolean }[] = [];
    service.wait();
    const submit = service.submit.bind(service);
    service.submit = (request) => {
      if (request.kind === 'write') payloads.push(request);
      submit(request);
    };
    for (let round = 1; round <= 5; round++) {
      const client = await connect(HOST, port);
      const all = Promise.allSettled([writes(client, 10, 16 * KIB)]);
      await until(() => payloads.length === 4 * round);
      client.destroy();
      await all;
      await until(() => doors.connections(EXPORT_NAME) === 0);
      assert.ok(payloads.every(({ data, cancelled }) => cancelled && data.length === 0));
    }
    service.go();
    const client = await connect(HOST, port);
    await client.write(0, Buffer.alloc(48 * KIB));
    assert.deepEqual([service.counts.write, service.counts.cancelled], [1, 20]);
    await client.disconnect();
  }));

test('a connection that is over its bounds stops reading from its socket', () =>
  serving({ maxRequests: 1, lookaheadBytes: 64 * KIB }, async (service, { port }) => {
    const client = await connect(HOST, port);
    service.wait();
    const flood = 64 * MIB;
    const all = writes(client, flood / MIB, MIB);
    let last = -1;
    // the system's buffers take some; then nothing moves any more
    for (let still = 0; still < 5; await settle()) {
      const now = client.socket.writableLength;
      still = now === last ? still + 1 : 0;
      last = now;
    }
    assert.ok(last > flood / 2, `only ${last} bytes are held back`);
    assert.equal(service.unanswered, 1);
    service.go();
    await all;
    assert.equal(service.counts.write, 64);
    await client.disconnect();
  }));

test('a client that takes no replies is asked nothing more', () =>
  serving({ maxBacklogBytes: 256 * KIB }, async (service, { port }) => {
    const client = await connect(HOST, port);
    await client.write(0, Buffer.alloc(MIB, 1));
    client.socket.pause();
    const reads = Array.from({ length: 64 }, () => client.read(0, MIB));
    let last = -1;
    for (let still = 0; still < 5; await settle()) {
      still = service.counts.read === last ? still + 1 : 0;
      last = service.counts.read;
    }
    assert.ok(last < 60, `${last} of 64 reads were carried out`);
    client.socket.resume();
    assert.ok((await Promise.all(reads)).every((data) => data[MIB - 1] === 1));
    await client.disconnect();
  }));

test('a client that takes no replies cannot make small ones pile up', () =>
  serving({ maxBacklogBytes: 64 * KIB }, async (_service, { port, lines }) => {
    const client = await connect(HOST, port);
    client.socket.pause();
    // each is refused, by a reply that is longer than the request
    const flood = 400_000;
    const refused = client.header(Command.flush, 0, 1n, 1n, 1);
    client.socket.write(Buffer.alloc(flood * refused.length, refused));
    let last = -1;
    for (let still = 0; still < 5; await settle()) {
      still = client.socket.writableLength === last ? still + 1 : 0;
      last = client.socket.writableLength;
    }
    client.destroy();
    await until(() => lines.some((line) => line.startsWith('nbd.disconnect')));
    const requests = Number(/"requests":(\d+)/.exec(lines.at(-1) ?? '')?.[1]);
    assert.ok(requests > 0 && requests < flood * 0.9, `${requests} of ${flood} requests were taken`);
  }));

test('requests that were received but not taken are dropped with their connection', () =>
  serving({ maxRequests: 4 }, async (service, { port, doors }) => {
    const client = await connect(HOST, port);
    service.wait();
    const all = Promise.allSettled([writes(client, 100, 4096)]);
    await until(() => service.unanswered === 4);
    client.socket.end();
    await until(() => doors.connections(EXPORT_NAME) === 0);
    service.go();
    await until(() => service.counts.cancelled === 4);
    await settle();
    assert.equal(service.counts.write, 0);
    assert.equal((await all)[0]?.status, 'rejected');
  }));

test('what was answered in one turn leaves in one write', () =>
  serving({}, async (service, { port }) => {
    const client = await connect(HOST, port, '', { structured: false });
    service.wait();
    const all = writes(client, 32, 4096);
    await until(() => service.unanswered === 32);
    const pieces: number[] = [];
    client.socket.on('data', (piece: Buffer) => pieces.push(piece.length));
    service.go();
    await all;
    assert.deepEqual(pieces, [32 * 16]);
    await client.disconnect();
  }));

test('requests are answered in the order in which they end', () =>
  serving({}, async (service, { port }) => {
    const client = await connect(HOST, port);
    service.answerBackwards();
    service.wait();
    const all = writes(client, 10, 4096);
    await until(() => service.unanswered === 10);
    const flush = client.flush();
    await flush;
    service.go();
    await all;
    assert.deepEqual(client.answered, [11n, 10n, 9n, 8n, 7n, 6n, 5n, 4n, 3n, 2n, 1n]);
    await client.disconnect();
  }));

test('connections beyond the bound are told so, and far beyond it are dropped', () =>
  serving({ maxConnections: 2 }, async (_service, { port, doors, lines }) => {
    const [one, two] = await Promise.all([connect(HOST, port), connect(HOST, port)]);
    await assert.rejects(connect(HOST, port), /at most 2 connections/);
    const refused = await Promise.all(Array.from({ length: 8 }, () => dial(HOST, port)));
    refused[0]!.sendFlags(3);
    const [answer] = await refused[0]!.option(Option.info, infoData('', [Info.export]));
    assert.equal(answer?.type, OptionReply.errPolicy);
    refused[1]!.sendFlags(3);
    refused[1]!.sendOption(Option.exportName);
    await refused[1]!.closed();
    refused.push(await dial(HOST, port));
    await assert.rejects(dial(HOST, port), /connection is lost/);
    assert.ok(lines.some((line) => line.startsWith('nbd.refuse') && line.includes('at most 2 connections')));
    await one.disconnect();
    for (const dialog of refused) dialog.socket.destroy();
    await until(() => doors.connections(EXPORT_NAME) === 1);
    await (await connect(HOST, port)).disconnect();
    await two.read(0, 1);
    await two.disconnect();
  }));

test('a handshake that takes too long is ended, a transmission may be idle', () =>
  serving({ handshakeMs: 500 }, async (_service, { port, lines }) => {
    const client = await connect(HOST, port);
    const idle = await dial(HOST, port);
    const half = await dial(HOST, port);
    half.sendFlags(3);
    half.send(Buffer.from('49484156', 'hex'));
    await Promise.all([idle.closed(), half.closed()]);
    assert.ok(lines.some((line) => line.includes('the handshake took too long')));
    await client.read(0, 1);
    await client.disconnect();
  }));

test('a handshake of too many options is ended', () =>
  serving({ maxOptions: 10 }, async (_service, { port, lines }) => {
    const dialog = await dial(HOST, port);
    dialog.sendFlags(3);
    for (let i = 0; i < 10; i++) await dialog.option(Option.list);
    dialog.sendOption(Option.list);
    await dialog.closed();
    assert.ok(lines.some((line) => line.includes('more than 10 options')));
  }));

test('garbage ends its connection with a logged reason and nothing else', () =>
  serving({}, async (service, { port, doors, lines }) => {
    const witness = await connect(HOST, port);
    const garbage = fc.uint8Array({ minLength: 32, maxLength: 200 });
    await fc.assert(
      fc.asyncProperty(garbage, fc.boolean(), async (bytes, greeted) => {
        const before = lines.length;
        const socket = net.connect({ host: HOST, port });
        socket.on('error', () => {});
        // behind valid flags, or instead of them; never the magic number of an option
        socket.write(Buffer.concat([greeted ? Buffer.from([0, 0, 0, 3]) : Buffer.from([9]), Buffer.from(bytes)]));
        socket.resume();
        await new Promise((resolve) => socket.on('close', resolve));
        await until(() => lines.slice(before).some((line) => line.startsWith('nbd.disconnect')));
        assert.ok(lines.slice(before).some((line) => line.startsWith('nbd.refuse') && line.includes('reason')));
      }),
      { numRuns: 60 },
    );
    await fc.assert(
      fc.asyncProperty(garbage, async (bytes) => {
        const client = await connect(HOST, port);
        const read = client.read(0, 4096);
        client.socket.write(Buffer.concat([Buffer.alloc(1), Buffer.from(bytes)]));
        await client.closed;
        await Promise.allSettled([read]);
      }),
      { numRuns: 60 },
    );
    await until(() => doors.connections(EXPORT_NAME) === 1);
    await witness.write(0, Buffer.alloc(4096, 1));
    assert.equal(service.unanswered, 0);
    await witness.disconnect();
  }));

test('random valid requests are all answered, whatever their ranges and flags', () =>
  serving({ maxRequests: 16 }, async (service, { port }) => {
    const anything = fc.record({
      type: fc.constantFrom(Command.read, Command.trim, Command.cache, Command.writeZeroes, Command.blockStatus, 8),
      flags: fc.nat(0x3f),
      offset: fc.oneof(fc.nat(65 * MIB), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
      length: fc.oneof(fc.nat(64 * KIB), fc.nat(0xffffffff)),
    });
    const styles = [{ structured: false }, { metaContexts: ['base:allocation'] }, { extended: true }];
    for (const style of styles) {
      await fc.assert(
        fc.asyncProperty(fc.array(anything, { maxLength: 20 }), async (requests) => {
          const client = await connect(HOST, port, '', style);
          const flush = (): Promise<unknown> => client.flush();
          const sent = requests
            // with extended headers this flag announces a payload, which is not sent here
            .map((r) => ({ ...r, flags: 'extended' in style ? r.flags & ~0x20 : r.flags }))
            .map(({ type, flags, offset, length }) => client.request(type, flags, offset, length));
          await Promise.all([Promise.allSettled(sent), flush()]);
          await flush();
          assert.equal(client.inFlight, 0);
          await client.disconnect();
        }),
        { numRuns: 20 },
      );
    }
    assert.equal(service.unanswered, 0);
  }));

test('limits that contradict each other are a bug', async () => {
  for (const limits of [{ maxConnections: 0 }, { maxPayloadBytes: 100 }, { lookaheadBytes: 1 }, { handshakeMs: 0 }]) {
    await assert.rejects(
      serveNbd(new MemoryService({ sizeBytes: MIB }), { ...DEFAULT_NBD_LIMITS, ...limits }),
      /invariant/,
    );
  }
});

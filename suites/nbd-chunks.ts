/** What only structured replies and extended headers can say: the NBD conformance suite's cases for chunked replies. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Command, CommandFlag, NbdError } from '../src/wire/nbd.ts';
import type { NbdClient } from './nbd-client.ts';
import { fails, KIB, MIB, pattern } from './nbd-data.ts';

/** Connects, runs, and says goodbye. */
export type WithClient = (run: (client: NbdClient) => Promise<void>) => Promise<void>;

/** Holes, DF, BLOCK_STATUS. */
export function chunkedCases(withClient: WithClient, only: { readonly skip: string | boolean }): void {
  test('holes are sent as holes, and as zeroes in one piece with DF', only, () =>
    withClient(async (client) => {
      const base = 24 * MIB;
      await client.trim(base, MIB);
      await client.write(base + 128 * KIB, pattern(64 * KIB, 7));
      const expected = Buffer.alloc(512 * KIB);
      pattern(64 * KIB, 7).copy(expected, 128 * KIB);
      const { data, chunks } = await client.readChunks(base, 512 * KIB);
      assert.ok(data.equals(expected));
      assert.deepEqual(chunks, [
        { offset: base, length: 128 * KIB, hole: true },
        { offset: base + 128 * KIB, length: 64 * KIB, hole: false },
        { offset: base + 192 * KIB, length: 320 * KIB, hole: true },
      ]);
      const whole = await client.readChunks(base, 512 * KIB, { df: true });
      assert.ok(whole.data.equals(expected));
      assert.deepEqual(whole.chunks, [{ offset: base, length: 512 * KIB, hole: false }]);
    }),
  );

  test('DF is honoured up to 64 KiB at the least', () =>
    withClient(async (client) => {
      await client.write(25 * MIB, pattern(64 * KIB, 8));
      const { data, chunks } = await client.readChunks(25 * MIB, 64 * KIB, { df: true });
      assert.equal(chunks.length, 1);
      assert.ok(data.equals(pattern(64 * KIB, 8)));
    }));

  test('BLOCK_STATUS covers what was asked, REQ_ONE its beginning', () =>
    withClient(async (client) => {
      const base = 26 * MIB;
      await client.trim(base, MIB);
      await client.write(base + 256 * KIB, pattern(256 * KIB, 1));
      const all = await client.blockStatus(base, MIB);
      assert.ok(all.length >= 1 && all.slice(0, -1).reduce((sum, d) => sum + d.length, 0) < MIB);
      for (const { length } of all) assert.equal(length % 512, 0);
      const one = await client.blockStatus(base, MIB, { reqOne: true });
      assert.equal(one.length, 1);
      assert.ok(one[0]!.length <= MIB);
    }));

  test('BLOCK_STATUS tells holes from data to the byte', only, () =>
    withClient(async (client) => {
      const base = 27 * MIB;
      await client.trim(base, MIB);
      await client.write(base + 256 * KIB, pattern(256 * KIB, 1));
      assert.deepEqual(await client.blockStatus(base, MIB), [
        { length: 256 * KIB, flags: 3 },
        { length: 256 * KIB, flags: 0 },
        { length: 512 * KIB, flags: 3 },
      ]);
      assert.deepEqual(await client.blockStatus(base + 1, 256 * KIB), [
        { length: 256 * KIB - 1, flags: 3 },
        { length: 1, flags: 0 },
      ]);
      assert.deepEqual(await client.blockStatus(base, MIB, { reqOne: true }), [{ length: 256 * KIB, flags: 3 }]);
      assert.deepEqual(await client.blockStatus(base, 1000, { reqOne: true }), [{ length: 1000, flags: 3 }]);
      await client.writeZeroes(base, 128 * KIB, { noHole: true });
      assert.deepEqual(await client.blockStatus(base, 1, { reqOne: true }), [{ length: 1, flags: 0 }]);
      await client.writeZeroes(base, MIB);
      assert.deepEqual(await client.blockStatus(base, MIB), [{ length: MIB, flags: 3 }]);
    }),
  );

  test('errors come with a sentence', only, () =>
    withClient(async (client) => {
      await assert.rejects(client.read(client.sizeBytes, 1), /beyond the end of the export/);
    }),
  );
}

/** Long lengths and payloads that are announced. */
export function extendedCases(withClient: WithClient): void {
  test('lengths beyond 4 GiB are understood', () =>
    withClient(async (client) => {
      await assert.rejects(client.trim(0, 2 ** 40), fails(NbdError.invalid));
      await assert.rejects(client.writeZeroes(0, 2 ** 40), fails(NbdError.noSpace));
      await assert.rejects(client.read(0, 2 ** 40), fails(NbdError.invalid));
    }));

  test('a write without the payload flag has no payload and is invalid', () =>
    withClient(async (client) => {
      await assert.rejects(client.request(Command.write, 0, 0, 4096), fails(NbdError.invalid));
      await client.flush();
    }));

  test('a payload of a command that takes none is dropped, and the request invalid', () =>
    withClient(async (client) => {
      const read = client.request(Command.read, 0, 0, 4096, pattern(4096, 1));
      await assert.rejects(read, fails(NbdError.invalid));
      const status = client.request(Command.blockStatus, 0, 0, 16, Buffer.alloc(16));
      await assert.rejects(status, fails(NbdError.invalid));
      await client.flush();
    }));

  test('a payload longer than the longest ends the connection', () =>
    withClient(async (client) => {
      client.socket.write(client.header(Command.write, CommandFlag.payloadLength, 1n, 0n, 33 * MIB));
      await client.closed;
    }));
}

/** The transmission's part of the NBD conformance suite: commands, flags, and errors, in each reply style. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Command, CommandFlag, NbdError } from '../src/wire/nbd.ts';
import { chunkedCases, extendedCases } from './nbd-chunks.ts';
import { connect, type ConnectOptions, type NbdClient, NbdReplyError } from './nbd-client.ts';
import { fails, KIB, MIB, pattern } from './nbd-data.ts';
import type { NbdSuiteOptions, NbdTarget } from './nbd.ts';

const STYLES = {
  simple: { structured: false },
  structured: { metaContexts: ['base:allocation'] },
  extended: { extended: true, metaContexts: ['base:allocation'] },
} as const satisfies Record<string, ConnectOptions>;

export function commandCases(target: () => NbdTarget, { ours }: NbdSuiteOptions, style: keyof typeof STYLES): void {
  const chunked = style !== 'simple';
  const only = { skip: ours ? false : 'a choice of this project' };
  const withClient = async (run: (client: NbdClient) => Promise<void>): Promise<void> => {
    const client = await connect(target().host, target().port, target().exportName, STYLES[style]);
    try {
      await run(client);
      await client.disconnect();
    } finally {
      client.destroy();
    }
  };

  describe(`${style} replies`, () => {
    for (const [offset, length] of [
      [0, 1],
      [1, 511],
      [4096, 4096],
      [12345, 54321],
      [MIB, 4 * MIB],
      [7 * MIB + 13, MIB + 1],
    ] as const) {
      test(`${length} bytes written at ${offset} are read back`, () =>
        withClient(async (client) => {
          const data = pattern(length, length);
          await client.write(offset, data);
          assert.ok((await client.read(offset, length)).equals(data));
        }));
    }

    test('the longest payload is 32 MiB, both ways', () =>
      withClient(async (client) => {
        const data = pattern(32 * MIB, 9);
        await client.write(40 * MIB, data);
        assert.ok((await client.read(40 * MIB, 32 * MIB)).equals(data));
        await client.trim(40 * MIB, 32 * MIB);
      }));

    test('two hundred requests at once all end, each with its own data', () =>
      withClient(async (client) => {
        const base = 10 * MIB;
        await Promise.all(Array.from({ length: 200 }, (_, i) => client.write(base + i * 4096, pattern(4096, i))));
        const back = await Promise.all(Array.from({ length: 200 }, (_, i) => client.read(base + i * 4096, 4096)));
        back.forEach((data, i) => assert.ok(data.equals(pattern(4096, i))));
      }));

    test('FLUSH and FUA succeed on everything', () =>
      withClient(async (client) => {
        await client.flush();
        const fua = CommandFlag.fua;
        await client.write(0, pattern(4096, 1), { fua: true });
        await client.trim(0, 4096, { fua: true });
        await client.writeZeroes(0, 4096, { fua: true });
        await client.request(Command.read, fua, 0, 4096);
        await client.request(Command.flush, fua, 0, 0);
        if (ours) await client.request(Command.cache, fua, 0, 4096);
        if (chunked) await client.request(Command.blockStatus, fua, 0, 4096);
      }));

    test('zeroes read back as zeroes, whatever the flags', () =>
      withClient(async (client) => {
        const flags = [{}, { noHole: true }, ...(ours ? [{ fastZero: true }, { noHole: true, fastZero: true }] : [])];
        for (const options of flags) {
          await client.write(20 * MIB, pattern(64 * KIB, 3));
          await client.writeZeroes(20 * MIB + 100, 50_000, options);
          const data = await client.read(20 * MIB, 64 * KIB);
          const expected = pattern(64 * KIB, 3);
          expected.fill(0, 100, 50_100);
          assert.ok(data.equals(expected));
        }
      }));

    test('a trimmed range reads as zeroes, its neighbours are untouched', only, () =>
      withClient(async (client) => {
        await client.write(21 * MIB, pattern(64 * KIB, 4));
        await client.trim(21 * MIB + 5000, 30_000);
        const expected = pattern(64 * KIB, 4);
        expected.fill(0, 5000, 35_000);
        assert.ok((await client.read(21 * MIB, 64 * KIB)).equals(expected));
      }),
    );

    test('zeroing and trimming may be longer than the longest payload', () =>
      withClient(async (client) => {
        await client.writeZeroes(36 * MIB, 40 * MIB);
        await client.trim(36 * MIB, 40 * MIB);
      }));

    test('CACHE succeeds', only, () => withClient((client) => client.cache(0, MIB)));

    test('requests beyond the end are errors: no space for writes, invalid for the rest', () =>
      withClient(async (client) => {
        const size = client.sizeBytes;
        const at = size - 4096;
        await assert.rejects(client.read(at, 4097), fails(NbdError.invalid));
        await assert.rejects(client.trim(at, 4097), fails(NbdError.invalid));
        await assert.rejects(client.write(at, pattern(4097, 1)), fails(NbdError.noSpace));
        await assert.rejects(client.write(size, pattern(1, 1)), fails(NbdError.noSpace));
        await assert.rejects(client.writeZeroes(at, 4097), fails(NbdError.noSpace));
        if (ours) await assert.rejects(client.cache(at, 4097), fails(NbdError.invalid));
        if (chunked) await assert.rejects(client.blockStatus(at, 4097), fails(NbdError.invalid));
        for (const offset of [2n ** 64n - 1n, 2n ** 63n, 2n ** 53n + 1n]) {
          await assert.rejects(client.request(Command.read, 0, offset, 4096), fails(NbdError.invalid));
        }
        await client.write(at, pattern(4096, 5));
        assert.ok((await client.read(at, 4096)).equals(pattern(4096, 5)));
      }));

    test('unknown commands and flags are invalid, and the next request is understood', () =>
      withClient(async (client) => {
        for (const type of [8, 9, 255, 0xffff]) {
          await assert.rejects(client.request(type, 0, 0, 0), fails(NbdError.invalid));
        }
        for (const [type, flags] of [
          [Command.read, 1 << 15],
          [Command.read, CommandFlag.noHole],
          [Command.trim, CommandFlag.dontFragment],
          [Command.flush, CommandFlag.reqOne],
          [Command.writeZeroes, CommandFlag.reqOne],
        ] as const) {
          await assert.rejects(
            client.request(type, flags, 0, type === Command.flush ? 0 : 4096),
            fails(NbdError.invalid),
          );
        }
        const write = client.request(Command.write, CommandFlag.fastZero, 0, 4096, pattern(4096, 1));
        await assert.rejects(write, fails(NbdError.invalid));
        await client.flush();
      }));

    test('requests of no bytes do not end the connection', () =>
      withClient(async (client) => {
        for (const type of [Command.read, Command.write, Command.trim, Command.writeZeroes, Command.cache]) {
          const [answer] = await Promise.allSettled([client.request(type, 0, 0, 0)]);
          if (!ours) continue;
          assert.ok(answer.status === 'rejected' && answer.reason instanceof NbdReplyError);
          assert.equal(answer.reason.error, NbdError.invalid);
        }
        await client.flush();
      }));

    test('FLUSH with a range is invalid', only, () =>
      withClient(async (client) => {
        await assert.rejects(client.request(Command.flush, 0, 0, 1), fails(NbdError.invalid));
        await assert.rejects(client.request(Command.flush, 0, 1, 0), fails(NbdError.invalid));
      }),
    );

    test('reading and caching more than the longest payload is invalid', only, () =>
      withClient(async (client) => {
        await assert.rejects(client.read(0, 32 * MIB + 1), fails(NbdError.invalid));
        await assert.rejects(client.cache(0, 32 * MIB + 1), fails(NbdError.invalid));
        if (chunked) {
          await assert.rejects(client.read(0, 32 * MIB + 1, { df: true }), fails(NbdError.overflow));
          await client.read(0, 32 * MIB, { df: true });
        }
      }),
    );

    test('a request without its magic number ends the connection', () =>
      withClient(async (client) => {
        client.socket.write(Buffer.alloc(64, 0xaa));
        await client.closed;
      }));

    test('DISC is answered by the end of the connection, behind everything outstanding', () =>
      withClient(async (client) => {
        const reads = Promise.allSettled(Array.from({ length: 50 }, (_, i) => client.read(i * 4096, 4096)));
        await client.disconnect();
        // handled they have to be by every server; that their answers arrive is what we promise
        const answered = (await reads).filter((read) => read.status === 'fulfilled').length;
        assert.ok(answered === 50 || !ours, `${answered} of 50 reads were answered`);
      }));

    test('what one connection was answered for, every other one sees', only, () =>
      withClient((one) =>
        withClient(async (other) => {
          await one.write(22 * MIB, pattern(4096, 6));
          assert.ok((await other.read(22 * MIB, 4096)).equals(pattern(4096, 6)));
          await other.trim(22 * MIB, 4096);
          await other.flush();
          assert.ok((await one.read(22 * MIB, 4096)).equals(Buffer.alloc(4096)));
        }),
      ),
    );

    if (chunked) chunkedCases(withClient, only);
    else {
      test('DF and BLOCK_STATUS were not negotiated and are invalid', () =>
        withClient(async (client) => {
          await assert.rejects(
            client.request(Command.read, CommandFlag.dontFragment, 0, 4096),
            fails(NbdError.invalid),
          );
          await assert.rejects(client.request(Command.blockStatus, 0, 0, 4096), fails(NbdError.invalid));
        }));
    }
    if (style === 'extended') extendedCases(withClient);
    else {
      test('a write longer than the longest payload is invalid, and the next request is understood', only, () =>
        withClient(async (client) => {
          const long = client.request(Command.write, 0, 0, 33 * MIB, Buffer.alloc(33 * MIB, 1));
          const next = client.read(0, 1);
          await assert.rejects(long, fails(NbdError.invalid));
          assert.notDeepEqual(await next, Buffer.from([1]));
        }),
      );
    }
  });

  if (style === 'structured') {
    test('BLOCK_STATUS needs a context selected for the same export name', only, async () => {
      const client = await connect(target().host, target().port, target().exportName, { metaContexts: ['base:other'] });
      await assert.rejects(client.request(Command.blockStatus, 0, 0, 4096), fails(NbdError.invalid));
      await client.disconnect();
    });
  }
}

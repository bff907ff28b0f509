/** The handshake's part of the NBD conformance suite: flags, options, and their errors. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Command, HandshakeFlag, Info, Option, OptionReply, TransmissionFlag } from '../src/wire/nbd.ts';
import { connect } from './nbd-client.ts';
import {
  compactRequest,
  infoData,
  metaData,
  type NbdDialog,
  type OptionReplyMessage,
  talk,
  types,
} from './nbd-dialog.ts';
import type { NbdSuiteOptions, NbdTarget } from './nbd.ts';

const FIXED = HandshakeFlag.fixedNewstyle;
const BOTH = HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes;

const infosOf = (replies: readonly OptionReplyMessage[]): Map<number, Buffer> =>
  new Map(replies.filter((r) => r.type === OptionReply.info).map((r) => [r.data.readUInt16BE(0), r.data.subarray(2)]));

export function optionCases(target: () => NbdTarget, { ours }: NbdSuiteOptions): void {
  const dialog = (run: (dialog: NbdDialog) => Promise<void>, flags: number = BOTH): Promise<void> =>
    talk(target().host, target().port, flags, run);
  const only = { skip: ours ? false : 'a choice of this project' };

  test('the greeting offers fixed newstyle and no zeroes, and nothing else', () =>
    dialog(async (d) => assert.equal(d.handshakeFlags, BOTH)));

  test('an unknown client flag ends the connection', () => dialog(async (d) => void (await d.closed()), BOTH | 4));

  test('an option without its magic number ends the connection', () =>
    dialog(async (d) => {
      d.send(Buffer.alloc(16, 0x55));
      await d.closed();
    }));

  test('unknown options are answered as unsupported, and the next one is understood', () =>
    dialog(async (d) => {
      for (const option of [Option.peekExport, 12, 1000, 0xffffffff]) {
        assert.deepEqual(types(await d.option(option, Buffer.alloc(100))), [OptionReply.errUnsupported]);
      }
      assert.deepEqual(types(await d.option(Option.structuredReply)), [OptionReply.ack]);
    }));

  test('options sent one byte at a time are understood', () =>
    dialog(async (d) => {
      d.socket.setNoDelay(true);
      const head = Buffer.from('49484156454f5054000000080000000049484156454f50540000000800000000', 'hex');
      for (const byte of head) {
        d.send(Buffer.from([byte]));
        await new Promise((resolve) => setImmediate(resolve));
      }
      assert.equal((await d.takeOptionReply(Option.structuredReply)).type, OptionReply.ack);
      assert.equal((await d.takeOptionReply(Option.structuredReply)).type, OptionReply.ack);
    }));

  test('options sent together are answered in their order', () =>
    dialog(async (d) => {
      d.socket.cork();
      d.sendOption(1000);
      d.sendOption(Option.structuredReply);
      d.sendOption(1001);
      d.socket.uncork();
      assert.equal((await d.takeOptionReply(1000)).type, OptionReply.errUnsupported);
      assert.equal((await d.takeOptionReply(Option.structuredReply)).type, OptionReply.ack);
      assert.equal((await d.takeOptionReply(1001)).type, OptionReply.errUnsupported);
    }));

  for (const data of [Buffer.alloc(0), Buffer.from('bye')]) {
    test(`ABORT with ${data.length} bytes of data is acknowledged and ends the connection`, () =>
      dialog(async (d) => {
        assert.deepEqual(types(await d.option(Option.abort, data)), [OptionReply.ack]);
        await d.closed();
      }));
  }

  test('LIST names the exports, and takes no data', () =>
    dialog(async (d) => {
      const replies = await d.must(Option.list);
      const names = replies
        .filter((reply) => reply.type === OptionReply.server)
        .map((reply) => reply.data.toString('utf8', 4, 4 + reply.data.readUInt32BE(0)));
      assert.ok(names.includes(target().exportName) || !ours);
      if (ours) assert.deepEqual(names, [target().exportName]);
      assert.deepEqual(types(await d.option(Option.list, Buffer.from('x'))), [OptionReply.errInvalid]);
    }));

  test('STARTTLS is answered by an error, and the handshake goes on', () =>
    dialog(async (d) => {
      const [type] = types(await d.option(Option.startTls));
      assert.ok(type === OptionReply.errUnsupported || type === OptionReply.errPolicy);
      if (ours) {
        assert.equal(type, OptionReply.errUnsupported);
        assert.deepEqual(types(await d.option(Option.startTls, Buffer.from('x'))), [OptionReply.errInvalid]);
      }
      await d.must(Option.info, infoData(target().exportName, []));
    }));

  test('INFO describes the export and leaves out what is unknown', () =>
    dialog(async (d) => {
      const wanted = [Info.name, Info.description, Info.blockSize, 99, Info.export];
      const infos = infosOf(await d.must(Option.info, infoData(target().exportName, wanted)));
      assert.equal(infos.get(Info.export)?.length, 10);
      assert.ok(!infos.has(99));
      if (!ours) return;
      assert.equal(infos.get(Info.name)?.toString(), target().exportName);
      assert.ok((infos.get(Info.description)?.length ?? 0) > 0);
      assert.equal(infos.get(Info.blockSize)?.toString('hex'), '000000010000100002000000');
      const few = infosOf(await d.must(Option.info, infoData(target().exportName, [])));
      assert.deepEqual([...few.keys()], [Info.export]);
    }));

  test('the empty name is the default export', only, () =>
    dialog(async (d) => {
      const named = infosOf(await d.must(Option.info, infoData(target().exportName, [Info.name])));
      const empty = infosOf(await d.must(Option.info, infoData('', [Info.name])));
      assert.deepEqual(empty, named);
    }),
  );

  test('INFO and GO of an unknown export are answered as unknown, and the handshake goes on', only, () =>
    dialog(async (d) => {
      for (const option of [Option.info, Option.go]) {
        assert.deepEqual(types(await d.option(option, infoData('nobody', []))), [OptionReply.errUnknown]);
      }
      await d.must(Option.go, infoData(target().exportName, []));
    }),
  );

  test('malformed INFO and GO are invalid, and the handshake goes on', () =>
    dialog(async (d) => {
      const good = infoData(target().exportName, [Info.name]);
      const longName = Buffer.from(good);
      longName.writeUInt32BE(0xffffffff, 0);
      const fewInfos = Buffer.from(good);
      fewInfos.writeUInt16BE(2, fewInfos.length - 4);
      for (const option of [Option.info, Option.go]) {
        for (const data of [Buffer.alloc(0), Buffer.alloc(5), longName, fewInfos]) {
          assert.deepEqual(types(await d.option(option, data)), [OptionReply.errInvalid]);
        }
      }
      await d.must(Option.go, infoData(target().exportName, []));
    }));

  test('GO tells the same as INFO before it, and transmission follows without padding', () =>
    dialog(async (d) => {
      const info = infosOf(await d.must(Option.info, infoData(target().exportName, [Info.blockSize])));
      const go = infosOf(await d.must(Option.go, infoData(target().exportName, [Info.blockSize])));
      assert.deepEqual(go, info);
      await readOneByte(d);
    }, FIXED));

  test('EXPORT_NAME is followed by 124 zeroes only when the client did not waive them', async () => {
    await dialog(async (d) => {
      d.sendOption(Option.exportName, Buffer.from(target().exportName));
      await d.take(10);
      await readOneByte(d);
    }, BOTH);
    await dialog(async (d) => {
      d.sendOption(Option.exportName, Buffer.from(target().exportName));
      await d.take(10);
      assert.deepEqual(await d.take(124), Buffer.alloc(124));
      await readOneByte(d);
    }, FIXED);
  });

  test('EXPORT_NAME of an unknown or impossible export ends the connection', only, async () => {
    for (const name of [Buffer.from('nobody'), Buffer.alloc(5000, 65), Buffer.from([0xff]), Buffer.from('a\0b')]) {
      await dialog(async (d) => {
        d.sendOption(Option.exportName, name);
        assert.equal((await d.closed()).length, 0);
      });
    }
  });

  test('a client without fixed newstyle may name an export and nothing else', only, async () => {
    await dialog(async (d) => {
      d.sendOption(Option.exportName, Buffer.from(target().exportName));
      await d.take(10 + 124);
    }, 0);
    await dialog(async (d) => {
      d.sendOption(Option.list);
      assert.equal((await d.closed()).length, 0);
    }, 0);
  });

  test('DF is offered with structured replies only', async () => {
    const { host, port, exportName } = target();
    const simple = await connect(host, port, exportName, { structured: false });
    const structured = await connect(host, port, exportName);
    assert.equal(simple.flags & TransmissionFlag.sendDf, 0);
    assert.notEqual(structured.flags & TransmissionFlag.sendDf, 0);
    assert.notEqual(structured.flags & TransmissionFlag.hasFlags, 0);
    await Promise.all([simple.disconnect(), structured.disconnect()]);
  });

  test('the export offers flush, FUA, trim, zeroes, fast zeroes, cache and several connections', only, async () => {
    const client = await connect(target().host, target().port, target().exportName, { structured: false });
    assert.equal(client.flags, 0b1101_0110_1101);
    await client.disconnect();
  });

  test('STRUCTURED_REPLY takes no data', () =>
    dialog(async (d) => {
      assert.deepEqual(types(await d.option(Option.structuredReply, Buffer.from('x'))), [OptionReply.errInvalid]);
      await d.must(Option.structuredReply);
    }));

  test('extended headers take precedence over structured replies and exclude EXPORT_NAME', only, () =>
    dialog(async (d) => {
      assert.deepEqual(types(await d.option(Option.extendedHeaders, Buffer.from('x'))), [OptionReply.errInvalid]);
      await d.must(Option.structuredReply);
      await d.must(Option.extendedHeaders);
      assert.deepEqual(types(await d.option(Option.structuredReply)), [OptionReply.errExtendedHeadersRequired]);
      assert.equal((await d.must(Option.setMetaContext, metaData('', ['base:allocation']))).length, 2);
      d.sendOption(Option.exportName, Buffer.from(target().exportName));
      assert.equal((await d.closed()).length, 0);
    }),
  );

  test('option data beyond 64 KiB are too big, beyond 1 MiB the end', only, () =>
    dialog(async (d) => {
      assert.deepEqual(types(await d.option(Option.info, Buffer.alloc((64 << 10) + 1))), [OptionReply.errTooBig]);
      assert.deepEqual(types(await d.option(1000, Buffer.alloc(1 << 20))), [OptionReply.errTooBig]);
      await d.must(Option.structuredReply);
      d.sendOption(Option.info, Buffer.alloc((1 << 20) + 1));
      await d.closed();
    }),
  );
}

/** Reads the export's first byte: transmission has begun exactly here. */
async function readOneByte(dialog: NbdDialog): Promise<void> {
  dialog.send(compactRequest(Command.read, 1));
  const reply = await dialog.take(17);
  assert.equal(reply.toString('hex', 0, 16), '6744669800000000000000000000004d');
}

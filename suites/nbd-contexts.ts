/** The metadata contexts' part of the NBD conformance suite: listing, selecting, and what a selection is good for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChunkType, Command, HandshakeFlag, NbdError, Option, OptionReply } from '../src/wire/nbd.ts';
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

const contextsOf = (replies: readonly OptionReplyMessage[]): string[] =>
  replies.filter((reply) => reply.type === OptionReply.metaContext).map((reply) => reply.data.toString('utf8', 4));

export function contextCases(target: () => NbdTarget, { ours }: NbdSuiteOptions): void {
  const flags = HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes;
  const dialog = (run: (dialog: NbdDialog) => Promise<void>): Promise<void> =>
    talk(target().host, target().port, flags, run);
  const only = { skip: ours ? false : 'a choice of this project' };

  test('metadata contexts need structured replies', () =>
    dialog(async (d) => {
      const data = metaData(target().exportName, ['base:allocation']);
      assert.deepEqual(types(await d.option(Option.setMetaContext, data)), [OptionReply.errInvalid]);
      if (ours) assert.deepEqual(types(await d.option(Option.listMetaContext, data)), [OptionReply.errInvalid]);
      await d.must(Option.structuredReply);
      assert.deepEqual(contextsOf(await d.must(Option.setMetaContext, data)), ['base:allocation']);
    }));

  test('LIST_META_CONTEXT knows base:allocation by every query that means it', () =>
    dialog(async (d) => {
      await d.must(Option.structuredReply);
      const list = async (queries: string[]): Promise<string[]> =>
        contextsOf(await d.must(Option.listMetaContext, metaData(target().exportName, queries)));
      assert.ok((await list([])).includes('base:allocation'));
      assert.deepEqual(await list(['base:']), ['base:allocation']);
      assert.deepEqual(await list(['base:allocation']), ['base:allocation']);
      assert.deepEqual(await list(['base:nothing']), []);
      assert.deepEqual(await list(['x-nobody:anything']), []);
    }));

  test('SET_META_CONTEXT selects exact names only', () =>
    dialog(async (d) => {
      await d.must(Option.structuredReply);
      const set = async (queries: string[]): Promise<string[]> =>
        contextsOf(await d.must(Option.setMetaContext, metaData(target().exportName, queries)));
      assert.deepEqual(await set(['x-nobody:1', 'base:allocation']), ['base:allocation']);
      assert.deepEqual(await set(['base:']), []);
      assert.deepEqual(await set([]), []);
    }));

  test('SET_META_CONTEXT replaces the earlier selection, also when it fails', () =>
    dialog(async (d) => {
      await d.must(Option.structuredReply);
      const good = metaData(target().exportName, ['base:allocation']);
      await d.must(Option.setMetaContext, good);
      await d.option(Option.setMetaContext, good.subarray(0, good.length - 1));
      await d.must(Option.go, infoData(target().exportName, []));
      d.send(compactRequest(Command.blockStatus, 4096));
      const reply = await d.take(24);
      assert.equal(reply.readUInt16BE(6), ChunkType.error);
      assert.equal(reply.readUInt32BE(20), NbdError.invalid);
    }));

  test('malformed metadata queries are invalid, and the handshake goes on', () =>
    dialog(async (d) => {
      await d.must(Option.structuredReply);
      const good = metaData(target().exportName, ['base:allocation']);
      const longQuery = Buffer.from(good);
      longQuery.writeUInt32BE(1000, good.length - 'base:allocation'.length - 4);
      for (const option of [Option.listMetaContext, Option.setMetaContext]) {
        for (const data of [Buffer.alloc(0), good.subarray(0, good.length - 1), longQuery]) {
          assert.deepEqual(types(await d.option(option, data)), [OptionReply.errInvalid]);
        }
      }
      await d.must(Option.setMetaContext, good);
    }));

  test('a metadata query of an unknown export or without a namespace is an error', only, () =>
    dialog(async (d) => {
      await d.must(Option.structuredReply);
      const ask = async (data: Buffer): Promise<number[]> => types(await d.option(Option.setMetaContext, data));
      assert.deepEqual(await ask(metaData('nobody', ['base:allocation'])), [OptionReply.errUnknown]);
      assert.deepEqual(await ask(metaData('', ['nocolon'])), [OptionReply.errInvalid]);
    }),
  );
}

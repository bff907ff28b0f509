/** What calls refer to lies where it was received, or is copied: either way it stays what it was. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { encodeArguments, procedureNumber } from '../../wire/nfs/table.ts';
import { type NfsArguments, NFS_PROGRAM, NfsStatus } from '../../wire/nfs/types.ts';
import { encodeCall, nextXid } from '../../../suites/nfs-client.ts';
import { answerPlainly, type TakenCall } from '../../../suites/nfs-program.ts';
import { TestDoor, VOLUME } from '../../../suites/nfs-door.ts';

async function opened(t: TestContext, ...parts: ConstructorParameters<typeof TestDoor>): Promise<TestDoor> {
  const door = new TestDoor(...parts);
  t.after(() => door.close());
  assert.equal(await door.open(), null);
  return door;
}

const HANDLE = Buffer.from('handle');

test('a WRITE in many fragments and many pieces is the same WRITE', async (t) => {
  const door = await opened(t);
  const client = await door.connect();
  const data = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 7) & 0xff));
  const args = { procedure: 'write', handle: HANDLE, offset: 1, stable: 2, data } as const;
  const xid = nextXid();
  const call = { xid, program: NFS_PROGRAM, version: 3, procedure: procedureNumber('write') };
  const record = encodeCall(call, null, encodeArguments(args)).subarray(4);
  const marked: Buffer[] = [];
  for (let at = 0; at < record.length; at += 999) {
    const fragment = record.subarray(at, at + 999);
    const mark = Buffer.alloc(4);
    mark.writeUInt32BE((at + 999 >= record.length ? 0x8000_0000 : 0) + fragment.length);
    marked.push(mark, fragment);
  }
  const answer = client.record(xid, marked[0]!);
  for (const piece of marked.slice(1)) client.send(piece);
  const [taken] = await door.program.waiting(1);
  assert.deepEqual(taken?.call.arguments, args);
  answerPlainly(taken);
  assert.equal((await answer).header.kind, 'success');
});

test('payloads and names stay as they were sent for as long as their calls wait', async (t) => {
  const door = await opened(t, {}, { maxInFlightBytes: 4 << 20, maxRequests: 10_000 });
  const client = await door.connect();
  const sizes = Array.from({ length: 600 }, (_, i) => (i % 7 === 0 ? 150_000 : i % 3 === 0 ? 0 : (i * 397) % 9000));
  const args = sizes.map((size, i) =>
    size === 0
      ? ({ procedure: 'lookup', directory: HANDLE, name: Buffer.from(`name ${i}`) } as const)
      : ({ procedure: 'write', handle: HANDLE, offset: i, stable: 2, data: Buffer.alloc(size, i) } as const),
  );
  let answered = 0;
  const answers = args.map((each) => client.call(each).then(() => (answered += 1)));
  const seen: NfsArguments[] = [];
  while (answered < args.length) {
    await new Promise((resolve) => void setImmediate(resolve));
    // a good part of what waits is answered, in no order
    const { calls } = door.program;
    while (calls.length > 20) {
      const [taken] = calls.splice((calls.length * 7) % 20, 1);
      const wanted = taken!.call.arguments;
      seen.push(wanted);
      if (wanted.procedure === 'write') {
        assert.ok(
          wanted.data.every((byte) => byte === (wanted.offset & 0xff)),
          `write ${wanted.offset}`,
        );
        answerPlainly(taken!);
      } else {
        assert.ok(wanted.procedure === 'lookup');
        assert.match(wanted.name.toString(), /^name \d+$/);
        taken?.reply.send({ procedure: 'lookup', status: NfsStatus.noent, directory: null });
      }
    }
    if (seen.length + calls.length === args.length) {
      for (const { call, reply } of calls.splice(0)) {
        seen.push(call.arguments);
        if (call.arguments.procedure === 'write') answerPlainly({ call, reply });
        else reply.send({ procedure: 'lookup', status: NfsStatus.noent, directory: null });
      }
    }
  }
  await Promise.all(answers);
  const key = (each: NfsArguments): string =>
    each.procedure === 'write' ? `write ${each.offset}` : each.procedure === 'lookup' ? each.name.toString() : '';
  assert.deepEqual(seen.map(key).toSorted(), args.map(key).toSorted());
  assert.equal(door.doors.usedBytes(VOLUME), 0);
});

test('a call that waits among many that do not keeps its arguments, though what it came in is read over', async (t) => {
  const door = await opened(t);
  const waiting: TakenCall[] = [];
  door.program.answer = (taken) => {
    if (taken.call.arguments.procedure === 'lookup') waiting.push(taken);
    else answerPlainly(taken);
  };
  const client = await door.connect();
  const write = { procedure: 'write', handle: HANDLE, offset: 0, stable: 2, data: Buffer.alloc(5000) } as const;
  await client.call(write);
  for (let i = 0; i < 100; i++) {
    void client.call({ procedure: 'lookup', directory: HANDLE, name: Buffer.from(`name ${i}`) }).catch(() => {});
    await Promise.all(
      Array.from({ length: 20 }, () => client.call({ procedure: 'access', handle: Buffer.alloc(60, i), access: 1 })),
    );
  }
  const names = waiting.map(({ call }) => (call.arguments.procedure === 'lookup' ? call.arguments.name : ''));
  assert.deepEqual(
    names.map(String),
    Array.from({ length: 100 }, (_, i) => `name ${i}`),
  );
});

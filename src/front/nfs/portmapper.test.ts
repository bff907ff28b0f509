/** Registration with a port mapper that is there, says no, says nothing sensible, or is not there. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { AcceptStatus, ACCEPTED_BYTES, CallHeader, putAccepted } from '../../wire/rpc.ts';
import { RecordReader, wholeRecordMark } from '../../wire/rpc-record.ts';
import { XdrReader, XdrWriter } from '../../wire/xdr.ts';
import { TestDoor } from '../../../suites/nfs-door.ts';

/** The part of a port mapper that registration needs. */
class PortMapper {
  readonly mappings = new Map<string, number>();
  refuses = false;
  garbage = false;
  readonly #server = net.createServer((socket) => this.#serve(socket));

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => void this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as net.AddressInfo).port;
  }

  close(): void {
    this.#server.close();
  }

  #serve(socket: net.Socket): void {
    const reader = new RecordReader(4096, 0);
    socket.on('error', () => {});
    socket.on('data', (piece: Buffer) => {
      reader.push(piece);
      while (reader.next() === 'record') {
        const xdr = new XdrReader().reset(reader.bytes, reader.from, reader.to);
        const header = new CallHeader();
        assert.equal(header.read(xdr), 'call');
        assert.deepEqual([header.program, header.version], [100_000, 2]);
        const [program, version, protocol, port] = [xdr.u32(), xdr.u32(), xdr.u32(), xdr.u32()];
        assert.equal(protocol, 6);
        if (this.garbage) socket.write('garbage, and enough of it to be a record of some kind');
        else socket.write(answer(header.xid, this.#answer(header.procedure, `${program}/${version}`, port)));
      }
    });
  }

  #answer(procedure: number, key: string, port: number): number {
    if (procedure === 3) return this.mappings.get(key) ?? 0;
    if (procedure === 2) return this.mappings.delete(key) ? 1 : 0;
    assert.equal(procedure, 1);
    if (this.refuses || this.mappings.has(key)) return 0;
    this.mappings.set(key, port);
    return 1;
  }
}

function answer(xid: number, word: number): Buffer {
  const xdr = new XdrWriter().reset(Buffer.alloc(4 + ACCEPTED_BYTES + 4));
  xdr.u32(wholeRecordMark(ACCEPTED_BYTES + 4));
  putAccepted(xdr, xid, AcceptStatus.success);
  xdr.u32(word);
  return xdr.done();
}

async function registered(t: TestContext, mapper: PortMapper): Promise<TestDoor> {
  const port = await mapper.listen();
  t.after(() => mapper.close());
  const door = new TestDoor({ portmapper: true }, {}, { host: '127.0.0.1', port });
  t.after(() => door.close());
  assert.equal(await door.open(), null);
  return door;
}

async function lines(door: TestDoor, count: number): Promise<string[]> {
  while (door.told('nfs.portmap').length < count) await turn();
  return door.told('nfs.portmap').map(({ fields }) => String(fields['done']));
}

test('both programs are registered while the door is open, a dead server’s mapping is replaced', async (t) => {
  const mapper = new PortMapper();
  mapper.mappings.set('100003/3', 1);
  mapper.mappings.set('100021/4', 99);
  const door = await registered(t, mapper);
  const { port } = door;
  assert.deepEqual(await lines(door, 1), ['registered']);
  assert.deepEqual(Object.fromEntries(mapper.mappings), { '100003/3': port, '100005/3': port, '100021/4': 99 });
  // somebody else has taken one over meanwhile: it stays theirs
  mapper.mappings.set('100005/3', 77);
  await door.hold();
  assert.deepEqual(await lines(door, 2), ['registered', 'unregistered']);
  assert.deepEqual(Object.fromEntries(mapper.mappings), { '100005/3': 77, '100021/4': 99 });
});

test('a port mapper that refuses, or that talks nonsense, is a line and nothing more', async (t) => {
  for (const trouble of ['refuses', 'garbage'] as const) {
    const mapper = new PortMapper();
    mapper[trouble] = true;
    const door = await registered(t, mapper);
    assert.deepEqual(await lines(door, 1), ['not registered']);
    await (await door.connect()).ping();
  }
});

test('so is one that is not there', async (t) => {
  const mapper = new PortMapper();
  const port = await mapper.listen();
  mapper.close();
  const door = new TestDoor({ portmapper: true }, {}, { host: '127.0.0.1', port });
  t.after(() => door.close());
  assert.equal(await door.open(), null);
  assert.deepEqual(await lines(door, 1), ['not registered']);
  assert.match(String(door.told('nfs.portmap')[0]?.fields['reason']), /ECONNREFUSED/);
  await (await door.connect()).ping();
});

test('a door that does not ask for it is not registered', async (t) => {
  const mapper = new PortMapper();
  const port = await mapper.listen();
  t.after(() => mapper.close());
  const door = new TestDoor({}, {}, { host: '127.0.0.1', port });
  t.after(() => door.close());
  assert.equal(await door.open(), null);
  await (await door.connect()).ping();
  assert.equal(mapper.mappings.size, 0);
  assert.equal(door.told('nfs.portmap').length, 0);
});

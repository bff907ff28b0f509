/**
 * Whoever can connect to a files volume's address cannot harm it: every kind of malformed record, call and argument, and ten
 * thousand connections that say half a word. A client that keeps to the protocol is served all the while, and the
 * server's memory stays bounded.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { encodeCall, NfsCallRefused, NfsClient, nextXid } from '../../suites/nfs-client.ts';
import { encodeArguments, procedureNumber } from '../../src/wire/nfs/table.ts';
import { NFS_PROGRAM, NFS_VERSION, NfsStatus, PROCEDURES } from '../../src/wire/nfs/types.ts';
import { HOST } from '../cluster-config.ts';
import { clusterTest, seedFor } from '../cluster.ts';
import { Prng } from '../prng.ts';
import { FILES } from './mounted.ts';

/** What the server's process holds in memory now, MiB. */
function residentMib(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) / 1024;
}

const record = (bytes: Buffer, last = true): Buffer => {
  const mark = Buffer.alloc(4);
  mark.writeUInt32BE((bytes.length | (last ? 0x8000_0000 : 0)) >>> 0);
  return Buffer.concat([mark, bytes]);
};
const words = (...numbers: number[]): Buffer => {
  const bytes = Buffer.alloc(numbers.length * 4);
  numbers.forEach((number, index) => bytes.writeUInt32BE(number >>> 0, index * 4));
  return bytes;
};

/** Sends bytes on a connection of their own; what came back until it went silent, or the server closed it. */
function shout(port: number, bytes: readonly Buffer[], waitMs = 300): Promise<{ answer: Buffer; closed: boolean }> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: HOST, port });
    const answer: Buffer[] = [];
    let closed = false;
    const end = (): void => {
      socket.destroy();
      resolve({ answer: Buffer.concat(answer), closed });
    };
    const timer = setTimeout(end, waitMs);
    socket.on('data', (piece: Buffer) => answer.push(piece));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      closed = true;
      clearTimeout(timer);
      end();
    });
    for (const piece of bytes) socket.write(piece);
  });
}

const NULL_CALL = (...more: number[]): Buffer => words(7, 0, 2, NFS_PROGRAM, NFS_VERSION, 0, ...more);

clusterTest(
  'malformed records, calls and arguments are answered by the RFC or disconnected',
  { volumes: [FILES] },
  async (cluster, t) => {
    const { port } = cluster.volume('files');
    await cluster.startAll();
    const { owner } = await cluster.untilInSync('files');
    const good = await NfsClient.connect(port);
    const root = await good.root('/files');
    const fine = async (after: string): Promise<void> => {
      assert.equal((await good.call({ procedure: 'getattr', handle: root })).status, NfsStatus.ok, after);
    };

    const refused = async (program: number, version: number, procedure: number): Promise<unknown> => {
      const answer = await good.result(program, version, procedure, Buffer.alloc(0)).catch((error: unknown) => error);
      assert.ok(answer instanceof NfsCallRefused);
      return answer.header.kind;
    };
    t.diagnostic(
      `unknown program, version, procedure: ${[await refused(100_099, 3, 0), await refused(NFS_PROGRAM, 4, 0), await refused(NFS_PROGRAM, 3, 22)].join(', ')}`,
    );
    await fine('unknown programs');

    // Of each: the whole connection, and whether it must be closed rather than answered.
    const shouts: readonly (readonly [what: string, bytes: readonly Buffer[], closed: boolean])[] = [
      ['a record of 2 GiB', [words(0xffff_ffff)], true],
      ['a fragment of 2 GiB that is not the last', [words(0x7fff_ffff)], true],
      ['no bytes at all in the last fragment', [words(0x8000_0000)], true],
      ['a million empty fragments', [Buffer.alloc(4_000_000)], true],
      ['a reply in place of a call', [record(words(1, 1, 0, 0, 0, 0))], true],
      ['a message that is neither', [record(words(1, 99, 2, NFS_PROGRAM, 3, 0, 0, 0, 0, 0))], true],
      ['half a header', [record(words(1, 0, 2))], true],
      ['version 3 of RPC', [record(words(1, 0, 3, NFS_PROGRAM, 3, 0, 0, 0, 0, 0))], false],
      ['a credential of 4 GiB', [record(NULL_CALL(1, 0xffff_ffff))], true],
      ['a credential of 401 bytes', [record(Buffer.concat([NULL_CALL(1, 401), Buffer.alloc(404), words(0, 0)]))], true],
      ['65,536 groups', [record(NULL_CALL(1, 24, 0, 0, 0, 0, 65_536, 0, 0, 0))], true],
      ['a flavour that nobody knows', [record(Buffer.concat([NULL_CALL(77, 4, 0, 0, 0)]))], false],
      ['half a record, and the end', [record(NULL_CALL(0, 0, 0, 0)).subarray(0, 20)], false],
      ['an HTTP request', [Buffer.from('GET / HTTP/1.1\r\nHost: files\r\n\r\n')], true],
    ];
    for (const [what, bytes, closed] of shouts) {
      const heard = await shout(port, bytes);
      if (closed) assert.ok(heard.closed || heard.answer.length > 0, `${what}: closed or answered`);
      t.diagnostic(`${what}: ${heard.closed ? 'closed' : 'open'}, ${heard.answer.length} bytes`);
      await fine(what);
    }

    // Arguments of every procedure that are cut off, too long, or lie about their lengths.
    const client = await NfsClient.connect(port);
    const handle = Buffer.concat([words(root.length), root, Buffer.alloc((4 - (root.length % 4)) % 4)]);
    const lies = [
      Buffer.alloc(0),
      words(64),
      words(0xffff_ffff, 0, 0),
      words(65, ...new Array<number>(17).fill(0)),
      Buffer.concat([handle, words(0xffff_ffff)]),
      Buffer.concat([handle, words(1 << 30), Buffer.alloc(100)]),
      handle.subarray(0, -3),
      Buffer.concat([handle, words(0, 0, 0xffff_ffff, 2, 0xffff_ffff)]),
    ];
    for (const procedure of PROCEDURES.slice(1)) {
      for (const lie of lies) {
        const reply = await client.raw(NFS_PROGRAM, NFS_VERSION, procedureNumber(procedure), lie);
        if (reply.header.kind === 'success') assert.notEqual(reply.result.readUInt32BE(0), undefined);
      }
    }
    await fine('lies');

    // Random bytes, and good calls with some bits of them turned over.
    const random = new Prng(seedFor(t));
    for (let round = 0; round < 60; round += 1) {
      const args = encodeArguments({ procedure: 'lookup', directory: root, name: Buffer.from('name') });
      const call = encodeCall(
        { xid: nextXid(), program: NFS_PROGRAM, version: NFS_VERSION, procedure: random.below(23) },
        { uid: 0, gid: 0, gids: [] },
        args,
      );
      for (let flips = 1 + random.below(4); flips > 0; flips -= 1) {
        const at = random.below(call.length);
        call[at] = (call[at] ?? 0) ^ (1 << random.below(8));
      }
      const noise = Buffer.from(Array.from({ length: 200 }, () => random.below(256)));
      await shout(port, [round % 2 === 0 ? call : noise], 20);
    }
    await fine('noise');
    assert.ok(cluster.server(owner).running);
  },
);

clusterTest('ten thousand half-open connections', { volumes: [FILES], deadlineMs: 120_000 }, async (cluster, t) => {
  const { port } = cluster.volume('files');
  await cluster.startAll();
  const { owner } = await cluster.untilInSync('files');
  const { pid } = cluster.server(owner);
  const good = await NfsClient.connect(port);
  const root = await good.root('/files');
  const before = residentMib(pid);
  const sockets = new Set<net.Socket>();
  let opened = 0;
  const half = record(NULL_CALL(0, 0, 0, 0)).subarray(0, 30);
  // From addresses of their own, so that it is not one address's share that bounds them.
  const open = (index: number): Promise<void> =>
    new Promise((resolve) => {
      const socket = net.connect({ host: HOST, port, localAddress: `127.0.1.${1 + (index % 200)}` });
      sockets.add(socket);
      socket.on('connect', () => {
        opened += 1;
        socket.write(half);
        resolve();
      });
      socket.on('error', () => resolve());
      socket.on('close', () => {
        sockets.delete(socket);
        resolve();
      });
    });
  let most = before;
  for (let index = 0; index < 10_000; index += 500) {
    await Promise.all(Array.from({ length: 500 }, (_, more) => open(index + more)));
    most = Math.max(most, residentMib(pid));
    assert.equal((await good.call({ procedure: 'getattr', handle: root })).status, NfsStatus.ok);
  }
  t.diagnostic(
    `${opened} connected, ${sockets.size} still open; ${before.toFixed(0)} MiB before, ${most.toFixed(0)} MiB at most`,
  );
  assert.ok(opened > 9_000);
  assert.ok(sockets.size < 2_000, 'silent connections make room');
  assert.ok(most < before + 150, 'memory is bounded');
  // A newcomer that says something is let in.
  const late = await NfsClient.connect(port);
  await late.root('/files');
  for (const socket of sockets) socket.destroy();
});

/**
 * What the door for NFS costs by itself: records, RPC and XDR, without a volume behind.
 *
 *     npx tsx bench/nfs-door.ts [SECONDS]
 *
 * `codec`: decoding a call and encoding its answer, in this process, without sockets. `door`: a process with a door whose
 * program answers at once, and a client at depth 32 that sends records made before; what counts is the door's processor
 * time per request.
 */
import { fork } from 'node:child_process';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import type { NfsResult } from '../src/wire/nfs/results.ts';
import { encodeArguments, procedureNumber, putResult, readArguments, resultBound } from '../src/wire/nfs/table.ts';
import { type Fattr3, type NfsArguments, NFS_PROGRAM, NFS_VERSION, NfsStatus } from '../src/wire/nfs/types.ts';
import { CallHeader, putAccepted } from '../src/wire/rpc.ts';
import { RecordReader } from '../src/wire/rpc-record.ts';
import { XdrReader, XdrWriter } from '../src/wire/xdr.ts';
import { encodeCall, nextXid } from '../suites/nfs-client.ts';
import type { TakenCall } from '../suites/nfs-program.ts';
import { TestDoor } from '../suites/nfs-door.ts';

const DEPTH = 32;
const HANDLE = Buffer.alloc(41, 7);
const PAYLOAD = Buffer.alloc(4096, 1);

const ATTRIBUTES: Fattr3 = {
  type: 'file',
  mode: 0o644,
  links: 1,
  uid: 1000,
  gid: 1000,
  sizeBytes: 1 << 30,
  usedBytes: 1 << 30,
  major: 0,
  minor: 0,
  fsid: 0x1234_5678_9abc_def0n,
  fileNumber: 123_456_789n,
  atimeNs: 1_763_848_800_123_456_789n,
  mtimeNs: 1_763_848_800_123_456_789n,
  ctimeNs: 1_763_848_800_123_456_789n,
};

/** What a program of the real kind says to a call: attributes before and after, fresh objects. */
function resultOf(args: NfsArguments): NfsResult {
  if (args.procedure === 'read') {
    const pieces = [{ length: PAYLOAD.length, data: PAYLOAD }];
    return {
      procedure: 'read',
      status: NfsStatus.ok,
      attributes: { ...ATTRIBUTES },
      count: PAYLOAD.length,
      eof: false,
      pieces,
    };
  }
  if (args.procedure === 'write') {
    const before = { sizeBytes: 1 << 30, mtimeNs: ATTRIBUTES.mtimeNs, ctimeNs: ATTRIBUTES.ctimeNs };
    return {
      procedure: 'write',
      status: NfsStatus.ok,
      wcc: { before, after: { ...ATTRIBUTES } },
      count: args.data.length,
      committed: 2,
      verifier: 99n,
    };
  }
  return { procedure: 'getattr', status: NfsStatus.ok, attributes: { ...ATTRIBUTES } };
}

const CALLS: readonly NfsArguments[] = [
  { procedure: 'write', handle: HANDLE, offset: 1 << 20, stable: 2, data: PAYLOAD },
  { procedure: 'read', handle: HANDLE, offset: 1 << 20, count: PAYLOAD.length },
  { procedure: 'getattr', handle: HANDLE },
];

function recordOf(args: NfsArguments): Buffer {
  const call = {
    xid: nextXid(),
    program: NFS_PROGRAM,
    version: NFS_VERSION,
    procedure: procedureNumber(args.procedure),
  };
  return encodeCall(call, { uid: 1000, gid: 1000, gids: [4, 24, 27, 1000] }, encodeArguments(args));
}

/** Microseconds of processor time for one call, records in a piece of 64 KiB as a socket hands them out. */
function codec(args: NfsArguments, seconds: number): number {
  const record = recordOf(args);
  const piece = Buffer.concat(new Array<Buffer>(Math.max(1, Math.floor(65_536 / record.length))).fill(record));
  const reader = new RecordReader(2 << 20, procedureNumber('write'));
  const header = new CallHeader();
  const xdr = new XdrReader();
  const out = new XdrWriter();
  const page = Buffer.alloc(65_536);
  let calls = 0;
  const run = (until: number): void => {
    while (performance.now() < until) {
      reader.push(piece);
      while (reader.next() === 'record') {
        header.read(xdr.reset(reader.bytes, reader.from, reader.to));
        const decoded = readArguments(header.procedure, xdr);
        if (decoded === null) throw new Error('the call is not valid');
        const result = resultOf(decoded);
        if (resultBound(result) > page.length) throw new Error('the answer does not fit');
        putAccepted(out.reset(page), header.xid, 0);
        putResult(out, result);
        calls++;
      }
    }
  };
  run(performance.now() + 300);
  calls = 0;
  const before = process.cpuUsage();
  run(performance.now() + seconds * 1000);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / calls;
}

/** The process with the door: says its port, then its processor time whenever it is asked. */
async function serve(): Promise<void> {
  const door = new TestDoor();
  door.program.answer = ({ call, reply }: TakenCall): void => reply.send(resultOf(call.arguments));
  await door.open();
  process.send?.(door.port);
  process.on('message', () => process.send?.(process.cpuUsage()));
}

interface Cost {
  readonly perSecond: number;
  readonly doorUs: number;
}

/** A client at depth 32: a record for each answer, as many in one write as answers came in one piece. */
async function through(
  port: number,
  ask: () => Promise<NodeJS.CpuUsage>,
  args: NfsArguments,
  seconds: number,
): Promise<Cost> {
  const record = recordOf(args);
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
  const reader = new RecordReader(2 << 20, 0xffff_ffff);
  let answers = 0;
  let stopped = false;
  const send = (count: number): void => {
    socket.cork();
    for (let i = 0; i < count; i++) socket.write(record);
    socket.uncork();
  };
  socket.on('data', (piece: Buffer) => {
    reader.push(piece);
    let came = 0;
    while (reader.next() === 'record') came++;
    answers += came;
    if (!stopped && came > 0) send(came);
  });
  send(DEPTH);
  await new Promise((resolve) => void setTimeout(resolve, 500));
  const before = await ask();
  answers = 0;
  const started = performance.now();
  await new Promise((resolve) => void setTimeout(resolve, seconds * 1000));
  const counted = answers;
  const elapsed = performance.now() - started;
  const after = await ask();
  stopped = true;
  socket.destroy();
  const us = after.user + after.system - before.user - before.system;
  return { perSecond: (counted * 1000) / elapsed, doorUs: us / counted };
}

async function main(): Promise<void> {
  const seconds = Number(process.argv[2] ?? 3);
  for (const args of CALLS) {
    console.log(`codec ${args.procedure.padEnd(8)} ${codec(args, seconds).toFixed(2)} us of processor time a call`);
  }
  const child = fork(fileURLToPath(import.meta.url), ['serve']);
  const [port] = await new Promise<[number]>((resolve) => child.once('message', (said) => resolve([said as number])));
  const ask = (): Promise<NodeJS.CpuUsage> =>
    new Promise((resolve) => {
      child.once('message', (said) => resolve(said as NodeJS.CpuUsage));
      child.send('cpu');
    });
  for (const args of CALLS) {
    const { perSecond, doorUs } = await through(port, ask, args, seconds);
    const rate = Math.round(perSecond).toLocaleString('en');
    console.log(
      `door  ${args.procedure.padEnd(8)} ${doorUs.toFixed(2)} us of processor time a request, ${rate} a second`,
    );
  }
  child.disconnect();
  child.kill();
}

await (process.argv[2] === 'serve' ? serve() : main());

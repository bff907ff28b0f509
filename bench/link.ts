/**
 * How fast the link mirrors: two processes on this machine, one path of TCP over the loopback interface.
 *
 *     npx tsx bench/link.ts [SECONDS]
 *
 * `one way`: mirror messages are sent as long as fewer than 8 MiB are unanswered; the receiver counts operations and
 * answers every batch with one cumulative `stored`, as a partner does. `ping`: one message at a time, there and back.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { randomBytes } from 'node:crypto';
import type { Epoch, Generation, Incarnation, Sequence, ServerId, StoreId, VolumeName } from '../src/base/names.ts';
import { dataCrcOf, type Operation, OperationKind, NO_TIME } from '../src/base/operation.ts';
import { TcpLink } from '../src/drivers/link/tcp-link.ts';
import { BootClock } from '../src/drivers/linux/boot-clock.ts';
import type { LinkMessage, MirrorMessage, PathRef } from '../src/ports/link.ts';

const clock = new BootClock();
const PORTS = { a: 28_401, b: 28_402 };
const WINDOW_BYTES = 8 << 20;
const life = { volume: 'volume' as VolumeName, epoch: 1 as Epoch, generation: 1 as Generation };

function makeLink(self: 'a' | 'b'): TcpLink {
  const peer = self === 'a' ? 'b' : 'a';
  const at = (server: 'a' | 'b') => [{ host: '127.0.0.1', port: PORTS[server] }];
  return new TcpLink({
    self: self as ServerId,
    incarnation: randomBytes(16).toString('hex') as Incarnation,
    clusterId: 'bench',
    key: Buffer.alloc(32, 1),
    listen: at(self),
    peers: new Map([[peer as ServerId, { paths: at(peer) }]]),
    clock,
    log: () => {},
  });
}

/** The partner: keeps nothing, answers every turn's messages with one. */
function partner(): void {
  const link = makeLink('b');
  let last = 0 as Sequence;
  let answering = false;
  const at: PathRef = { peer: 'a' as ServerId, path: 0 };
  const answer = (): void => {
    answering = false;
    const store = '0'.repeat(32) as StoreId;
    link.send(at, { type: 'stored', ...life, store, received: last, stored: last, released: last, gap: false });
  };
  link.listen({
    up: () => {},
    down: () => {},
    message: (_at, _incarnation, message) => {
      if (message.type === 'heartbeat') {
        process.send?.(process.cpuUsage());
        last = 0 as Sequence;
        return;
      }
      if (message.type !== 'mirror') return;
      last = message.operations.at(-1)!.sequence;
      if (!answering) {
        answering = true;
        process.nextTick(answer);
      }
    },
  });
  process.on('disconnect', () => process.exit(0));
}

async function owner(seconds: number): Promise<void> {
  const child = fork(fileURLToPath(import.meta.url), ['partner'], { execArgv: process.execArgv });
  const link = makeLink('a');
  const at: PathRef = { peer: 'b' as ServerId, path: 0 };
  let onStored: (sequence: number) => void = () => {};
  await new Promise<void>((up) => {
    link.listen({
      up: () => up(),
      down: () => {},
      message: (_at, _incarnation, message) => {
        if (message.type === 'stored') onStored(message.stored);
      },
    });
  });
  const cpu = (): Promise<NodeJS.CpuUsage> =>
    new Promise((got) => {
      child.once('message', (usage) => got(usage as NodeJS.CpuUsage));
      link.send(at, { type: 'heartbeat', sentAtMs: 0, unfit: null, entry: 0, volumes: [] });
    });
  for (const [size, batch] of [
    [4096, 1],
    [4096, 8],
    [4096, 32],
    [4096, 128],
    [65_536, 8],
    [512, 32],
  ] as const) {
    const before = await cpu();
    const own = process.cpuUsage();
    const rate = await oneWay(size, batch);
    const after = await cpu();
    const mine = process.cpuUsage(own);
    const us = (usage: NodeJS.CpuUsage, from?: NodeJS.CpuUsage): string =>
      ((usage.user + usage.system - (from === undefined ? 0 : from.user + from.system)) / (rate * seconds)).toFixed(1);
    const mib = ((rate * size) / (1 << 20)).toFixed(0);
    console.log(
      `one way ${size} B x ${batch}: ${rate.toFixed(0)} ops/s, ${mib} MiB/s; CPU us/op: owner ${us(mine)}, partner ${us(after, before)}`,
    );
  }
  console.log(`ping 4096 B x 1: ${(await ping()).toFixed(0)} round trips/s`);
  child.disconnect();
  link.close(() => {});

  function mirror(first: number, batch: number, data: Buffer, dataCrc: number): MirrorMessage {
    const operations: Operation[] = [];
    for (let sequence = first; sequence < first + batch; sequence += 1) {
      const range = { target: '', offset: sequence * data.length, length: data.length, data, dataCrc, timeNs: NO_TIME };
      operations.push({ epoch: 1 as Epoch, sequence: sequence as Sequence, kind: OperationKind.write, ...range });
    }
    return { type: 'mirror', ...life, operations, acknowledged: 0 as Sequence, released: 0 as Sequence };
  }

  function oneWay(size: number, batch: number): Promise<number> {
    const data = randomBytes(size);
    const dataCrc = dataCrcOf(data);
    const window = Math.max(2 * batch, Math.floor(WINDOW_BYTES / size));
    const began = clock.nowMs();
    let sent = 0;
    let stored = 0;
    return new Promise((done) => {
      const fill = (): void => {
        while (sent + batch - stored <= window) {
          link.send(at, mirror(sent + 1, batch, data, dataCrc) satisfies LinkMessage);
          sent += batch;
        }
      };
      onStored = (sequence) => {
        stored = sequence;
        if (clock.nowMs() - began < seconds * 1000) fill();
        else if (stored === sent) done((stored / (clock.nowMs() - began)) * 1000);
      };
      fill();
    });
  }

  function ping(): Promise<number> {
    const data = randomBytes(4096);
    const dataCrc = dataCrcOf(data);
    const began = clock.nowMs();
    let count = 0;
    return new Promise((done) => {
      onStored = () => {
        count += 1;
        const elapsed = clock.nowMs() - began;
        if (elapsed >= seconds * 1000) done((count / elapsed) * 1000);
        else link.send(at, mirror(count + 1, 1, data, dataCrc));
      };
      link.send(at, mirror(1, 1, data, dataCrc));
    });
  }
}

if (process.argv[2] === 'partner') partner();
else await owner(Number(process.argv[2] ?? 2));

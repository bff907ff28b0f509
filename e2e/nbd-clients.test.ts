/** Stock NBD clients against the NBD front end on a volume in memory, and our own test client against a stock server. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { NO_TIME } from '../src/base/operation.ts';
import { promisify } from 'node:util';
import { MemoryService } from '../suites/memory-service.ts';
import { nbdSuite } from '../suites/nbd.ts';
import { EXPORT_NAME, serveNbd } from '../suites/nbd-serve.ts';
import { needs, type Program, programPath } from './programs.ts';

const HOST = '127.0.0.1';
const MIB = 1 << 20;
const execute = promisify(execFile);

/** Runs a program to its end; its output, or an error that carries it. */
async function run(program: Program, ...args: string[]): Promise<string> {
  const { stdout, stderr } = await execute(programPath(program), args, { timeout: 60_000, maxBuffer: 64 * MIB });
  return stdout + stderr;
}

/** A volume in memory, served; and a scratch folder. Both are gone afterwards. */
async function served(
  sizeBytes: number,
  use: (service: MemoryService, uri: string, folder: string) => Promise<void>,
): Promise<void> {
  const service = new MemoryService({ sizeBytes });
  const serving = await serveNbd(service);
  const folder = await mkdtemp(path.join(os.tmpdir(), 'holdfast-nbd-'));
  try {
    await use(service, `nbd://${HOST}:${serving.port}/${EXPORT_NAME}`, folder);
  } finally {
    await serving.close();
    await rm(folder, { recursive: true, force: true });
  }
}

test('nbdinfo shows the export, its abilities and its holes', { skip: needs(['nbdinfo']) }, () =>
  served(16 * MIB, async (service, uri) => {
    const info = await run('nbdinfo', uri);
    assert.match(info, /export-size: 16777216/);
    for (const ability of [
      'can_fua',
      'can_flush',
      'can_trim',
      'can_zero',
      'can_fast_zero',
      'can_multi_conn',
      'can_df',
      'can_cache',
    ]) {
      assert.match(info, new RegExp(`${ability}: true`), info);
    }
    assert.match(info, /is_read_only: false/);
    assert.match(info, /base:allocation/);
    assert.match(info, /block_size_minimum: 1\b/);
    assert.match(info, /block_size_preferred: 4096\b/);
    assert.match(info, /block_size_maximum: 33554432\b/);
    assert.match(
      await run('nbdinfo', '--list', uri.replace(`/${EXPORT_NAME}`, '')),
      new RegExp(`export="${EXPORT_NAME}"`),
    );
    const done = new Promise((resolve) =>
      service.submit({
        kind: 'write',
        target: '',
        offset: 4 * MIB,
        length: MIB,
        timeNs: NO_TIME,
        data: randomBytes(MIB),
        cancelled: false,
        done: resolve,
      }),
    );
    await done;
    const map = JSON.parse(await run('nbdinfo', '--map', '--json', uri)) as {
      offset: number;
      length: number;
      type: number;
    }[];
    assert.deepEqual(
      map.map(({ offset, length, type }) => [offset / MIB, length / MIB, type]),
      [
        [0, 4, 3],
        [4, 1, 0],
        [5, 11, 3],
      ],
    );
  }),
);

test('nbd-client lists the export', { skip: needs(['nbd-client']) }, () =>
  served(16 * MIB, async (_service, uri) => {
    const list = await run('nbd-client', '-l', HOST, '-p', new URL(uri).port);
    assert.match(list, new RegExp(`^${EXPORT_NAME}: Holdfast volume`, 'm'));
  }),
);

test('nbdcopy copies in and out, over several connections', { skip: needs(['nbdcopy']) }, () =>
  served(64 * MIB, async (service, uri, folder) => {
    const source = path.join(folder, 'source');
    const data = Buffer.concat([randomBytes(20 * MIB), Buffer.alloc(20 * MIB), randomBytes(24 * MIB)]);
    await writeFile(source, data);
    await run('nbdcopy', '--flush', '--connections=4', source, uri);
    assert.ok(service.bytes.equals(data));
    const back = path.join(folder, 'back');
    await run('nbdcopy', '--connections=4', uri, back);
    assert.ok((await readFile(back)).equals(data));
  }),
);

test('qemu-img converts, compares and maps', { skip: needs(['qemu-img']) }, () =>
  served(32 * MIB, async (service, uri, folder) => {
    const source = path.join(folder, 'source');
    const data = Buffer.concat([Buffer.alloc(8 * MIB), randomBytes(8 * MIB), Buffer.alloc(16 * MIB)]);
    await writeFile(source, data);
    await run('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', '-W', source, uri);
    assert.ok(service.bytes.equals(data));
    assert.match(await run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', source, uri), /identical/);
    assert.match(await run('qemu-img', 'info', uri), /virtual size: 32 MiB/);
    const map = JSON.parse(await run('qemu-img', 'map', '--output=json', '-f', 'raw', uri)) as {
      start: number;
      data: boolean;
    }[];
    assert.deepEqual(
      map.map(({ start, data: kept }) => [start / MIB, kept]),
      [
        [0, false],
        [8, true],
        [16, false],
      ],
    );
    const qcow = path.join(folder, 'back.qcow2');
    await run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', uri, qcow);
    assert.match(await run('qemu-img', 'compare', '-f', 'qcow2', '-F', 'raw', qcow, source), /identical/);
  }),
);

test('qemu-io writes, reads, zeroes, discards and flushes', { skip: needs(['qemu-io']) }, () =>
  served(16 * MIB, async (service, uri) => {
    const commands = [
      'write -P 0x11 0 1M',
      'write -f -P 0x22 1M 64k',
      'write -z 256k 128k',
      'write -z -u 512k 128k',
      'discard 768k 64k',
      'flush',
      'read -P 0x11 0 256k',
      'read -P 0 256k 128k',
      'read -P 0 512k 128k',
      'read -P 0x22 1M 64k',
      'aio_write -P 0x33 2M 1M',
      'aio_write -P 0x44 3M 1M',
      'aio_flush',
      'read -P 0x33 2M 1M',
      'read -P 0x44 3M 1M',
    ];
    const output = await run('qemu-io', '-f', 'raw', ...commands.flatMap((command) => ['-c', command]), uri);
    assert.doesNotMatch(output, /fail|error/i);
    assert.equal(service.bytes[MIB], 0x22);
    assert.equal(service.bytes[4 * MIB - 1], 0x44);
    const beyond = await run('qemu-io', '-f', 'raw', '-c', 'read 16M 4k', uri).catch((error: unknown) => String(error));
    assert.match(beyond, /error|fail/i);
  }),
);

test('fio writes at random and verifies what it wrote', { skip: needs(['fio']) }, () =>
  served(64 * MIB, async (service, uri, folder) => {
    const output = await run(
      'fio',
      '--name=verify',
      '--ioengine=nbd',
      `--uri=${uri}`,
      '--rw=randrw',
      '--bssplit=512/20:4k/60:64k/15:1m/5',
      '--size=64m',
      '--iodepth=32',
      '--fsync=64',
      '--verify=crc32c',
      '--verify_fatal=1',
      '--randseed=7',
      `--aux-path=${folder}`,
    );
    assert.match(output, /err= 0/);
    assert.ok(service.counts.write > 100 && service.counts.read > 100);
  }),
);

const withNbdkit = needs(['nbdkit']);
if (withNbdkit !== false) test('the conformance suite holds of nbdkit', { skip: withNbdkit }, () => {});
else {
  nbdSuite('the conformance suite holds of nbdkit', { ours: false }, async () => {
    const port = await freePort();
    const kit = spawn(programPath('nbdkit'), ['-f', '-i', HOST, '-p', String(port), 'memory', '80M'], {
      stdio: 'ignore',
    });
    const exited = new Promise<void>((resolve) => kit.on('exit', () => resolve()));
    while (!(await answers(port))) await new Promise((resolve) => setTimeout(resolve, 10));
    return {
      host: HOST,
      port,
      exportName: '',
      close: async () => {
        kit.kill();
        await exited;
      },
    };
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, HOST, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: HOST, port }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

/** Stock clients against a real pair, while its servers die: what they were told is written is there. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Cluster, clusterTest } from './cluster.ts';
import { sleep } from './line.ts';
import { needs, type Program } from './programs.ts';
import { run, start } from './run.ts';

const MIB = 1 << 20;
const SIZE_MIB = 64;
const OPTIONS = { volumes: [{ name: 'disk', servers: ['a', 'b'], sizeMib: SIZE_MIB }], deadlineMs: 120_000 };

/** A test on a pair that is in sync. */
function clientTest(
  name: string,
  programs: readonly Program[],
  body: (cluster: Cluster, uri: string, say: (text: string) => void) => Promise<void>,
): void {
  clusterTest(name, { ...OPTIONS, skip: needs(programs) }, async (cluster, t) => {
    await cluster.startAll();
    await cluster.untilInSync();
    await body(cluster, cluster.volume().uri, (text) => t.diagnostic(text));
  });
}

/** Kills the owner and waits until the partner serves. */
async function failOver(cluster: Cluster): Promise<void> {
  const { owner, partner } = await cluster.untilInSync();
  await cluster.server(owner).kill();
  await cluster.untilServed('disk', partner);
  cluster.server(owner).start();
}

/** Data, holes, data: as files are. */
const content = (): Buffer =>
  Buffer.concat([randomBytes(20 * MIB), Buffer.alloc(20 * MIB), randomBytes((SIZE_MIB - 40) * MIB)]);

clientTest('nbdinfo describes the volume', ['nbdinfo'], async (cluster, uri) => {
  const info = await run('nbdinfo', uri);
  assert.match(info, new RegExp(`export-size: ${SIZE_MIB * MIB}`));
  for (const ability of ['can_fua', 'can_flush', 'can_trim', 'can_zero', 'can_multi_conn']) {
    assert.match(info, new RegExp(`${ability}: true`));
  }
  assert.match(await run('nbdinfo', '--list', uri.replace(/\/disk$/, '')), /export="disk"/);
  await failOver(cluster);
  assert.match(await run('nbdinfo', '--size', uri), new RegExp(`^${SIZE_MIB * MIB}\\s*$`));
});

clientTest('nbdcopy copies in and out, and the owner dies between', ['nbdcopy'], async (cluster, uri, say) => {
  const source = path.join(cluster.directory, 'source');
  const back = path.join(cluster.directory, 'back');
  const data = content();
  await writeFile(source, data);
  await run('nbdcopy', '--flush', '--connections=4', source, uri);
  await failOver(cluster);
  await run('nbdcopy', '--connections=4', uri, back);
  assert.ok((await readFile(back)).equals(data), 'what was copied in is there after the owner died');

  await cluster.untilInSync();
  const other = content();
  await writeFile(source, other);
  const copying = start('nbdcopy', '--flush', '--connections=2', source, uri);
  await sleep(100);
  await failOver(cluster);
  const { code } = await copying.ended;
  say(`nbdcopy, cut off in the middle, ended with ${code}`);
  // It does not reconnect: it has to say that it failed, and then is run again.
  if (code !== 0) await run('nbdcopy', '--flush', source, uri);
  await run('nbdcopy', uri, back);
  assert.ok((await readFile(back)).equals(other));
});

clientTest('qemu-img converts and compares, also the image on the medium', ['qemu-img'], async (cluster, uri) => {
  const source = path.join(cluster.directory, 'source');
  await writeFile(source, content());
  await run('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', '-W', source, uri);
  await failOver(cluster);
  assert.match(await run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', source, uri), /identical/);
  const qcow = path.join(cluster.directory, 'back.qcow2');
  await run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', uri, qcow);
  await cluster.untilDrained();
  const { image } = cluster.volume();
  assert.match(await run('qemu-img', 'compare', '-f', 'qcow2', '-F', 'raw', qcow, image), /identical/);
  assert.match(await run('qemu-img', 'info', '-f', 'raw', image), new RegExp(`virtual size: ${SIZE_MIB} MiB`));
});

clientTest(
  'qemu reconnects by itself: no request fails while the owner dies',
  ['qemu-io'],
  async (cluster, uri, say) => {
    const { host, port } = cluster.volume();
    const options = `driver=nbd,server.type=inet,server.host=${host},server.port=${port},export=disk,reconnect-delay=60`;
    const qemu = start('qemu-io', '--image-opts', options);
    cluster.onEnd(async () => void (await qemu.stop()));
    const written = (): number => qemu.text.match(/wrote \d+\/\d+ bytes/g)?.length ?? 0;
    const pieces = 600;
    const pattern = (piece: number): number => 1 + (piece % 251);
    for (let piece = 0; piece < pieces; piece += 1) {
      qemu.child.stdin?.write(`write -P ${pattern(piece)} ${piece * 64}k 64k\n`);
      // The owner dies in the middle, twice, with requests under way.
      if (piece === 200 || piece === 400) {
        await cluster.until(`${piece - 100} pieces are written`, () => written() > piece - 100);
        const { owner, partner } = await cluster.untilInSync();
        await cluster.server(owner).kill();
        cluster.server(owner).start();
        say(`${owner} killed after ${written()} writes; ${partner} goes on`);
      }
    }
    qemu.child.stdin?.end('flush\n');
    const { code, text } = await qemu.ended;
    assert.equal(code, 0, text.slice(-2_000));
    assert.doesNotMatch(text, /fail|error/i);
    assert.equal(written(), pieces);
    const reads = Array.from({ length: pieces }, (_, piece) => [
      '-c',
      `read -P ${pattern(piece)} ${piece * 64}k 64k`,
    ]).flat();
    const read = await run('qemu-io', '-f', 'raw', ...reads, uri);
    assert.doesNotMatch(read, /fail|error/i);
  },
);

clientTest('fio verifies after the owner died what it wrote before', ['fio'], async (cluster, uri, say) => {
  const job = (...more: string[]): string[] => [
    '--name=verify',
    '--ioengine=nbd',
    `--uri=${uri}`,
    '--rw=randwrite',
    '--bssplit=4k/60:64k/35:512/5',
    '--size=32m',
    '--iodepth=32',
    '--verify=crc32c',
    '--verify_fatal=1',
    '--randseed=11',
    `--aux-path=${cluster.directory}`,
    ...more,
  ];
  assert.match(await run('fio', ...job('--do_verify=0')), /err= 0/);
  await failOver(cluster);
  assert.match(await run('fio', ...job('--verify_only=1')), /err= 0/);

  await cluster.untilInSync();
  // Its engine does not reconnect: cut off in the middle it fails, and must be run again.
  const cut = start('fio', ...job('--do_verify=0', '--time_based', '--runtime=20', '--randseed=12'));
  cluster.onEnd(async () => void (await cut.stop()));
  await cluster.until('fio writes', () => cut.text.includes('connected to NBD server'));
  await sleep(200);
  await failOver(cluster);
  const { code } = await cut.ended;
  say(`fio, cut off in the middle, ended with ${code}`);
  assert.notEqual(code, 0);
  assert.match(await run('fio', ...job('--do_verify=1', '--randseed=13')), /err= 0/);
});

clientTest('a planned takeover is a lost connection and no error', ['nbdcopy', 'qemu-io'], async (cluster, uri) => {
  const { host, port } = cluster.volume();
  const options = `driver=nbd,server.type=inet,server.host=${host},server.port=${port},export=disk,reconnect-delay=60`;
  const qemu = start('qemu-io', '--image-opts', options);
  cluster.onEnd(async () => void (await qemu.stop()));
  for (let piece = 0; piece < 200; piece += 1) qemu.child.stdin?.write(`write -P 7 ${piece * 64}k 64k\n`);
  await cluster.command('takeover', 'disk');
  for (let piece = 200; piece < 400; piece += 1) qemu.child.stdin?.write(`write -P 7 ${piece * 64}k 64k\n`);
  qemu.child.stdin?.end('flush\nread -P 7 0 25M\n');
  const { code, text } = await qemu.ended;
  assert.equal(code, 0, text.slice(-2_000));
  assert.doesNotMatch(text, /fail|error/i);
  const back = path.join(cluster.directory, 'back');
  await run('nbdcopy', uri, back);
  assert.ok((await readFile(back)).subarray(0, 400 * 64 * 1024).equals(Buffer.alloc(400 * 64 * 1024, 7)));
});

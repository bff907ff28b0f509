/**
 * The Linux kernel's own NBD client, and qemu's disk, in a guest: ext4 on each while the owner is killed under load. The
 * kernel's client does not reconnect: its disk fails and is connected and mounted again. qemu does: nothing fails on its
 * disk, nor where qemu-nbd stands between the kernel's client and the servers.
 */
import assert from 'node:assert/strict';
import { freePorts, HOST, type Volume } from './cluster-config.ts';
import { clusterTest } from './cluster.ts';
import { Guest, HOST_FROM_GUEST, NBD_KIT, needsGuest } from './guest.ts';
import { start } from './run.ts';

const VOLUMES = ['kernel', 'bridged', 'drive'].map((name) => ({ name, servers: ['a', 'b'], sizeMib: 64 }));

const DEVICES = [
  ['kernel', '/dev/nbd0'],
  ['bridged', '/dev/nbd1'],
  ['drive', '/dev/vda'],
] as const;

/** qemu-nbd as a bridge that stays. */
const QEMU_NBD = (port: number): string[] => ['-t', '-b', HOST, '-p', String(port), '-x', 'bridged'];

/** Writes files on /mnt/NAME until told to stop; says which are synced, and the sum of each. */
const WORK = `work() {
  i=0
  while [ ! -e /tmp/stop ]; do
    i=$((i+1)); dd if=/dev/urandom of=/tmp/$1 bs=1k count=$((1 + i * 7 % 60)) 2>/dev/null; sum=$(md5sum < /tmp/$1)
    if dd if=/tmp/$1 of=/mnt/$1/file-$i conv=fsync 2>/dev/null; then echo "synced $1 file-$i $sum"
    else echo "failed $1"; break; fi
  done
  echo "over $1"
}`
  .replaceAll('\n', '; ')
  .replaceAll(/(do|then|\{);/g, '$1');

const CONNECT = (name: string, port: number, device: string): string =>
  `/sbin/nbd-client -nonetlink -N ${name} ${HOST_FROM_GUEST} ${port} ${device} -block-size 4096`;

/** The words with which qemu opens a volume as a client that reconnects; `prefix` where they are about a drive's file. */
const opened = ({ name, host, port }: Volume, prefix = ''): string =>
  [
    'driver=nbd',
    'server.type=inet',
    `server.host=${host}`,
    `server.port=${port}`,
    `export=${name}`,
    'reconnect-delay=60',
  ]
    .map((word) => prefix + word)
    .join(',');

/** What the workload on `name` said it had synced, as md5sum checks it. */
function sums(text: string, name: string): readonly string[] {
  const found = text.matchAll(new RegExp(`^synced ${name} (file-\\d+) ([0-9a-f]{32})`, 'gm'));
  return [...found].map(([, file, sum]) => `${sum}  /mnt/${name}/${file}`);
}

/** Has the guest check every file that was synced. */
async function check(guest: Guest, name: string): Promise<number> {
  const list = sums(guest.text, name);
  assert.ok(list.length > 0);
  await guest.run(': > /tmp/sums');
  for (const line of list) await guest.run(`echo '${line}' >> /tmp/sums`);
  await guest.run('md5sum -c /tmp/sums > /tmp/checked || { grep -v OK /tmp/checked; false; }');
  return list.length;
}

clusterTest(
  'a guest with the client of the kernel and the disk of qemu: the owner is killed under load',
  { volumes: VOLUMES, deadlineMs: 180_000, skip: needsGuest(NBD_KIT, ['qemu-nbd']) },
  async (cluster, t) => {
    await cluster.startAll();
    const { owner, partner } = await cluster.untilInSync('kernel', 'a');
    await cluster.untilInSync('drive', 'a');
    await cluster.untilInSync('bridged', 'a');
    const [bridgePort = 0] = await freePorts(1);
    const bridge = start('qemu-nbd', '--image-opts', opened(cluster.volume('bridged')), ...QEMU_NBD(bridgePort));
    cluster.onEnd(async () => void (await bridge.stop()));
    const guest = await Guest.boot(cluster, NBD_KIT, [
      `if=virtio,format=raw,cache=none,${opened(cluster.volume('drive'), 'file.')}`,
    ]);
    await guest.run('dmesg -n 1');
    await guest.run(CONNECT('kernel', cluster.volume('kernel').port, '/dev/nbd0'));
    await guest.run(CONNECT('bridged', bridgePort, '/dev/nbd1'));
    for (const [name, device] of DEVICES) {
      await guest.run(`mkdir /mnt/${name} && /sbin/mkfs.ext4 -q ${device} && mount -t ext4 ${device} /mnt/${name}`);
    }
    await guest.run(WORK);
    for (const [name] of DEVICES) await guest.run(`work ${name} &`);
    const all = DEVICES.map(([name]) => name);
    const count = (name: string): number => sums(guest.text, name).length;
    await cluster.until('all have synced files', () => all.every((name) => count(name) >= 20));
    await cluster.server(owner).kill();
    for (const name of all) await cluster.untilServed(name, partner);
    const [bridged, drive] = [count('bridged'), count('drive')];
    await cluster.until(
      'those that reconnect go on',
      () => count('bridged') >= bridged + 20 && count('drive') >= drive + 20,
    );
    await guest.run('touch /tmp/stop');
    await cluster.until('all are over', () => all.every((name) => guest.text.includes(`over ${name}`)));
    assert.doesNotMatch(guest.text, /failed (drive|bridged)/);

    // A disk that was pulled out: taken away, connected again, mounted again.
    await guest.attempt('umount /mnt/kernel || umount -l /mnt/kernel; /sbin/nbd-client -d /dev/nbd0; sleep 1');
    await guest.run(CONNECT('kernel', cluster.volume('kernel').port, '/dev/nbd0'));
    await guest.run('mount -t ext4 /dev/nbd0 /mnt/kernel');
    for (const [name, device] of DEVICES) {
      const files = await check(guest, name);
      await guest.run(`umount /mnt/${name} && /sbin/e2fsck -f -n ${device}`);
      t.diagnostic(`${name}: all ${files} synced files are there, fsck is clean`);
    }
  },
);

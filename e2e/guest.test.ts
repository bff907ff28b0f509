/**
 * The Linux kernel's own NBD client, and qemu's disk, in a guest: ext4 on both while the owner is killed under load. The
 * kernel's client does not reconnect: its disk fails and is connected and mounted again. qemu's does: nothing fails.
 */
import assert from 'node:assert/strict';
import { clusterTest } from './cluster.ts';
import { Guest, HOST_FROM_GUEST, needsGuest } from './guest.ts';

const VOLUMES = ['kernel', 'drive'].map((name) => ({ name, servers: ['a', 'b'], sizeMib: 64 }));

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

const CONNECT = (port: number): string =>
  `/sbin/nbd-client -nonetlink -N kernel ${HOST_FROM_GUEST} ${port} /dev/nbd0 -block-size 4096`;

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
  'a guest with the kernel client and a qemu drive: the owner is killed under load',
  { volumes: VOLUMES, deadlineMs: 180_000, skip: needsGuest() },
  async (cluster, t) => {
    await cluster.startAll();
    const { owner, partner } = await cluster.untilInSync('kernel', 'a');
    await cluster.untilInSync('drive', 'a');
    const { host, port } = cluster.volume('drive');
    const server = `file.driver=nbd,file.server.type=inet,file.server.host=${host},file.server.port=${port}`;
    const drive = `if=virtio,format=raw,cache=none,${server},file.export=drive,file.reconnect-delay=60`;
    const guest = await Guest.boot(cluster, [drive]);
    await guest.run('dmesg -n 1; mkdir /mnt/kernel /mnt/drive');
    await guest.run(CONNECT(cluster.volume('kernel').port));
    await guest.run('/sbin/mkfs.ext4 -q /dev/nbd0 && mount -t ext4 /dev/nbd0 /mnt/kernel');
    await guest.run('/sbin/mkfs.ext4 -q /dev/vda && mount -t ext4 /dev/vda /mnt/drive');
    await guest.run(WORK);
    await guest.run('work kernel &');
    await guest.run('work drive &');
    const count = (name: string): number => sums(guest.text, name).length;
    await cluster.until('both have synced files', () => count('kernel') >= 20 && count('drive') >= 20);
    await cluster.server(owner).kill();
    await cluster.untilServed('drive', partner);
    const atDeath = count('drive');
    await cluster.until('the drive goes on', () => count('drive') >= atDeath + 20);
    await guest.run('touch /tmp/stop');
    await cluster.until('both are over', () => /over kernel/.test(guest.text) && /over drive/.test(guest.text));
    assert.doesNotMatch(guest.text, /failed drive/);

    // A disk that was pulled out: taken away, connected again, mounted again.
    await guest.attempt('umount /mnt/kernel || umount -l /mnt/kernel; /sbin/nbd-client -d /dev/nbd0; sleep 1');
    await cluster.untilServed('kernel', partner);
    await guest.run(CONNECT(cluster.volume('kernel').port));
    await guest.run('mount -t ext4 /dev/nbd0 /mnt/kernel');
    const kernelFiles = await check(guest, 'kernel');
    const driveFiles = await check(guest, 'drive');
    await guest.run('umount /mnt/kernel && /sbin/e2fsck -f -n /dev/nbd0');
    await guest.run('umount /mnt/drive && /sbin/e2fsck -f -n /dev/vda');
    t.diagnostic(`${owner} killed; kernel client: ${kernelFiles} synced files are there; qemu drive: ${driveFiles}`);
  },
);

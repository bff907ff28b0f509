/**
 * The recipe for SCSI persistent reservations, run as it is shipped: in a guest whose kernel is the target too, with one
 * disk that two initiators reach, as two machines reach a LUN. Its loopback never comes back from an abort, so that the
 * script is told to do without; everything else is the real thing.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { clusterTest } from './cluster.ts';
import { Guest, needsGuest } from './guest.ts';
import type { Kit } from './guest.ts';
import { repositoryRoot } from './programs.ts';

const SCSI = 'configfs scsi_common scsi_mod crct10dif_common crct10dif_generic crc-t10dif crc64';
const CHECKS = 'crc64_rocksoft_generic crc64-rocksoft t10-pi';
const KIT: Kit = {
  programs: ['sg_persist'],
  modules: `${SCSI} ${CHECKS} sd_mod sg target_core_mod target_core_file tcm_loop`.split(' '),
  files: new Map([['sbin/fence-scsi', path.join(repositoryRoot(), 'examples', 'fence-scsi.sh')]]),
};

/** One file as a disk, behind two ports with an initiator each: /dev/sda and /dev/sdb. */
const TARGET = `t=/sys/kernel/config/target
mount -t configfs configfs /sys/kernel/config
dd if=/dev/zero of=/tmp/lun bs=1M count=8
mkdir -p $t/core/fileio_0/lun /var/target/pr
echo fd_dev_name=/tmp/lun,fd_dev_size=8388608 > $t/core/fileio_0/lun/control
echo 1 > $t/core/fileio_0/lun/enable
for n in 1 2; do w=$t/loopback/naa.500140500000000$n/tpgt_1
mkdir -p $w/lun/lun_0
echo naa.600140500000000$n > $w/nexus
ln -s $t/core/fileio_0/lun $w/lun/lun_0/port; done
i=0; until [ -b /dev/sdb ] || [ $i = 50 ]; do sleep 0.1; i=$((i+1)); done
[ -b /dev/sdb ]`.replaceAll('\n', '; ');

clusterTest('a SCSI reservation keeps a fenced server from the disk', { skip: needsGuest(KIT) }, async (cluster) => {
  const guest = await Guest.boot(cluster, KIT);
  await guest.run(TARGET);
  const register = (key: string, device: string): Promise<string> =>
    guest.run(`sg_persist --out --register-ignore --param-sark=${key} ${device}`);
  const fences = async (own: string, victim: string, device: string): Promise<boolean> => {
    await guest.run(`mkdir -p /etc/holdfast; echo ${own} > /etc/holdfast/scsi-key`);
    return (await guest.attempt(`SCSI_PREEMPT=preempt /sbin/fence-scsi ${victim} ${device}`)).endsWith('ended with 0');
  };
  const writes = async (device: string): Promise<boolean> =>
    (await guest.attempt(`echo data | dd of=${device} bs=512 count=1 conv=sync oflag=direct`)).endsWith('ended with 0');

  await register('0x1', '/dev/sda');
  // A key that ends like another one is another one.
  await register('0x12', '/dev/sdb');
  assert.equal(await fences('0x1', '0x2', '/dev/sda'), false, 'nobody holds the reservation: everybody may write');
  await guest.run('sg_persist --out --reserve --param-rk=0x1 --prout-type=5 /dev/sda');
  assert.equal(await fences('0x1', '0x2', '/dev/sda'), true, 'who is not registered may not write');
  assert.deepEqual([await writes('/dev/sda'), await writes('/dev/sdb')], [true, true]);

  await register('0x2', '/dev/sdb');
  assert.equal(await fences('0x1', '0x2', '/dev/sda'), true);
  assert.deepEqual([await writes('/dev/sda'), await writes('/dev/sdb')], [true, false]);
  assert.equal(await fences('0x1', '0x2', '/dev/sda'), true, 'again');
  assert.equal(await fences('0x2', '0x1', '/dev/sdb'), false, 'who is fenced fences nobody');
  assert.equal(await writes('/dev/sda'), true);

  await register('0x2', '/dev/sdb');
  assert.equal(await writes('/dev/sdb'), true, 'let in again');
  assert.equal(await fences('0x2', '0x1', '/dev/sdb'), true, 'also who holds the reservation');
  assert.deepEqual([await writes('/dev/sda'), await writes('/dev/sdb')], [false, true]);
  assert.equal(await fences('0x2', '0x1', '/dev/nothing'), false, 'a disk that is not there');
});

/**
 * How long a program on a stock Linux NFS mount waits when the owner of its volume is killed with -9: it writes and syncs all
 * the time, and the guest's own clock tells the longest gap around each kill. The servers need some tenths of a second; the
 * kernel's client, refused while nobody listens, tries again after 3 s. No program sees an error.
 */
import assert from 'node:assert/strict';
import { clusterTest, rounds } from '../cluster.ts';
import { bootMounted, FILES, needsMount } from './mounted.ts';

/** .ci/run has it run by name. */
const LONG = process.env['HOLDFAST_E2E_LONG'] === '1';
/** The client's own pause of 3 s, the servers' share, and a guest without acceleration. */
const PAUSE_MS_MAX = 10_000;

/** When each write was on stable storage, in ms since the guest started. */
function beats(text: string): number[] {
  return [...text.matchAll(/beat (\d+\.\d+)/g)].map(([, seconds]) => Number(seconds) * 1_000);
}

clusterTest(
  "a kernel client's program goes on soon after its server was killed",
  { volumes: [FILES], deadlineMs: 560_000, skip: LONG ? needsMount() : 'takes minutes: HOLDFAST_E2E_LONG=1 runs it' },
  async (cluster, t) => {
    await cluster.startAll();
    await cluster.untilInSync('files');
    const guest = await bootMounted(cluster, cluster.volume('files'));
    await guest.run(
      'beat() { while [ ! -e /tmp/stop ]; do dd if=/dev/zero of=/mnt/files/beat bs=512 count=1 conv=fsync 2>/tmp/said || { echo "failed: $(cat /tmp/said)"; break; }; echo "beat $(cut -d " " -f 1 /proc/uptime)"; done; echo "over beats"; }',
    );
    await guest.run('beat &');
    const pauses: number[] = [];
    for (let round = 0; round < rounds(5); round += 1) {
      const { owner, partner } = await cluster.untilInSync('files', undefined, 60_000);
      const before = beats(guest.text).length;
      await cluster.until('it writes', () => beats(guest.text).length > before + 3);
      const last = beats(guest.text).length - 1;
      await cluster.server(owner).kill();
      await cluster.untilServed('files', partner);
      await cluster.until('it goes on', () => beats(guest.text).length > last + 6, 60_000);
      const times = beats(guest.text).slice(last);
      pauses.push(Math.max(...times.slice(1).map((time, i) => time - (times[i] ?? time))));
      cluster.server(owner).start();
    }
    await guest.run('touch /tmp/stop');
    await cluster.until('it is over', () => guest.text.includes('over beats'), 60_000);
    assert.doesNotMatch(guest.text, /failed/);
    assert.ok(Math.max(...pauses) < PAUSE_MS_MAX, `a pause of ${Math.max(...pauses)} ms`);
    const sorted = pauses.toSorted((a, b) => a - b);
    const p50 = sorted[sorted.length >> 1] ?? 0;
    const [middle, least, most] = [p50, sorted[0], sorted.at(-1)].map((ms = 0) => ms.toFixed(0));
    t.diagnostic(`n = ${sorted.length}: p50 ${middle} ms, ${least} to ${most} ms`);
    await guest.run('umount /mnt/files', 60_000);
  },
);

/**
 * What a client of a files volume sees of a failover: the longest wait for an answer of a program that writes one block after
 * the other and connects again every 10 ms, while the owner is killed with -9. Owners take turns.
 */
import { Share } from '../src/app/demo/share.ts';
import { HOST, sleep, waitFor } from './machine.ts';
import { Pair } from './pair.ts';
import { median, table } from './report.ts';

const CALM_MS = 300;
const MOST_MS = 60_000;
const MUST_MS = 1_000;
const AIM_MS = 300;

export async function filesPauses(times: number, say: (text: string) => void): Promise<void> {
  const pair = await Pair.start({ store: 'journal', capacityMib: 64, sizeMib: 0, files: true });
  const all: number[] = [];
  const share = new Share(HOST, pair.ports.a, `/${pair.exportName}`);
  let answers = 0;
  let over = false;
  const block = Buffer.alloc(4_096, 0x5a);
  const write = async (): Promise<void> => {
    const handle = await share.create('file');
    while (!over) {
      await share.write(handle, block);
      answers += 1;
      await sleep(1);
    }
  };
  const writing = write();
  writing.catch(() => (over = true));
  try {
    let owner: 'a' | 'b' = 'a';
    for (let i = 0; i < times && !over; i += 1) {
      const other: 'a' | 'b' = owner === 'a' ? 'b' : 'a';
      await sleep(CALM_MS);
      share.takeLongestMs();
      await pair.server(owner).kill();
      await pair.untilServing(other);
      const served = answers;
      await waitFor('the client writes again', () => over || answers > served + 5, MOST_MS);
      all.push(share.takeLongestMs());
      pair.launch(owner);
      await pair.untilInSync(other);
      owner = other;
    }
    over = true;
    await writing;
  } finally {
    over = true;
    share.close();
    await pair.end();
  }
  const p50 = median(all);
  const verdict = p50 <= AIM_MS ? 'aim' : p50 <= MUST_MS ? 'ok' : 'SHORT';
  const row = [p50, Math.min(...all), Math.max(...all), MUST_MS, AIM_MS].map((ms) => ms.toFixed(0));
  const rows = [
    ['files volume, owner killed', '', 'p50 ms', 'least', 'most', 'at most', 'aim', ''],
    ['NFS client that reconnects at once', `n = ${all.length}`, ...row, verdict],
  ];
  say(`The longest wait of an NFS client\n${table(rows)}`);
}

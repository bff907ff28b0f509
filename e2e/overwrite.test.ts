/**
 * A block that is written again and again is hardly ever written to the medium: what waits for the destager is one
 * version, the newest one.
 */
import assert from 'node:assert/strict';
import { connect } from '../suites/nbd-client.ts';
import { clusterTest } from './cluster.ts';
import { sleep } from './line.ts';

const WRITES = 1_000;
const PACE_MS = 1;
/** Writes to the medium in one second. */
const MOST_PER_SECOND = 5;

clusterTest('a block overwritten 1,000 times in a second: at most 5 writes to the medium', {}, async (cluster, t) => {
  await cluster.startAll();
  const { owner } = await cluster.untilInSync();
  await cluster.untilDrained();
  const volume = cluster.volume();
  const counts = async (): Promise<number> => (await cluster.views()).get(owner)?.counts.destagedWrites ?? 0;
  const before = await counts();
  const client = await connect('127.0.0.1', volume.port, volume.name);
  const begunMs = performance.now();
  let answered = 0;
  const answers: Promise<unknown>[] = [];
  for (let i = 1; i <= WRITES; i += 1) {
    answers.push(client.write(8192, Buffer.alloc(4096, i)).then(() => (answered += 1)));
    const aheadMs = i * PACE_MS - (performance.now() - begunMs);
    if (aheadMs > 0) await sleep(aheadMs);
  }
  await Promise.all(answers);
  const seconds = (performance.now() - begunMs) / 1_000;
  await cluster.untilDrained();
  const writes = (await counts()) - before;
  t.diagnostic(`${answered} writes in ${seconds.toFixed(2)} s, ${writes} writes to the medium`);
  assert.equal(answered, WRITES);
  assert.ok(writes >= 1 && writes <= MOST_PER_SECOND * Math.ceil(seconds), `${writes} in ${seconds} s`);
  client.destroy();
});

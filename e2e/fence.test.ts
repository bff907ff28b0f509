/**
 * The fence hook, with a real command: while it fails, the volume is not served and status says why; once it succeeds,
 * the volume is served as soon as the lease has run out too, counted from the claim. What the command is told names the victim.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { clusterTest, seedFor } from './cluster.ts';
import { compareImage, oracleOn } from './oracle.ts';
import { PROGRAM } from './server-process.ts';

/** Writes whom it fences into a file; fails while another file is there. */
const place = path.join(os.tmpdir(), `holdfast-fence-${process.pid}`);
const command = (name: string): string =>
  `env | grep ^HOLDFAST_ | sort > ${place}.${name}; ` +
  `if [ -e ${place}.broken ]; then echo the switch does not answer >&2; exit 7; fi`;

const remove = (): void => {
  for (const end of ['a', 'b', 'broken']) rmSync(`${place}.${end}`, { force: true });
};

clusterTest(
  'the fence hook: without it nothing is served, with it what is left of the lease is waited for',
  { machines: true, serverLines: (name) => [`fence = "${command(name)}"`, 'fence-deadline = "5s"'] },
  async (cluster, t) => {
    cluster.onEnd(async () => remove());
    remove();
    await cluster.startAll();
    const first = await cluster.untilInSync();
    const oracle = await oracleOn(cluster, seedFor(t));
    oracle.run();
    await oracle.more(200);

    writeFileSync(`${place}.broken`, '');
    const since = cluster.server(first.partner).mark;
    const { lines } = cluster.server(first.owner);
    const incarnation = lines.find((line) => line.event === 'server.start')?.fields['incarnation'];
    await cluster.server(first.owner).kill();
    const taker = cluster.server(first.partner);
    await cluster.until('the hook has failed twice', () => taker.all('claim.fence-failed', since).length >= 2);
    await cluster.until('status says why', async () => {
      const view = (await cluster.views()).get(first.partner);
      assert.equal(view?.serving, false);
      return /could not be fenced.*exit code 7: the switch does not answer/.test(view?.why ?? '');
    });
    assert.ok(!taker.has('claim.replaying', since), 'nothing is replayed before');

    rmSync(`${place}.broken`);
    await cluster.untilServed('disk', first.partner);
    const told = readFileSync(`${place}.${first.owner}`, 'utf8');
    for (const line of [
      `HOLDFAST_CLAIMANT=${first.partner}`,
      `HOLDFAST_INCARNATION=${String(incarnation)}`,
      `HOLDFAST_VICTIM=${first.owner}`,
      'HOLDFAST_VICTIM_ADDRESS=127.0.0.1',
      'HOLDFAST_VICTIM_LINKS=127.0.0.1 127.0.0.1',
      'HOLDFAST_VOLUME=disk',
    ])
      assert.ok(told.includes(`${line}\n`), `${line} in ${told}`);
    await oracle.more(100);
    const [waiting] = taker.all('claim.waiting', since);
    const [replaying] = taker.all('claim.replaying', since);
    const waitMs = (replaying?.atMs ?? Infinity) - (waiting?.atMs ?? 0);
    assert.ok(waitMs < 2_000, `no longer than the rest of the lease: waited ${waitMs} ms`);
    t.diagnostic(`fenced after ${taker.all('claim.fence-failed', since).length} failures, then waited ${waitMs} ms`);
    cluster.server(first.owner).start();
    await cluster.untilInSync('disk', first.partner);

    // A planned change of owner fences nobody: the owner's own agreement is the proof.
    remove();
    await oracle.more(50);
    await cluster.command('takeover', 'disk');
    await cluster.untilInSync('disk', first.owner);
    assert.ok(!existsSync(`${place}.a`) && !existsSync(`${place}.b`));
    const content = await oracle.verify();
    await cluster.untilDrained();
    await compareImage(content, cluster.volume().image);
  },
);

clusterTest(
  'media that machines share: synchronous writes, a fence hook or a risk accepted by name',
  { machines: true, medium: { lines: ['accept-risk = "late-io"'] } },
  async (cluster) => {
    await cluster.startAll();
    const { owner } = await cluster.untilInSync();
    const text = await cluster.command('status');
    assert.match(text, /medium +shared, shared by machines: synchronous writes$/m);
    assert.match(text, /fence +a and b are not fenced, late I\/O is accepted as a risk$/m);
    assert.match(text, /late I\/O of a frozen server after a takeover is accepted/);
    // The kernel's own word for how the image is open: O_DSYNC is 0o10000.
    const { pid } = cluster.server(owner);
    const flags = openFlags(pid, cluster.volume().image);
    assert.ok(flags.length > 0 && flags.every((flag) => (flag & 0o10000) !== 0), `O_DSYNC in ${flags.join(' ')}`);
    // Neither: refused when it is checked and when a server is started with it.
    const config = path.join(cluster.directory, 'without.toml');
    const source = readFileSync(cluster.configFile, 'utf8');
    writeFileSync(config, source.replace('accept-risk = "late-io"\n', ''));
    for (const args of [
      ['check-config', config],
      ['serve', '--server', owner, '--config', config],
    ]) {
      const refused = await runAlone(args);
      assert.notEqual(refused.code, 0);
      assert.match(refused.err, /no "fence" command: I\/O of a frozen server could land.*accept-risk = "late-io"/);
    }
  },
);

/** Runs `holdfast` with exactly these arguments. */
function runAlone(args: readonly string[]): Promise<{ readonly code: number; readonly err: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [PROGRAM, ...args], { timeout: 30_000 }, (error, _out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), err }),
    );
  });
}

/** The flags with which a process has a file open. */
function openFlags(pid: number, file: string): number[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      if (readlinkSync(`/proc/${pid}/fd/${fd}`) !== realpathSync(file)) return [];
      const info = readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8');
      return [Number.parseInt(/flags:\s+(\d+)/.exec(info)?.[1] ?? '0', 8)];
    } catch {
      // It was closed in this moment.
      return [];
    }
  });
}

/**
 * What people do to servers: the same name started twice, one medium for two clusters, an old journal put back from a
 * backup, a disk for journals that is full. Each is refused with a sentence that says what to do, and what runs is not
 * disturbed.
 */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Cluster, clusterTest, seedFor } from './cluster.ts';
import { compareImage, oracleOn } from './oracle.ts';
import { needs } from './programs.ts';
import { PROGRAM } from './server-process.ts';

/** The program's exit code for a start that is refused. */
const REFUSED = 4;

/** Runs `serve` for a server of the cluster with another configuration, to its end. */
function serveWith(cluster: Cluster, server: string, change: (config: string) => string) {
  const file = path.join(cluster.directory, `changed-${server}.toml`);
  writeFileSync(file, change(readFileSync(cluster.configFile, 'utf8')));
  return new Promise<{ readonly code: number; readonly text: string }>((resolve) => {
    const args = [PROGRAM, 'serve', '--no-supervisor', '--server', server, '--config', file];
    execFile(process.execPath, args, { timeout: 20_000 }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), text: out + err }),
    );
  });
}

clusterTest(
  'a second server of the same name, with a state directory of its own, is refused',
  {},
  async (cluster, t) => {
    await cluster.startAll();
    const { owner, partner } = await cluster.untilInSync();
    const oracle = await oracleOn(cluster, seedFor(t));
    oracle.run();
    await oracle.more(200);
    const marks = [...cluster.servers.values()].map((server) => [server, server.mark] as const);
    for (const name of [owner, partner]) {
      const { code, text } = await serveWith(cluster, name, (config) =>
        config.replace(`state = "state-${name}"`, `state = "other-${name}"`),
      );
      assert.equal(code, REFUSED, text);
      assert.match(text, new RegExp(`another server \\\\?"${name}\\\\?" is alive, with another state directory`));
    }
    await oracle.more(300);
    await cluster.untilInSync('disk', owner);
    for (const [server, mark] of marks)
      for (const event of ['claim.begin', 'deposed', 'partner.lost', 'link.down'])
        assert.ok(!server.has(event, mark), `${event} of ${server.name}: what runs was disturbed`);
    // One that has lost its state directory comes back under its name, when nobody else has it.
    await cluster.server(partner).kill();
    renameSync(path.join(cluster.directory, `state-${partner}`), path.join(cluster.directory, 'lost'));
    cluster.server(partner).start();
    await cluster.untilInSync('disk', owner);
    const content = await oracle.verify();
    await cluster.untilDrained();
    await compareImage(content, cluster.volume().image);
  },
);

clusterTest('a medium that belongs to another cluster is refused', {}, async (cluster) => {
  await cluster.startAll();
  const { owner, partner } = await cluster.untilInSync();
  await cluster.server(partner).kill();
  const { code, text } = await serveWith(cluster, partner, (config) => config.replace('id = "e2e"', 'id = "test"'));
  assert.equal(code, REFUSED, text);
  assert.match(text, /belongs to the cluster \\?"e2e\\?", and the configuration is of \\?"test\\?"/);
  cluster.server(partner).start();
  await cluster.untilInSync('disk', owner);
});

clusterTest('an old journal put back from a backup is refused, and says how to go on', {}, async (cluster, t) => {
  await cluster.startAll();
  const { owner, partner } = await cluster.untilInSync();
  const oracle = await oracleOn(cluster, seedFor(t));
  const journals = path.join(cluster.directory, `state-${partner}`, 'journals');
  const backup = path.join(cluster.directory, 'backup');
  oracle.run();
  await oracle.more(300);
  cpSync(journals, backup, { recursive: true });
  await oracle.more(300);
  await cluster.server(partner).kill();
  rmSync(journals, { recursive: true });
  cpSync(backup, journals, { recursive: true });
  const { code, text } = await serveWith(cluster, partner, (config) => config);
  assert.equal(code, REFUSED, text);
  t.diagnostic(/The journal in [^"]*/.exec(text)?.[0] ?? text);
  assert.match(text, /is a copy, or was restored/);
  // The owner goes on without it; as the sentence says, the server starts with an empty store when that file is gone.
  await oracle.more(100);
  rmSync(path.join(journals, 'disk', 'identity'));
  cluster.server(partner).start();
  await cluster.untilInSync('disk', owner);
  const content = await oracle.verify();
  await cluster.untilDrained();
  await compareImage(content, cluster.volume().image);
});

const ROOT = needs(['mount', 'umount'], { root: true });

/** Where both servers keep their journals: a small file system of its own, gone with the process. */
function smallDisk(megabytes: number): string {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'holdfast-journals-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'holdfast-test', directory]);
  process.once('exit', () => {
    execFileSync('umount', ['-l', directory], { stdio: 'ignore' });
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}

const small = ROOT === false ? smallDisk(200) : os.tmpdir();

clusterTest(
  "a full disk under the journals: what runs goes on, a start says what is wrong, and it recovers when there's room",
  { skip: ROOT, statePath: (name) => path.join(small, name) },
  async (cluster, t) => {
    await cluster.startAll();
    const { owner, partner } = await cluster.untilInSync();
    const oracle = await oracleOn(cluster, seedFor(t));
    oracle.run();
    await oracle.more(300);
    const filler = path.join(small, 'filler');
    try {
      execFileSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4k'], { stdio: 'ignore' });
    } catch {
      // Until there is no room: that is how it ends.
    }
    // The journals have their room already.
    await oracle.more(1_000);
    await cluster.untilInSync('disk', owner);
    assert.equal((await cluster.status(owner))?.unfit ?? null, null);
    await cluster.server(partner).kill();
    const { code, text } = await serveWith(cluster, partner, (config) => config);
    t.diagnostic(`started on the full disk: exit code ${code}`);
    assert.notEqual(code, 0, text);
    assert.match(text, /server\.refused/);
    assert.match(text, /ENOSPC/);
    await oracle.more(100);
    rmSync(filler);
    cluster.server(partner).start();
    await cluster.untilInSync('disk', owner);
    const content = await oracle.verify();
    assert.deepEqual(oracle.errors, []);
    await cluster.untilDrained();
    await compareImage(content, cluster.volume().image);
  },
);

/**
 * The program as a person runs it: real processes, one configuration, every command and its exit code.
 */
import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { VolumeStatus } from '../core/status.ts';
import { askAll, openCluster } from './cli/common.ts';
import { makePlace } from './demo/place.ts';
import type { Place } from './demo/place.ts';
import { NbdSession } from './demo/nbd-client.ts';

/** The command line beside this test: compiled beside the compiled one, a source beside the source. */
const MAIN = fileURLToPath(new URL(`cli/main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url));
const LONG_MS = 30_000;

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** One `holdfast` process and what it says. */
class Program {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  out = '';
  err = '';

  constructor(args: readonly string[], environment: NodeJS.ProcessEnv = {}) {
    this.child = spawn(
      process.execPath,
      [...process.execArgv.filter((arg) => !arg.startsWith('--test')), MAIN, ...args],
      { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...environment } },
    );
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.out += text));
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.err += text));
    this.ended = new Promise((resolve) => {
      this.child.on('close', (code) => resolve({ code, out: this.out, err: this.err }));
    });
  }

  async end(signal: NodeJS.Signals): Promise<Ended> {
    this.child.kill(signal);
    return this.ended;
  }
}

const run = (...args: string[]): Promise<Ended> => new Program(args).ended;

/** A directory with a configuration, and everything started in it ended and removed with the test. */
class Pair {
  readonly place: Place;
  readonly servers = new Map<string, Program>();

  constructor(place: Place) {
    this.place = place;
  }

  static async make(t: TestContext): Promise<Pair> {
    const pair = new Pair(await makePlace());
    t.after(async () => {
      await Promise.all([...pair.servers.values()].map((server) => server.end('SIGKILL')));
      pair.place.remove();
    });
    return pair;
  }

  command(...args: string[]): Promise<Ended> {
    return run(...args, '--config', this.place.configFile);
  }

  serve(name: string, environment: NodeJS.ProcessEnv = {}): Program {
    const args = ['serve', '--no-supervisor', '--server', name, '--config', this.place.configFile];
    const server = new Program(args, environment);
    this.servers.set(name, server);
    return server;
  }

  async createVolumes(): Promise<void> {
    const first = await this.command('volume', 'create', 'one', '--create-medium');
    assert.equal(first.code, 0, first.err);
    assert.equal((await this.command('volume', 'create', 'two')).code, 0);
  }

  /** What the servers that answer say of a volume, by server. */
  async statuses(volume: string): Promise<Map<string, VolumeStatus>> {
    const cluster = openCluster(this.place.config);
    const views = await askAll(cluster);
    return new Map(
      views.flatMap(({ server, answer }) => {
        const found = answer?.status.volumes.find((one) => one.volume === volume);
        return found === undefined ? [] : [[server.name, found] as const];
      }),
    );
  }

  async until(what: string, isSo: () => Promise<boolean>): Promise<void> {
    const deadlineMs = performance.now() + LONG_MS;
    while (!(await isSo())) {
      if (performance.now() > deadlineMs) {
        const logs = [...this.servers].map(([name, server]) => `--- ${name}\n${server.out.slice(-6_000)}${server.err}`);
        assert.fail(`waited in vain: ${what}\n${logs.join('\n')}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async untilMirrored(): Promise<void> {
    await this.until('both volumes are served and in sync', async () => {
      const [one, two] = [await this.statuses('one'), await this.statuses('two')];
      return [one, two].every((volume) =>
        [...volume.values()].some((status) => status.serving && status.mirror === 'in-sync'),
      );
    });
  }

  async owner(volume: string): Promise<string | undefined> {
    return [...(await this.statuses(volume))].find(([, status]) => status.serving)?.[0];
  }
}

test('a pair from its creation to its orderly stop', { timeout: 120_000 }, async (t) => {
  const pair = await Pair.make(t);

  const early = await pair.serve('a').ended;
  assert.equal(early.code, 4, 'nothing is created by starting a server');
  assert.match(early.out, /server\.refused/);
  const without = await pair.command('volume', 'create', 'one');
  assert.equal(without.code, 4, 'a medium is created only when that is said');
  await pair.createVolumes();
  assert.equal((await pair.command('volume', 'create', 'one')).code, 4, 'a volume is created once');
  assert.equal((await pair.command('status')).code, 3, 'nobody answers yet');

  pair.serve('a');
  const b = pair.serve('b');
  await pair.untilMirrored();
  assert.equal(await pair.owner('one'), 'a');
  assert.equal(await pair.owner('two'), 'b');

  await t.test('the same server does not start twice', async () => {
    const again = await run('serve', '--server', 'a', '--config', pair.place.configFile);
    assert.equal(again.code, 4);
    assert.match(again.out, /lock|runs|running/i);
  });

  await t.test('status and volume show it all', async () => {
    const status = await pair.command('status');
    assert.equal(status.code, 0);
    assert.match(status.out, /mirror +in-sync/);
    assert.match(status.out, /takeover +possible by b/);
    const json = JSON.parse((await pair.command('status', '--json')).out) as { servers: { server: string }[] };
    assert.deepEqual(
      json.servers.map((view) => view.server),
      ['a', 'b'],
    );
    const list = await pair.command('volume', 'list');
    assert.match(list.out, /one +256 MiB +shared +127\.0\.0\.1:\d+ +a +in-sync/);
    const info = await pair.command('volume', 'info', 'two');
    assert.equal(info.code, 0);
    assert.match(info.out, /owner +b, store [0-9a-f]{32}/);
  });

  await t.test('takeover and giveback report the pause', async () => {
    const taken = await pair.command('takeover', 'one');
    assert.equal(taken.code, 0, taken.err);
    assert.match(taken.out, /done: b serves it; clients waited [\d.]+ m?s/);
    assert.equal(await pair.owner('one'), 'b');
    await pair.untilMirrored();
    const given = await pair.command('giveback', 'one');
    assert.equal(given.code, 0, given.err);
    assert.equal(await pair.owner('one'), 'a');
    assert.match((await pair.command('giveback', 'one')).out, /nothing to do/);
    await pair.untilMirrored();
  });

  await t.test('a stranger is refused', async () => {
    const config = join(pair.place.directory, 'stranger.toml');
    writeFileSync(join(pair.place.directory, 'stranger.key'), 'x'.repeat(40), { mode: 0o600 });
    writeFileSync(config, readFileSync(pair.place.configFile, 'utf8').replace('cluster.key', 'stranger.key'));
    const status = await run('status', '--config', config);
    assert.match(status.out, /does not know this key/);
    assert.doesNotMatch(status.out, /in-sync/);
    const taken = await run('takeover', 'one', '--config', config);
    assert.notEqual(taken.code, 0);
  });

  await t.test('what cannot be is refused with its own exit code', async () => {
    assert.equal((await pair.command('takeover', 'nothing')).code, 2);
    assert.equal((await pair.command('takeover', 'one', '--to', 'z')).code, 2);
    assert.equal((await pair.command('accept-loss', 'one', '--yes')).code, 4, 'nothing is lost');
    assert.equal((await run('serve', '--server', 'z', '--config', pair.place.configFile)).code, 2);
  });

  await t.test('SIGTERM hands the volumes over and ends with 0', async () => {
    const { host, port } = pair.place.config.volumes[1]?.address ?? { host: '', port: 0 };
    const session = await NbdSession.open(host, port, 'two');
    const data = Buffer.from('written before the stop');
    await session.write(4_096, data);
    const ended = await b.end('SIGTERM');
    assert.equal(ended.code, 0, ended.err);
    assert.match(ended.out, /server\.stopped/);
    await pair.until(
      'a serves both',
      async () => (await pair.owner('one')) === 'a' && (await pair.owner('two')) === 'a',
    );
    const after = await NbdSession.open(host, port, 'two');
    assert.deepEqual(await after.read(4_096, data.length), data);
    after.close();
  });

  await t.test('the last one drains and ends with 0 as well', async () => {
    const ended = await pair.servers.get('a')?.end('SIGINT');
    assert.equal(ended?.code, 0, ended?.err);
    const list = await pair.command('volume', 'list');
    assert.equal(list.out.match(/suspended/g)?.length, 2, list.out);
  });
});

test(
  'two memory stores lost together are named, and given up only by the one command',
  { timeout: 120_000 },
  async (t) => {
    const pair = await Pair.make(t);
    const source = readFileSync(pair.place.configFile, 'utf8');
    writeFileSync(pair.place.configFile, source.replaceAll('size = "256MiB"', 'size = "16MiB"\nstore = "memory"'));
    await pair.createVolumes();
    const servers = [pair.serve('a'), pair.serve('b')];
    await pair.untilMirrored();
    await Promise.all(servers.map((server) => server.end('SIGKILL')));
    pair.serve('a');
    pair.serve('b');
    await pair.until('the loss is named', async () =>
      [...(await pair.statuses('one')).values()].some((status) => status.loss !== null),
    );
    const shown = await pair.command('accept-loss', 'one');
    assert.equal(shown.code, 4);
    assert.match(shown.err, /nothing was changed/);
    assert.notEqual(shown.out.trim(), '');
    const accepted = await pair.command('accept-loss', 'one', '--yes');
    assert.equal(accepted.code, 0, accepted.err);
    await pair.until('one is served again', async () => (await pair.owner('one')) !== undefined);
    assert.equal(await pair.owner('two'), undefined, 'the other volume was not given up');
    assert.match((await pair.command('status')).out, /accepted loss/);
  },
);

test(
  'a second signal ends at once, and a bug has its own exit code and its stack in the log',
  { timeout: 120_000 },
  async (t) => {
    const pair = await Pair.make(t);
    await pair.createVolumes();
    const [a, b] = [pair.serve('a'), pair.serve('b')];
    await pair.untilMirrored();
    // With its partner frozen the stop cannot be over before the second signal comes.
    b.child.kill('SIGSTOP');
    a.child.kill('SIGTERM');
    await pair.until('the stop has begun', async () => a.out.includes('server.stopping'));
    assert.equal((await a.end('SIGTERM')).code, 130);
    b.child.kill('SIGCONT');

    const planted = encodeURIComponent("process.on('SIGUSR2', () => { throw new Error('planted') })");
    const server = pair.serve('a', { NODE_OPTIONS: `--import data:text/javascript,${planted}` });
    await pair.until('it is up', async () => server.out.includes('server.started'));
    const broken = await server.end('SIGUSR2');
    assert.equal(broken.code, 70, broken.err);
    assert.match(broken.out, /"process\.bug"/);
    assert.match(broken.out, /Error: planted\\n +at /);
  },
);

test('check-config and the command line have their exit codes', async (t) => {
  const pair = await Pair.make(t);
  assert.equal((await run('check-config', pair.place.configFile)).code, 0);
  const bad = join(pair.place.directory, 'bad.toml');
  writeFileSync(bad, 'nonsense = true\n');
  const checked = await run('check-config', bad);
  assert.equal(checked.code, 1);
  assert.match(checked.err, /bad\.toml:1: \[nonsense\]: there is no such key/);
  assert.equal((await run('status', '--config', bad)).code, 2);
  assert.equal((await run('status', '--config', join(pair.place.directory, 'none'))).code, 2);
  assert.equal((await run('frobnicate')).code, 2);
  assert.equal((await run('--help')).code, 0);
  assert.equal((await run('--version')).out.trim(), '0.1.0');
});

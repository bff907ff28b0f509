/**
 * Addresses that move between machines: two servers and a client, each in a network namespace of its own on one bridge.
 * The service address is on no machine until a server serves the volume; the client, that keeps its TCP habits, follows
 * it: over a kill, a planned takeover, a frozen server and a machine that falls silent.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { Network, networkReason, Program } from './network.ts';
import type { Machine } from './network.ts';
import { PROGRAM } from './server-process.ts';
import { sleep } from './line.ts';

const SERVICE = '10.77.0.100';
const PORT = 10809;
/** Writes a line for each acknowledged write, reconnects when it is cut off, and reads everything back in the end. */
const CLIENT = `
import { connect } from ${JSON.stringify(new URL('../suites/nbd-client.js', import.meta.url).href)};
const [host, port] = [process.argv[1], Number(process.argv[2])];
const acknowledged = new Map();
let client = null, connects = 0, stop = false, at = 0;
process.stdin.on('data', () => { stop = true; });
const open = async () => {
  for (;;) {
    try { client = await connect(host, port, 'disk', { timeoutMs: 500 }); connects += 1; return; }
    catch { await new Promise((resolve) => setTimeout(resolve, 20)); }
  }
};
const insist = async (work) => {
  for (;;) {
    if (client === null) await open();
    const mine = client;
    // Only a machine that is gone with all it had makes a client wait for so long.
    const patience = setTimeout(() => mine.destroy(), 8000);
    try { return await work(); } catch { mine.destroy(); client = null; } finally { clearTimeout(patience); }
  }
};
console.log('begun');
while (!stop) {
  const block = at % 512;
  const data = Buffer.alloc(4096, 0);
  data.writeUInt32LE(at + 1, 0);
  await insist(() => client.write(block * 4096, data));
  acknowledged.set(block, at + 1);
  at += 1;
  console.log('written ' + at + ' connects ' + connects);
}
let lost = 0;
for (const [block, number] of acknowledged) {
  const data = await insist(() => client.read(block * 4096, 4096));
  if (data.readUInt32LE(0) !== number) lost += 1;
}
console.log('checked ' + acknowledged.size + ' lost ' + lost);
process.exit(0);
`;

test(
  'a service address moves between machines, and a client follows it',
  { skip: networkReason(), timeout: 150_000 },
  async (t) => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'holdfast-netns-'));
    const programs: Program[] = [];
    const network = new Network(t);
    t.after(async () => {
      await Promise.all(programs.map((program) => program.kill()));
      rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    });
    const a = network.machine('a', '10.77.0.1');
    const b = network.machine('b', '10.77.0.2');
    const c = network.machine('c', '10.77.0.3');
    const config = path.join(directory, 'cluster.toml');
    writeFileSync(path.join(directory, 'cluster.key'), randomBytes(32).toString('hex'), { mode: 0o600 });
    mkdirSync(path.join(directory, 'medium'));
    writeFileSync(config, configText([a, b]));
    const run = (machine: Machine, ...args: string[]): Program => {
      const program = new Program(machine, [PROGRAM, ...args, '--config', config]);
      programs.push(program);
      return program;
    };
    const create = run(a, 'volume', 'create', 'disk', '--create-medium');
    assert.equal(await create.ended, 0, create.out);

    const servers = new Map([a, b].map((machine) => [machine.name, run(machine, 'serve', '--server', machine.name)]));
    const machines = new Map([a, b].map((machine) => [machine.name, machine]));
    const has = (name: string): boolean => network.addresses(machines.get(name) ?? a).includes(`${SERVICE}/32`);
    const until = async (what: string, isSo: () => boolean, deadlineMs = 30_000): Promise<void> => {
      const startedMs = performance.now();
      while (!isSo()) {
        if (performance.now() - startedMs > deadlineMs) {
          for (const [name, server] of servers) t.diagnostic(`--- ${name}\n${server.out.slice(-6_000)}`);
          throw new Error(`waited in vain until ${what}`);
        }
        await sleep(10);
      }
    };
    const inSync = (name: string): boolean => {
      const out = servers.get(name)?.out ?? '';
      const last = out.lastIndexOf('"msg":"mirror.');
      return last > out.lastIndexOf('"msg":"serving"') && out.startsWith('"msg":"mirror.in-sync"', last);
    };
    await until('a serves in sync', () => inSync('a'));
    assert.ok(has('a') && !has('b'), 'the address is where the volume is served');

    const client = new Program(c, ['--input-type=module', '-e', CLIENT, SERVICE, String(PORT)]);
    programs.push(client);
    const written = (): number => Number(/written (\d+) connects \d+\n$/.exec(client.out)?.[1] ?? 0);
    const more = async (count: number): Promise<number> => {
      const from = written();
      const startedMs = performance.now();
      await until(`the client has ${count} more answers`, () => written() >= from + count);
      return Math.round(performance.now() - startedMs);
    };
    await more(50);

    await t.test('kill -9: the partner has the address, the dead one has not', async () => {
      servers.get('a')?.signalServer('SIGKILL');
      const tookMs = await more(100);
      t.diagnostic(`kill -9 of a: 100 more answers after ${tookMs} ms`);
      assert.ok(has('b'));
      // The supervisor took it away: the server itself could not.
      await until('a lets go of the address', () => !has('a'));
      await until('a is back in the mirror', () => inSync('b'));
    });

    await t.test('planned: the new owner has the address, and the old one lets go of it', async () => {
      const given = run(c, 'giveback', 'disk');
      assert.equal(await given.ended, 0, given.out);
      assert.ok(has('a'), given.out);
      // It keeps the address until it has closed its door, which it does when the next owner's is open.
      await until('b lets go of the address', () => !has('b'));
      const tookMs = await more(50);
      t.diagnostic(`giveback: ${/clients waited [\d.]+ m?s/.exec(given.out)?.[0]}; 50 more answers after ${tookMs} ms`);
      await until('in sync', () => inSync('a'));
    });

    await t.test('frozen: both have the address, the client talks to the one that serves', async () => {
      servers.get('a')?.signalServer('SIGSTOP');
      const tookMs = await more(100);
      t.diagnostic(`SIGSTOP of a: 100 more answers after ${tookMs} ms`);
      assert.ok(tookMs < 7_000, 'the dead connection was reset, not left to time out');
      assert.ok(has('b'));
      servers.get('a')?.signalServer('SIGCONT');
      await until('a lets go of the address', () => !has('a'));
      await more(50);
      await until('in sync', () => inSync('b'));
    });

    await t.test(
      'a machine falls silent: the address is on the other one, for whoever gives the dead connection up',
      async () => {
        // Its network first, then all of it: as when the power goes, no system is left to answer anybody.
        network.cable(b, 'down');
        servers.get('b')?.signalServer('SIGSTOP');
        const tookMs = await more(100);
        t.diagnostic(`b silent: 100 more answers after ${tookMs} ms`);
        assert.ok(has('a'));
        network.cable(b, 'up');
        servers.get('b')?.signalServer('SIGCONT');
        await until('b lets go of the address', () => !has('b'));
        await more(50);
        await until('in sync', () => inSync('a'));
      },
    );

    client.child.stdin.write('stop\n');
    assert.equal(await client.ended, 0);
    const end = /checked (\d+) lost (\d+)\n$/.exec(client.out);
    assert.ok(end !== null && Number(end[1]) > 0, client.out.slice(-300));
    assert.equal(Number(end[2]), 0, 'every acknowledged write is there');
    t.diagnostic(`${end[0].trim()}, ${/connects (\d+)\n[^\n]*\n$/.exec(client.out)?.[1] ?? '?'} connections`);
    for (const server of servers.values()) server.child.kill('SIGTERM');
    for (const server of servers.values()) assert.equal(await server.ended, 0);
    assert.ok(!has('a') && !has('b'), 'nothing is left of it');
  },
);

function configText(servers: readonly Machine[]): string {
  const tables = servers.map(
    ({ name, host }) => `[[server]]
name = "${name}"
state = "state-${name}"
admin = "${host}:7400"
link = ["${host}:7401", "${host}:7402"]
interface = "eth0"
`,
  );
  return `[cluster]
id = "netns"
key-file = "cluster.key"
${tables.join('')}
[[medium]]
name = "shared"
driver = "directory"
path = "medium"
accept-risk = "late-io"
[[volume]]
name = "disk"
medium = "shared"
size = "16MiB"
address = "${SERVICE}:${PORT}"
servers = ["a", "b"]
store-capacity = "16MiB"
`;
}

/**
 * A client that only waits for an answer, of a server whose whole machine falls silent: it sends nothing itself, so that
 * nothing tells it that its connection is dead, but the server that takes the address over. In IPv4 and in IPv6, each
 * machine in a network namespace of its own.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { sleep } from './line.ts';
import { Network, networkReason, Program } from './network.ts';
import type { Machine } from './network.ts';
import { PROGRAM } from './server-process.ts';

const PORT = 10_809;
/** Told within a heartbeat of the connection, 50 ms. */
const TOLD_MS = 1_000;

/** Connects and reads; told to ask, asks once more and then says nothing; reports how that ended. */
const CLIENT = `
import { connect } from ${JSON.stringify(new URL('../suites/nbd-client.js', import.meta.url).href)};
const [host, port] = [process.argv[1], Number(process.argv[2])];
const client = await connect(host, port, 'disk', { timeoutMs: 2000 });
await client.read(0, 4096);
console.log('ready');
process.stdin.once('data', () => {
  const askedMs = Date.now();
  client.read(0, 4096).then(
    () => console.log('answered'),
    (error) => console.log('reset at ' + Date.now() + ' after ' + (Date.now() - askedMs) + ' ms: ' + error.message),
  );
  console.log('asked');
});
`;

for (const [version, service] of [
  ['IPv4', '10.78.0.100'],
  ['IPv6', 'fd78::100'],
] as const) {
  test(
    `a waiting client of a machine that falls silent is reset by the survivor (${version})`,
    { skip: networkReason(), timeout: 90_000 },
    (t) => waitingClient(t, service),
  );
}

async function waitingClient(t: TestContext, service: string): Promise<void> {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'holdfast-tickle-'));
  const programs: Program[] = [];
  const network = new Network(t);
  t.after(async () => {
    await Promise.all(programs.map((program) => program.kill()));
    rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  });
  const [a, b, c] = ['a', 'b', 'c'].map((name, index) =>
    network.machine(name, `10.78.0.${index + 1}`, `fd78::${index + 1}`),
  );
  assert.ok(a !== undefined && b !== undefined && c !== undefined, 'three machines');
  const config = path.join(directory, 'cluster.toml');
  writeFileSync(path.join(directory, 'cluster.key'), randomBytes(32).toString('hex'), { mode: 0o600 });
  mkdirSync(path.join(directory, 'medium'));
  writeFileSync(config, configText([a, b], service));
  const run = (machine: Machine, ...args: string[]): Program => {
    const program = new Program(machine, args);
    programs.push(program);
    return program;
  };
  const until = async (what: string, isSo: () => boolean, deadlineMs = 30_000): Promise<void> => {
    const startedMs = performance.now();
    while (!isSo()) {
      if (performance.now() - startedMs > deadlineMs) {
        for (const program of programs) t.diagnostic(program.out.slice(-6_000));
        throw new Error(`waited in vain until ${what}`);
      }
      await sleep(10);
    }
  };

  const create = run(a, PROGRAM, 'volume', 'create', 'disk', '--create-medium', '--config', config);
  assert.equal(await create.ended, 0, create.out);
  const serve = (machine: Machine): Program =>
    run(machine, PROGRAM, 'serve', '--server', machine.name, '--config', config);
  const first = serve(a);
  await until('a serves', () => first.out.includes('"msg":"door.open"'));
  const second = serve(b);
  await until('a serves in sync', () => first.out.includes('"msg":"mirror.in-sync"'));
  const client = run(c, '--input-type=module', '-e', CLIENT, service, String(PORT));
  await until('the client is connected', () => client.out.includes('ready'));
  assert.ok(network.neighbour(c, service).includes(network.hardware(a)), 'the client knows the address at a');
  await sleep(TOLD_MS);

  // Frozen first, so that the request is acknowledged by the system and never answered; then nothing is left of a.
  first.signalServer('SIGSTOP');
  first.child.kill('SIGSTOP');
  client.child.stdin.write('ask\n');
  await until('the client has asked', () => client.out.includes('asked'));
  await sleep(100);
  network.cable(a, 'down');
  await until('b serves', () => second.out.includes('"msg":"door.open"'));
  await until('the client is reset', () => /reset at|answered/.test(client.out), 20_000);

  const reset = /reset at (\d+) after (\d+) ms: (.*)/.exec(client.out);
  assert.ok(reset !== null, `nobody could answer: ${client.out}`);
  const opened = /"time":"([^"]+)"[^\n]*"msg":"door\.open"/.exec(second.out)?.[1] ?? '';
  const laterMs = Number(reset[1]) - Date.parse(opened);
  t.diagnostic(`reset ${laterMs} ms after b opened its door, ${reset[2]} ms after the client had asked: ${reset[3]}`);
  assert.ok(laterMs < 900, 'at once, not when somebody lost patience');
  assert.match(second.out, /"clients":1,"msg":"clients\.woken"/);
  assert.ok(network.neighbour(c, service).includes(network.hardware(b)), 'the client knows the address at b');

  const again = run(c, '--input-type=module', '-e', CLIENT, service, String(PORT));
  await until('the volume is served at the same address', () => again.out.includes('ready'));

  // And back in order, when the machine is there again.
  network.cable(a, 'up');
  first.child.kill('SIGCONT');
  first.signalServer('SIGCONT');
  const has = (machine: Machine): boolean => network.addresses(machine).includes(service);
  await until('a has let go of the address', () => !has(a));
  await until('b is in sync', () => second.out.includes('"msg":"mirror.in-sync"'));
  const giveback = run(c, PROGRAM, 'giveback', 'disk', '--config', config);
  assert.equal(await giveback.ended, 0, giveback.out);
  await until('b has let go of the address', () => has(a) && !has(b));
  const last = run(c, '--input-type=module', '-e', CLIENT, service, String(PORT));
  await until('the volume is served at the same address by a', () => last.out.includes('ready'));
  assert.ok(network.neighbour(c, service).includes(network.hardware(a)), 'the client knows the address at a');
}

function configText(servers: readonly Machine[], service: string): string {
  const tables = servers.map(
    ({ name, host }) => `[[server]]
name = "${name}"
state = "state-${name}"
admin = "${host}:7400"
link = ["${host}:7401"]
interface = "eth0"
`,
  );
  return `[cluster]
id = "tickle"
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
address = "${service.includes(':') ? `[${service}]` : service}:${PORT}"
servers = ["a", "b"]
store-capacity = "16MiB"
`;
}

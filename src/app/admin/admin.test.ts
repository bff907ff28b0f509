/** The admin HTTP over real sockets: who holds the key may ask and act, a stranger may do neither, bad input is named. */
import { strict as assert } from 'node:assert';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { Fault } from '../../base/fault.ts';
import type { ServerControl } from '../../core/server.ts';
import type { ServerStatus } from '../../core/status.ts';
import { History } from '../history.ts';
import { AdminClient } from './client.ts';
import { Challenges, Prover, authorization, sameProof } from './proof.ts';
import { startAdmin } from './server.ts';

const KEY = Buffer.from('a key of the cluster that is long enough');

/** A server that knows one volume and does what it is told. */
function fakeControl(calls: string[]): ServerControl {
  return {
    start: () => undefined,
    status: () =>
      ({
        server: 'a',
        volumes: [{ volume: 'one', takeoverRefusal: 'it cannot' }],
        peers: [],
      }) as unknown as ServerStatus,
    takeover(volume, progress, done) {
      calls.push(`takeover ${volume}`);
      progress('drains');
      setImmediate(() => {
        progress('quiesces, with a line\nbreak in it and "quotes"');
        done(null, { volume, pauseMs: 42 });
      });
    },
    acceptLoss(volume, done) {
      calls.push(`accept ${volume}`);
      done(new Fault('conflict', 'nothing is lost'));
    },
    drain(volume, progress, done) {
      calls.push(`drain ${volume}`);
      progress('8192 bytes to go');
      setImmediate(() => done(null, { bytes: 8_192 }));
    },
    add: (_volume, _medium, _store, done) => done(new Fault('conflict', 'it is there')),
    stop: (done) => done(),
  };
}

/** What these tests do not look at. */
const REST = {
  history: new History(assert.fail),
  machine: { virtual: false, why: 'it is a test' },
  reload: () => Promise.reject(new Fault('refused', 'the file has a mistake')),
};

interface World {
  readonly port: number;
  readonly calls: string[];
  readonly bugs: unknown[];
}

async function start(t: TestContext, control?: ServerControl): Promise<World> {
  const port = await freePort();
  const calls: string[] = [];
  const bugs: unknown[] = [];
  const history = new History(assert.fail);
  history.add('claim.begin', 'info', { volume: 'one', why: 'a test' });
  history.add('serving', 'info', { volume: 'one' });
  const admin = await startAdmin({
    address: { host: '127.0.0.1', port },
    cluster: 'test',
    clusterKey: KEY,
    control: control ?? fakeControl(calls),
    ended: (server, incarnation) => {
      calls.push(`ended ${server} ${incarnation}`);
      return server === 'b';
    },
    history,
    machine: { virtual: false, why: 'it is a test' },
    reload: async () => {
      calls.push('reload');
      return { added: ['two'], remarks: [] };
    },
    nowMs: () => performance.now(),
    bug: (error) => bugs.push(error),
  });
  t.after(() => admin.close());
  return { port, calls, bugs };
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

const client = (port: number, key = KEY): AdminClient => new AdminClient({ host: '127.0.0.1', port }, key, 2_000);

/** A request as a stranger makes it. */
function raw(
  port: number,
  method: string,
  path: string,
  headers: Record<string, string>,
  body = '',
): Promise<[number, string]> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, method, path, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve([response.statusCode ?? 0, text]));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

const challengeOf = async (port: number): Promise<string> =>
  (JSON.parse((await raw(port, 'GET', '/v1/challenge', {}))[1]) as { challenge: string }).challenge;

test('whoever holds the key reads status', async (t) => {
  const { port } = await start(t);
  const answer = await client(port).status();
  assert.equal(answer.cluster, 'test');
  assert.equal(answer.status.server, 'a');
});

test('a takeover tells each step and its report', async (t) => {
  const { port, calls } = await start(t);
  const steps: string[] = [];
  const report = await client(port).takeover('one', (text) => steps.push(text));
  assert.deepEqual(steps, ['drains', 'quiesces, with a line\nbreak in it and "quotes"']);
  assert.equal(report.pauseMs, 42);
  assert.deepEqual(calls, ['takeover one']);
});

test('a drain, a reload and the event history', async (t) => {
  const { port, calls } = await start(t);
  const steps: string[] = [];
  assert.deepEqual(await client(port).drain('one', (text) => steps.push(text)), { bytes: 8_192 });
  assert.deepEqual(steps, ['8192 bytes to go']);
  assert.deepEqual(await client(port).reload(), { added: ['two'], remarks: [] });
  assert.deepEqual(calls, ['drain one', 'reload']);
  const events = await client(port).events(0, 10);
  assert.deepEqual(
    events.map(({ number, event }) => `${number} ${event}`),
    ['1 claim.begin', '2 serving'],
  );
  assert.deepEqual((await client(port).events(1, 10)).length, 1);
  assert.deepEqual((await client(port).events(0, 1))[0]?.event, 'serving');
  await assert.rejects(
    client(port).drain('none', () => undefined),
    /has no volume "none"/,
  );
});

test('the status of an earlier version is completed with what it does not tell', async (t) => {
  const { port } = await start(t);
  const [volume] = (await client(port).status()).status.volumes;
  assert.deepEqual(volume?.brake, { handover: null, giveback: null });
  assert.deepEqual(volume?.takeoverRefusals, ['it cannot']);
});

test('faults come back as they were', async (t) => {
  const { port } = await start(t);
  await assert.rejects(client(port).acceptLoss('one'), (error) => error instanceof Fault && error.kind === 'conflict');
  await assert.rejects(client(port).acceptLoss('two'), /no volume "two"/);
  await assert.rejects(
    client(port).takeover('two', () => undefined),
    /no volume "two"/,
  );
});

test('a stranger can neither act nor read', async (t) => {
  const { port, calls } = await start(t);
  const stranger = client(port, Buffer.from('another key, which is of no use here at all'));
  await assert.rejects(stranger.status(), /does not know this key/);
  await assert.rejects(
    stranger.takeover('one', () => undefined),
    /does not know this key/,
  );
  for (const path of ['/v1/status', '/v1/nothing', '/']) {
    const [status, text] = await raw(port, 'GET', path, {});
    assert.equal(status, 401, path);
    assert.doesNotMatch(text, /volumes/);
  }
  assert.deepEqual(calls, []);
});

test('a proof is good once, and for its own request only', async (t) => {
  const { port, calls } = await start(t);
  const prover = new Prover(KEY);
  const body = '{"volume":"one"}';
  const challenge = await challengeOf(port);
  const headers = { authorization: authorization(challenge, prover.request(challenge, 'POST', '/v1/takeover', body)) };
  assert.equal((await raw(port, 'POST', '/v1/accept-loss', headers, body))[0], 401, 'another path');
  assert.equal((await raw(port, 'POST', '/v1/takeover', headers, '{"volume":"two"}'))[0], 401, 'another body');
  assert.equal((await raw(port, 'POST', '/v1/takeover', headers, body))[0], 200);
  assert.equal((await raw(port, 'POST', '/v1/takeover', headers, body))[0], 401, 'a replay');
  assert.deepEqual(calls, ['takeover one']);
});

test('a challenge of another process, or one that is too old, is of no use', () => {
  let nowMs = 0;
  const challenges = new Challenges(() => nowMs);
  const one = challenges.issue();
  assert.equal(challenges.isGood(one), true);
  assert.equal(challenges.isGood(new Challenges(() => nowMs).issue()), false);
  assert.equal(challenges.isGood(one.replace(/^\d+/, '99999999')), false);
  assert.equal(challenges.isGood(''), false);
  nowMs = 10_001;
  assert.equal(challenges.isGood(one), false);
});

test('bad requests are named and change nothing', async (t) => {
  const { port, calls } = await start(t);
  const prover = new Prover(KEY);
  const ask = async (method: string, path: string, body: string): Promise<[number, string]> => {
    const challenge = await challengeOf(port);
    return raw(
      port,
      method,
      path,
      { authorization: authorization(challenge, prover.request(challenge, method, path, body)) },
      body,
    );
  };
  assert.equal((await ask('POST', '/v1/takeover', 'not json'))[0], 400);
  assert.equal((await ask('POST', '/v1/takeover', '{"volume":5}'))[0], 400);
  assert.equal((await ask('POST', '/v1/takeover', '{"volume":"one","force":true}'))[0], 400);
  assert.equal((await ask('GET', '/v1/nothing', ''))[0], 404);
  assert.equal((await ask('POST', '/v1/takeover', 'x'.repeat(5_000)))[0], 413);
  assert.deepEqual(calls, []);
});

test('an answer that is not proven is not believed', async (t) => {
  const impostor = createServer((incoming, response) => {
    response.end(incoming.url === '/v1/challenge' ? '{"challenge":"00.00.00"}' : '{"cluster":"test"}');
  });
  await new Promise<void>((resolve) => impostor.listen(0, '127.0.0.1', resolve));
  t.after(() => impostor.close());
  const { port } = impostor.address() as AddressInfo;
  await assert.rejects(client(port).status(), /not proven with this cluster's key/);
});

test("a supervisor's report is taken of a peer, and of nobody else", async (t) => {
  const { port, calls } = await start(t);
  const [first, second] = ['0'.repeat(32), '1'.repeat(32)];
  await client(port).reportEnds('b', [first, second]);
  assert.deepEqual(calls, [`ended b ${first}`, `ended b ${second}`]);
  const kind = (wanted: string) => (error: unknown) => error instanceof Fault && error.kind === wanted;
  await assert.rejects(client(port).reportEnds('z', [first]), kind('missing'));
  await assert.rejects(client(port).reportEnds('b', ['not an incarnation']), kind('refused'));
  await assert.rejects(client(port).reportEnds('b', []), kind('refused'));
});

test('a server that is not there is named so', async () => {
  await assert.rejects(client(await freePort()).status(), /not running/);
});

test('an address that is taken is refused with a sentence', async (t) => {
  const { port } = await start(t);
  const options = { address: { host: '127.0.0.1', port }, cluster: 't', clusterKey: KEY, control: fakeControl([]) };
  await assert.rejects(
    startAdmin({ ...options, ...REST, ended: () => true, nowMs: () => 0, bug: () => undefined }),
    (error) => error instanceof Fault && /cannot listen at the admin address/.test(error.message),
  );
});

test('an exception within a request is told as a bug', async (t) => {
  const broken: ServerControl = { ...fakeControl([]), status: () => assert.fail('broken invariant: a test') };
  const { port, bugs } = await start(t, broken);
  await assert.rejects(client(port).status());
  assert.equal(bugs.length, 1);
});

test('proofs of different length or content differ', () => {
  assert.equal(sameProof('ab', 'ab'), true);
  assert.equal(sameProof('ab', 'ac'), false);
  assert.equal(sameProof('ab', 'abc'), false);
});

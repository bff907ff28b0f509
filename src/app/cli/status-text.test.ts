/** The status as people read it: what matters is said, whatever part of the cluster is down. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import type { ServerStatus, VolumeStatus } from '../../core/status.ts';
import { parseConfig } from '../config/load.ts';
import type { Config } from '../config/load.ts';
import type { ServerView } from './common.ts';
import { statusText } from './status-text.ts';

const CONFIG = parseConfig(
  `
[cluster]
id = "test"
key-file = "key"
[[server]]
name = "a"
state = "/a"
admin = "127.0.0.1:1"
link = ["127.0.0.1:2"]
[[server]]
name = "b"
state = "/b"
admin = "127.0.0.1:3"
link = ["127.0.0.1:4"]
[[medium]]
name = "shared"
driver = "directory"
path = "/mnt"
accept-risk = "late-io"
[[volume]]
name = "one"
medium = "shared"
size = "64MiB"
address = "127.0.0.1:10809"
servers = ["a", "b"]
`,
  '/c.toml',
).config as Config;

const VOLUME = {
  volume: 'one',
  role: 'owner',
  serving: true,
  why: null,
  version: 3,
  owner: 'a',
  partner: 'b',
  epoch: 2,
  generation: 4,
  mirror: 'in-sync',
  mirrorWhy: 'the copy of b is complete',
  undestagedBytes: 5 << 20,
  atRiskBytes: 0,
  oldestMs: 120,
  waitingRequests: 0,
  takeoverRefusal: 'it owns the volume',
  takeoverRefusals: ['it owns the volume'],
  handoverRefusals: [],
  degraded: 'journal',
  reads: 'confirmed',
  giveback: 'manual',
  brake: { handover: null, giveback: null },
  finding: null,
  loss: null,
  losses: [],
  store: { id: 's', kind: 'journal', capacityBytes: 64 << 20, usedBytes: 5 << 20 },
  aside: [],
} as unknown as VolumeStatus;

const MACHINE = { virtual: true, why: 'the processor has the flag "hypervisor"' };

function view(index: number, volume: Partial<VolumeStatus> | null): ServerView {
  const server = CONFIG.servers[index];
  assert.ok(server !== undefined);
  if (volume === null) return { server, answer: null, silence: 'no answer from there: it is not running' };
  const status = {
    server: server.name,
    incarnation: '000000000003abcdef',
    unfit: null,
    stopping: false,
    peers: [
      {
        server: index === 0 ? 'b' : 'a',
        alive: true,
        unfit: null,
        entryMoves: true,
        paths: [
          { path: 0, up: true, heardMsAgo: 12, lastError: null },
          { path: 1, up: false, heardMsAgo: null, lastError: 'the connection was refused' },
        ],
      },
    ],
    volumes: [{ ...VOLUME, ...volume }],
  } as unknown as ServerStatus;
  return { server, answer: { cluster: 'test', pid: 1, upMs: 90_000, machine: MACHINE, status }, silence: null };
}

const text = (...views: ServerView[]): string => statusText(CONFIG, views, (_tone, plain) => plain);

test('a healthy pair', () => {
  const shown = text(view(0, {}), view(1, { role: 'partner', serving: false, takeoverRefusal: null }));
  for (const line of [
    /^volume one {2}64 MiB at 127\.0\.0\.1:10809$/m,
    /state +serving$/m,
    /owner +a$/m,
    /mirror +in-sync {2}the copy of b is complete$/m,
    /5 MiB of 64 MiB, the oldest 120 ms old; nothing at risk$/m,
    /takeover +possible by b$/m,
    /^server a {2}fit {2}up 90\.0 s, start 3$/m,
    /path 1 to b +up, heard 12 ms ago$/m,
    /path 2 to b +down {2}the connection was refused$/m,
    /late I\/O of a frozen server after a takeover is accepted/,
  ]) {
    assert.match(shown, line);
  }
});

test('the owner is down and the survivor claims', () => {
  const shown = text(
    view(0, null),
    view(1, { role: 'claimant', serving: false, owner: 'b' as never, why: 'waits for the lease of a' }),
  );
  assert.match(shown, /b is claiming it {2}waits for the lease of a/);
  assert.match(shown, /owner +b \(preferred: a\)/);
  assert.match(shown, /takeover +no: a does not answer/);
  assert.match(shown, /server a {2}no answer {2}no answer from there/);
});

test('what an administrator decides by: policies, brakes, what was noticed', () => {
  const brake = { why: 'the owner changed 3 times within 10 minutes', leftMs: 61_000 };
  const finding = { detector: 'system', why: 'no path to a carries', msAgo: 7_000 } as const;
  const shown = text(
    view(0, {
      mirror: 'sole',
      partner: null,
      atRiskBytes: 5 << 20,
      giveback: 'auto',
      brake: { handover: brake, giveback: brake },
    }),
    view(1, { role: 'none', serving: false, finding }),
  );
  for (const line of [
    /reads +confirmed {2}the processor has the flag "hypervisor"$/m,
    /no partner +journal is in force: .* only in a's journal.*: 5 MiB now$/m,
    /brake +on for another 61\.0 s {2}the owner changed 3 times/,
    /noticed +by b 7\.0 s ago: its system \(detector b\), no path to a carries$/m,
    /fence +a and b are not fenced, late I\/O is accepted as a risk/,
    /late I\/O of a frozen server/,
  ])
    assert.match(shown, line);
  const away = { owner: 'b' as never, giveback: 'auto' as const };
  const back = text(
    view(0, { ...away, role: 'partner', serving: false, brake: { handover: null, giveback: brake } }),
    view(1, { ...away, serving: true }),
  );
  assert.match(back, /giveback +by itself, not for another 61\.0 s {2}the owner changed 3 times/);
  const inSync = text(view(0, {}), view(1, { role: 'partner', serving: false }));
  assert.match(inSync, /no partner +journal would be in force: /);
  assert.doesNotMatch(inSync, /brake +on|noticed/);
});

test('nobody answers', () => {
  assert.match(text(view(0, null), view(1, null)), /unknown: no server that knows it answers/);
});

test('a loss and the command that accepts it', () => {
  const loss = 'both memory stores of epoch 2 are gone';
  const shown = text(view(0, { loss, serving: false }), view(1, null));
  assert.match(shown, /state +down/);
  assert.match(shown, /both memory stores of epoch 2 are gone: `holdfast accept-loss one` accepts it/);
});

test('a loss that only one server can name yet is shown', () => {
  const down = { serving: false, role: 'none', owner: null } as const;
  const text = statusText(
    CONFIG,
    [view(0, down), view(1, { ...down, loss: 'the copies are gone' })],
    (_, word) => word,
  );
  assert.match(text, /state +down/);
  assert.match(text, /lost +the copies are gone: `holdfast accept-loss one` accepts it/);
});

test('a damaged journal that was put aside is named without numbers that nobody could read', () => {
  const aside = [{ name: 'damaged-x', epoch: 0, firstSequence: 0, lastSequence: 0, bytes: 1 << 20 }];
  const text = statusText(
    CONFIG,
    [view(0, { aside } as unknown as Partial<VolumeStatus>), view(1, {})],
    (_, word) => word,
  );
  assert.match(text, /set aside +damaged-x of a: 1 MiB$/m);
});

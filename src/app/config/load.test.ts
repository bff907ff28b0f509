/** Reading the configuration: what is right passes with its defaults, what is wrong is told with its line, all of it. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import fc from 'fast-check';
import { DEFAULT_TIMINGS, checkTimings } from '../../core/settings.ts';
import { parseConfig } from './load.ts';
import type { Config } from './load.ts';

const GOOD = `
[cluster]
id = "test"
key-file = "key"

[[server]]
name = "a"
machine = "here"
state = "state/a"
admin = "127.0.0.1:7400"
link = ["127.0.0.1:7401", "127.0.0.1:7402"]

[[server]]
name = "b"
machine = "here"
state = "state/b"
admin = "127.0.0.1:7500"
link = ["127.0.0.1:7501", "127.0.0.1:7502"]

[[medium]]
name = "shared"
driver = "directory"
path = "/mnt/shared"

[[volume]]
name = "one"
medium = "shared"
size = "64MiB"
address = "127.0.0.1:10809"
servers = ["a", "b"]
`;

function good(source: string): Config {
  const loaded = parseConfig(source, '/etc/holdfast/cluster.toml');
  assert.deepEqual(loaded.mistakes, null);
  return loaded.config as Config;
}

/** The mistakes of GOOD after a replacement, as `line: text`, the line relative to that of `from`. */
function mistakes(from: string, to: string): string[] {
  assert.ok(GOOD.includes(from), `the good file has ${from}`);
  const loaded = parseConfig(GOOD.replace(from, to), '/c.toml');
  const first = GOOD.slice(0, GOOD.indexOf(from)).split('\n').length;
  return (loaded.mistakes ?? []).map((mistake) => `${mistake.line - first}: ${mistake.text}`);
}

test('a good file passes with every default', () => {
  const config = good(GOOD);
  assert.deepEqual(config.timings, DEFAULT_TIMINGS);
  assert.equal(config.keyFile, '/etc/holdfast/key');
  assert.equal(config.coordinatorDirectory, '/mnt/shared');
  assert.deepEqual(config.servers[0]?.link, [
    { host: '127.0.0.1', port: 7401 },
    { host: '127.0.0.1', port: 7402 },
  ]);
  const volume = config.volumes[0];
  assert.ok(volume?.type === 'block');
  assert.equal(volume.sizeBytes, 64 * 2 ** 20);
  assert.equal(volume.store, 'journal');
  assert.equal(volume.degraded, 'write-through');
  assert.equal(volume.capacityBytes, 64 * 2 ** 20);
});

const FILES = 'type = "files"\naddress = "127.0.0.1:10809"\nservers = ["a", "b"]\n';
const BLOCK = 'size = "64MiB"\naddress = "127.0.0.1:10809"\nservers = ["a", "b"]\n';

test('a files volume passes with every default, and with everything said', () => {
  const [plain] = good(GOOD.replace(BLOCK, FILES)).volumes;
  assert.ok(plain?.type === 'files');
  const root = { mode: 0o755, uid: null, gid: null };
  const nobody = { anonUid: 65_534, anonGid: 65_534 };
  const usual = { readOnly: false, squash: 'root', clients: null, portmapper: false };
  assert.deepEqual(plain.export, { ...usual, ...nobody, root });
  const said = `[volume.export]
read-only = true
squash = "all"
anon-uid = 0
anon-gid = 4294967294
clients = ["10.0.0.0/16", "192.168.1.7", "2001:db8::/48", "::1"]
portmapper = true
root-mode = "2775"
root-uid = 1000
root-gid = 100
`;
  const [full] = good(GOOD.replace(BLOCK, FILES + said)).volumes;
  assert.ok(full?.type === 'files');
  assert.deepEqual(full.export, {
    readOnly: true,
    squash: 'all',
    anonUid: 0,
    anonGid: 4_294_967_294,
    clients: [
      { text: '10.0.0.0/16', family: 4, bytes: [10, 0, 0, 0], prefix: 16 },
      { text: '192.168.1.7', family: 4, bytes: [192, 168, 1, 7], prefix: 32 },
      { text: '2001:db8::/48', family: 6, bytes: [0x20, 1, 0xd, 0xb8, ...new Array<number>(12).fill(0)], prefix: 48 },
      { text: '::1', family: 6, bytes: [...new Array<number>(15).fill(0), 1], prefix: 128 },
    ],
    portmapper: true,
    root: { mode: 0o2775, uid: 1_000, gid: 100 },
  });
});

test('each mistake about a files volume is told with its line', () => {
  const exported = (line: string): string => `${FILES}[volume.export]\n${line}\n`;
  const all: readonly [to: string, mistake: RegExp][] = [
    [`size = "1MiB"\n${FILES}`, /^0: volume "one", size: a files volume has no size/],
    [FILES.replace('files', 'file'), /^0: volume "one", type: "file" is not possible here: use "block" or "files"$/],
    [BLOCK.replace('size = "64MiB"\n', ''), /the key "size" is missing$/],
    [`${BLOCK}[volume.export]\n`, /^3: volume "one", export: a block volume has no \[volume.export\]/],
    [exported('squash = "some"'), /^4: volume "one", export squash: "some" is not possible here: use "root" or/],
    [exported('sqash = "all"'), /^4: volume "one", export sqash: there is no such key: did you mean "squash"\?$/],
    [exported('anon-uid = -1'), /^4: .*at least 0$/],
    [exported('anon-gid = 4294967295'), /^4: .*at most 4294967294$/],
    [exported('anon-gid = 1.5'), /^4: .*/],
    [exported('clients = []'), /^4: .*admit nobody/],
    [exported('clients = ["10.0.0.0/16", "10.0.0.5/16"]'), /^4: .*an address inside a network of 16 bits/],
    [exported('clients = ["10.0.0.0/33"]'), /^4: .*not between 0 and 32/],
    [exported('clients = ["2001:db8::/129"]'), /^4: .*not between 0 and 128/],
    [exported('clients = ["2001:db8::1/64"]'), /^4: .*an address inside a network of 64 bits/],
    [exported('clients = ["here"]'), /^4: .*is not a network/],
    [exported('clients = ["10.0.0.0/8/8"]'), /^4: .*is not a network/],
    [exported('root-mode = "0789"'), /^4: .*in octal/],
    [exported('root-mode = "17777"'), /^4: .*in octal/],
    [exported('read-only = "yes"'), /^4: .*a boolean is wanted here/],
  ];
  for (const [to, mistake] of all) {
    const found = mistakes(BLOCK, to);
    assert.equal(found.length, 1, `${to}: ${found.join('; ')}`);
    assert.match(found[0] ?? '', mistake);
  }
});

test('a files volume needs a directory, and only one of a server can have the portmapper', () => {
  const image = GOOD.replace('driver = "directory"', 'driver = "image"').replace(BLOCK, FILES);
  const found = (source: string): string[] => (parseConfig(source, '/c.toml').mistakes ?? []).map(({ text }) => text);
  assert.ok(found(image).some((text) => /"one", medium: a files volume needs a `directory` medium/.test(text)));
  const exported = '[volume.export]\nportmapper = true\n';
  const two = `[[volume]]\nname = "two"\nmedium = "shared"\ntype = "files"\naddress = "127.0.0.1:9"\nservers = ["b"]\n`;
  assert.deepEqual(found(GOOD.replace(BLOCK, FILES + exported) + two + exported), [
    'volume "two", export portmapper: the portmapper of server "b" may have to name volume "one" already: one volume of a server can have it',
  ]);
});

const ONE_MISTAKE: readonly [what: string, from: string, to: string, mistake: RegExp][] = [
  [
    'an unknown key',
    'id = "test"',
    'id = "test"\nidd = 1',
    /^1: \[cluster\], idd: there is no such key: did you mean "id"\?$/,
  ],
  [
    'an unknown table',
    '[[medium]]',
    '[mediums]\n[[medium]]',
    /^0: \[mediums\]: there is no such key: did you mean "medium"\?$/,
  ],
  ['a key that is missing', 'id = "test"\n', '', /^-1: \[cluster\]: the key "id" is missing$/],
  [
    'a number for a text',
    '"state/a"',
    '5',
    /^0: server "a", state: a text in quotes is wanted here, not the number 5$/,
  ],
  ['a name with a space', '"one"', '"o ne"', /^0: volume "o ne", name: a name has 1 to 32/],
  ['a size without unit', '"64MiB"', '"64"', /^0: volume "one", size: the size "64" has no unit/],
  ['a size with a decimal unit', '"64MiB"', '"64MB"', /^0: .*has the unit "MB": use B, KiB/],
  ['an odd size', '"64MiB"', '"63B"', /^0: .*multiple of 4 KiB/],
  ['an address without port', '"127.0.0.1:10809"', '"127.0.0.1"', /^0: volume "one", address: .*write host:port/],
  ['a port out of range', '"127.0.0.1:10809"', '"127.0.0.1:99999"', /^0: .*not between 1 and 65535/],
  ['an impossible IP address', '"127.0.0.1:10809"', '"127.0.0.256:10809"', /^0: .*is not an IP address/],
  [
    'a port used twice',
    '"127.0.0.1:10809"',
    '"127.0.0.1:7501"',
    /^0: .*127.0.0.1:7501 is already path 1 of server "b"$/,
  ],
  [
    'a wildcard over a used port',
    '"127.0.0.1:10809"',
    '"0.0.0.0:7400"',
    /^0: .*is already the admin address of server "a"$/,
  ],
  [
    'a volume twice',
    '[[volume]]',
    '[[volume]]\nname = "one"\nmedium = "shared"\nsize = "4KiB"\naddress = "127.0.0.1:9"\nservers = ["a"]\n[[volume]]',
    /^7: .*already a volume "one"$/,
  ],
  [
    'a state directory twice',
    '"state/b"',
    '"state/a/"',
    /^0: server "b", state: .*already the state directory of server "a"$/,
  ],
  [
    'another number of paths',
    '["127.0.0.1:7501", "127.0.0.1:7502"]',
    '["127.0.0.1:7501"]',
    /^0: .*"b" has 1, server "a" has 2$/,
  ],
  [
    'an unknown medium',
    'medium = "shared"',
    'medium = "shard"',
    /^0: .*there is no medium "shard": there is "shared"$/,
  ],
  ['an unknown server', '["a", "b"]', '["a", "c"]', /^0: .*there is no server "c": there is "a", "b"$/],
  ['a server named twice', '["a", "b"]', '["a", "a"]', /^0: .*server "a" is named twice$/],
  [
    'an unknown driver',
    '"directory"',
    '"tape"',
    /^0: medium "shared", driver: "tape" is not possible here: use "directory" or "image"$/,
  ],
  [
    'different machines without a fence',
    'machine = "here"\nstate = "state/b"',
    'state = "state/b"',
    /its servers are on different machines/,
  ],
  [
    'a small store',
    'servers = ["a", "b"]',
    'servers = ["a", "b"]\nstore-capacity = "1MiB"',
    /^1: .*between 16MiB and 64GiB$/,
  ],
  [
    'a journal policy over a memory store',
    'servers = ["a", "b"]',
    'servers = ["a", "b"]\nstore = "memory"\ndegraded = "journal"',
    /^2: .*needs/,
  ],
  [
    'a lease too short',
    '[[medium]]',
    '[timings]\nlease = "300ms"\n[[medium]]',
    /^1: \[timings\], lease: "lease" is 300 ms and must be at least 4 times `poll`, 400 ms$/,
  ],
  [
    'a pace that breaks another default',
    '[[medium]]',
    '[timings]\nheartbeat = "200ms"\n[[medium]]',
    /^0: \[timings\], silent: .*at least 3 heartbeats/,
  ],
  ['a zero duration', '[[medium]]', '[timings]\nretry = "0s"\n[[medium]]', /^1: .*longer than nothing$/],
];
for (const [what, from, to, mistake] of ONE_MISTAKE) {
  test(`refused with its line: ${what}`, () => {
    const found = mistakes(from, to);
    assert.equal(found.length, 1, found.join('\n'));
    assert.match(found[0] ?? '', mistake);
  });
}

test('all mistakes are told at once, in the order of their lines', () => {
  const loaded = parseConfig(
    GOOD.replace('"test"', '5').replace('"64MiB"', '"x"').replace('["a", "b"]', '["a", "z"]\nbogus = true'),
    '/c.toml',
  );
  const lines = (loaded.mistakes ?? []).map((mistake) => mistake.line);
  assert.equal(lines.length, 4);
  assert.deepEqual(
    lines,
    lines.toSorted((a, b) => a - b),
  );
});

test('a syntax error is told with its line', () => {
  const loaded = parseConfig('[cluster]\nid = \n', '/c.toml');
  assert.equal(loaded.mistakes?.length, 1);
  assert.equal(loaded.mistakes[0]?.line, 2);
});

test('an empty file names every table that is missing', () => {
  const texts = (parseConfig('', '/c.toml').mistakes ?? []).map((mistake) => mistake.text);
  for (const table of ['cluster', 'server', 'medium', 'volume']) {
    assert.ok(
      texts.some((text) => text.includes(`[${table}] is missing`)),
      texts.join('\n'),
    );
  }
});

test('timings that pass here pass the core', () => {
  const ms = fc.integer({ min: 1, max: 5_000 });
  const property = fc.property(ms, ms, ms, ms, ms, ms, (heartbeat, silent, entry, stall, poll, lease) => {
    const source = `${GOOD}\n[timings]\nheartbeat = "${heartbeat}ms"\nsilent = "${silent}ms"\nentry = "${entry}ms"\nentry-stall = "${stall}ms"\npoll = "${poll}ms"\nlease = "${lease}ms"\n`;
    const loaded = parseConfig(source, '/c.toml');
    const holds = silent >= 3 * heartbeat && stall >= 3 * entry && lease >= 4 * poll && lease >= 4 * heartbeat;
    assert.equal(loaded.mistakes === null, holds);
    if (loaded.config !== null) checkTimings(loaded.config.timings);
  });
  fc.assert(property, { numRuns: 200 });
});

/**
 * What the schema cannot see: references between tables, names and addresses used twice, relations between the
 * timings. It works on the raw document, so that a mistake in one place does not hide those in another: whatever is
 * itself malformed (the schema says so) is passed over here.
 */
import { checkTimings, DEFAULT_TIMINGS } from '../../core/settings.ts';
import type { Timings } from '../../core/settings.ts';
import { formatAddress, formatMs, parseAddress, parseDuration } from './units.ts';
import type { Address } from './units.ts';
import { checkTypes } from './check-types.ts';
import { called, isTable, list, tables, text } from './raw.ts';
import type { Finding, Table } from './raw.ts';
import type { KeyPath } from './toml-lines.ts';

/** Finds every mistake between the tables of the raw document. */
export function crossCheck(document: Table): Finding[] {
  const servers = tables(document['server']);
  const media = tables(document['medium']);
  const volumes = tables(document['volume']);
  return [
    ...usedTwice('server', servers),
    ...usedTwice('medium', media),
    ...usedTwice('volume', volumes),
    ...addressesUsedTwice(servers, volumes),
    ...checkServers(servers),
    ...checkMoving(servers, volumes),
    ...checkMedia(media, volumes),
    ...checkVolumes(volumes, servers, media),
    ...checkTypes(volumes, media),
    ...checkHeld(servers, volumes),
    ...checkCoordinator(document['coordinator'], media),
    ...checkRelations(isTable(document['timings']) ? document['timings'] : {}),
  ];
}

/** What the link says of files came with version 2 of its protocol: nobody may be held to an older one then. */
function checkHeld(servers: readonly Table[], volumes: readonly Table[]): Finding[] {
  const held = servers.flatMap((server) => (server['link-version'] === 1 ? (text(server, 'name') ?? []) : []));
  return volumes.flatMap((volume, index): Finding[] => {
    const name =
      text(volume, 'type') === 'files' ? held.find((one) => list(volume, 'servers').includes(one)) : undefined;
    if (name === undefined) return [];
    const sentence = `server "${name}" is held to version 1 of the link, which cannot carry what a files volume needs: take its \`link-version\` away first`;
    return [{ path: ['volume', index, 'servers'], text: sentence }];
  });
}

function usedTwice(kind: string, all: readonly Table[]): Finding[] {
  const findings: Finding[] = [];
  const seen = new Set<string>();
  all.forEach((table, index) => {
    const name = text(table, 'name');
    if (name === null) return;
    if (seen.has(name)) findings.push({ path: [kind, index, 'name'], text: `there is already a ${kind} "${name}"` });
    seen.add(name);
  });
  return findings;
}

interface Use {
  readonly path: KeyPath;
  readonly what: string;
  readonly address: Address;
}

const WILDCARDS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

/** No two things may listen at one place; a wildcard host takes its port everywhere. */
function addressesUsedTwice(servers: readonly Table[], volumes: readonly Table[]): Finding[] {
  const uses: Use[] = [];
  const add = (path: KeyPath, what: string, value: unknown): void => {
    const read = typeof value === 'string' ? parseAddress(value) : null;
    if (read !== null && read.mistake === null) uses.push({ path, what, address: read.value });
  };
  servers.forEach((server, index) => {
    const who = called('server', server, index);
    add(['server', index, 'admin'], `the admin address of ${who}`, server['admin']);
    list(server, 'link').forEach((value, at) => add(['server', index, 'link', at], `path ${at + 1} of ${who}`, value));
  });
  volumes.forEach((volume, index) => {
    add(['volume', index, 'address'], `the address of ${called('volume', volume, index)}`, volume['address']);
  });
  const findings: Finding[] = [];
  uses.forEach((use, index) => {
    const earlier = uses.slice(0, index).find((other) => collide(use.address, other.address));
    if (earlier !== undefined) {
      findings.push({ path: use.path, text: `${formatAddress(use.address)} is already ${earlier.what}` });
    }
  });
  return findings;
}

function collide(a: Address, b: Address): boolean {
  return a.port === b.port && (a.host === b.host || WILDCARDS.has(a.host) || WILDCARDS.has(b.host));
}

/** The machine a server runs on: servers that name none are each on their own. */
export function machineOf(server: { readonly name: string; readonly machine?: string | undefined }): string {
  return server.machine === undefined ? `server ${server.name}` : `machine ${server.machine}`;
}

const rawMachine = (server: Table): string =>
  machineOf({ name: text(server, 'name') ?? '', machine: text(server, 'machine') ?? undefined });

function checkServers(servers: readonly Table[]): Finding[] {
  const findings: Finding[] = [];
  const states = new Map<string, string>();
  const fenced = servers.filter((server) => server['fence'] !== undefined);
  const first = servers[0] === undefined ? 0 : list(servers[0], 'link').length;
  servers.forEach((server, index) => {
    const state = text(server, 'state');
    if (state !== null) {
      const place = `${rawMachine(server)} ${state.replace(/\/+$/, '')}`;
      const other = states.get(place);
      if (other !== undefined) {
        findings.push({
          path: ['server', index, 'state'],
          text: `"${state}" is already the state directory of ${other}`,
        });
      }
      states.set(place, called('server', server, index));
    }
    const paths = list(server, 'link').length;
    if (index > 0 && paths > 0 && first > 0 && paths !== first) {
      const counts = `${called('server', server, index)} has ${paths}, ${called('server', servers[0] ?? {}, 0)} has ${first}`;
      findings.push({ path: ['server', index, 'link'], text: `every server has the same number of paths: ${counts}` });
    }
    list(server, 'link').forEach((value, at) => {
      const read = value === null ? null : parseAddress(value);
      if (read !== null && read.mistake === null && WILDCARDS.has(read.value.host)) {
        const sentence = `"${value}" names no host: the other servers connect to this address`;
        findings.push({ path: ['server', index, 'link', at], text: sentence });
      }
    });
    const admin = text(server, 'admin');
    const read = admin === null ? null : parseAddress(admin);
    if (read !== null && read.mistake === null && WILDCARDS.has(read.value.host)) {
      findings.push({
        path: ['server', index, 'admin'],
        text: `"${admin}" names no host: the commands connect to this address`,
      });
    }
    if (fenced.length > 0 && server['fence'] === undefined) {
      const sentence = `either every server has a "fence" command or none: ${called('server', server, index)} has none`;
      findings.push({ path: ['server', index], text: sentence });
    }
    if ((server['up'] === undefined) !== (server['down'] === undefined)) {
      const [has, lacks] = server['up'] === undefined ? ['down', 'up'] : ['up', 'down'];
      findings.push({ path: ['server', index, has], text: `"${has}" needs "${lacks}": what comes must go, too` });
    }
    if (server['fence-deadline'] !== undefined && server['fence'] === undefined) {
      findings.push({
        path: ['server', index, 'fence-deadline'],
        text: '"fence-deadline" is of no use without "fence"',
      });
    }
  });
  return findings;
}

/** An address that moves goes with one volume: another one behind it may be owned elsewhere. */
function checkMoving(servers: readonly Table[], volumes: readonly Table[]): Finding[] {
  const moving = servers.filter((server) => server['interface'] !== undefined || server['up'] !== undefined);
  const taken = new Map<string, string>();
  return volumes.flatMap((volume, index): Finding[] => {
    const read = parseAddress(text(volume, 'address') ?? '');
    const named = list(volume, 'servers');
    if (read.mistake !== null || !moving.some((server) => named.includes(text(server, 'name')))) return [];
    const { host } = read.value;
    const other = taken.get(host);
    taken.set(host, called('volume', volume, index));
    if (WILDCARDS.has(host))
      return [{ path: ['volume', index, 'address'], text: `"${host}" is no address that can move between servers` }];
    const machines = moving.filter((server) => named.includes(text(server, 'name'))).map(rawMachine);
    if (new Set(machines).size < machines.length) {
      const why = 'an address cannot move between servers of one machine: leave out "interface" and "up" there';
      return [{ path: ['volume', index, 'servers'], text: why }];
    }
    if (other === undefined) return [];
    const sentence = `${host} moves with ${other}: each volume needs an address of its own where servers have "interface" or "up"`;
    return [{ path: ['volume', index, 'address'], text: sentence }];
  });
}

function checkMedia(media: readonly Table[], volumes: readonly Table[]): Finding[] {
  const findings: Finding[] = [];
  const places = new Map<string, string>();
  media.forEach((medium, index) => {
    const path = text(medium, 'path')?.replace(/\/+$/, '') ?? null;
    if (path !== null && path !== '') {
      const other = places.get(path);
      if (other !== undefined)
        findings.push({ path: ['medium', index, 'path'], text: `"${path}" is already ${other}` });
      places.set(path, called('medium', medium, index));
    }
    const name = text(medium, 'name');
    const used = volumes.flatMap((volume, at) => (name !== null && text(volume, 'medium') === name ? [at] : []));
    if (text(medium, 'driver') !== 'image') return;
    for (const at of used.slice(1)) {
      const sentence = `${called('medium', medium, index)} is an image and holds one volume, and it holds ${called('volume', volumes[used[0] ?? 0] ?? {}, used[0] ?? 0)} already`;
      findings.push({ path: ['volume', at, 'medium'], text: sentence });
    }
  });
  return findings;
}

function checkVolumes(volumes: readonly Table[], servers: readonly Table[], media: readonly Table[]): Finding[] {
  const findings: Finding[] = [];
  const serverNames = names(servers);
  const mediumNames = names(media);
  volumes.forEach((volume, index) => {
    const medium = text(volume, 'medium');
    if (medium !== null && !mediumNames.includes(medium)) {
      findings.push({ path: ['volume', index, 'medium'], text: unknownName('medium', medium, mediumNames) });
    }
    const seen = new Set<string>();
    list(volume, 'servers').forEach((server, at) => {
      if (server === null) return;
      const path: KeyPath = ['volume', index, 'servers', at];
      if (!serverNames.includes(server)) findings.push({ path, text: unknownName('server', server, serverNames) });
      else if (seen.has(server)) findings.push({ path, text: `server "${server}" is named twice` });
      seen.add(server);
    });
    if (text(volume, 'degraded') === 'journal' && text(volume, 'store') === 'memory') {
      const sentence = '`degraded = "journal"` needs `store = "journal"`: a memory store does not outlive its server';
      findings.push({ path: ['volume', index, 'degraded'], text: sentence });
    }
    findings.push(...checkSharing(volume, index, servers, media));
  });
  return findings;
}

/** A claim across machines needs something that keeps the old owner's late I/O away, or a risk accepted by name. */
function checkSharing(volume: Table, index: number, servers: readonly Table[], media: readonly Table[]): Finding[] {
  const named = list(volume, 'servers');
  const members = servers.filter((server) => named.includes(text(server, 'name')));
  const apart = new Set(members.map(rawMachine)).size > 1;
  const at = media.findIndex((candidate) => text(candidate, 'name') === text(volume, 'medium'));
  const medium = media[at];
  if (medium === undefined) return [];
  const sharing = text(medium, 'sharing');
  const who = called('medium', medium, at);
  if (sharing === 'host' && apart) {
    const sentence = `the servers of ${called('volume', volume, index)} are on different machines: what one writes stays in its own cache with \`sharing = "host"\``;
    return [{ path: ['medium', at, 'sharing'], text: sentence }];
  }
  if ((!apart && sharing !== 'machines') || members.length < 2 || text(medium, 'accept-risk') === 'late-io') return [];
  const unfenced = members
    .filter((server) => server['fence'] === undefined)
    .map((server) => `"${text(server, 'name')}"`);
  if (unfenced.length === 0) return [];
  const without = unfenced.length === 1 ? `server ${unfenced[0]} has` : `servers ${unfenced.join(' and ')} have`;
  const why = apart ? 'its servers are on different machines' : `machines share ${who}`;
  const other = apart ? ', or name the machine they share' : '';
  const sentence =
    `${why}, and ${without} no "fence" command: I/O of a frozen server could land after a ` +
    `takeover. Give them one, or accept that by \`accept-risk = "late-io"\` in ${who}${other}`;
  return [{ path: ['volume', index, 'servers'], text: sentence }];
}

const names = (all: readonly Table[]): string[] => [...new Set(all.flatMap((table) => text(table, 'name') ?? []))];

function unknownName(kind: string, wanted: string, known: readonly string[]): string {
  const there = known.length === 0 ? 'there is none' : `there is ${known.map((one) => `"${one}"`).join(', ')}`;
  return `there is no ${kind} "${wanted}": ${there}`;
}

function checkCoordinator(value: unknown, media: readonly Table[]): Finding[] {
  const table = isTable(value) ? value : {};
  const medium = table['medium'];
  if (medium !== undefined && table['path'] !== undefined) {
    return [{ path: ['coordinator', 'path'], text: 'the coordinator has either "medium" or "path", not both' }];
  }
  if (typeof medium === 'string') {
    const found = media.find((candidate) => text(candidate, 'name') === medium);
    if (found === undefined) {
      return [{ path: ['coordinator', 'medium'], text: unknownName('medium', medium, names(media)) }];
    }
    if (text(found, 'driver') !== 'directory') {
      return [
        {
          path: ['coordinator', 'medium'],
          text: `records can be kept on a \`directory\` medium only: "${medium}" is none`,
        },
      ];
    }
  }
  if (medium !== undefined || table['path'] !== undefined) return [];
  // A driver that is itself a mistake may have been meant to be the directory.
  if (media.some((candidate) => !['directory', 'image'].includes(text(candidate, 'driver') ?? ''))) return [];
  const directories = media.filter((candidate) => text(candidate, 'driver') === 'directory');
  if (directories.length === 1 || media.length === 0) return [];
  const why = directories.length === 0 ? 'there is no `directory` medium' : 'there are several `directory` media';
  return [{ path: ['coordinator'], text: `where the records are kept must be said in [coordinator]: ${why}` }];
}

/** The relations that `checkTimings` in the core asserts, as sentences. */
const RELATIONS: readonly {
  readonly key: string;
  readonly than: string;
  readonly least: (t: Timings) => number;
  readonly has: (t: Timings) => number;
}[] = [
  { key: 'silent', than: '3 heartbeats', has: (t) => t.silentMs, least: (t) => 3 * t.heartbeatMs },
  { key: 'entry-stall', than: '3 times `entry`', has: (t) => t.entryStallMs, least: (t) => 3 * t.entryMs },
  { key: 'lease', than: '4 times `poll`', has: (t) => t.leaseMs, least: (t) => 4 * t.pollMs },
  { key: 'lease', than: '4 heartbeats', has: (t) => t.leaseMs, least: (t) => 4 * t.heartbeatMs },
];

function checkRelations(table: Table): Finding[] {
  const read = (key: string, fallback: number): number => {
    const value = text(table, key);
    return value === null ? fallback : (parseDuration(value).value ?? fallback);
  };
  const d = DEFAULT_TIMINGS;
  const timings: Timings = {
    ...d,
    heartbeatMs: read('heartbeat', d.heartbeatMs),
    silentMs: read('silent', d.silentMs),
    entryMs: read('entry', d.entryMs),
    entryStallMs: read('entry-stall', d.entryStallMs),
    pollMs: read('poll', d.pollMs),
    leaseMs: read('lease', d.leaseMs),
  };
  const findings: Finding[] = [];
  for (const relation of RELATIONS) {
    if (relation.has(timings) >= relation.least(timings)) continue;
    const sentence = `"${relation.key}" is ${formatMs(relation.has(timings))} and must be at least ${relation.than}, ${formatMs(relation.least(timings))}`;
    findings.push({ path: ['timings', relation.key], text: sentence });
  }
  // The core's own assertion has the last word: what passes here must pass there.
  if (findings.length === 0) checkTimings(timings);
  return findings;
}

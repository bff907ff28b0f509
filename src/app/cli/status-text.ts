/**
 * The status as a person reads it: one block for each volume with what matters at night, one line for each server and
 * each of its paths. Pure: statuses in, lines out.
 */
import type { Detector, PathStatus, VolumeStatus } from '../../core/status.ts';
import type { Config } from '../config/load.ts';
import { formatAddress, formatBytes, formatMs } from '../config/units.ts';
import { startOf } from '../starts.ts';
import { padEnd, table } from '../style.ts';
import type { Paint } from '../style.ts';
import { sizeWords } from '../words.ts';
import { volumeViews } from './common.ts';
import type { ServerView, VolumeView } from './common.ts';

/** The whole status. */
export function statusText(config: Config, servers: readonly ServerView[], paint: Paint): string {
  const lines: string[] = [];
  for (const view of volumeViews(config, servers)) lines.push(...volumeBlock(view, config, servers, paint), '');
  lines.push(...serverBlock(servers, paint));
  const risks = acceptedRisks(config);
  if (risks.length > 0) lines.push('', ...risks.map((risk) => paint('warn', risk)));
  return lines.join('\n');
}

function volumeBlock(view: VolumeView, config: Config, servers: readonly ServerView[], paint: Paint): string[] {
  const { best } = view;
  const head = `${paint('strong', `volume ${view.config.name}`)}  ${sizeWords(view.config)} at ${formatAddress(view.config.address)}`;
  if (best === null)
    return [head, `  ${paint('bad', 'unknown')}: no server that knows it answers, or it was never created`];
  const rows: [string, string][] = [
    ['state', stateOf(view, best, paint)],
    [
      'owner',
      `${best.owner ?? 'nobody'}${best.owner !== null && best.owner !== view.config.servers[0] ? paint('warn', ` (preferred: ${view.config.servers[0]})`) : ''}`,
    ],
    ['partner', best.partner ?? paint('warn', 'none')],
    ['mirror', `${mirrorOf(best, paint)}${best.mirrorWhy === '' ? '' : paint('dim', `  ${best.mirrorWhy}`)}`],
    ['epoch', `${best.epoch}, generation ${best.generation}`],
    ['not yet on the medium', undestaged(best, paint)],
    ['no partner', degradedOf(best, paint)],
    ['reads', readsOf(view, best, servers)],
    ['medium', mediumOf(view)],
    ...(view.config.servers.length > 1 ? [['fence', fenceOf(view, config, paint)] as [string, string]] : []),
    ['takeover', takeoverOf(view, paint)],
  ];
  if (best.brake.handover !== null) {
    const { why, leftMs } = best.brake.handover;
    rows.push(['brake', `${paint('warn', 'on')} for another ${formatMs(leftMs)}  ${why}`]);
  }
  if (best.giveback === 'auto' && best.owner !== view.config.servers[0])
    rows.push(['giveback', givebackOf(view, paint)]);
  for (const [server, { finding }] of view.byServer) {
    if (finding === null || finding.detector === null || finding.msAgo > FINDING_SHOWN_MS) continue;
    rows.push([
      'noticed',
      `by ${server} ${formatMs(finding.msAgo)} ago: ${DETECTORS[finding.detector]}, ${finding.why}`,
    ]);
  }
  if (best.waitingRequests > 0) rows.push(['waiting', `${best.waitingRequests} requests wait`]);
  if (best.loss !== null)
    rows.push(['lost', paint('bad', `${best.loss}: \`holdfast accept-loss ${view.config.name}\` accepts it`)]);
  for (const loss of best.losses) rows.push(['accepted loss', paint('warn', loss)]);
  for (const [server, status] of view.byServer) {
    for (const log of status.aside) {
      // A journal that does not pass its checksums is put aside unread.
      const holds = log.epoch === 0 ? '' : `, epoch ${log.epoch}, ${log.firstSequence} to ${log.lastSequence}`;
      rows.push(['set aside', paint('warn', `${log.name} of ${server}: ${formatBytes(log.bytes)}${holds}`)]);
    }
  }
  const label = Math.max(...rows.map(([name]) => name.length));
  return [head, ...rows.map(([name, value]) => `  ${paint('dim', padEnd(name, label))}  ${value}`)];
}

function stateOf(view: VolumeView, best: VolumeStatus, paint: Paint): string {
  const server = [...view.byServer].find(([, status]) => status === best)?.[0] ?? '?';
  if (best.loss !== null) return paint('bad', 'down');
  if (best.serving) return best.why === null ? paint('good', 'serving') : `${paint('warn', 'serving')}  ${best.why}`;
  const doing = best.role === 'claimant' ? `${server} is claiming it` : 'not served';
  return `${paint('bad', doing)}${best.why === null ? '' : `  ${best.why}`}`;
}

function mirrorOf(status: VolumeStatus, paint: Paint): string {
  return paint(status.mirror === 'in-sync' ? 'good' : 'warn', status.mirror);
}

/** What was noticed longer ago is in `holdfast events`. */
const FINDING_SHOWN_MS = 3_600_000;

/** As docs/failures.md names them. */
const DETECTORS: Readonly<Record<Detector, string>> = {
  process: 'its process (detector a)',
  system: 'its system (detector b)',
  io: 'its I/O (detector c)',
};

/** What the volume does without a partner, whether it does so now, and what that risks. */
function degradedOf(status: VolumeStatus, paint: Paint): string {
  const without = status.mirror === 'suspended' || status.mirror === 'sole';
  const force = without ? paint('warn', `${status.degraded} is in force`) : `${status.degraded} would be in force`;
  return `${force}: ${riskOf(status)}`;
}

function riskOf(status: VolumeStatus): string {
  switch (status.degraded) {
    case 'write-through':
      return 'a write is answered once the synced medium has it; nothing rests on one server, writes are as slow as the medium';
    case 'journal': {
      const now = status.mirror === 'sole' ? `: ${formatBytes(status.atRiskBytes)} now` : '';
      const whose = status.owner === null ? "the owner's" : `${status.owner}'s`;
      return `a write is answered once it is in the journal; what the medium lacks is only in ${whose} journal and lost with its disk${now}`;
    }
    case 'stop':
      return 'only reads are answered, writes wait; nothing rests on one server';
  }
}

function readsOf(view: VolumeView, best: VolumeStatus, servers: readonly ServerView[]): string {
  if (view.config.reads !== null) return `${best.reads}  as the configuration says`;
  const server = [...view.byServer].find(([, status]) => status === best)?.[0];
  const why = servers.find((one) => one.server.name === server)?.answer?.machine.why;
  return `${best.reads}${why === undefined ? '' : `  ${why}`}`;
}

function givebackOf(view: VolumeView, paint: Paint): string {
  const preferred = view.byServer.get(view.config.servers[0] ?? '');
  if (preferred === undefined) return `by itself, once ${view.config.servers[0]} answers`;
  const held = preferred.brake.giveback;
  if (held !== null) return `by itself, ${paint('warn', 'not')} for another ${formatMs(held.leftMs)}  ${held.why}`;
  return preferred.takeoverRefusal === null ? 'by itself, now' : `by itself, but ${preferred.takeoverRefusal}`;
}

function undestaged(status: VolumeStatus, paint: Paint): string {
  const room = `${formatBytes(status.undestagedBytes)} of ${formatBytes(status.store.capacityBytes)}`;
  const age = status.oldestMs === null ? '' : `, the oldest ${formatMs(status.oldestMs)} old`;
  const risk =
    status.atRiskBytes === 0
      ? 'nothing at risk'
      : paint('warn', `${formatBytes(status.atRiskBytes)} in one server only`);
  return `${room}${age}; ${risk}`;
}

/** Whether another server could take it over now, or why each of them could not. */
function takeoverOf(view: VolumeView, paint: Paint): string {
  const owner = view.best?.owner ?? null;
  const others = view.config.servers.filter((server) => server !== owner);
  if (others.length === 0) return paint('warn', 'no: it has no other server');
  const words = others.map((server) => {
    const status = view.byServer.get(server);
    if (status === undefined) return { good: false, text: `${server} does not answer` };
    if (status.takeoverRefusal === null) return { good: true, text: server };
    return { good: false, text: `${server}: ${status.takeoverRefusal}` };
  });
  const able = words.filter((word) => word.good).map((word) => word.text);
  if (able.length > 0) return `${paint('good', 'possible')} by ${able.join(' and ')}`;
  return `${paint('warn', 'no')}: ${words.map((word) => word.text).join('; ')}`;
}

function serverBlock(servers: readonly ServerView[], paint: Paint): string[] {
  const lines: string[] = [];
  for (const { server, answer, silence } of servers) {
    const head = paint('strong', `server ${server.name}`);
    if (answer === null) {
      lines.push(`${head}  ${paint('bad', 'no answer')}  ${silence}`);
      continue;
    }
    const { status } = answer;
    const state =
      status.unfit !== null
        ? paint('bad', `unfit: ${status.unfit}`)
        : status.stopping
          ? paint('warn', 'stopping')
          : paint('good', 'fit');
    lines.push(`${head}  ${state}  up ${formatMs(answer.upMs)}, start ${startOf(status.incarnation)}`);
    const rows: string[][] = [];
    for (const peer of status.peers) {
      for (const path of peer.paths) rows.push([`  path ${path.path + 1} to ${peer.server}`, pathOf(path, paint)]);
      if (peer.unfit !== null) rows.push([`  ${peer.server}`, paint('bad', `says it is unfit: ${peer.unfit}`)]);
      if (peer.entryMoves === false)
        rows.push([`  ${peer.server}`, paint('warn', 'its entry at the coordinator stands still')]);
    }
    for (const volume of status.volumes) {
      const { store } = volume;
      const use = `${formatBytes(store.usedBytes)} of ${formatBytes(store.capacityBytes)}`;
      rows.push([`  ${store.kind} of ${volume.volume}`, `${volume.role === 'none' ? 'unused' : volume.role}, ${use}`]);
    }
    lines.push(...table(rows));
  }
  return lines;
}

function pathOf(path: PathStatus, paint: Paint): string {
  if (path.up)
    return `${paint('good', 'up')}${path.heardMsAgo === null ? '' : `, heard ${formatMs(path.heardMsAgo)} ago`}`;
  return `${paint('bad', 'down')}${path.lastError === null ? '' : `  ${path.lastError}`}`;
}

/** What the configuration accepts by name: shown always, so that nobody forgets it. */
function acceptedRisks(config: Config): string[] {
  return config.volumes.flatMap((volume) => {
    if (volume.servers.length < 2 || !volume.medium.acceptsLateIo) return [];
    return [
      `volume ${volume.name}: late I/O of a frozen server after a takeover is accepted (accept-risk = "late-io" in medium ${volume.medium.name})`,
    ];
  });
}

/** How the medium is reached. */
function mediumOf({ config: { medium, sharing } }: VolumeView): string {
  if (sharing === 'host') return `${medium.name}, shared by processes of one machine`;
  return `${medium.name}, shared by machines: synchronous writes`;
}

/** What keeps late I/O of each server away from the medium when another one claims the volume (docs/fencing.md). */
function fenceOf({ config: { servers, medium } }: VolumeView, config: Config, paint: Paint): string {
  const all = config.servers.filter(({ name }) => servers.includes(name));
  const kinds = new Map<string, string[]>();
  for (const { name, fence, machine } of all) {
    const beside = all.every((other) => other.machine === machine);
    const risk = medium.acceptsLateIo ? ', late I/O is accepted as a risk' : '';
    const kind =
      fence !== null
        ? 'fenced by a command'
        : beside
          ? 'killed by who claims, on this one machine'
          : paint('warn', `not fenced${risk}`);
    kinds.set(kind, [...(kinds.get(kind) ?? []), name]);
  }
  return [...kinds]
    .map(([kind, names]) => `${names.join(' and ')} ${names.length > 1 ? 'are' : 'is'} ${kind}`)
    .join('; ');
}

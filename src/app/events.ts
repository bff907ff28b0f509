/**
 * The events of the log: their levels, and what each means to whoever runs a server. docs/operating.md shows this
 * table, and `events.test.ts` checks that no part of the program tells of an event that is not in it.
 */
export type Level = 'debug' | 'info' | 'warn' | 'error';

export interface EventMeaning {
  readonly event: string;
  readonly level: Level;
  readonly meaning: string;
}

const event = (name: string, level: Level, meaning: string): EventMeaning => ({ event: name, level, meaning });

/** Every event, by topic. */
export const EVENTS: readonly EventMeaning[] = [
  event('server.start', 'info', 'the core begins to take part; `incarnation` names this start'),
  event('server.started', 'info', 'the server is up; the fields say where it listens'),
  event('server.refused', 'error', 'the server did not start; `reason` says why'),
  event('server.unfit', 'error', 'its own I/O fails or hangs, `why`: it must not own volumes and hands them over'),
  event('server.fit', 'info', 'its own I/O works again'),
  event('server.stopping', 'info', 'a signal came: volumes are handed over or drained'),
  event('server.stopped', 'info', 'nothing is owned any more; the process ends with 0'),
  event('server.cut', 'warn', 'a second signal, or one before the start, ended the process at once'),
  event('server.quit', 'error', 'an own store failed and nothing is owned any more: the process ends with 75'),
  event('supervisor.started', 'info', 'the supervisor, `pid`, has started the server as `process`'),
  event('supervisor.ended', 'warn', "the server's process has ended: `how`, and whether it is started `again`"),
  event('supervisor.stopping', 'info', 'a signal came and is passed on to the server'),
  event('supervisor.reported', 'info', 'another server knows from the supervisor that this incarnation has ended'),
  event('supervisor.report-failed', 'info', 'another server could not be told of the end; it is tried again'),
  event('supervisor.lost', 'warn', 'the supervisor is gone; the server goes on and is not started again'),
  event('process.bug', 'error', 'an assertion failed; the process ends with 70, `err` has the stack'),
  event('admin.listening', 'info', 'the admin HTTP answers'),
  event(
    'volume.missing',
    'warn',
    'a volume of the configuration was never created: it is left out until it is, and looked for every 5 s',
  ),
  event(
    'volume.joined',
    'info',
    'a volume that was created, or named, since the start: this server takes part for it now',
  ),
  event('volume.join-failed', 'error', 'a volume that was created since the start cannot be served here; `why`'),
  event('config.reloaded', 'info', 'the configuration was read again: volumes that were `added`, and `remarks`'),
  event('config.refused', 'error', 'the configuration was not read again, or has mistakes; nothing was changed'),
  event('history.failed', 'warn', 'the event history cannot be written to the state directory'),
  event('store.opened', 'info', 'a store is open; `operations` were found in it'),
  event('store.making', 'info', 'a new journal is being made, `written` of `of` are on the disk: once for each volume'),
  event('store.created', 'info', 'a new journal was made, with a new id'),
  event('store.damaged', 'error', 'a journal could not be used and was put aside; a new, empty one takes its place'),
  event('store.failed', 'error', 'a store can hold nothing more: the server is unfit'),
  event('medium.failed', 'error', 'the medium failed a call'),
  event('probe.passed', 'info', 'the coordinator or a medium keeps what the protocol relies on'),
  event('coordinator.stale', 'error', 'a read of the coordinator showed less than a peer had written: claims wait'),
  event('giveback.begin', 'info', 'the preferred owner takes the volume back by itself'),
  event('log.set-aside', 'warn', 'a log that may hold what nobody else had is kept under a name that status shows'),

  event('link.listening', 'info', 'a path of the link takes connections'),
  event('link.listen-failed', 'warn', 'a path of the link cannot listen; it is tried again'),
  event('link.up', 'info', 'a path is connected and both sides have proven who they are'),
  event('link.down', 'warn', 'a path was lost; `reason` and `detail` say why'),
  event('link.attempt-failed', 'info', 'a path could not be connected; it is tried again'),
  event('link.refused', 'warn', 'somebody who connected was turned away'),
  event('link.abandoned', 'info', 'somebody who connected went away before proving anything'),
  event('link.skipped', 'info', 'lines of this kind were left out because there were too many'),
  event('path.up', 'info', 'the core may use the path'),
  event('path.down', 'warn', 'the core may not use the path any more'),
  event('peer.alive', 'info', 'the other server is heard'),
  event('peer.lost', 'warn', 'the other server is heard on no path'),
  event('peer.ended', 'info', "the other server's supervisor says that its process has ended: proof of death"),
  event('peer.fit', 'info', 'the other server says it may own volumes again'),
  event('peer.unfit', 'warn', 'the other server says that it must not own volumes'),

  event('claim.begin', 'info', 'this server decides to become the owner; `why`'),
  event('claim.swapping', 'info', 'step 1: the probes passed, the claim is swapped into the record'),
  event('claim.fencing', 'info', 'step 2: the claim is known to be done; the old owner is fenced'),
  event(
    'fence.killed',
    'warn',
    'the process of a server on this machine was killed, so that nothing of it writes any more',
  ),
  event(
    'fence.risked',
    'error',
    'a server on this machine could not be ended; the volume goes on all the same, as `accept-risk = "late-io"` says',
  ),
  event('claim.fence-failed', 'error', 'the old owner could not be fenced: the volume is not served until it is'),
  event('claim.waiting', 'info', 'step 3: until the authority of `holders` has run out, or they are proven dead'),
  event('claim.proof', 'info', 'it is proven that `holder` has ended'),
  event('claim.confirming', 'info', 'the record is read again: it must still name this claim'),
  event('claim.replaying', 'info', 'step 4: the medium is opened afresh and the copies are compared'),
  event('claim.replay', 'info', '`operations` that the medium may not have are written to it, as `writes`'),
  event('claim.retry', 'warn', 'the replay broke off and begins anew; `why`'),
  event('claim.finishing', 'info', 'step 5: the medium is synced and the record says so'),
  event('claim.ended', 'warn', 'the claim came to nothing; `why`'),
  event('serving', 'info', 'this server owns the volume and answers clients'),
  event('deposed', 'warn', 'another server owns the volume now; nothing more is answered here'),
  event('door.open', 'info', 'clients can connect at the address of the volume'),
  event('door.failed', 'error', 'the address of the volume cannot be listened at; it is tried again'),
  event('address.up', 'info', "a volume's service address was brought to this machine"),
  event('address.down', 'info', "a volume's service address was taken away from this machine"),
  event('clients.woken', 'info', "clients of the address's last holder are made to find out that it is gone"),
  event('address.failed', 'warn', 'a service address could not be brought, taken away or announced; `why`'),
  event('handover.begin', 'info', 'another server asked for the volume: it is drained'),
  event('handover.agreed', 'info', 'the volume is handed over; clients wait, connected'),
  event('handover.given-up', 'warn', 'a handover came to nothing; this server serves on'),
  event('takeover.asked', 'info', 'the owner stops or is unfit and asks this server to take the volume'),
  event('loss', 'error', 'no provable copy is left: the volume stays down until `holdfast accept-loss`'),

  event(
    'partner.lost',
    'warn',
    'the partner does not confirm any more: no write is acknowledged until that is settled',
  ),
  event('partner.back', 'info', 'the partner is back before anything changed: the gap is sent'),
  event('swap.suspended', 'info', 'going on without a partner is swapped into the record'),
  event('swap.sole', 'info', 'going on with the own journal alone is swapped into the record'),
  event('swap.in-sync', 'info', 'the new partner is swapped into the record'),
  event('mirror.in-sync', 'info', 'the mirror is in sync: every acknowledged write is in two servers'),
  event('mirror.suspended', 'warn', 'there is no partner: the degraded policy of the volume holds'),
  event('mirror.sole', 'warn', 'there is no partner: only the own journal holds every acknowledged write'),
  event('resync.begin', 'info', 'a new copy is built in the partner'),
  event('resync.dropped', 'warn', 'building the copy was given up; it is tried again'),
  event('destaged', 'debug', 'operations up to `through` are on the synced medium'),

  event('nbd.listen', 'info', 'the door of a volume is open'),
  event('nbd.listen-wait', 'warn', 'the address of a volume is still held by somebody else on this machine'),
  event('nbd.connect', 'info', 'a client connected'),
  event('nbd.serve', 'info', 'a client has agreed on an export'),
  event('nbd.disconnect', 'info', 'a client is gone; `why`'),
  event('nbd.refuse', 'warn', 'a client was turned away or broke the protocol'),
  event('nbd.accept-error', 'warn', 'a connection could not be taken'),
  event('nbd.hold', 'info', 'requests are not read any more: a planned takeover'),
  event('nbd.close', 'info', 'the door of a volume is closed'),
  event('nfs.recover', 'info', 'requests that were begun and not answered before the door opened are settled'),
  event('nfs.listen', 'info', 'the door of a files volume is open'),
  event('nfs.listen-wait', 'warn', 'the address of a volume is still held by somebody else on this machine'),
  event('nfs.connect', 'info', 'a client connected'),
  event('nfs.mount', 'info', 'a client has mounted `path`'),
  event('nfs.unmount', 'info', 'a client says that it has unmounted `path`'),
  event('nfs.disconnect', 'info', 'a client is gone; `why`'),
  event('nfs.refuse', 'warn', 'a client was turned away or broke the protocol'),
  event('nfs.accept-error', 'warn', 'a connection could not be taken'),
  event('nfs.portmap', 'info', 'the volume was registered with the portmapper of this machine, or why it could not be'),
  event('nfs.hold', 'info', 'requests are not read any more: a planned takeover'),
  event('nfs.close', 'info', 'the door of a files volume is closed'),
];

const LEVELS: ReadonlyMap<string, Level> = new Map(EVENTS.map(({ event: name, level }) => [name, level]));

/** The level at which an event is logged. */
export function levelOf(name: string): Level {
  return LEVELS.get(name) ?? 'info';
}

/** The table of docs/operating.md. */
export function eventTable(): string {
  const rows = EVENTS.map(({ event: name, level, meaning }) => `| \`${name}\` | ${level} | ${meaning} |`);
  return ['| event | level | meaning |', '| --- | --- | --- |', ...rows].join('\n');
}

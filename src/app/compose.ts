/**
 * Puts one server together: lock, stores, media, coordinator, link, doors, and the core on top of them. Everything that
 * can be refused is refused here, before the server takes part in anything.
 */
import os from 'node:os';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';
import { incarnationOf } from '../base/names.ts';
import type { Incarnation, MediumId, ServerId, VolumeName } from '../base/names.ts';
import { Server } from '../core/server.ts';
import type { ServerControl } from '../core/server.ts';
import { OPERATIONS_AT_ONCE, type VolumeSettings } from '../core/settings.ts';
import { BootClock, RandomIds } from '../drivers/linux/boot-clock.ts';
import { BusyPoll } from '../drivers/linux/busy-poll.ts';
import { speedUpCrc32c } from '../drivers/linux/crc32c.ts';
import { shortenSlice } from '../drivers/linux/time-slice.ts';
import { TcpLink } from '../drivers/link/tcp-link.ts';
import { openJournal } from '../drivers/store/journal/open.ts';
import type { OpenedJournal } from '../drivers/store/journal/open.ts';
import { MemoryStore } from '../drivers/store/memory.ts';
import { LockWitness } from '../drivers/witness/lock-witness.ts';
import { ProcessFence } from '../drivers/witness/process-fence.ts';
import { ServerLock } from '../drivers/witness/server-lock.ts';
import type { Coordinator, ServerEntry, VolumeRecord } from '../ports/coordinator.ts';
import type { Medium } from '../ports/medium.ts';
import type { Store } from '../ports/store.ts';
import { FEATURES, MAX_VERSION, MIN_VERSION } from '../wire/link-conversation.ts';
import { addressMover, removeAddresses } from './addresses/hooks.ts';
import { MovingDoors } from './addresses/moving-doors.ts';
import { startAdmin } from './admin/server.ts';
import { checkCluster, checkOnlyOne } from './alone.ts';
import type { AdminServer } from './admin/server.ts';
import type { Config, ServerConfig, VolumeConfig } from './config/load.ts';
import { formatAddress, formatBytes } from './config/units.ts';
import { DoorsByType } from './doors.ts';
import { done, settled } from './exit.ts';
import { ServerFence } from './fence.ts';
import { readClusterKey } from './key.ts';
import { observerOf } from './log.ts';
import { tellSupervisor } from './supervisor/channel.ts';
import { AnyWitness, ReportedEnds } from './supervisor/reported-ends.ts';
import type { History } from './history.ts';
import { LateVolumes } from './late-volumes.ts';
import type { Reloaded } from './late-volumes.ts';
import type { Fields, Log } from './log.ts';
import { judge, lookAround } from './machine/virtual.ts';
import type { Judgement } from './machine/virtual.ts';
import { countStart, startOf } from './starts.ts';
import { makeCoordinator, Media } from './drivers.ts';

/** A server that is ready to start. */
export interface Composed {
  readonly control: ServerControl;
  /** Where it listens, for the log. */
  readonly facts: Fields;
  /** Reads the configuration file again: volumes that are new in it join. Throws a Fault when it has mistakes. */
  reload(): Promise<Reloaded>;
  /** Lets go of everything. Only after `control.stop`. */
  close(): Promise<void>;
}

/** How what was composed ends its own process. */
export interface ProcessEnds {
  /** A bug: at once. */
  readonly bug: (error: unknown) => void;
  /** The core is unfit for good and owns nothing any more: a fresh start may mend it. */
  readonly quit: (why: string) => void;
}

/** A volume of this server, with what the record says of it. */
interface Created {
  readonly config: VolumeConfig;
  readonly name: VolumeName;
  readonly mediumId: MediumId;
}

/**
 * Opens everything and probes what the protocol relies on. A Fault says what is refused and why; whatever was opened
 * by then ends with the process.
 */
export async function composeServer(
  config: Config,
  server: ServerConfig,
  { log, history }: { readonly log: Log; readonly history: History },
  ends: ProcessEnds,
): Promise<Composed> {
  const self = server.name as ServerId;
  shortenSlice();
  speedUpCrc32c();
  const key = readClusterKey(config.keyFile);
  makeStateDirectory(server.stateDirectory);
  const clock = new BootClock();
  const ids = new RandomIds();
  const coordinator = makeCoordinator(config, server.name, clock);
  const mine = config.volumes.filter((volume) => volume.servers.includes(server.name));
  if (mine.length === 0) throw new Fault('refused', `no volume in ${config.file} names the server "${server.name}"`);
  const records = await readRecords(coordinator, mine);
  const start = countStart(server.stateDirectory, await knownStarts(coordinator, self, records));
  const incarnation = incarnationOf(start, ids.draw());
  // Held until the process ends: nothing lets go of it but the kernel.
  const { ended } = await ServerLock.acquire(server.stateDirectory, self, incarnation, clock);
  history.keepIn(server.stateDirectory);
  await checkOnlyOne({ coordinator, self, ended, clock, entryMs: config.timings.entryMs });
  // Only now: its end proves that earlier ones have ended, too.
  tellSupervisor({ holdfast: 'alive', incarnation });
  await probe(log, { coordinator: config.coordinatorDirectory }, (settle) => coordinator.probe(settle));

  const created: Created[] = [];
  const missing: VolumeConfig[] = [];
  for (const { volume, record } of records) {
    if (record === null) {
      missing.push(volume);
      log.note('volume.missing', { volume: volume.name, create: `holdfast volume create ${volume.name}` });
    } else created.push({ config: volume, name: volume.name as VolumeName, mediumId: record.mediumId });
  }
  if (created.length === 0) {
    throw new Fault(
      'refused',
      `none of this server's volumes was ever created: \`holdfast volume create ${mine[0]?.name ?? ''}\``,
    );
  }
  const mediaOf = new Media(self, clock);
  const media = new Map<VolumeName, Medium>();
  const stores = new Map<VolumeName, Store>();
  const openVolume = async ({ config: wanted, mediumId, name }: Created): Promise<[Medium, Store]> => {
    const medium = mediaOf.of(wanted);
    await probe(log, { medium: wanted.medium.name, volume: name }, (settle) => medium.probe(mediumId, settle));
    return [medium, await openStore(wanted, server, { clock, ids, log })];
  };
  for (const volume of created) {
    const [medium, store] = await openVolume(volume);
    media.set(volume.name, medium);
    stores.set(volume.name, store);
  }
  await checkCluster(
    config,
    created.map((volume) => volume.config),
  );

  const link = new TcpLink({
    self,
    incarnation,
    clusterId: config.cluster,
    key,
    listen: server.link,
    peers: peersOf(config, server),
    protocol: { minVersion: MIN_VERSION, maxVersion: server.linkVersion ?? MAX_VERSION, features: FEATURES },
    clock,
    log: (level, event, fields) => log.note(event, fields, level),
    poll: new BusyPoll(server.busyPollMs, os.availableParallelism()),
  });
  const mover = addressMover(server);
  // What an earlier process of this server left behind when it was killed.
  if (mover !== null) {
    await removeAddresses(mover, mine, (volume, fault) =>
      log.note('address.failed', { volume: volume.name, why: fault.message }),
    );
  }
  const doors = new DoorsByType(
    created.map((volume) => volume.config),
    (event, fields) => log.note(event, fields),
  );
  const reported = new ReportedEnds([...link.peers.keys()]);
  const stateDirectories = stateDirectoriesBeside(config, server);
  const beside = new ProcessFence({
    stateDirectories,
    clock,
    killed: (victim, pid) => log.note('fence.killed', { victim, process: pid }),
  });
  const fence = new ServerFence({
    claimant: server.name,
    servers: config.servers,
    beside,
    acceptsLateIo: (volume) => mine.some(({ name, medium }) => name === volume && medium.acceptsLateIo),
    risked: (victim, volume, why) => log.note('fence.risked', { victim, volume, why }),
  });
  const moving =
    mover === null ? null : new MovingDoors(doors, mover, mine, (event, fields) => log.note(event, fields));
  const machine = judge(lookAround());
  const control = new Server(
    { self, incarnation, volumes: created.map((volume) => settingsOf(volume, machine)), timings: config.timings },
    {
      clock,
      ids,
      link,
      coordinator,
      media,
      stores,
      witness: new AnyWitness([new LockWitness(stateDirectories), reported]),
      fence,
      doors: moving ?? doors,
      observer: observerOf(log),
      quit: ends.quit,
    },
  );
  const late = new LateVolumes({
    config,
    server: server.name,
    coordinator,
    log,
    missing,
    join: async (volume, record) => {
      const joining = { config: volume, name: volume.name as VolumeName, mediumId: record.mediumId };
      const [medium, store] = await openVolume(joining);
      doors.add(volume);
      moving?.moves(volume);
      await done((settle) => control.add(settingsOf(joining, machine), medium, store, settle));
    },
  });
  const admin = await startAdmin({
    address: server.admin,
    cluster: config.cluster,
    clusterKey: key,
    control,
    ended: (peer, ended) => {
      const heard = reported.report(peer, ended);
      if (heard === 'new') log.note('peer.ended', { peer, incarnation: ended, by: 'its supervisor' });
      return heard !== 'unknown';
    },
    history,
    machine,
    reload: () => late.reload(),
    nowMs: () => clock.nowMs(),
    bug: ends.bug,
  });
  late.start();
  const close = (): Promise<void> => {
    late.close();
    return closeAll(admin, link);
  };
  return { control, facts: factsOf(server, incarnation, created), reload: () => late.reload(), close };
}

/**
 * What was said still leaves, and both addresses are free for the next start. The stores stay open until the process
 * ends: the core may still be using them, and what they have reported as stored outlives any end of it.
 */
async function closeAll(admin: AdminServer, link: TcpLink): Promise<void> {
  await admin.close();
  await new Promise<void>((resolve) => link.close(resolve));
}

function makeStateDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new Fault('refused', `the state directory ${directory} cannot be made: ${(error as Error).message}`, error);
  }
}

/** Runs one probe; its finding says what fails and why the server does not start. */
async function probe(log: Log, fields: Fields, run: (settle: (fault: Fault | null) => void) => void): Promise<void> {
  await done(run);
  log.note('probe.passed', fields);
}

interface Read {
  readonly volume: VolumeConfig;
  /** Null when the volume was never created. */
  readonly record: VolumeRecord | null;
}

async function readRecords(coordinator: Coordinator, volumes: readonly VolumeConfig[]): Promise<readonly Read[]> {
  const read: Read[] = [];
  for (const volume of volumes) {
    try {
      const record = await settled<VolumeRecord>((settle) => coordinator.read(volume.name as VolumeName, settle));
      read.push({ volume, record });
    } catch (error) {
      if (!(error instanceof Fault) || error.kind !== 'missing') throw error;
      read.push({ volume, record: null });
    }
  }
  return read;
}

/** The highest start of this server that the coordinator remembers, in its entry or in a record. */
async function knownStarts(coordinator: Coordinator, self: ServerId, records: readonly Read[]): Promise<number> {
  const seen: Incarnation[] = [];
  for (const { record } of records) {
    const holders = record === null ? [] : record.owner === null ? record.holders : [record.owner, ...record.holders];
    for (const holder of holders) if (holder.server === self) seen.push(holder.incarnation);
  }
  try {
    const entry = await settled<ServerEntry>((settle) => coordinator.readEntry(self, settle));
    seen.push(entry.incarnation);
  } catch (error) {
    if (!(error instanceof Fault) || error.kind !== 'missing') throw error;
  }
  return Math.max(0, ...seen.map(startOf));
}

async function openStore(
  volume: VolumeConfig,
  server: ServerConfig,
  { clock, ids, log }: { readonly clock: BootClock; readonly ids: RandomIds; readonly log: Log },
): Promise<Store> {
  if (volume.store === 'memory') {
    const store = new MemoryStore({ capacityBytes: volume.capacityBytes, clock, ids });
    log.note('store.opened', { volume: volume.name, kind: 'memory', store: store.id, operations: 0 });
    return store;
  }
  const opened = await settled<OpenedJournal>((settle) =>
    openJournal(
      {
        directory: join(server.stateDirectory, 'journals', volume.name),
        server: server.name as ServerId,
        volume: volume.name as VolumeName,
        capacityBytes: volume.capacityBytes,
        clock,
        ids,
        onDamage: 'set-aside',
        progress: progressOf(volume.name, log),
      },
      settle,
    ),
  );
  const { store, created, damage } = opened;
  if (damage !== null)
    log.note('store.damaged', { volume: volume.name, reason: damage.fault.message, aside: damage.aside });
  else if (created) log.note('store.created', { volume: volume.name, store: store.id });
  const { recovered } = store;
  log.note('store.opened', {
    volume: volume.name,
    kind: store.kind,
    store: store.id,
    operations: recovered?.operations.length ?? 0,
    tornBytes: recovered?.tornBytes ?? 0,
  });
  return store;
}

/** A new journal takes a disk's time for its whole size: it is told at once, and then every second or so. */
function progressOf(volume: string, log: Log): (writtenBytes: number, ofBytes: number) => void {
  let toldMs = Number.NEGATIVE_INFINITY;
  return (writtenBytes, ofBytes) => {
    if (performance.now() - toldMs < 1_000) return;
    toldMs = performance.now();
    log.note('store.making', { volume, written: formatBytes(writtenBytes), of: formatBytes(ofBytes) });
  };
}

function peersOf(config: Config, server: ServerConfig) {
  const others = config.servers.filter((other) => other.name !== server.name);
  return new Map(others.map((other) => [other.name as ServerId, { paths: other.link }]));
}

/** The state directories of the other servers on this machine. */
function stateDirectoriesBeside(config: Config, server: ServerConfig): ReadonlyMap<ServerId, string> {
  const beside = config.servers.filter((other) => other.name !== server.name && other.machine === server.machine);
  return new Map(beside.map((other) => [other.name as ServerId, other.stateDirectory]));
}

/** What the configuration leaves open follows from the machine: where a hypervisor can pause it, a lease proves nothing. */
function settingsOf(volume: Created, machine: Judgement): VolumeSettings {
  return {
    name: volume.name,
    servers: volume.config.servers as readonly ServerId[],
    mediumId: volume.mediumId,
    degraded: volume.config.degraded,
    reads: volume.config.reads ?? (machine.virtual ? 'confirmed' : 'leased'),
    giveback: volume.config.giveback,
    operationsAtOnce: OPERATIONS_AT_ONCE,
  };
}

function factsOf(server: ServerConfig, incarnation: Incarnation, volumes: readonly Created[]): Fields {
  return {
    pid: process.pid,
    incarnation,
    admin: formatAddress(server.admin),
    link: server.link.map(formatAddress).join(' '),
    volumes: volumes.map((volume) => `${volume.name}@${formatAddress(volume.config.address)}`).join(' '),
  };
}

/**
 * One server of the cluster: the whole of what is decided, on ports (docs/architecture.md). It watches the others,
 * keeps its entry and the records' readings going, and brings every message to the volume that it is about.
 */
import { assert, Fault } from '../base/fault.ts';
import type { Incarnation, ServerId, VolumeName } from '../base/names.ts';
import type { Clock, Ids } from '../ports/clock.ts';
import type { Coordinator } from '../ports/coordinator.ts';
import type { HeartbeatAckMessage, HeartbeatMessage, Link, LinkMessage, PathRef } from '../ports/link.ts';
import type { Medium } from '../ports/medium.ts';
import type { Store } from '../ports/store.ts';
import type { Doors, Fence, Observer, Witness } from '../ports/world.ts';
import { Clients } from './clients.ts';
import { Copy } from './copy.ts';
import { drain } from './drain.ts';
import type { DrainReport } from './drain.ts';
import { Health } from './health.ts';
import { Peers } from './peers.ts';
import { Replica } from './replica.ts';
import type { ReplicaWorld } from './replica.ts';
import { checkTimings } from './settings.ts';
import type { ServerSettings, VolumeSettings } from './settings.ts';
import { statusOf } from './status-of.ts';
import type { ServerStatus } from './status.ts';
import { Departure, offer } from './departure.ts';
import { Suspicion } from './suspicion.ts';

/** Everything a server is made of. The stores have been opened; all else starts with `start`. */
export interface ServerPorts {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly link: Link;
  readonly coordinator: Coordinator;
  readonly media: ReadonlyMap<VolumeName, Medium>;
  readonly stores: ReadonlyMap<VolumeName, Store>;
  readonly witness: Witness;
  readonly fence: Fence;
  readonly doors: Doors;
  readonly observer: Observer;
  /** Ends the process: it can no longer do its work and owns nothing any more. A supervisor starts it anew. */
  readonly quit: (why: string) => void;
}

/** How a planned change of owner ended. */
export interface HandoverReport {
  readonly volume: VolumeName;
  /** From the old owner's quiesce to the first moment the new one served, as the new one saw it; ms. */
  readonly pauseMs: number;
}

export interface ServerControl {
  /** Begins to take part: heartbeats, reading records, claiming what is this server's to claim. */
  start(): void;
  status(): ServerStatus;
  /** This server takes the volume from its owner by a planned takeover; `progress` is told each step. */
  takeover(
    volume: VolumeName,
    progress: (text: string) => void,
    done: (fault: Fault | null, report: HandoverReport | null) => void,
  ): void;
  /** Writes to the medium what the volume's owner, this server, has not written yet; `done` with how many bytes that were. */
  drain(
    volume: VolumeName,
    progress: (text: string) => void,
    done: (fault: Fault | null, report: DrainReport | null) => void,
  ): void;
  /** Takes part for one more volume, which was created since the start. `conflict` when it is there, or the server stops. */
  add(volume: VolumeSettings, medium: Medium, store: Store, done: (fault: Fault | null) => void): void;
  /** Accepts the named loss of a volume that no provable copy is left of; `conflict` when nothing is lost. */
  acceptLoss(volume: VolumeName, done: (fault: Fault | null) => void): void;
  /** Orderly stop: hands every volume over, or drains it; `done` when nothing is owned any more. */
  stop(done: () => void): void;
}

export class Server implements ServerControl {
  readonly #settings: ServerSettings;
  readonly #ports: ServerPorts;
  readonly #peers: Peers;
  readonly #replicas = new Map<VolumeName, Replica>();
  #entryCounter = 0;
  /** The newest entry that is known to be at the coordinator. */
  #entryWritten = 0;
  #entryOutSinceMs: number | null = null;
  /** What failed for good: this server must not own volumes any more. */
  #broken: string | null = null;
  readonly #world: ReplicaWorld;
  readonly #health: Health;
  readonly #clients: Clients;
  /** As it was at the last heartbeat, for the log. */
  #wasUnfit: string | null = null;
  #departure: Departure | null = null;
  #offeredMs = Number.NEGATIVE_INFINITY;
  /** Stopped in order: nothing that still arrives matters any more. */
  #over = false;

  constructor(settings: ServerSettings, ports: ServerPorts) {
    checkTimings(settings.timings);
    this.#settings = settings;
    this.#ports = ports;
    const { clock, ids, link, coordinator, fence, doors, observer, witness } = ports;
    const { self, incarnation, timings } = settings;
    this.#peers = new Peers(self, link, clock, coordinator, timings, observer, {
      changed: (peer) => this.#each((replica) => replica.peerChanged(peer)),
      rerouted: (peer) => this.#each((replica) => replica.tenure?.partnership.rerouted(peer)),
      message: (from, of, at, message) => this.#message(from, of, at, message),
    });
    this.#health = new Health(coordinator, clock, timings);
    this.#clients = new Clients(doors, this.#peers, clock);
    this.#world = {
      self: { server: self, incarnation },
      timings,
      clock,
      ids,
      coordinator,
      peers: this.#peers,
      suspicion: new Suspicion(this.#peers, witness),
      fence,
      doors,
      observer,
      unfit: () => this.#unfit,
      beatTo: (peer) => this.#peers.send(peer, this.#heartbeatTo(peer)),
      probedOfLate: (replica) => this.#health.fresh(replica),
      probedSince: (replica, sinceMs) => this.#health.soundSince(replica, sinceMs),
      stopping: () => (this.#departure === null ? 'no' : this.#departure.patient ? 'soon' : 'now'),
      mediumFailed: (volume, fault) => observer.note('medium.failed', volume, { why: fault.message }),
    };
    for (const volume of settings.volumes) {
      const medium = ports.media.get(volume.name);
      const store = ports.stores.get(volume.name);
      assert(medium !== undefined && store !== undefined, 'every volume has its medium and its store');
      this.#add(volume, medium, store);
    }
  }

  #add(volume: VolumeSettings, medium: Medium, store: Store): Replica {
    const copy = new Copy(store, (fault) => this.#storeFailed(volume.name, fault));
    const replica = new Replica(this.#world, volume, medium, copy);
    this.#replicas.set(volume.name, replica);
    this.#health.watch(replica);
    return replica;
  }

  /** Why this server must not own volumes; null while it is fit. */
  get #unfit(): string | null {
    return this.#broken ?? this.#health.why();
  }

  start(): void {
    const { timings } = this.#settings;
    this.#ports.observer.note('server.start', null, { incarnation: this.#settings.incarnation });
    this.#every(timings.heartbeatMs, () => this.#beat());
    this.#every(timings.entryMs, () => this.#writeEntry());
    this.#every(timings.entryMs, () => this.#peers.readEntries());
    this.#every(timings.pollMs, () => this.#each((replica) => replica.register.read()));
  }

  #every(paceMs: number, run: () => void): void {
    if (this.#over) return;
    run();
    this.#ports.clock.after(paceMs, () => this.#every(paceMs, run));
  }

  #each(run: (replica: Replica) => void): void {
    for (const replica of this.#replicas.values()) run(replica);
  }

  // ---- heartbeats and the entry ---------------------------------------------------------------------------------------

  #beat(): void {
    this.#peers.tick();
    for (const peer of this.#peers.servers) this.#peers.sendOnEvery(peer, this.#heartbeatTo(peer));
    this.#health.tick();
    const unfit = this.#unfit;
    this.#tellUnfit(unfit);
    this.#each((replica) => replica.tick());
    this.#clients.tick(this.#replicas.values());
    if (this.#departure === null && unfit !== null) this.#offerAll(unfit);
    this.#departure?.tick();
  }

  /** Its own I/O failed, or works again: in the log, and as what was found last of every volume that it owns. */
  #tellUnfit(unfit: string | null): void {
    if ((unfit === null) === (this.#wasUnfit === null)) return;
    this.#wasUnfit = unfit;
    if (unfit === null) return this.#ports.observer.note('server.fit', null, {});
    this.#ports.observer.note('server.unfit', null, { detector: 'io', why: unfit });
    this.#each((replica) => {
      if (replica.tenure !== null) replica.found({ detector: 'io', why: unfit });
    });
  }

  #heartbeatTo(peer: ServerId): HeartbeatMessage {
    const volumes = [...this.#replicas.values()].flatMap((r) => r.tenure?.partnership.heartbeatTo(peer) ?? []);
    return {
      type: 'heartbeat',
      sentAtMs: this.#ports.clock.nowMs(),
      unfit: this.#unfit,
      entry: this.#entryWritten,
      volumes,
    };
  }

  /** One writing at a time, unless one hangs: two on their way could land in the wrong order. */
  #writeEntry(): void {
    const nowMs = this.#ports.clock.nowMs();
    if (this.#entryOutSinceMs !== null && nowMs - this.#entryOutSinceMs < this.#settings.timings.coordinatorMs) return;
    this.#entryOutSinceMs = nowMs;
    this.#entryCounter += 1;
    const { self, incarnation } = this.#settings;
    const entry = { server: self, incarnation, counter: this.#entryCounter, unfit: this.#unfit };
    this.#ports.coordinator.writeEntry(entry, (fault) => {
      if (this.#entryOutSinceMs === nowMs) this.#entryOutSinceMs = null;
      if (fault === null) this.#entryWritten = Math.max(this.#entryWritten, entry.counter);
    });
  }

  #storeFailed(volume: VolumeName, fault: Fault): void {
    this.#ports.observer.note('store.failed', volume, { why: fault.message });
    if (this.#broken !== null) return;
    this.#broken = `the store of ${volume} failed: ${fault.message}`;
    // Nothing of this process can be relied on to last: others take its volumes, and it starts anew.
    const why = this.#broken;
    this.#depart(true).whenDone(() => this.#ports.quit(why));
  }

  #depart(unfit: boolean): Departure {
    this.#departure ??= new Departure(
      [...this.#replicas.values()],
      this.#peers,
      this.#ports.clock,
      this.#settings.timings,
    );
    if (unfit) this.#departure.cannotDrain();
    return this.#departure;
  }

  /** Its own I/O fails: asks the others to take what it owns, at the pace of a retry. */
  #offerAll(why: string): void {
    const nowMs = this.#ports.clock.nowMs();
    if (nowMs - this.#offeredMs < this.#settings.timings.retryMs) return;
    this.#offeredMs = nowMs;
    this.#each((replica) => {
      if (replica.brake.handover() === null) offer(replica, this.#peers, why);
    });
  }

  // ---- messages -------------------------------------------------------------------------------------------------------

  #message(from: ServerId, incarnation: Incarnation, at: PathRef, message: LinkMessage): void {
    if (this.#over) return;
    if (message.type === 'heartbeat') return this.#heartbeat(from, incarnation, at, message);
    if (message.type === 'heartbeat-ack') return this.#heartbeatAck(from, incarnation, message);
    const replica = this.#replicas.get(message.volume);
    if (replica === undefined) return;
    switch (message.type) {
      case 'mirror':
        return replica.partner.mirror(from, message);
      case 'stored':
        return replica.tenure?.epoch === message.epoch
          ? replica.tenure.partnership.position(from, incarnation, message.generation, message, message.gap)
          : undefined;
      case 'release':
        return replica.partner.release(from, message);
      case 'resync-begin':
        return replica.partner.resyncBegin(from, incarnation, message);
      case 'resync-ready':
        return replica.tenure?.epoch === message.epoch
          ? replica.tenure.partnership.ready(from, incarnation, message)
          : undefined;
      case 'resync-seal':
        return replica.partner.resyncSeal(from, message);
      case 'resync-sealed':
        return replica.tenure?.epoch === message.epoch
          ? replica.tenure.partnership.sealed(from, incarnation, message)
          : undefined;
      case 'tail-ask':
        return replica.partner.tail(from, message);
      case 'tail':
        replica.loss.tail(from, message);
        return replica.claim?.gather?.tail(message);
      case 'handover-ask':
        return replica.planned.handoverAsked(from, message);
      case 'handover-answer':
        return replica.planned.takeoverAnswer(from, message);
      case 'take-please':
        return this.#takePlease(replica, from, message.why);
      case 'serving':
        return replica.planned.servingElsewhere(message.epoch);
      case 'clients':
        return this.#ports.doors.clientsElsewhere?.(message.volume, message.epoch, message.clients);
    }
  }

  #heartbeat(from: ServerId, incarnation: Incarnation, at: PathRef, message: HeartbeatMessage): void {
    this.#peers.heardBeat(from, message.unfit, message.entry);
    const grants = message.volumes.flatMap((line) => {
      const replica = this.#replicas.get(line.volume);
      return replica === undefined ? [] : [replica.partner.answer(from, incarnation, line)];
    });
    this.#peers.sendOn(at, { type: 'heartbeat-ack', sentAtMs: message.sentAtMs, grants });
  }

  #heartbeatAck(from: ServerId, incarnation: Incarnation, message: HeartbeatAckMessage): void {
    for (const line of message.grants)
      this.#replicas.get(line.volume)?.granted(from, incarnation, message.sentAtMs, line);
  }

  /** Another server stops or is unfit and asks this one to take the volume. */
  #takePlease(replica: Replica, from: ServerId, why: string): void {
    if (this.#departure !== null || replica.planned.takeover !== null || replica.tenure !== null) return;
    if (replica.register.known?.owner?.server !== from) return;
    const detector = this.#peers.unfit(from) === null ? null : 'io';
    if (detector === 'io' && !this.#health.passesForUnfit(replica)) return;
    this.#ports.observer.note('takeover.asked', replica.volume, { from, detector, why });
    replica.found({ detector, why: `${from} is unfit: ${why}` });
    replica.planned.take({ progress: () => undefined, done: () => undefined });
  }

  // ---- control --------------------------------------------------------------------------------------------------------

  status(): ServerStatus {
    return {
      server: this.#settings.self,
      incarnation: this.#settings.incarnation,
      unfit: this.#unfit,
      stopping: this.#departure !== null,
      peers: this.#peers.status(),
      volumes: [...this.#replicas.values()].map((replica) => statusOf(replica)),
    };
  }

  takeover(
    volume: VolumeName,
    progress: (text: string) => void,
    done: (fault: Fault | null, report: HandoverReport | null) => void,
  ): void {
    this.#replica(volume).planned.take({ progress, done });
  }

  drain(
    volume: VolumeName,
    progress: (text: string) => void,
    done: (fault: Fault | null, report: DrainReport | null) => void,
  ): void {
    drain(this.#replica(volume), progress, done);
  }

  add(volume: VolumeSettings, medium: Medium, store: Store, done: (fault: Fault | null) => void): void {
    if (this.#replicas.has(volume.name))
      return done(new Fault('conflict', `this server takes part for the volume "${volume.name}" already`));
    if (this.#over || this.#departure !== null) return done(new Fault('conflict', 'this server stops'));
    this.#add(volume, medium, store).register.read();
    done(null);
  }

  acceptLoss(volume: VolumeName, done: (fault: Fault | null) => void): void {
    this.#replica(volume).loss.accept(done);
  }

  stop(done: () => void): void {
    this.#depart(false).whenDone(() => {
      this.#over = true;
      done();
    });
  }

  #replica(volume: VolumeName): Replica {
    const replica = this.#replicas.get(volume);
    assert(replica !== undefined, `volume ${volume} is configured`);
    return replica;
  }
}

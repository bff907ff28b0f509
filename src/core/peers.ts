/**
 * The other servers, as seen from here: which paths carry, who is alive, whose coordinator entry moves (design section
 * 7, detectors a and b). One failed path is a warning; traffic moves to the other one.
 */
import type { Incarnation, ServerId } from '../base/names.ts';
import type { Clock } from '../ports/clock.ts';
import type { Coordinator, ServerEntry } from '../ports/coordinator.ts';
import type { Link, LinkMessage, PathRef } from '../ports/link.ts';
import type { Observer } from '../ports/world.ts';
import type { Timings } from './settings.ts';
import type { PathStatus, PeerStatus } from './status.ts';

const NO_ENTRY = { incarnation: '' as Incarnation, counter: -1, unfit: null };

interface Path {
  up: boolean;
  /** When something was heard on it last; when this server began to watch, before that. */
  heardAtMs: number;
  everHeard: boolean;
  lastError: string | null;
}

interface Entry {
  incarnation: Incarnation;
  counter: number;
  unfit: string | null;
  /** When this counter was first seen. */
  seenAtMs: number;
  /** When the newest successful read that showed it was issued. */
  confirmedAtMs: number;
}

interface Peer {
  readonly server: ServerId;
  readonly paths: Path[];
  /** The newest incarnation that connected. */
  incarnation: Incarnation | null;
  unfit: string | null;
  entry: Entry | null;
  /** When the read of its entry that is out was issued; null when none is. */
  readSinceMs: number | null;
  /** What the peer last said to have written, and when that was heard. */
  told: { readonly incarnation: Incarnation | null; readonly counter: number; readonly atMs: number } | null;
  /** The newest read of its entry showed less than it had said before. */
  stale: string | null;
  wasAlive: boolean;
}

export interface PeerEvents {
  /** Something that matters to a decision changed: a path, an incarnation, fitness. */
  changed(peer: ServerId): void;
  /** A path came or went: what was on its way to the peer may be lost. */
  rerouted(peer: ServerId): void;
  message(from: ServerId, incarnation: Incarnation, at: PathRef, message: LinkMessage): void;
}

export class Peers {
  readonly #self: ServerId;
  readonly #link: Link;
  readonly #clock: Clock;
  readonly #coordinator: Coordinator;
  readonly #timings: Timings;
  readonly #observer: Observer;
  readonly #events: PeerEvents;
  readonly #peers = new Map<ServerId, Peer>();

  constructor(
    self: ServerId,
    link: Link,
    clock: Clock,
    coordinator: Coordinator,
    timings: Timings,
    observer: Observer,
    events: PeerEvents,
  ) {
    this.#self = self;
    this.#link = link;
    this.#clock = clock;
    this.#coordinator = coordinator;
    this.#timings = timings;
    this.#observer = observer;
    this.#events = events;
    for (const [server, { paths }] of link.peers) {
      const path = (): Path => ({ up: false, heardAtMs: clock.nowMs(), everHeard: false, lastError: null });
      this.#peers.set(server, {
        server,
        paths: Array.from({ length: paths }, path),
        incarnation: null,
        unfit: null,
        entry: null,
        readSinceMs: null,
        told: null,
        stale: null,
        wasAlive: false,
      });
    }
    link.listen({
      up: (at, incarnation) => this.#up(at, incarnation),
      down: (at, reason, detail) => this.#down(at, reason, detail),
      message: (at, incarnation, message) => this.#message(at, incarnation, message),
    });
  }

  get servers(): IterableIterator<ServerId> {
    return this.#peers.keys();
  }

  /** The newest incarnation that connected or wrote the peer's entry: all earlier ones have ended. Null: none is known. */
  latest(server: ServerId): Incarnation | null {
    const peer = this.#peers.get(server);
    const entry = peer?.entry?.incarnation ?? ('' as Incarnation);
    const linked = peer?.incarnation ?? ('' as Incarnation);
    return (entry > linked ? entry : linked) || null;
  }

  /** The newest incarnation of the peer that connected to this one; null when none has. */
  incarnation(server: ServerId): Incarnation | null {
    return this.#peers.get(server)?.incarnation ?? null;
  }

  /** Some path carried something of late. */
  alive(server: ServerId): boolean {
    const peer = this.#peers.get(server);
    return peer !== undefined && this.#carrying(peer) !== null;
  }

  /** Every path is silent and has been for long enough to suspect its server. */
  silent(server: ServerId): boolean {
    const peer = this.#peers.get(server);
    if (peer === undefined) return true;
    const nowMs = this.#clock.nowMs();
    return peer.paths.every((path) => nowMs - path.heardAtMs >= this.#timings.silentMs);
  }

  /** No path is up: connections were closed or refused. Reason to ask for proof, never proof itself. */
  disconnected(server: ServerId): boolean {
    return this.#peers.get(server)?.paths.every((path) => !path.up) ?? true;
  }

  /** Why the peer declares itself unfit, over the link or in its entry; null when it does not. */
  unfit(server: ServerId): string | null {
    const peer = this.#peers.get(server);
    if (peer === undefined) return null;
    const current = peer.incarnation === null || peer.entry?.incarnation === peer.incarnation;
    return peer.unfit ?? (current ? (peer.entry?.unfit ?? null) : null);
  }

  /**
   * The entry has not moved for `entryStallMs` of this server's clock although the coordinator could be read: a read
   * issued at the end of that time showed what had been seen at its beginning.
   */
  entryStandsStill(server: ServerId): boolean {
    const entry = this.#peers.get(server)?.entry;
    return entry != null && entry.confirmedAtMs - entry.seenAtMs >= this.#timings.entryStallMs;
  }

  /** That process's entry was seen to move of late. */
  entryMoves(server: ServerId, incarnation: Incarnation): boolean {
    return this.#peers.get(server)?.entry?.incarnation === incarnation && !this.entryStandsStill(server);
  }

  /** Sends on the path that this direction's data prefers, or another that carries. False when none does. */
  send(server: ServerId, message: LinkMessage): boolean {
    const peer = this.#peers.get(server);
    if (peer === undefined) return false;
    const path = this.#carrying(peer);
    return path !== null && this.#link.send({ peer: server, path }, message);
  }

  sendOn(at: PathRef, message: LinkMessage): void {
    this.#link.send(at, message);
  }

  sendOnEvery(server: ServerId, message: LinkMessage): void {
    const paths = this.#peers.get(server)?.paths ?? [];
    for (let path = 0; path < paths.length; path += 1) this.#link.send({ peer: server, path }, message);
  }

  /** A heartbeat: what its sender says of itself, and of the entry that it has written. */
  heardBeat(server: ServerId, unfit: string | null, entryCounter: number): void {
    const peer = this.#peers.get(server);
    if (peer === undefined) return;
    peer.told = { incarnation: peer.incarnation, counter: entryCounter, atMs: this.#clock.nowMs() };
    if (peer.unfit === unfit) return;
    peer.unfit = unfit;
    this.#observer.note(unfit === null ? 'peer.fit' : 'peer.unfit', null, { peer: server, why: unfit });
    this.#events.changed(server);
  }

  /**
   * Why the coordinator cannot be believed: a read of it showed less than what a peer had written there before the read
   * was issued. Null while every read is fresh. (Design section 4, "Looking before leaping"; trap T27.)
   */
  get staleCoordinator(): string | null {
    for (const peer of this.#peers.values()) if (peer.stale !== null) return peer.stale;
    return null;
  }

  /** Once per heartbeat: drops paths that have gone silent and tells who is no longer alive. */
  tick(): void {
    const nowMs = this.#clock.nowMs();
    for (const peer of this.#peers.values()) {
      peer.paths.forEach((path, index) => {
        if (!path.up || nowMs - path.heardAtMs < this.#timings.silentMs) return;
        this.#link.drop({ peer: peer.server, path: index }, `silent for ${this.#timings.silentMs} ms`);
      });
      this.#judge(peer);
    }
  }

  /** Reads every peer's entry. A read that hangs is not waited for beyond its deadline. */
  readEntries(): void {
    const issuedAtMs = this.#clock.nowMs();
    for (const peer of this.#peers.values()) {
      if (peer.readSinceMs !== null && issuedAtMs - peer.readSinceMs < this.#timings.coordinatorMs) continue;
      peer.readSinceMs = issuedAtMs;
      const { told } = peer;
      this.#coordinator.readEntry(peer.server, (fault, entry) => {
        if (peer.readSinceMs === issuedAtMs) peer.readSinceMs = null;
        // A server that never wrote an entry stands as still as one that stopped writing.
        if (entry !== null) {
          this.#compare(peer, told, entry);
          this.#sawEntry(peer, entry, issuedAtMs);
        } else if (fault?.kind === 'missing') this.#sawEntry(peer, NO_ENTRY, issuedAtMs);
      });
    }
  }

  /** `told` was heard before the read was issued: a fresh read shows at least that. */
  #compare(peer: Peer, told: Peer['told'], entry: ServerEntry): void {
    const fresh = told === null || told.incarnation !== entry.incarnation || entry.counter >= told.counter;
    const stale = fresh
      ? null
      : `the coordinator showed entry ${entry.counter} of ${peer.server}, which had written ${told.counter}`;
    if (stale !== null && peer.stale === null) this.#observer.note('coordinator.stale', null, { why: stale });
    peer.stale = stale;
  }

  #sawEntry(peer: Peer, entry: Pick<ServerEntry, 'incarnation' | 'counter' | 'unfit'>, issuedAtMs: number): void {
    const known = peer.entry;
    // A writing of an earlier process that landed late.
    if (known !== null && entry.incarnation < known.incarnation) return;
    if (known !== null && known.incarnation === entry.incarnation && known.counter === entry.counter) {
      known.confirmedAtMs = Math.max(known.confirmedAtMs, issuedAtMs);
    } else {
      const { incarnation, counter, unfit } = entry;
      peer.entry = { incarnation, counter, unfit, seenAtMs: this.#clock.nowMs(), confirmedAtMs: issuedAtMs };
    }
    this.#events.changed(peer.server);
  }

  status(): PeerStatus[] {
    const nowMs = this.#clock.nowMs();
    return [...this.#peers.values()].map((peer) => ({
      server: peer.server,
      alive: this.#carrying(peer) !== null,
      unfit: this.unfit(peer.server),
      entryMoves: peer.entry === null ? null : !this.entryStandsStill(peer.server),
      paths: peer.paths.map((path, index): PathStatus => ({
        path: index,
        up: path.up,
        heardMsAgo: path.everHeard ? nowMs - path.heardAtMs : null,
        lastError: path.lastError,
      })),
    }));
  }

  /** The path to use: one direction's data prefers path 0 and the other's path 1, so each normally has its own. */
  #carrying(peer: Peer): number | null {
    const nowMs = this.#clock.nowMs();
    const count = peer.paths.length;
    const preferred = this.#self < peer.server ? 0 : 1;
    for (let i = 0; i < count; i += 1) {
      const index = (preferred + i) % count;
      const path = peer.paths[index];
      if (path?.up && nowMs - path.heardAtMs < this.#timings.silentMs) return index;
    }
    return null;
  }

  #up(at: PathRef, incarnation: Incarnation): void {
    const peer = this.#peers.get(at.peer);
    const path = peer?.paths[at.path];
    if (peer === undefined || path === undefined) return;
    // Late bytes of a process that has ended since.
    if (peer.incarnation !== null && incarnation < peer.incarnation)
      return this.#link.drop(at, 'an earlier incarnation than the one known');
    path.up = true;
    path.heardAtMs = this.#clock.nowMs();
    path.everHeard = true;
    path.lastError = null;
    if (peer.incarnation !== incarnation) {
      peer.incarnation = incarnation;
      peer.unfit = null;
    }
    this.#observer.note('path.up', null, { peer: at.peer, path: at.path, incarnation });
    this.#judge(peer);
    this.#events.rerouted(at.peer);
  }

  #down(at: PathRef, reason: string, detail: string): void {
    const peer = this.#peers.get(at.peer);
    const path = peer?.paths[at.path];
    if (peer === undefined || path === undefined) return;
    const wasUp = path.up;
    path.up = false;
    path.lastError = detail === '' ? reason : `${reason}: ${detail}`;
    if (wasUp) this.#observer.note('path.down', null, { peer: at.peer, path: at.path, reason, detail });
    this.#judge(peer);
    if (wasUp) this.#events.rerouted(at.peer);
    else if (reason === 'refused') this.#events.changed(at.peer);
  }

  #message(at: PathRef, incarnation: Incarnation, message: LinkMessage): void {
    const peer = this.#peers.get(at.peer);
    const path = peer?.paths[at.path];
    // What an earlier incarnation sent speaks of stores and promises that ended with it (trap T13).
    if (peer === undefined || path === undefined || peer.incarnation !== incarnation) return;
    path.heardAtMs = this.#clock.nowMs();
    path.everHeard = true;
    if (!peer.wasAlive) this.#judge(peer);
    this.#events.message(at.peer, incarnation, at, message);
  }

  #judge(peer: Peer): void {
    const alive = this.#carrying(peer) !== null;
    if (alive === peer.wasAlive) return;
    peer.wasAlive = alive;
    this.#observer.note(alive ? 'peer.alive' : 'peer.lost', null, { peer: peer.server });
    this.#events.changed(peer.server);
  }
}

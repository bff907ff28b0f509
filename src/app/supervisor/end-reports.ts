/**
 * A supervisor's reports: tells every other server which incarnations of its own have ended, over the admin HTTP, proven
 * with the cluster's key. Each peer is told until it has answered, or until a later incarnation takes part in the
 * cluster, which proves as much.
 */
import type { Incarnation } from '../../base/names.ts';
import { AdminClient } from '../admin/client.ts';
import type { Config, ServerConfig } from '../config/load.ts';
import type { Log } from '../log.ts';

/** Longest wait for one peer's answer, ms. */
const ANSWER_MS = 1_000;
/** Pauses between attempts, ms: they double from the first to the last. */
const FIRST_PAUSE_MS = 100;
const MOST_PAUSE_MS = 2_000;
/** Ends that one peer is still to be told of; the oldest is dropped beyond that, and costs a wait. */
const MOST_PENDING = 16;

interface Peer {
  readonly name: string;
  readonly client: AdminClient;
  pending: Incarnation[];
  pauseMs: number;
  retry: NodeJS.Timeout | null;
  telling: boolean;
}

export class EndReports {
  readonly #self: string;
  readonly #log: Log;
  readonly #peers: readonly Peer[];
  #waiting: (() => void)[] = [];

  constructor(config: Config, server: ServerConfig, key: Buffer, log: Log) {
    this.#self = server.name;
    this.#log = log;
    this.#peers = config.servers
      .filter((other) => other.name !== server.name)
      .map((other) => ({
        name: other.name,
        client: new AdminClient(other.admin, key, ANSWER_MS),
        pending: [],
        pauseMs: FIRST_PAUSE_MS,
        retry: null,
        telling: false,
      }));
  }

  /** That incarnation has ended, for certain. */
  ended(incarnation: Incarnation): void {
    for (const peer of this.#peers) {
      peer.pending = [...peer.pending, incarnation].slice(-MOST_PENDING);
      peer.pauseMs = FIRST_PAUSE_MS;
      if (peer.retry !== null) clearTimeout(peer.retry);
      peer.retry = null;
      this.#tell(peer);
    }
  }

  /** A later incarnation takes part: nobody needs to be told of the earlier ones any more. */
  superseded(): void {
    for (const peer of this.#peers) {
      peer.pending = [];
      if (peer.retry !== null) clearTimeout(peer.retry);
      peer.retry = null;
    }
    this.#wake();
  }

  /** Resolves when every peer was told, or after `mostMs`. */
  flushed(mostMs: number): Promise<void> {
    if (this.#peers.every((peer) => peer.pending.length === 0)) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, mostMs);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #tell(peer: Peer): void {
    if (peer.telling || peer.pending.length === 0) return;
    peer.telling = true;
    const telling = peer.pending;
    peer.client.reportEnds(this.#self, telling).then(
      () => {
        peer.telling = false;
        peer.pending = peer.pending.filter((incarnation) => !telling.includes(incarnation));
        this.#log.note('supervisor.reported', { to: peer.name, incarnation: telling.at(-1) ?? '' });
        this.#wake();
        this.#tell(peer);
      },
      (error: unknown) => {
        peer.telling = false;
        if (peer.pending.length === 0) return;
        this.#log.note('supervisor.report-failed', { to: peer.name, why: (error as Error).message });
        peer.retry = setTimeout(() => {
          peer.retry = null;
          this.#tell(peer);
        }, peer.pauseMs);
        peer.pauseMs = Math.min(2 * peer.pauseMs, MOST_PAUSE_MS);
      },
    );
  }

  #wake(): void {
    if (this.#peers.some((peer) => peer.pending.length > 0)) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

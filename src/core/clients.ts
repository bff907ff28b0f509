/**
 * Tells the other servers which clients are connected, where service addresses move: when this server falls silent with
 * its whole machine, nobody is left to reset its connections, and whoever takes an address over does it (docs/failures.md).
 * Lists are told when they change and again now and then; what was told last counts, whenever it was.
 */
import type { VolumeName } from '../base/names.ts';
import type { Clock } from '../ports/clock.ts';
import type { Doors } from '../ports/world.ts';
import type { Peers } from './peers.ts';
import type { Replica } from './replica.ts';

/** Clients of one volume that are told of, as many as one message takes; any beyond find out by themselves. */
const MOST_CLIENTS_TOLD = 512;
/** A list that did not change is told again after so long: for servers that were started since. */
const AGAIN_MS = 2_000;

interface Told {
  readonly words: string;
  readonly atMs: number;
}

export class Clients {
  readonly #doors: Doors;
  readonly #peers: Peers;
  readonly #clock: Clock;
  readonly #told = new Map<VolumeName, Told>();

  constructor(doors: Doors, peers: Peers, clock: Clock) {
    this.#doors = doors;
    this.#peers = peers;
    this.#clock = clock;
  }

  /** Once per heartbeat. */
  tick(replicas: Iterable<Replica>): void {
    // Doors that wake nobody up are doors whose addresses do not move.
    if (this.#doors.clients === undefined || this.#doors.clientsElsewhere === undefined) return;
    for (const replica of replicas) {
      if (replica.serving) this.#tell(replica, this.#doors.clients(replica.volume));
      else this.#told.delete(replica.volume);
    }
  }

  #tell({ volume, tenure, settings, self }: Replica, connected: readonly string[]): void {
    if (tenure === null) return;
    const clients = connected.slice(0, MOST_CLIENTS_TOLD);
    const words = clients.join();
    const nowMs = this.#clock.nowMs();
    const last = this.#told.get(volume);
    if (last !== undefined && last.words === words && nowMs - last.atMs < AGAIN_MS) return;
    this.#told.set(volume, { words, atMs: nowMs });
    for (const server of settings.servers)
      if (server !== self.server) this.#peers.send(server, { type: 'clients', volume, epoch: tenure.epoch, clients });
  }
}

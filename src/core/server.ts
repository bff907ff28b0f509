/**
 * One server of the cluster: the whole of what is decided, on ports (docs/architecture.md).
 */
import type { Fault } from '../base/fault.ts';
import type { VolumeName } from '../base/names.ts';
import type { Clock, Ids } from '../ports/clock.ts';
import type { Coordinator } from '../ports/coordinator.ts';
import type { Link } from '../ports/link.ts';
import type { Medium } from '../ports/medium.ts';
import type { Store } from '../ports/store.ts';
import type { Doors, Fence, Observer, Witness } from '../ports/world.ts';
import type { ServerSettings } from './settings.ts';
import type { ServerStatus } from './status.ts';

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
  /** Accepts the named loss of a volume that no provable copy is left of; `conflict` when nothing is lost. */
  acceptLoss(volume: VolumeName, done: (fault: Fault | null) => void): void;
  /** Orderly stop: hands every volume over, or drains it; `done` when nothing is owned any more. */
  stop(done: () => void): void;
}

/**
 * What the core is told at its start: who it is, its volumes, its deadlines. Relations between the deadlines are
 * asserted when a server is made, so that no configuration can weaken the protocol.
 */
import { assert } from '../base/fault.ts';
import type { Incarnation, MediumId, ServerId, VolumeName } from '../base/names.ts';

/** All in milliseconds but where the name says otherwise. */
export interface Timings {
  /** Pace of heartbeats on every path. */
  readonly heartbeatMs: number;
  /** A path that carried nothing for so long is silent. At least 3 heartbeats. */
  readonly silentMs: number;
  /** Pace of writing one's entry at the coordinator. */
  readonly entryMs: number;
  /** An entry that did not move for so long, while the coordinator could be read, stands still. At least 3 entry paces. */
  readonly entryStallMs: number;
  /** Pace of reading every volume's record. */
  readonly pollMs: number;
  /** How long a grant lasts, by the grantee's clock. At least 4 polls. */
  readonly leaseMs: number;
  /** Two servers' clocks run apart by at most this fraction. */
  readonly driftFraction: number;
  /** An operation that the partner has not confirmed for so long means that the partner is lost. */
  readonly confirmMs: number;
  /** A coordinator call that has not returned for so long has an unknown outcome. */
  readonly coordinatorMs: number;
  /** How long a claimant waits for the other holder of a source store. */
  readonly sourceMs: number;
  /** An operation is destaged when it is so old, or earlier when there is need. */
  readonly destageMs: number;
  /** How long a server that is not the preferred owner leaves an unowned volume to those before it, per place in the list. */
  readonly yieldMs: number;
  /** A handover that has not come so far is given up by the asker. */
  readonly handoverMs: number;
  /** Pace of probing the own paths to the media and the coordinator. */
  readonly probeMs: number;
  /** A probe or a store that does not answer for so long makes this server unfit. */
  readonly ioMs: number;
  /** Pause before a failed step (claim, resync, I/O) is tried again. */
  readonly retryMs: number;
}

export const DEFAULT_TIMINGS: Timings = {
  heartbeatMs: 50,
  silentMs: 500,
  entryMs: 100,
  entryStallMs: 600,
  pollMs: 100,
  leaseMs: 1_000,
  driftFraction: 0.01,
  confirmMs: 1_000,
  coordinatorMs: 2_000,
  sourceMs: 2_000,
  destageMs: 400,
  yieldMs: 2_000,
  handoverMs: 15_000,
  probeMs: 2_000,
  ioMs: 3_000,
  retryMs: 200,
};

/** What the volume does when it has lost its partner (docs/durability.md). */
export type DegradedPolicy = 'write-through' | 'journal' | 'stop';

/**
 * - `leased`    a grant not older than the lease
 * - `confirmed` a grant that was asked for after the data were gathered: for machines whose clock a hypervisor can stop
 */
export type ReadPolicy = 'leased' | 'confirmed';

export interface VolumeSettings {
  readonly name: VolumeName;
  /** The servers that may own or mirror it, in order of preference; the first is its preferred owner. At least one. */
  readonly servers: readonly ServerId[];
  readonly mediumId: MediumId;
  readonly degraded: DegradedPolicy;
  /** What authorises a read (design section 5). */
  readonly reads: ReadPolicy;
  /** Whether the preferred owner takes the volume back by itself, or only on an administrator's command. */
  readonly giveback: 'manual' | 'auto';
  /** Operations that are planned or let go of at a time, so that clients do not wait for thousands of them. At least 1. */
  readonly operationsAtOnce: number;
}

export interface ServerSettings {
  readonly self: ServerId;
  readonly incarnation: Incarnation;
  readonly volumes: readonly VolumeSettings[];
  readonly timings: Timings;
}

/** Takes some 100 us. */
export const OPERATIONS_AT_ONCE = 256;

/** Ends the process when a relation between deadlines that the protocol rests on does not hold. */
export function checkTimings(t: Timings): void {
  assert(t.heartbeatMs > 0 && t.silentMs >= 3 * t.heartbeatMs, 'silentMs is at least 3 heartbeats');
  assert(t.entryMs > 0 && t.entryStallMs >= 3 * t.entryMs, 'entryStallMs is at least 3 entry paces');
  assert(t.pollMs > 0 && t.leaseMs >= 4 * t.pollMs, 'leaseMs is at least 4 polls');
  assert(t.leaseMs >= 4 * t.heartbeatMs, 'leaseMs is at least 4 heartbeats');
  assert(t.driftFraction >= 0 && t.driftFraction < 0.2, 'driftFraction is below 0.2');
  assert(
    t.confirmMs > 0 && t.coordinatorMs > 0 && t.retryMs > 0 && t.probeMs > 0 && t.ioMs > 0,
    'deadlines are positive',
  );
}

/** How long a claimant waits for a lease to run out: by its own clock, however the two clocks drift. */
export function waitMs(t: Timings): number {
  return t.leaseMs * (1 + 3 * t.driftFraction);
}

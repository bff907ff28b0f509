/** What a server says of itself: for `holdfast status`, the dashboard, and the tests that wait for a state. */
import type { Epoch, Generation, ServerId, StoreId, Version, VolumeName } from '../base/names.ts';
import type { MirrorState } from '../ports/coordinator.ts';
import type { DegradedPolicy, ReadPolicy } from './settings.ts';
import type { AsideLog, StoreKind } from '../ports/store.ts';

/** What this server is to the volume now. */
export type Role = 'owner' | 'claimant' | 'partner' | 'resyncing' | 'none';

/**
 * Which of the three detectors noticed a failure (docs/failures.md):
 * - `process` a server's process: its paths are silent or closed, its lock is free, its supervisor or a later start says so
 * - `system`  its operating system: nothing answers, and its entry at the coordinator stands still
 * - `io`      its I/O: its own probes, its stores, its confirmations
 */
export type Detector = 'process' | 'system' | 'io';

/** What a detector goes by; null for reasons that are no failure. */
export interface Evidence {
  readonly detector: Detector | null;
  readonly why: string;
}

/** Something that is not done for now. */
export interface Brake {
  readonly why: string;
  /** Until then, if nothing changes. */
  readonly leftMs: number;
}

export interface VolumeStatus {
  readonly volume: VolumeName;
  readonly role: Role;
  /** This server answers clients. */
  readonly serving: boolean;
  /** Why not serving, or what a claim is waiting for, or what was lost; null when there is nothing to say. */
  readonly why: string | null;
  readonly version: Version;
  readonly owner: ServerId | null;
  readonly partner: ServerId | null;
  readonly epoch: Epoch;
  readonly generation: Generation;
  readonly mirror: MirrorState | 'unknown';
  /** Why the mirror is in that state: the record's own sentence. */
  readonly mirrorWhy: string;
  /** Bytes of operations accepted and not yet on the synced medium (owner), or held for the owner (partner). */
  readonly undestagedBytes: number;
  /** Of these, bytes that only one server holds: what a second failure would lose. */
  readonly atRiskBytes: number;
  /** Age of the oldest undestaged operation, ms; null when there is none. */
  readonly oldestMs: number | null;
  /** Requests that wait for room, authority or the mirror. */
  readonly waitingRequests: number;
  /** Null when this server could take the volume over now, else why it could not. */
  readonly takeoverRefusal: string | null;
  /** All that speaks against that, not only the first. */
  readonly takeoverRefusals: readonly string[];
  /** As its owner: all that speaks against handing it over now. Empty elsewhere. */
  readonly handoverRefusals: readonly string[];
  /** As this server was told to treat it. */
  readonly degraded: DegradedPolicy;
  readonly reads: ReadPolicy;
  readonly giveback: 'manual' | 'auto';
  /** What keeps this server from a change of owner that nobody needs at once; never from claiming what a dead one owned. */
  readonly brake: { readonly handover: Brake | null; readonly giveback: Brake | null };
  /** The failure that this server noticed last, of those that touch the volume. */
  readonly finding: (Evidence & { readonly msAgo: number }) | null;
  /** A loss that no copy can mend: the volume stays down until `holdfast accept-loss`. */
  readonly loss: string | null;
  readonly losses: readonly string[];
  readonly store: {
    readonly id: StoreId;
    readonly kind: StoreKind;
    readonly capacityBytes: number;
    readonly usedBytes: number;
  };
  readonly aside: readonly AsideLog[];
  /** Since this process started. */
  readonly counts: {
    readonly acknowledged: number;
    readonly mirrored: number;
    readonly destagedOperations: number;
    readonly destagedWrites: number;
    readonly reads: number;
  };
}

export interface PathStatus {
  readonly path: number;
  readonly up: boolean;
  /** Ms since anything was heard; null when never. */
  readonly heardMsAgo: number | null;
  readonly lastError: string | null;
}
export interface PeerStatus {
  readonly server: ServerId;
  readonly alive: boolean;
  readonly unfit: string | null;
  /** The coordinator entry moves: null when it cannot be judged. */
  readonly entryMoves: boolean | null;
  readonly paths: readonly PathStatus[];
}

export interface ServerStatus {
  readonly server: ServerId;
  readonly incarnation: string;
  readonly unfit: string | null;
  readonly stopping: boolean;
  readonly peers: readonly PeerStatus[];
  readonly volumes: readonly VolumeStatus[];
}

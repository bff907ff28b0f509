/**
 * The coordinator: where each volume's record lives. A linearizable register, reads included, with compare-and-swap,
 * and one heartbeat entry per server.
 */
import type { Done, Fault, Result } from '../base/fault.ts';
import type {
  Epoch,
  Generation,
  Incarnation,
  MediumId,
  Sequence,
  ServerId,
  StoreId,
  Version,
  VolumeName,
} from '../base/names.ts';

/** What holds every acknowledged write (docs/protocol.md, section 3). */
export type MirrorState = 'in-sync' | 'suspended' | 'sole' | 'replaying';

/** A server's store, as the record names it. */
export interface NamedStore {
  readonly server: ServerId;
  readonly store: StoreId;
}

/** What a claimant replays: any one of `stores`, each a complete copy of (epoch, generation). */
export interface Source {
  readonly epoch: Epoch;
  readonly generation: Generation;
  readonly stores: readonly NamedStore[];
  /** The mirror state that this source was taken over from: whether two stores must agree or one is all there is. */
  readonly from: 'in-sync' | 'sole';
}

/** A process that may have held authority over the volume. */
export interface Holder {
  readonly server: ServerId;
  readonly incarnation: Incarnation;
}

/** The record of one volume. Changed only by compare-and-swap on `version`. */
export interface VolumeRecord {
  readonly version: Version;
  /** Drawn anew for every swap: finding it proves that the swap was done. */
  readonly nonce: string;
  readonly mediumId: MediumId;
  readonly epoch: Epoch;
  /** Null only before the first claim. */
  readonly owner: Holder | null;
  readonly ownerStore: StoreId | null;
  /** The partner whose store counts (`in-sync`), or the one to look to first (otherwise); null when there is none. */
  readonly partner: ServerId | null;
  readonly partnerStore: StoreId | null;
  readonly generation: Generation;
  readonly mirror: MirrorState;
  /** Present only while `replaying` after `in-sync` or `sole`. */
  readonly source: Source | null;
  /** Every process that may still hold authority: the last one that served and all claimants since. */
  readonly holders: readonly Holder[];
  /**
   * Where the last replay ended that may have missed something: what lies beyond it in a log of that epoch may be
   * nobody else's.
   */
  readonly replayed: { readonly epoch: Epoch; readonly sequence: Sequence } | null;
  /** Losses an administrator accepted, newest last, as sentences. Bounded to the last 8. */
  readonly losses: readonly string[];
  /** Why the last swap was made, a sentence for a person. */
  readonly why: string;
}

/** A server's heartbeat entry. Only its movement and its content count, never its time. */
export interface ServerEntry {
  readonly server: ServerId;
  readonly incarnation: Incarnation;
  /** Grows with every writing. */
  readonly counter: number;
  /** Why the server declares itself unfit to own volumes; null while it is fit. */
  readonly unfit: string | null;
}

/**
 * - `done`      the swap happened, and its version was the newest afterwards
 * - `conflict`  it did not happen and never will: somebody else made that version, or the record had moved on
 * - `unknown`   it may have happened, or may happen later
 */
export type SwapOutcome = 'done' | 'conflict' | 'unknown';

export interface Coordinator {
  /** The newest record, as of a moment between call and `done`. Fault `missing` when the volume was never created. */
  read(volume: VolumeName, done: Result<VolumeRecord>): void;
  /** Replaces the record of version `next.version - 1` by `next`. */
  swap(volume: VolumeName, next: VolumeRecord, done: (outcome: SwapOutcome, fault: Fault | null) => void): void;
  /** Replaces this server's entry. */
  writeEntry(entry: ServerEntry, done: Done): void;
  /** Another server's entry; fault `missing` when it never wrote one. */
  readEntry(server: ServerId, done: Result<ServerEntry>): void;
  /** Does exclusive creation exclude (raced), rename replace, sync sync? The finding is the fault's message. */
  probe(done: Done): void;
}

/**
 * The link: one or more independent paths between each two servers. The core decides which path carries what and when
 * one is silent; the driver connects, authenticates, frames and checks.
 *
 * What the core may rely on: a message arrives whole and unaltered or not at all; on one connection messages arrive in
 * order; each is tied to the incarnations of both ends, by the handshake. What it may not rely on: that a message sent
 * before a path went down has arrived, or has not, or that it will not still arrive after others on another path.
 */
import type { Epoch, Generation, Incarnation, Sequence, ServerId, StoreId, VolumeName } from '../base/names.ts';
import type { Operation } from '../base/operation.ts';

/** Which life of which volume's mirror a message is about. What does not match is ignored. */
export interface MirrorLife {
  readonly volume: VolumeName;
  readonly epoch: Epoch;
  readonly generation: Generation;
}

/** Owner to partner: store these. Contiguous, ascending. */
export interface MirrorMessage extends MirrorLife {
  readonly type: 'mirror';
  readonly operations: readonly Operation[];
  /** Highest sequence acknowledged to a client so far. */
  readonly acknowledged: Sequence;
  readonly released: Sequence;
}

/** Partner to owner: where my copy stands. Cumulative; sent after storing, on a gap, and in every heartbeat's answer. */
export interface StoredMessage extends MirrorLife {
  readonly type: 'stored';
  readonly store: StoreId;
  /** Received without a gap, not necessarily stored. */
  readonly received: Sequence;
  /** Stored as durably as the store's kind promises. */
  readonly stored: Sequence;
  readonly released: Sequence;
  /** The partner saw a gap after `received`: send from there. */
  readonly gap: boolean;
}

/** Owner to partner: the synced medium holds everything up to `released`. Repeated in every heartbeat. */
export interface ReleaseMessage extends MirrorLife {
  readonly type: 'release';
  readonly released: Sequence;
  readonly acknowledged: Sequence;
}

/** A volume's line in a heartbeat, from its owner to its (prospective) partner. */
export interface HeartbeatVolume extends MirrorLife {
  readonly acknowledged: Sequence;
  readonly released: Sequence;
  /** Highest sequence sent so far: the partner sees that something got lost. */
  readonly sent: Sequence;
}

/** On every path, at a fixed pace, whatever else there is to say. */
export interface HeartbeatMessage {
  readonly type: 'heartbeat';
  /** The sender's clock when it was sent, in ms; only the sender reads it, from the answer. */
  readonly sentAtMs: number;
  /** Why the sender declares itself unfit, or null. */
  readonly unfit: string | null;
  /** The newest counter of its coordinator entry that the sender knows to be written: who reads it later must see it. */
  readonly entry: number;
  readonly volumes: readonly HeartbeatVolume[];
}

/** The partner's line: a grant, or where its copy stands, or both. */
export interface HeartbeatGrant extends MirrorLife {
  readonly granted: boolean;
  /** Null when this server has no copy of that life, or stops: the owner is to go on without it. */
  readonly copy: {
    readonly store: StoreId;
    readonly received: Sequence;
    readonly stored: Sequence;
    readonly released: Sequence;
  } | null;
}

/** The answer to each heartbeat, on the path it came by. */
export interface HeartbeatAckMessage {
  readonly type: 'heartbeat-ack';
  readonly sentAtMs: number;
  readonly grants: readonly HeartbeatGrant[];
}

/** Owner to a prospective partner: void what you hold and begin a copy of `generation` after `base`, marked incomplete. */
export interface ResyncBeginMessage extends MirrorLife {
  readonly type: 'resync-begin';
  readonly base: Sequence;
}

/** The answer: ready to receive, or why not. */
export interface ResyncReadyMessage extends MirrorLife {
  readonly type: 'resync-ready';
  readonly store: StoreId;
  readonly capacityBytes: number;
  readonly base: Sequence;
  /** Null when ready. */
  readonly refusal: string | null;
}

/** Owner to partner: mark the copy complete for `generation`, durably; the swap that names it follows. */
export interface ResyncSealMessage extends MirrorLife {
  readonly type: 'resync-seal';
}
export interface ResyncSealedMessage extends MirrorLife {
  readonly type: 'resync-sealed';
  readonly store: StoreId;
}

/** Claimant to the other holder of a source store: what have you got of this life, from `from` on? */
export interface TailAskMessage extends MirrorLife {
  readonly type: 'tail-ask';
  readonly store: StoreId;
  readonly from: Sequence;
}

/** The answer, in one or more messages; operations beyond what the claimant has. `last` is null when the store is no valid copy. */
export interface TailMessage extends MirrorLife {
  readonly type: 'tail';
  readonly store: StoreId;
  /** End of the holder's contiguous log, or null: `refusal` says why it is no copy. */
  readonly last: Sequence | null;
  readonly released: Sequence;
  readonly acknowledged: Sequence;
  readonly operations: readonly Operation[];
  readonly refusal: string | null;
}

/** To the owner: hand this volume over to the sender. Names the epoch and dies with it. */
export interface HandoverAskMessage {
  readonly type: 'handover-ask';
  readonly volume: VolumeName;
  readonly epoch: Epoch;
  readonly nonce: string;
}

/** Owner to the asker: how far it is, then its agreement (irrevocable), or a refusal. */
export interface HandoverAnswerMessage {
  readonly type: 'handover-answer';
  readonly volume: VolumeName;
  readonly epoch: Epoch;
  readonly nonce: string;
  /** `quiesced`: clients wait from now on. `agreed`: the owner's authority over this epoch has ended for good. */
  readonly state: 'draining' | 'quiesced' | 'agreed' | 'refused';
  readonly undestagedBytes: number;
  readonly refusal: string | null;
}

/** Owner to the partner: please ask me to hand this volume over (orderly stop, unfit owner). */
export interface TakePleaseMessage {
  readonly type: 'take-please';
  readonly volume: VolumeName;
  readonly epoch: Epoch;
  readonly why: string;
}

/** To every peer: the sender serves the volume in this epoch. Only a hint to read the record. */
export interface ServingMessage {
  readonly type: 'serving';
  readonly volume: VolumeName;
  readonly epoch: Epoch;
}

/** To every server of the volume: who is connected to the sender, its owner, where its service address moves. */
export interface ClientsMessage {
  readonly type: 'clients';
  readonly volume: VolumeName;
  readonly epoch: Epoch;
  /** Each `address port`; at most 512. */
  readonly clients: readonly string[];
}

export type LinkMessage =
  | MirrorMessage
  | StoredMessage
  | ReleaseMessage
  | HeartbeatMessage
  | HeartbeatAckMessage
  | ResyncBeginMessage
  | ResyncReadyMessage
  | ResyncSealMessage
  | ResyncSealedMessage
  | TailAskMessage
  | TailMessage
  | HandoverAskMessage
  | HandoverAnswerMessage
  | TakePleaseMessage
  | ServingMessage
  | ClientsMessage;

/** Bytes of operations that the core puts into one message at most; a single larger operation goes alone. */
export const MESSAGE_OPERATIONS_BYTES = 1 << 20;

/** One end of one path, counted from 0 in the order of the configuration. */
export interface PathRef {
  readonly peer: ServerId;
  readonly path: number;
}

export interface LinkEvents {
  /** The path is connected and authenticated; `incarnation` is the peer's. */
  up(at: PathRef, incarnation: Incarnation): void;
  /** The path is gone. `refused`: the peer's host answered and nothing listens there. Also called for attempts that fail. */
  down(at: PathRef, reason: 'closed' | 'refused' | 'unreachable' | 'protocol' | 'silent', detail: string): void;
  message(at: PathRef, incarnation: Incarnation, message: LinkMessage): void;
}

export interface Link {
  /** The paths configured to each peer. */
  readonly peers: ReadonlyMap<ServerId, { readonly paths: number }>;
  listen(events: LinkEvents): void;
  /** Hands the message to the path; false when it is down. Messages of one turn leave together. Never blocks, never throws. */
  send(at: PathRef, message: LinkMessage): boolean;
  /** Drops the path's connection (the core found it silent); the driver reconnects with back-off. */
  drop(at: PathRef, why: string): void;
  close(done: () => void): void;
}

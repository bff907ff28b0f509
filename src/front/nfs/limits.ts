/**
 * The bounds of the NFS front end's door: everything a client can make this process hold has one. Their arithmetic:
 *
 *   one connection  maxInFlightBytes + one request that crosses the bound + one record on its way in (maxPayloadBytes and
 *                   a header) + lookaheadBytes
 *   one volume      maxVolumeBytes + maxConnections x (one record + lookaheadBytes) at the very worst, when every client
 *                   really sends almost a whole record and then stops; it is disconnected after `recordSeconds`
 *
 * A request counts from its arrival until its answer is handed to the system, with its own bytes and those it asks for.
 */
import { assert } from '../../base/fault.ts';
import { MAX_CALL_HEADER_BYTES } from '../../wire/rpc.ts';
import { PLAIN_ARGUMENTS_BYTES } from '../../wire/nfs/codec.ts';

export interface NfsLimits {
  /** Connections of one volume, and of one client address with it. */
  readonly maxConnections: number;
  readonly maxAddressConnections: number;
  /** Requests of one connection that are not answered yet; beyond it nothing more is taken from the connection. */
  readonly maxRequests: number;
  /** Bytes that a connection's requests count for; beyond it nothing more is taken from the connection. */
  readonly maxInFlightBytes: number;
  /** The same, over all connections of a volume. */
  readonly maxVolumeBytes: number;
  /** Bytes received ahead of what may be taken: reading a little ahead is how the end of a connection is noticed. */
  readonly lookaheadBytes: number;
  /** Longest READ and WRITE: FSINFO's rtmax and wtmax. */
  readonly maxPayloadBytes: number;
  /** From connecting to the first whole record, seconds. */
  readonly firstRecordSeconds: number;
  /** From the first byte of a record to its last, seconds. */
  readonly recordSeconds: number;
  /** Answers wait and the client takes not a byte of them, seconds. */
  readonly stallSeconds: number;
  /** Lines of MOUNT's list of who mounted what; beyond it the oldest are forgotten. */
  readonly maxMounts: number;
}

/** Longest READ and WRITE by default, bytes. */
export const NFS_MAX_PAYLOAD_BYTES = 1 << 20;

export const DEFAULT_NFS_LIMITS: NfsLimits = {
  maxConnections: 1024,
  maxAddressConnections: 256,
  maxRequests: 512,
  maxInFlightBytes: 16 << 20,
  maxVolumeBytes: 256 << 20,
  lookaheadBytes: 256 << 10,
  maxPayloadBytes: NFS_MAX_PAYLOAD_BYTES,
  firstRecordSeconds: 60,
  recordSeconds: 30,
  stallSeconds: 30,
  maxMounts: 1024,
};

/** Room in a record beside the payload: the longest header, and arguments of any procedure, names of any kind included. */
export const RECORD_SLACK_BYTES = MAX_CALL_HEADER_BYTES + PLAIN_ARGUMENTS_BYTES + 8192;

/** The longest record that is taken. */
export const maxRecordBytes = (limits: NfsLimits): number => limits.maxPayloadBytes + RECORD_SLACK_BYTES;

/** Ends the process when limits contradict each other. */
export function checkLimits(limits: NfsLimits): void {
  assert(limits.maxConnections >= 1 && limits.maxAddressConnections >= 1, 'at least one connection');
  assert(limits.maxRequests >= 1, 'at least one request');
  assert(limits.maxInFlightBytes >= 1 && limits.maxVolumeBytes >= 1, 'one request is always let in');
  assert(limits.lookaheadBytes >= 64 << 10, 'the look-ahead holds a received piece');
  assert(limits.maxPayloadBytes >= 4096 && limits.maxPayloadBytes <= 16 << 20, 'payloads from 4 KiB to 16 MiB');
  assert(limits.firstRecordSeconds >= 1 && limits.recordSeconds >= 1, 'a record can be sent');
  assert(limits.stallSeconds >= 1 && limits.maxMounts >= 1, 'an answer can be taken');
}

/**
 * What a front end asks of a volume it serves. Requests are admitted in the order in which they are submitted; answers
 * come in any order, each exactly once, never from within `submit`, unless the volume is closed first: then never.
 */
import type { Fault } from '../base/fault.ts';
import type { Extent } from './medium.ts';

/** A modification. The front end makes the object, so that a request costs no closure; it owns it until `done`. */
export interface ModifyRequest {
  readonly kind: 'write' | 'zero' | 'trim';
  readonly target: string;
  readonly offset: number;
  /** Bytes affected, from 1 to `maxRequestBytes` for a write; zero and trim may cover the whole volume. */
  readonly length: number;
  /** The payload of a write, else NO_BYTES. Never changed after submission. */
  readonly data: Buffer;
  /** Set by the front end when the connection closed: if not yet admitted, the request is dropped (trap T32). */
  cancelled: boolean;
  /** Stable: nothing more is needed for FUA or FLUSH. Faults: `full`, `io`, `refused`. */
  done(fault: Fault | null): void;
}

export interface ReadRequest {
  readonly kind: 'read';
  readonly target: string;
  readonly offset: number;
  readonly length: number;
  cancelled: boolean;
  /** The bytes as pieces in order; a null `data` stands for `length` zeroes. Never changed afterwards by anybody. */
  done(fault: Fault | null, pieces: readonly ReadPiece[] | null): void;
}
export interface ReadPiece {
  readonly length: number;
  readonly data: Buffer | null;
}

/** How a range is kept, newest state: for NBD BLOCK_STATUS and for seeks. */
export interface StatusRequest {
  readonly kind: 'status';
  readonly target: string;
  readonly offset: number;
  readonly length: number;
  cancelled: boolean;
  done(fault: Fault | null, extents: readonly Extent[] | null): void;
}

export type ServiceRequest = ModifyRequest | ReadRequest | StatusRequest;

export interface VolumeService {
  /** Size of the target in bytes; '' is a block volume's one image. */
  sizeBytes(target: string): number;
  /** Largest payload of one write, in bytes. */
  readonly maxRequestBytes: number;
  submit(request: ServiceRequest): void;
}

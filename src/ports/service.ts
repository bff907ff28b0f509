/**
 * What a front end asks of a volume it serves. Requests are admitted in the order in which they are submitted; answers
 * come in any order, each exactly once, never from within `submit`, unless the volume is closed first: then never.
 */
import type { Fault } from '../base/fault.ts';
import type { Extent } from './medium.ts';
import type { MediumTree, ObjectId } from './tree.ts';

/** A modification. The front end makes the object, so that a request costs no closure; it owns it until `done`. */
export interface ModifyRequest {
  /** `truncate`, `stamp`: files volumes only. */
  readonly kind: 'write' | 'zero' | 'trim' | 'truncate' | 'stamp';
  readonly target: string;
  /** First byte affected; the new size for a truncate; 0 for a stamp. */
  readonly offset: number;
  /** Bytes affected, from 1 to `maxRequestBytes` for a write; zero and trim may cover the whole volume. 0 for truncate, stamp. */
  readonly length: number;
  /** The object's mtime from now on, ns since 1970; NO_TIME on a block volume. */
  readonly timeNs: bigint;
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

/**
 * A call on the tree of a files volume (docs/decisions/0007). It is begun and answered only with authority; while clients
 * are held it waits. A null `begin` answers from what the front end knows, authorised like any other answer.
 */
export interface CallRequest {
  readonly kind: 'call';
  /** Issues I/O on the tree and calls `returned` exactly once, when all of it has returned; not from within. */
  readonly begin: ((tree: MediumTree, returned: () => void) => void) | null;
  /** A cancelled call that has begun goes on to its end, and is not answered. */
  cancelled: boolean;
  /** Called with null after `begin` has returned; with a fault (`refused`: no tree here) when it never began. */
  done(fault: Fault | null): void;
}

export type ServiceRequest = ModifyRequest | ReadRequest | StatusRequest | CallRequest;

/** What the undestaged operations say of one object, beyond its bytes. */
export interface PendingObject {
  /** The size in bytes, when a truncate determines it. */
  readonly exactBytes: number | null;
  /** The object is at least so large, when no truncate does. */
  readonly leastBytes: number;
  /** mtime of the newest operation. */
  readonly timeNs: bigint;
}

export interface VolumeService {
  /** Bytes of the target that can be addressed: the size of '', a block volume's one image, or what a file may grow to. */
  sizeBytes(target: string): number;
  /** What is accepted and not yet on the medium; null when the medium says it all. */
  pending(target: ObjectId): PendingObject | null;
  /** Largest payload of one write, in bytes. */
  readonly maxRequestBytes: number;
  submit(request: ServiceRequest): void;
}

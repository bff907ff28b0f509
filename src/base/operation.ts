/**
 * An operation: one modification of a volume, the unit that is stored, mirrored, destaged and released.
 */
import type { Epoch, Sequence } from './names.ts';

/** What an operation does to its range. The numbers are on the wire and in the journal: never reuse one. */
export const OperationKind = {
  /** `data` replaces the bytes at `offset`. */
  write: 1,
  /** The range reads as zeroes and stays allocated. */
  zero: 2,
  /** The range reads as zeroes and its room may be given back. */
  trim: 3,
} as const;
export type OperationKind = (typeof OperationKind)[keyof typeof OperationKind];

/** No bytes: the data of an operation that carries none. Shared, never written to. */
export const NO_BYTES: Buffer = Buffer.alloc(0);

/** Bytes an operation takes in a store and on the link beside its data and its target. */
export const OPERATION_HEADER_BYTES = 64;

/**
 * One operation. `data` is never changed after construction: stores, link and readers share it without copying.
 */
export interface Operation {
  readonly epoch: Epoch;
  readonly sequence: Sequence;
  readonly kind: OperationKind;
  /** The object within the volume; '' for the one image of a block volume. At most 64 bytes as UTF-8. */
  readonly target: string;
  /** First byte affected. */
  readonly offset: number;
  /** Bytes affected, from 1 on; equals `data.length` for a write. */
  readonly length: number;
  /** Payload of a write, else NO_BYTES. */
  readonly data: Buffer;
  /** crc32c of `data`; 0 when there is none. */
  readonly dataCrc: number;
}

/** What an operation costs of a store's capacity, in bytes. */
export function costBytes(operation: Operation): number {
  const targetBytes = operation.target === '' ? 0 : Buffer.byteLength(operation.target);
  return OPERATION_HEADER_BYTES + targetBytes + operation.data.length;
}

/**
 * An operation: one modification of a volume, the unit that is stored, mirrored, destaged and released.
 */
import { crc32cWithin } from './crc32c.ts';
import type { Epoch, Sequence } from './names.ts';

/** What an operation does to its range. The numbers are on the wire and in the journal: never reuse one. */
export const OperationKind = {
  /** `data` replaces the bytes at `offset`. */
  write: 1,
  /** The range reads as zeroes and stays allocated. */
  zero: 2,
  /** The range reads as zeroes and its room may be given back. */
  trim: 3,
  /** The object ends at `offset` from now on; the range goes from there to LARGEST_OBJECT_BYTES. */
  truncate: 4,
  /** Nothing but `timeNs`: offset and length are 0. */
  stamp: 5,
} as const;
export type OperationKind = (typeof OperationKind)[keyof typeof OperationKind];

/** No bytes: the data of an operation that carries none. Shared, never written to. */
export const NO_BYTES: Buffer = Buffer.alloc(0);

/** No object grows beyond this: ext4's largest file with blocks of 4 KiB. */
export const LARGEST_OBJECT_BYTES = 2 ** 44 - 4096;

/** The time of an operation that carries none: those of block volumes. */
export const NO_TIME = 0n;

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
  /** Bytes affected, from 1 on (0 for a stamp); equals `data.length` for a write. */
  readonly length: number;
  /** Payload of a write, else NO_BYTES. */
  readonly data: Buffer;
  /** crc32c of `data`, as `dataCrcOf` says it; 0 when there is none. */
  readonly dataCrc: number;
  /** When the object was modified, in ns since 1970 by the owner's wall clock; NO_TIME on a block volume. */
  readonly timeNs: bigint;
}

/** crc32c of an operation's data as a signed number: half of the unsigned ones V8 would keep in an object of their own. */
export function dataCrcOf(data: Buffer): number {
  return dataCrcWithin(data, 0, data.length);
}

/** The same of data that are the bytes [from, to) of `bytes`. */
export function dataCrcWithin(bytes: Buffer, from: number, to: number): number {
  return from === to ? 0 : crc32cWithin(bytes, from, to) | 0;
}

/** Bytes of the operation's data. It is not asked for them: those of a received one are a view that is made anew each time. */
export function dataBytes({ kind, length }: Operation): number {
  return kind === OperationKind.write ? length : 0;
}

/** What an operation costs of a store's capacity, in bytes. */
export function costBytes(operation: Operation): number {
  const targetBytes = operation.target === '' ? 0 : Buffer.byteLength(operation.target);
  return OPERATION_HEADER_BYTES + targetBytes + dataBytes(operation);
}

/**
 * Names of objects: canonical base64url of at most 40 bytes, so that a front end's signed handle of 64 bytes has room for
 * them. The first byte tells the form:
 *
 *     1, handle type (1), the kernel's handle (1 to 38)       volumes whose handles are `kernel`
 *     2, inode number (8), birth time in ns since 1970 (8)    volumes whose handles are `index`
 *
 * A kernel handle carries the inode's generation, as the birth time stands for it in the other form: inode numbers are used
 * again, and an id must never come to mean another object.
 */
import type { ObjectId } from '../../../ports/tree.ts';

const KERNEL = 1;
const INDEX = 2;
/** Bytes of an id at most. */
export const ID_BYTES_MAX = 40;
/** Bytes of a kernel handle that an id has room for. */
export const KERNEL_HANDLE_BYTES_MAX = ID_BYTES_MAX - 2;

const HEADER_BYTES = 8;
const scratch = Buffer.alloc(ID_BYTES_MAX);

/** The id of a struct file_handle; null when it does not fit. */
export function kernelId(handle: Buffer): ObjectId | null {
  const length = handle.readUInt32LE(0);
  const type = handle.readInt32LE(4);
  if (length > KERNEL_HANDLE_BYTES_MAX || type < 0 || type > 0xff) return null;
  scratch[0] = KERNEL;
  scratch[1] = type;
  handle.copy(scratch, 2, HEADER_BYTES, HEADER_BYTES + length);
  return scratch.toString('base64url', 0, 2 + length);
}

/** Fills in the struct file_handle that `id` stands for; false when it stands for none. */
export function kernelHandle(id: ObjectId, into: Buffer): boolean {
  const length = scratch.write(id, 'base64url');
  if (length < 3 || scratch[0] !== KERNEL || scratch.toString('base64url', 0, length) !== id) return false;
  into.writeUInt32LE(length - 2, 0);
  into.writeInt32LE(scratch[1] ?? 0, 4);
  scratch.copy(into, HEADER_BYTES, 2, length);
  return true;
}

/** The id of an inode and its birth. */
export function indexId(inode: bigint, bornNs: bigint): ObjectId {
  scratch[0] = INDEX;
  scratch.writeBigUInt64LE(inode, 1);
  scratch.writeBigInt64LE(bornNs, 9);
  return scratch.toString('base64url', 0, 17);
}

/** The inode of an id and when it was born; null when it is no such id. */
export function indexOf(id: ObjectId): { readonly inode: bigint; readonly bornNs: bigint } | null {
  const length = scratch.write(id, 'base64url');
  if (length !== 17 || scratch[0] !== INDEX || scratch.toString('base64url', 0, length) !== id) return null;
  return { inode: scratch.readBigUInt64LE(1), bornNs: scratch.readBigInt64LE(9) };
}

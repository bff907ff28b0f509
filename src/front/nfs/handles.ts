/**
 * NFS file handles: what a client holds on to for the life of a file. A handle is the object's id on the medium and a
 * signature made with the volume's secret, so that it is the same on every server, before and after a takeover, and a handle
 * that this volume did not give out reaches nothing.
 *
 *     byte 0        version: how the id is written
 *     bytes 1..12   HMAC-SHA-256 of version and id, cut to 96 bits
 *     bytes 13..    the id: decoded, where it is unpadded base64url (so that 64 bytes do for 64 characters), else as it is
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { assert } from '../../base/fault.ts';
import type { ObjectId } from '../../ports/tree.ts';
import { MAX_HANDLE_BYTES } from '../../wire/nfs/types.ts';

const PACKED = 1;
const PLAIN = 2;
/** 96 bits: guessing one costs 2^95 requests on average. */
const MAC_BYTES = 12;
const ID_AT = 1 + MAC_BYTES;

export class Handles {
  readonly #secret: Buffer;
  /** Tells this volume from others in attributes: the same on every server. */
  readonly fsid: bigint;

  /** @param secret of the volume, the same on every server */
  constructor(secret: Buffer) {
    assert(secret.length >= 16, 'the secret of a volume is long enough to sign with');
    this.#secret = secret;
    this.fsid = createHmac('sha256', secret).update('fsid').digest().readBigUInt64BE(0);
  }

  /** The handle of an object; always the same bytes. */
  encode(id: ObjectId): Buffer {
    const packed = Buffer.from(id, 'base64url');
    const canonical = packed.length > 0 && packed.toString('base64url') === id;
    const bytes = canonical ? packed : Buffer.from(id, 'latin1');
    assert(bytes.length > 0 && bytes.length <= MAX_HANDLE_BYTES - ID_AT, `the object id ${id} fits into a handle`);
    const handle = Buffer.allocUnsafe(ID_AT + bytes.length);
    handle[0] = canonical ? PACKED : PLAIN;
    bytes.copy(handle, ID_AT);
    this.#mac(handle).copy(handle, 1);
    return handle;
  }

  /** The object that a handle names; null when this volume did not give it out. */
  decode(handle: Buffer): ObjectId | null {
    if (handle.length <= ID_AT || handle.length > MAX_HANDLE_BYTES) return null;
    const version = handle[0];
    if (version !== PACKED && version !== PLAIN) return null;
    if (!timingSafeEqual(this.#mac(handle), handle.subarray(1, ID_AT))) return null;
    return handle.toString(version === PACKED ? 'base64url' : 'latin1', ID_AT);
  }

  #mac(handle: Buffer): Buffer {
    const hmac = createHmac('sha256', this.#secret);
    hmac.update(handle.subarray(0, 1)).update(handle.subarray(ID_AT));
    return hmac.digest().subarray(0, MAC_BYTES);
  }
}

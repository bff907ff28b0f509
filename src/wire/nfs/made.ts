/** What CREATE, MKDIR, SYMLINK and MKNOD answer: the same for all four (RFC 1813, sections 3.3.8 to 3.3.11). */
import type { XdrReader, XdrWriter } from '../xdr.ts';
import { putPostOp, putPostOpHandle, putWcc, readPostOp, readPostOpHandle, readStatus, readWcc } from './fields.ts';
import type { Made, NotMade } from './results.ts';
import { NfsStatus } from './types.ts';

export function readMade(xdr: XdrReader): Made | NotMade {
  const status = readStatus(xdr);
  if (status !== NfsStatus.ok) return { status, directory: readWcc(xdr) };
  return { status, handle: readPostOpHandle(xdr), attributes: readPostOp(xdr), directory: readWcc(xdr) };
}

export function putMade(xdr: XdrWriter, result: Made | NotMade): void {
  xdr.u32(result.status);
  if (result.status === NfsStatus.ok) {
    putPostOpHandle(xdr, result.handle);
    putPostOp(xdr, result.attributes);
  }
  putWcc(xdr, result.directory);
}

/**
 * The port mapper, version 2 (RFC 1833, section 3), as a client needs it that registers its own programs: SET and UNSET
 * over TCP, each a whole record.
 */
import { AuthFlavor, MessageType, RPC_VERSION } from './rpc.ts';
import { wholeRecordMark } from './rpc-record.ts';
import { XdrReader, XdrWriter } from './xdr.ts';

export const PORTMAP_PROGRAM = 100_000;
export const PORTMAP_VERSION = 2;
export const PORTMAP_PORT = 111;
export const PortmapProcedure = { null: 0, set: 1, unset: 2, getport: 3, dump: 4 } as const;
export type PortmapCall = typeof PortmapProcedure.set | typeof PortmapProcedure.unset | typeof PortmapProcedure.getport;

const TCP = 6;

export interface Mapping {
  readonly program: number;
  readonly version: number;
  /** Ignored by UNSET and GETPORT. */
  readonly port: number;
}

/** A call with its record mark, ready to be sent. */
export function encodePortmapCall(xid: number, procedure: PortmapCall, mapping: Mapping): Buffer {
  const length = 14 * 4;
  const xdr = new XdrWriter().reset(Buffer.alloc(4 + length));
  xdr.u32(wholeRecordMark(length));
  xdr.u32(xid);
  xdr.u32(MessageType.call);
  xdr.u32(RPC_VERSION);
  xdr.u32(PORTMAP_PROGRAM);
  xdr.u32(PORTMAP_VERSION);
  xdr.u32(procedure);
  for (let word = 0; word < 2; word++) {
    xdr.u32(AuthFlavor.none);
    xdr.u32(0);
  }
  xdr.u32(mapping.program);
  xdr.u32(mapping.version);
  xdr.u32(TCP);
  xdr.u32(mapping.port);
  return xdr.done();
}

/** The one word that SET, UNSET (a boolean) and GETPORT (a port) answer; null when there is not exactly one. */
export function readPortmapAnswer(xdr: XdrReader): number | null {
  const word = xdr.u32();
  return xdr.bad || xdr.left > 0 ? null : word;
}

/**
 * ONC RPC version 2 (RFC 5531): the headers of calls and replies, AUTH_NONE and AUTH_SYS. What is no call at all makes
 * the connection worthless; every other mistake has a reply of its own (`CallVerdict`).
 */
import type { XdrReader, XdrWriter } from './xdr.ts';

export const RPC_VERSION = 2;

export const MessageType = { call: 0, reply: 1 } as const;
export const ReplyStatus = { accepted: 0, denied: 1 } as const;

/** accept_stat: how a call ended that was well formed as a call. */
export const AcceptStatus = {
  success: 0,
  programUnavailable: 1,
  programMismatch: 2,
  procedureUnavailable: 3,
  garbageArguments: 4,
  systemError: 5,
} as const;
export type AcceptStatus = (typeof AcceptStatus)[keyof typeof AcceptStatus];

export const RejectStatus = { rpcMismatch: 0, authError: 1 } as const;

/** auth_stat (RFC 5531, section 9). */
export const AuthStatus = {
  ok: 0,
  badCredential: 1,
  rejectedCredential: 2,
  badVerifier: 3,
  rejectedVerifier: 4,
  tooWeak: 5,
  invalidResponse: 6,
  failed: 7,
} as const;
export type AuthStatus = (typeof AuthStatus)[keyof typeof AuthStatus];

export const AuthFlavor = { none: 0, sys: 1, short: 2, gss: 6 } as const;

/** Longest body of a credential or verifier. */
export const MAX_AUTH_BYTES = 400;
const MAX_MACHINE_NAME_BYTES = 255;
export const MAX_GIDS = 16;

/** The longest header of a call: six words, credential and verifier. */
export const MAX_CALL_HEADER_BYTES = 24 + 2 * (8 + MAX_AUTH_BYTES);
/** The header of a reply that was accepted: xid, two words, an empty verifier, the status. */
export const ACCEPTED_BYTES = 24;

/** authsys_parms, less stamp and machine name. */
export interface SysCredential {
  readonly uid: number;
  readonly gid: number;
  /** At most 16. */
  readonly gids: readonly number[];
}

/**
 * - `call`          the fields are those of a call; its arguments begin where the reader stands
 * - `mismatch`      to be denied with RPC_MISMATCH
 * - `auth`          to be denied with AUTH_ERROR and `authStatus`
 * - `garbage`       no call: there is nothing to answer to
 */
export type CallVerdict = 'call' | 'mismatch' | 'auth' | 'garbage';

/** The header of one call after the other. */
export class CallHeader {
  xid = 0;
  program = 0;
  version = 0;
  procedure = 0;
  /** Null: AUTH_NONE. */
  credential: SysCredential | null = null;
  authStatus: AuthStatus = AuthStatus.ok;
  /** The last credential's body, which most calls of a connection repeat, and what it says. */
  readonly #lastBody = Buffer.alloc(MAX_AUTH_BYTES);
  #lastBytes = 0;
  #last: SysCredential | null = null;

  /** Reads a header; `xid` is good unless the verdict is `garbage`. */
  read(xdr: XdrReader): CallVerdict {
    this.xid = xdr.u32();
    const type = xdr.u32();
    if (xdr.bad || type !== MessageType.call) return 'garbage';
    const rpcVersion = xdr.u32();
    if (xdr.bad) return 'garbage';
    if (rpcVersion !== RPC_VERSION) return 'mismatch';
    this.program = xdr.u32();
    this.version = xdr.u32();
    this.procedure = xdr.u32();
    const flavor = xdr.u32();
    if (xdr.bad) return 'garbage';
    this.authStatus = this.#readCredential(xdr, flavor);
    if (this.authStatus !== AuthStatus.ok) return 'auth';
    this.authStatus = readVerifier(xdr);
    return this.authStatus === AuthStatus.ok ? 'call' : 'auth';
  }

  #readCredential(xdr: XdrReader, flavor: number): AuthStatus {
    const length = xdr.u32();
    const from = xdr.at;
    // A body has whole words only: whatever is in it does.
    if (xdr.bad || length > MAX_AUTH_BYTES || length > xdr.left || length % 4 !== 0) return AuthStatus.badCredential;
    if (flavor === AuthFlavor.none) {
      this.credential = null;
      xdr.at = from + length;
      return length === 0 ? AuthStatus.ok : AuthStatus.badCredential;
    }
    if (flavor !== AuthFlavor.sys) return AuthStatus.tooWeak;
    if (this.#isLast(xdr.bytes, from, length)) {
      this.credential = this.#last;
      xdr.at = from + length;
      return AuthStatus.ok;
    }
    const credential = readSysCredential(xdr);
    if (xdr.bad || xdr.at !== from + length) return AuthStatus.badCredential;
    this.credential = credential;
    this.#last = credential;
    this.#lastBytes = xdr.bytes.copy(this.#lastBody, 0, from, from + length);
    return AuthStatus.ok;
  }

  #isLast(bytes: Buffer, from: number, length: number): boolean {
    if (length !== this.#lastBytes || this.#last === null) return false;
    const body = this.#lastBody;
    for (let i = 0; i < length; i++) if (body[i] !== bytes[from + i]) return false;
    return true;
  }
}

function readSysCredential(xdr: XdrReader): SysCredential {
  xdr.u32();
  xdr.opaque(MAX_MACHINE_NAME_BYTES);
  const uid = xdr.u32();
  const gid = xdr.u32();
  const count = xdr.u32();
  if (count > MAX_GIDS) xdr.fail();
  const gids: number[] = [];
  for (let i = 0; i < count && !xdr.bad; i++) gids.push(xdr.u32());
  return { uid, gid, gids };
}

/** With the flavors that are spoken here the verifier of a call is empty. */
function readVerifier(xdr: XdrReader): AuthStatus {
  const flavor = xdr.u32();
  const length = xdr.u32();
  return xdr.bad || flavor !== AuthFlavor.none || length !== 0 ? AuthStatus.badVerifier : AuthStatus.ok;
}

// ---- replies

/** The header of an accepted reply; what `status` asks for comes behind it. Takes ACCEPTED_BYTES. */
export function putAccepted(xdr: XdrWriter, xid: number, status: AcceptStatus): void {
  xdr.u32(xid);
  xdr.u32(MessageType.reply);
  xdr.u32(ReplyStatus.accepted);
  xdr.u32(AuthFlavor.none);
  xdr.u32(0);
  xdr.u32(status);
}

/** PROG_MISMATCH, whole: these versions there are. Takes ACCEPTED_BYTES + 8. */
export function putProgramMismatch(xdr: XdrWriter, xid: number, lowest: number, highest: number): void {
  putAccepted(xdr, xid, AcceptStatus.programMismatch);
  xdr.u32(lowest);
  xdr.u32(highest);
}

/** MSG_DENIED for a version of RPC that is not spoken, whole. Takes 24 bytes. */
export function putRpcMismatch(xdr: XdrWriter, xid: number): void {
  putDenied(xdr, xid);
  xdr.u32(RejectStatus.rpcMismatch);
  xdr.u32(RPC_VERSION);
  xdr.u32(RPC_VERSION);
}

/** MSG_DENIED for a credential, whole. Takes 20 bytes. */
export function putAuthError(xdr: XdrWriter, xid: number, status: AuthStatus): void {
  putDenied(xdr, xid);
  xdr.u32(RejectStatus.authError);
  xdr.u32(status);
}

function putDenied(xdr: XdrWriter, xid: number): void {
  xdr.u32(xid);
  xdr.u32(MessageType.reply);
  xdr.u32(ReplyStatus.denied);
}

/** The longest reply that consists of a header only. */
export const MAX_BARE_REPLY_BYTES = ACCEPTED_BYTES + 8;

// ---- the client's side

/** Writes the header of a call; takes at most MAX_CALL_HEADER_BYTES. `machine` is cut to what AUTH_SYS allows. */
export function putCall(
  xdr: XdrWriter,
  call: { readonly xid: number; readonly program: number; readonly version: number; readonly procedure: number },
  credential: SysCredential | null,
  machine = 'holdfast',
): void {
  xdr.u32(call.xid);
  xdr.u32(MessageType.call);
  xdr.u32(RPC_VERSION);
  xdr.u32(call.program);
  xdr.u32(call.version);
  xdr.u32(call.procedure);
  if (credential === null) {
    xdr.u32(AuthFlavor.none);
    xdr.u32(0);
  } else putSysCredential(xdr, credential, Buffer.from(machine).subarray(0, MAX_MACHINE_NAME_BYTES));
  xdr.u32(AuthFlavor.none);
  xdr.u32(0);
}

function putSysCredential(xdr: XdrWriter, credential: SysCredential, machine: Buffer): void {
  const gids = credential.gids.slice(0, MAX_GIDS);
  xdr.u32(AuthFlavor.sys);
  const lengthAt = xdr.at;
  xdr.u32(0);
  xdr.u32(0);
  xdr.opaque(machine);
  xdr.u32(credential.uid);
  xdr.u32(credential.gid);
  xdr.u32(gids.length);
  for (const gid of gids) xdr.u32(gid);
  const end = xdr.at;
  xdr.at = lengthAt;
  xdr.u32(end - lengthAt - 4);
  xdr.at = end;
}

/** The header of a reply, as a client reads it. */
export type ReplyHeader =
  | { readonly xid: number; readonly kind: 'success' }
  | { readonly xid: number; readonly kind: 'program-mismatch'; readonly lowest: number; readonly highest: number }
  | {
      readonly xid: number;
      readonly kind: 'program-unavailable' | 'procedure-unavailable' | 'garbage-arguments' | 'system-error';
    }
  | { readonly xid: number; readonly kind: 'rpc-mismatch'; readonly lowest: number; readonly highest: number }
  | { readonly xid: number; readonly kind: 'auth-error'; readonly status: number };

/** Null when the bytes are no reply. After `success` the reader stands at the result. */
export function readReply(xdr: XdrReader): ReplyHeader | null {
  const xid = xdr.u32();
  if (xdr.u32() !== MessageType.reply) return null;
  const status = xdr.u32();
  const header = status === ReplyStatus.accepted ? readAccepted(xdr, xid) : status === 1 ? readDenied(xdr, xid) : null;
  return xdr.bad ? null : header;
}

function readAccepted(xdr: XdrReader, xid: number): ReplyHeader | null {
  xdr.u32();
  xdr.opaque(MAX_AUTH_BYTES);
  const status = xdr.u32();
  switch (status) {
    case AcceptStatus.success:
      return { xid, kind: 'success' };
    case AcceptStatus.programUnavailable:
      return { xid, kind: 'program-unavailable' };
    case AcceptStatus.programMismatch:
      return { xid, kind: 'program-mismatch', lowest: xdr.u32(), highest: xdr.u32() };
    case AcceptStatus.procedureUnavailable:
      return { xid, kind: 'procedure-unavailable' };
    case AcceptStatus.garbageArguments:
      return { xid, kind: 'garbage-arguments' };
    case AcceptStatus.systemError:
      return { xid, kind: 'system-error' };
    default:
      return null;
  }
}

function readDenied(xdr: XdrReader, xid: number): ReplyHeader | null {
  const status = xdr.u32();
  if (status === RejectStatus.rpcMismatch) {
    return { xid, kind: 'rpc-mismatch', lowest: xdr.u32(), highest: xdr.u32() };
  }
  return status === RejectStatus.authError ? { xid, kind: 'auth-error', status: xdr.u32() } : null;
}

/**
 * The seam within the NFS front end: on one side the door (sockets, records, RPC, XDR, bounds, MOUNT), on the other
 * the program (what the 22 procedures mean on a volume). The door makes one program per opening of a volume, opens it,
 * listens, and hands it decoded calls; the program answers each once, in any order.
 */
import type { Done, Result } from '../../base/fault.ts';
import type { Epoch, VolumeName } from '../../base/names.ts';
import type { VolumeService } from '../../ports/service.ts';
import type { NfsArguments } from '../../wire/nfs/types.ts';
import type { NfsResult } from '../../wire/nfs/results.ts';

/** Told of everything worth a line: a dotted name and plain values. */
export type NfsLog = (event: string, fields: Readonly<Record<string, string | number | boolean | null>>) => void;

/** Addresses that share their first `prefix` bits. */
export interface Network {
  readonly family: 4 | 6;
  /** 4 or 16 bytes. */
  readonly bytes: Buffer;
  readonly prefix: number;
}

/** Where and for whom a files volume is served. */
export interface NfsExport {
  /** `port` 0 lets the system choose: for tests. */
  readonly address: { readonly host: string; readonly port: number };
  readonly readOnly: boolean;
  readonly squash: 'root' | 'all' | 'none';
  readonly anonUid: number;
  readonly anonGid: number;
  /** Who may mount and use it; empty: everybody. IPv4 addresses in IPv6 clothes are taken for IPv4. */
  readonly clients: readonly Network[];
  /** Register with the portmapper of this host while the volume is served. */
  readonly portmapper: boolean;
}

/** AUTH_SYS as the client said it, before any squashing. */
export interface Credential {
  readonly uid: number;
  readonly gid: number;
  /** At most 16. */
  readonly gids: readonly number[];
}

export interface NfsClient {
  /** Without IPv6 clothes. */
  readonly address: string;
  readonly port: number;
}

/** One request, decoded. It belongs to the program until it is answered, and is not reused. */
export interface NfsCall {
  readonly xid: number;
  readonly client: NfsClient;
  /** Null: AUTH_NONE. */
  readonly credential: Credential | null;
  /** Tagged by `procedure`. Never `null`: the door answers that itself. */
  readonly arguments: NfsArguments;
  /** The arguments as they were received, for checksums and intents: `decodeArguments` understands them. */
  readonly argumentBytes: Buffer;
  /** The connection is gone: what is not admitted yet is to be dropped (trap T32). Usable as a request's `cancelled`. */
  readonly gone: boolean;
}

/**
 * How a call is answered: exactly one of these, once, at any time, also when its connection is gone meanwhile: what it
 * counts for in the volume's bounds is given back here.
 */
export interface NfsReply {
  /** Encoded at once; leaves with everything that is answered in this turn. Pieces of a READ leave without a copy. */
  send(result: NfsResult): void;
  /** A result that was encoded before (`encodeResult`): the same bytes under this call's xid. Not changed afterwards. */
  sendEncoded(result: Buffer): void;
  /**
   * No answer: for faults that say that another server, or a later moment, has the answer. The connection is closed, so
   * that the client asks again, since a request on TCP is otherwise waited for without end; unless the door is held.
   */
  drop(why: string): void;
}

/** A volume's procedures. Methods may answer from within or later. */
export interface NfsProgram {
  /** Makes ready (intents and replies of before are read and settled); `done` once calls may come. */
  open(done: Done): void;
  /** The handle of the volume's root, for MOUNT: authorised like any answer. */
  rootHandle(done: Result<Buffer>): void;
  /** Takes a call: never throws, answers once. */
  call(call: NfsCall, reply: NfsReply): void;
  /** Nothing more is called and nothing more will be sent: let go of everything. Also ends an `open` on its way, unanswered. */
  end(why: string): void;
}

/** Makes the program of a volume that is about to be served. */
export type NfsProgramFactory = (
  volume: VolumeName,
  epoch: Epoch,
  service: VolumeService,
  exported: NfsExport,
  log: NfsLog,
) => NfsProgram;

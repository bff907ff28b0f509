/**
 * The MOUNT program of one volume (RFC 1813, appendix I), served at the same port. The volume's root is `/NAME`, `/` for
 * short; a path below it is looked up by the volume's own LOOKUP, as the client's user, and no symbolic link is
 * followed. Who mounted what is kept for DUMP and for nothing else, and is forgotten with the door.
 */
import type { Fault } from '../../base/fault.ts';
import type { VolumeName } from '../../base/names.ts';
import {
  encodeDump,
  encodeExport,
  encodeMnt,
  type MountEntry,
  MountProcedure,
  MountStatus,
  readPath,
} from '../../wire/mount.ts';
import { AcceptStatus, AuthFlavor } from '../../wire/rpc.ts';
import { encodeArguments } from '../../wire/nfs/table.ts';
import type { NfsResult } from '../../wire/nfs/results.ts';
import { type NfsArguments, type NfsError, NfsStatus } from '../../wire/nfs/types.ts';
import { NO_BYTES } from '../../base/operation.ts';
import type { XdrReader } from '../../wire/xdr.ts';
import { networkText } from './networks.ts';
import type { Credential, NfsCall, NfsClient, NfsExport, NfsLog, NfsProgram, NfsReply } from './program.ts';

/** Names in a path: more are no path of a sane client. */
const MAX_DEPTH = 128;
const SLASH = 0x2f;

/** The connection that a call came over. */
export interface Peer {
  readonly client: NfsClient;
  /** The client's address is among the networks of the export. */
  readonly allowed: boolean;
  readonly gone: boolean;
}

/** Who asks. */
export interface Mounter {
  readonly peer: Peer;
  readonly credential: Credential | null;
}

/** How a MOUNT call ends: a status of RPC and a result, or null to give no answer, since this server has none to give. */
export type MountDone = (status: AcceptStatus, result: Buffer | null) => void;

type Failed = Exclude<MountStatus, typeof MountStatus.ok>;

export class MountProgram {
  readonly #volume: VolumeName;
  readonly #exported: NfsExport;
  readonly #program: NfsProgram;
  readonly #maxMounts: number;
  readonly #log: NfsLog;
  /** By client and path, oldest first. */
  readonly #mounts = new Map<string, MountEntry>();

  constructor(volume: VolumeName, exported: NfsExport, program: NfsProgram, maxMounts: number, log: NfsLog) {
    this.#volume = volume;
    this.#exported = exported;
    this.#program = program;
    this.#maxMounts = maxMounts;
    this.#log = log;
  }

  /** Takes a call of version 3, procedure 0 to 5; the reader stands at its arguments. Answers from within or later. */
  call(procedure: number, xdr: XdrReader, from: Mounter, done: MountDone): void {
    const { success, garbageArguments, procedureUnavailable } = AcceptStatus;
    switch (procedure) {
      case MountProcedure.null:
        return done(success, NO_BYTES);
      case MountProcedure.mnt: {
        const path = readPath(xdr);
        if (path === null) return done(garbageArguments, NO_BYTES);
        // The path outlives what was received.
        return this.#mount(Buffer.from(path), from, done);
      }
      case MountProcedure.dump:
        return done(success, encodeDump([...this.#mounts.values()]));
      case MountProcedure.umnt: {
        const path = readPath(xdr);
        if (path === null) return done(garbageArguments, NO_BYTES);
        this.#forget(from.peer.client, Buffer.from(path));
        return done(success, NO_BYTES);
      }
      case MountProcedure.umntall:
        for (const [key, { host }] of this.#mounts) {
          if (host.toString() === from.peer.client.address) this.#mounts.delete(key);
        }
        return done(success, NO_BYTES);
      case MountProcedure.export:
        return done(success, encodeExport([this.#exportEntry()]));
      default:
        return done(procedureUnavailable, NO_BYTES);
    }
  }

  #exportEntry(): { readonly directory: Buffer; readonly groups: readonly Buffer[] } {
    const groups = this.#exported.clients.map((network) => Buffer.from(networkText(network)));
    return { directory: Buffer.from(`/${this.#volume}`), groups };
  }

  #mount(path: Buffer, from: Mounter, done: MountDone): void {
    const names = this.#namesBelowRoot(path);
    if (!from.peer.allowed)
      return this.#refuse(path, from, MountStatus.acces, 'the address is not among its clients', done);
    if (names === null) return this.#refuse(path, from, MountStatus.noent, 'no such export', done);
    if (names.length > MAX_DEPTH)
      return this.#refuse(path, from, MountStatus.nametoolong, 'the path is too deep', done);
    this.#program.rootHandle((fault, handle) => {
      if (handle === null) return this.#failed(path, from, fault, done);
      this.#descend(path, handle, names, 0, from, done);
    });
  }

  /** Looks up `names[at]` in the directory; behind the last one the handle is the client's. */
  #descend(path: Buffer, handle: Buffer, names: readonly Buffer[], at: number, from: Mounter, done: MountDone): void {
    if (from.peer.gone) return done(AcceptStatus.success, null);
    const name = names[at];
    if (name === undefined) return this.#mounted(path, handle, from, done);
    this.#ask({ procedure: 'lookup', directory: handle, name }, from, done, (result) => {
      if (result.procedure !== 'lookup') return done(AcceptStatus.systemError, NO_BYTES);
      if (result.status !== NfsStatus.ok) return this.#refuseFor(path, from, result.status, done);
      const next = Buffer.from(result.handle);
      this.#ask({ procedure: 'getattr', handle: next }, from, done, (found) => {
        if (found.procedure !== 'getattr') return done(AcceptStatus.systemError, NO_BYTES);
        if (found.status !== NfsStatus.ok) return this.#refuseFor(path, from, found.status, done);
        if (found.attributes.type !== 'directory') return this.#refuseFor(path, from, NfsStatus.notdir, done);
        this.#descend(path, next, names, at + 1, from, done);
      });
    });
  }

  #mounted(path: Buffer, handle: Buffer, from: Mounter, done: MountDone): void {
    const { client } = from.peer;
    const key = keyOf(client, path);
    this.#mounts.delete(key);
    this.#mounts.set(key, { host: Buffer.from(client.address), directory: path });
    for (const oldest of this.#mounts.keys()) {
      if (this.#mounts.size <= this.#maxMounts) break;
      this.#mounts.delete(oldest);
    }
    this.#log('nfs.mount', { volume: this.#volume, client: client.address, path: path.toString() });
    done(AcceptStatus.success, encodeMnt({ status: MountStatus.ok, handle, flavors: [AuthFlavor.sys] }));
  }

  #forget(client: NfsClient, path: Buffer): void {
    if (!this.#mounts.delete(keyOf(client, path))) return;
    this.#log('nfs.unmount', { volume: this.#volume, client: client.address, path: path.toString() });
  }

  #refuse(path: Buffer, from: Mounter, status: Failed, reason: string, done: MountDone): void {
    const { address } = from.peer.client;
    this.#log('nfs.refuse', {
      volume: this.#volume,
      client: address,
      reason: `mount of ${shown(path)}: ${reason}`,
    });
    done(AcceptStatus.success, encodeMnt({ status }));
  }

  #refuseFor(path: Buffer, from: Mounter, status: NfsError, done: MountDone): void {
    this.#refuse(
      path,
      from,
      STATUS_OF.get(status) ?? MountStatus.io,
      `no directory that this user reaches (status ${status})`,
      done,
    );
  }

  /** A server that cannot tell does not answer: the next owner will. */
  #failed(path: Buffer, from: Mounter, fault: Fault | null, done: MountDone): void {
    if (fault === null || fault.kind === 'moved' || fault.kind === 'retry' || fault.kind === 'timeout') {
      return done(AcceptStatus.success, null);
    }
    this.#refuse(path, from, MountStatus.io, fault.message, done);
  }

  /** The names below the volume's root; null when the path does not lead there. */
  #namesBelowRoot(path: Buffer): Buffer[] | null {
    const names = split(path);
    if (names.length === 0) return path.length === 0 || path[0] === SLASH ? [] : null;
    const [first, ...below] = names;
    if (first === undefined || first.toString() !== this.#volume) return null;
    return below.some((name) => name.equals(UP)) ? null : below;
  }

  /** A call on behalf of the client, to the program itself. */
  #ask(args: NfsArguments, from: Mounter, done: MountDone, answered: (result: NfsResult) => void): void {
    this.#program.call(new OwnCall(args, from), new OwnReply(done, answered));
  }
}

const UP = Buffer.from('..');
const HERE = Buffer.from('.');

function split(path: Buffer): Buffer[] {
  const names: Buffer[] = [];
  let from = 0;
  for (let at = 0; at <= path.length; at++) {
    if (at < path.length && path[at] !== SLASH) continue;
    const name = path.subarray(from, at);
    if (name.length > 0 && !name.equals(HERE)) names.push(name);
    from = at + 1;
  }
  return names;
}

const keyOf = (client: NfsClient, path: Buffer): string => `${client.address} ${path.toString('latin1')}`;

const shown = (path: Buffer): string => JSON.stringify(path.toString());

/** What MOUNT can say of what LOOKUP and GETATTR say; anything else is an error of the server's. */
const STATUS_OF: ReadonlyMap<NfsError, Failed> = new Map<NfsError, Failed>([
  [NfsStatus.perm, MountStatus.perm],
  [NfsStatus.noent, MountStatus.noent],
  [NfsStatus.acces, MountStatus.acces],
  [NfsStatus.notdir, MountStatus.notdir],
  [NfsStatus.inval, MountStatus.inval],
  [NfsStatus.nametoolong, MountStatus.nametoolong],
]);

/** A call that comes from no record. */
class OwnCall implements NfsCall {
  readonly xid = 0;
  readonly arguments: NfsArguments;
  readonly #from: Mounter;

  constructor(args: NfsArguments, from: Mounter) {
    this.arguments = args;
    this.#from = from;
  }

  get client(): NfsClient {
    return this.#from.peer.client;
  }

  get credential(): Credential | null {
    return this.#from.credential;
  }

  get gone(): boolean {
    return this.#from.peer.gone;
  }

  get argumentBytes(): Buffer {
    return encodeArguments(this.arguments);
  }
}

class OwnReply implements NfsReply {
  readonly #done: MountDone;
  readonly #answered: (result: NfsResult) => void;

  constructor(done: MountDone, answered: (result: NfsResult) => void) {
    this.#done = done;
    this.#answered = answered;
  }

  send(result: NfsResult): void {
    this.#answered(result);
  }

  /** Kept replies are for calls that change something: none of these. */
  sendEncoded(): void {
    this.#done(AcceptStatus.systemError, NO_BYTES);
  }

  drop(): void {
    this.#done(AcceptStatus.success, null);
  }
}

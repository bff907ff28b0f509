/**
 * One NFS request from its decoding to its answer: call and reply in one object, which the program holds. No closure,
 * no promise; not reused.
 */
import { assert } from '../../base/fault.ts';
import type { NfsArguments } from '../../wire/nfs/types.ts';
import type { NfsResult } from '../../wire/nfs/results.ts';
import type { Credential, NfsCall, NfsClient, NfsReply } from './program.ts';

/** Who sends the answer. */
export interface RequestOwner {
  readonly client: NfsClient;
  readonly gone: boolean;
  answered(request: Request, result: NfsResult): void;
  answeredEncoded(request: Request, result: Buffer): void;
  dropped(request: Request, why: string): void;
}

export class Request implements NfsCall, NfsReply {
  readonly xid: number;
  readonly credential: Credential | null;
  readonly arguments: NfsArguments;
  /** What it counts for in the bounds, bytes. */
  readonly costBytes: number;
  readonly #owner: RequestOwner;
  readonly #bytes: Buffer;
  readonly #from: number;
  readonly #to: number;
  #ended = false;

  /** The arguments were decoded from `bytes`, between `from` and `to`. */
  constructor(
    owner: RequestOwner,
    xid: number,
    credential: Credential | null,
    args: NfsArguments,
    costBytes: number,
    bytes: Buffer,
    from: number,
    to: number,
  ) {
    this.#owner = owner;
    this.xid = xid;
    this.credential = credential;
    this.arguments = args;
    this.costBytes = costBytes;
    this.#bytes = bytes;
    this.#from = from;
    this.#to = to;
  }

  get client(): NfsClient {
    return this.#owner.client;
  }

  get gone(): boolean {
    return this.#owner.gone;
  }

  get argumentBytes(): Buffer {
    return this.#bytes.subarray(this.#from, this.#to);
  }

  send(result: NfsResult): void {
    assert(result.procedure === this.arguments.procedure, 'a call is answered with a result of its procedure');
    this.#end();
    this.#owner.answered(this, result);
  }

  sendEncoded(result: Buffer): void {
    this.#end();
    this.#owner.answeredEncoded(this, result);
  }

  drop(why: string): void {
    this.#end();
    this.#owner.dropped(this, why);
  }

  #end(): void {
    assert(!this.#ended, 'a call is answered once');
    this.#ended = true;
  }
}

/** Objects and buffers around a request's own bytes. */
const REQUEST_OVERHEAD_BYTES = 512;
/** A READLINK's answer is a path. */
const PATH_BYTES = 4096;

/** What a request counts for: its record, what it asks for (at most `most`, as the program grants), and what is around it. */
export function costOf(args: NfsArguments, recordBytes: number, most: number): number {
  return REQUEST_OVERHEAD_BYTES + recordBytes + askedBytes(args, most);
}

function askedBytes(args: NfsArguments, most: number): number {
  if (args.procedure === 'read' || args.procedure === 'readdir') return Math.min(args.count, most);
  if (args.procedure === 'readdirplus') return Math.min(args.maxCount, most);
  return args.procedure === 'readlink' ? PATH_BYTES : 0;
}

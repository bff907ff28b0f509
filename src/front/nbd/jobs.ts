/**
 * The requests of a connection as the volume's service sees them. One object per request and nothing else: no closure,
 * no promise. They are not reused: the service may look at a request after its `done`, and a young object is cheap.
 */
import { assert, type Fault } from '../../base/fault.ts';
import type { Extent } from '../../ports/medium.ts';
import type { ModifyRequest, ReadPiece, ReadRequest, StatusRequest } from '../../ports/service.ts';
import { offsetOf, type RequestFields } from '../../wire/nbd-requests.ts';

/** Who is told how a request ended. */
export interface JobOwner {
  /** The connection is gone: what was not admitted yet has to be dropped. */
  readonly gone: boolean;
  /** A request without data in its answer ended. */
  ended(job: Job, fault: Fault | null): void;
  readEnded(job: ReadJob, fault: Fault | null, pieces: readonly ReadPiece[] | null): void;
  statusEnded(job: StatusJob, fault: Fault | null, extents: readonly Extent[] | null): void;
}

/** What all requests have in common. */
export abstract class Job {
  readonly target = '';
  readonly owner: JobOwner;
  readonly flags: number;
  readonly cookieHigh: number;
  readonly cookieLow: number;
  readonly offsetHigh: number;
  readonly offsetLow: number;
  readonly offset: number;
  readonly length: number;
  /** Bytes that this request counts for in the bounds of connection and volume. */
  readonly costBytes: number;
  #ended = false;

  constructor(owner: JobOwner, fields: RequestFields, length: number, costBytes: number) {
    this.owner = owner;
    this.flags = fields.flags;
    this.cookieHigh = fields.cookieHigh;
    this.cookieLow = fields.cookieLow;
    this.offsetHigh = fields.offsetHigh;
    this.offsetLow = fields.offsetLow;
    this.offset = offsetOf(fields);
    this.length = length;
    this.costBytes = costBytes;
  }

  /** All requests of a connection are cancelled at once, by its end. */
  get cancelled(): boolean {
    return this.owner.gone;
  }

  /** To be called first by every `done`. */
  protected end(): void {
    assert(!this.#ended, 'a request is answered once');
    this.#ended = true;
  }
}

/** WRITE, TRIM, WRITE_ZEROES. */
export class ModifyJob extends Job implements ModifyRequest {
  readonly kind: 'write' | 'zero' | 'trim';
  readonly data: Buffer;

  constructor(owner: JobOwner, fields: RequestFields, kind: 'write' | 'zero' | 'trim') {
    super(owner, fields, fields.length, fields.payload.length);
    this.kind = kind;
    this.data = fields.payload;
  }

  done(fault: Fault | null): void {
    this.end();
    this.owner.ended(this, fault);
  }
}

/** READ. */
export class ReadJob extends Job implements ReadRequest {
  readonly kind = 'read';

  constructor(owner: JobOwner, fields: RequestFields) {
    super(owner, fields, fields.length, fields.length);
  }

  done(fault: Fault | null, pieces: readonly ReadPiece[] | null): void {
    this.end();
    this.owner.readEnded(this, fault, pieces);
  }
}

/** CACHE: a read whose bytes nobody wants; what it warms on its way is the point. */
export class CacheJob extends Job implements ReadRequest {
  readonly kind = 'read';

  constructor(owner: JobOwner, fields: RequestFields) {
    super(owner, fields, fields.length, fields.length);
  }

  done(fault: Fault | null): void {
    this.end();
    this.owner.ended(this, fault);
  }
}

/** Bytes of an extent and of its descriptor in a status answer, roughly: what a status request counts for. */
const STATUS_COST_BYTES = 64 << 10;

/** BLOCK_STATUS, of at most `maxBytes`: the document leaves it to the server to answer for less than was asked. */
export class StatusJob extends Job implements StatusRequest {
  readonly kind = 'status';

  constructor(owner: JobOwner, fields: RequestFields, maxBytes: number) {
    super(owner, fields, Math.min(fields.length, maxBytes), STATUS_COST_BYTES);
  }

  done(fault: Fault | null, extents: readonly Extent[] | null): void {
    this.end();
    this.owner.statusEnded(this, fault, extents);
  }
}

/** A WRITE longer than the service takes at once: submitted in parts, answered when all of them have ended. */
export class SplitWriteJob extends Job {
  readonly data: Buffer;
  /** Parts that have not ended. */
  #left: number;
  #fault: Fault | null = null;
  readonly #partBytes: number;

  constructor(owner: JobOwner, fields: RequestFields, partBytes: number) {
    super(owner, fields, fields.length, fields.payload.length);
    this.data = fields.payload;
    this.#partBytes = partBytes;
    this.#left = Math.ceil(fields.length / partBytes);
  }

  /** The parts, in order. */
  parts(): ModifyRequest[] {
    return Array.from({ length: this.#left }, (_, i) => new WritePart(this, i * this.#partBytes, this.#partBytes));
  }

  partEnded(fault: Fault | null): void {
    this.#fault ??= fault;
    this.#left--;
    if (this.#left > 0) return;
    this.end();
    this.owner.ended(this, this.#fault);
  }
}

class WritePart implements ModifyRequest {
  readonly kind = 'write';
  readonly target = '';
  readonly offset: number;
  readonly length: number;
  readonly data: Buffer;
  readonly #whole: SplitWriteJob;
  #ended = false;

  constructor(whole: SplitWriteJob, from: number, partBytes: number) {
    this.#whole = whole;
    this.data = whole.data.subarray(from, from + partBytes);
    this.offset = whole.offset + from;
    this.length = this.data.length;
  }

  get cancelled(): boolean {
    return this.#whole.cancelled;
  }

  done(fault: Fault | null): void {
    assert(!this.#ended, 'a part of a write is answered once');
    this.#ended = true;
    this.#whole.partEnded(fault);
  }
}

/**
 * The requests of a connection as the volume's service sees them. One object per request and nothing else: no closure,
 * no promise, and no field for what can be told without one. They are not reused: the service may look at a request after
 * its `done`, and a young object is cheap.
 *
 * A cancelled request that was not admitted is dropped without a word, and a service whose medium hangs may come to that
 * much later. So a write lets go of its payload when its connection ends: what was admitted is an operation of the
 * volume by then and holds the bytes itself, and what was not is never looked at again but for `cancelled`. Otherwise
 * clients that time out and come again would pile up payloads without a bound.
 */
import { assert, type Fault } from '../../base/fault.ts';
import { NO_BYTES, NO_TIME } from '../../base/operation.ts';
import type { Extent } from '../../ports/medium.ts';
import type { ModifyRequest, ReadPiece, ReadRequest, StatusRequest } from '../../ports/service.ts';
import { highOf, lowOf, offsetOf, type RequestFields } from '../../wire/nbd-requests.ts';

/** Who is told how a request ended. */
export interface JobOwner {
  /** The connection is gone: what was not admitted yet has to be dropped. */
  readonly gone: boolean;
  modifyEnded(job: ModifyJob | SplitWriteJob, fault: Fault | null): void;
  cacheEnded(job: CacheJob, fault: Fault | null): void;
  readEnded(job: ReadJob, fault: Fault | null, pieces: readonly ReadPiece[] | null): void;
  statusEnded(job: StatusJob, fault: Fault | null, extents: readonly Extent[] | null): void;
}

/** What all requests have in common. */
export abstract class Job {
  readonly owner: JobOwner;
  readonly cookieHigh: number;
  readonly cookieLow: number;
  readonly offset: number;
  readonly length: number;
  /** Bytes that this request counts for in the bounds of connection and volume. */
  readonly costBytes: number;
  #ended = false;

  constructor(owner: JobOwner, fields: RequestFields, length: number, costBytes: number) {
    this.owner = owner;
    this.cookieHigh = fields.cookieHigh;
    this.cookieLow = fields.cookieLow;
    this.offset = offsetOf(fields);
    this.length = length;
    this.costBytes = costBytes;
  }

  /** The one image of a block volume. */
  get target(): string {
    return '';
  }

  /** The halves of the offset, which is exact: a request beyond the end of its export has no job. */
  get offsetHigh(): number {
    return highOf(this.offset);
  }
  get offsetLow(): number {
    return lowOf(this.offset);
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

/** Those that carry a payload, linked while they are on their way. */
export interface Carrier {
  before: Carrier | null;
  behind: Carrier | null;
  /** Lets go of the payload; the request is cancelled. */
  letGo(): void;
}

/** The writes of a connection that have not ended: a list through the requests themselves. */
export class Carriers {
  #first: Carrier | null = null;

  add(carrier: Carrier): void {
    carrier.behind = this.#first;
    if (this.#first !== null) this.#first.before = carrier;
    this.#first = carrier;
  }

  remove(carrier: Carrier): void {
    if (carrier.before !== null) carrier.before.behind = carrier.behind;
    else if (this.#first === carrier) this.#first = carrier.behind;
    if (carrier.behind !== null) carrier.behind.before = carrier.before;
    carrier.before = null;
    carrier.behind = null;
  }

  letGo(): void {
    for (let carrier = this.#first; carrier !== null; carrier = this.#first) {
      this.remove(carrier);
      carrier.letGo();
    }
  }
}

/** WRITE, TRIM, WRITE_ZEROES. */
export class ModifyJob extends Job implements ModifyRequest, Carrier {
  readonly kind: 'write' | 'zero' | 'trim';
  data: Buffer;
  before: Carrier | null = null;
  behind: Carrier | null = null;

  constructor(owner: JobOwner, fields: RequestFields, kind: 'write' | 'zero' | 'trim') {
    super(owner, fields, fields.length, fields.payload.length);
    this.kind = kind;
    this.data = fields.payload;
  }

  get timeNs(): bigint {
    return NO_TIME;
  }

  letGo(): void {
    this.data = NO_BYTES;
  }

  done(fault: Fault | null): void {
    this.end();
    this.owner.modifyEnded(this, fault);
  }
}

/** READ. */
export class ReadJob extends Job implements ReadRequest {
  readonly kind = 'read';
  readonly flags: number;

  constructor(owner: JobOwner, fields: RequestFields) {
    super(owner, fields, fields.length, fields.length);
    this.flags = fields.flags;
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
    this.owner.cacheEnded(this, fault);
  }
}

/** What a status request counts for: the extents of a fragmented range and their answer, roughly. */
const STATUS_COST_BYTES = 64 << 10;

/** BLOCK_STATUS, of at most `maxBytes`: the document leaves it to the server to answer for less than was asked. */
export class StatusJob extends Job implements StatusRequest {
  readonly kind = 'status';
  readonly flags: number;

  constructor(owner: JobOwner, fields: RequestFields, maxBytes: number) {
    super(owner, fields, Math.min(fields.length, maxBytes), STATUS_COST_BYTES);
    this.flags = fields.flags;
  }

  done(fault: Fault | null, extents: readonly Extent[] | null): void {
    this.end();
    this.owner.statusEnded(this, fault, extents);
  }
}

/** A WRITE longer than the service takes at once: submitted in parts, answered when all of them have ended. */
export class SplitWriteJob extends Job implements Carrier {
  before: Carrier | null = null;
  behind: Carrier | null = null;
  /** In order. */
  readonly parts: readonly WritePart[];
  /** Parts that have not ended. */
  #left: number;
  #fault: Fault | null = null;

  constructor(owner: JobOwner, fields: RequestFields, partBytes: number) {
    super(owner, fields, fields.length, fields.payload.length);
    this.#left = Math.ceil(fields.length / partBytes);
    this.parts = Array.from(
      { length: this.#left },
      (_, i) => new WritePart(this, fields.payload, i * partBytes, partBytes),
    );
  }

  letGo(): void {
    for (const part of this.parts) part.data = NO_BYTES;
  }

  partEnded(fault: Fault | null): void {
    this.#fault ??= fault;
    this.#left--;
    if (this.#left > 0) return;
    this.end();
    this.owner.modifyEnded(this, this.#fault);
  }
}

class WritePart implements ModifyRequest {
  readonly kind = 'write';
  readonly target = '';
  readonly timeNs = NO_TIME;
  readonly offset: number;
  readonly length: number;
  data: Buffer;
  readonly #whole: SplitWriteJob;
  #ended = false;

  constructor(whole: SplitWriteJob, payload: Buffer, from: number, partBytes: number) {
    this.#whole = whole;
    this.data = payload.subarray(from, from + partBytes);
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

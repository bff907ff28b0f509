/**
 * A volume in memory behind the port `VolumeService`: what front ends are tried against. It knows holes (in blocks of
 * 4 KiB), answers what arrived together in one turn, and can be told to fail, to wait, and to answer in another order.
 */
import { assert, Fault, type FaultKind } from '../src/base/fault.ts';
import type { Extent } from '../src/ports/medium.ts';
import type {
  ModifyRequest,
  ReadPiece,
  ReadRequest,
  ServiceRequest,
  StatusRequest,
  VolumeService,
} from '../src/ports/service.ts';

const BLOCK_BYTES = 4096;

/** What is asked of a block volume. */
type BlockRequest = ReadRequest | StatusRequest | (ModifyRequest & { readonly kind: 'write' | 'zero' | 'trim' });

export interface MemoryServiceOptions {
  readonly sizeBytes: number;
  /** Defaults to 32 MiB. */
  readonly maxRequestBytes?: number;
}

export class MemoryService implements VolumeService {
  readonly maxRequestBytes: number;
  /** Everything that was carried out, by kind. */
  readonly counts = { write: 0, zero: 0, trim: 0, read: 0, status: 0, cancelled: 0 };
  readonly bytes: Buffer;
  /** One for every block that is not a hole. */
  readonly #allocated: Uint8Array;
  #queue: BlockRequest[] = [];
  #due = false;
  #waiting = false;
  #reversed = false;
  readonly #faults: { readonly kind: FaultKind; readonly of: BlockRequest['kind'] | null }[] = [];

  constructor(options: MemoryServiceOptions) {
    this.bytes = Buffer.alloc(options.sizeBytes);
    this.#allocated = new Uint8Array(Math.ceil(options.sizeBytes / BLOCK_BYTES));
    this.maxRequestBytes = options.maxRequestBytes ?? 32 << 20;
  }

  sizeBytes(target: string): number {
    assert(target === '', 'a block volume has one image');
    return this.bytes.length;
  }

  /** Nothing but bytes here: no file has a size or a time. */
  pending(): null {
    return null;
  }

  /** Requests submitted and not answered. */
  get unanswered(): number {
    return this.#queue.length;
  }

  submit(request: ServiceRequest): void {
    assert(isOfBlocks(request), 'a block volume has no files');
    assert(request.target === '', 'a block volume has one image');
    assert(request.length > 0 && request.offset >= 0, 'a request covers something');
    assert(request.offset + request.length <= this.bytes.length, 'a request lies within the volume');
    if (request.kind === 'write') {
      assert(request.data.length === request.length, 'a write carries its bytes');
      assert(request.length <= this.maxRequestBytes, 'a write is not longer than the service takes');
    }
    this.#queue.push(request);
    this.#turnSoon();
  }

  /** The next request (of that kind) ends with a fault. */
  failNext(kind: FaultKind, of: BlockRequest['kind'] | null = null): void {
    this.#faults.push({ kind, of });
  }

  /** Requests wait until `go`. */
  wait(): void {
    this.#waiting = true;
  }

  go(): void {
    this.#waiting = false;
    this.#turnSoon();
  }

  /** Carries requests out in their order, but answers each turn's last one first. */
  answerBackwards(): void {
    this.#reversed = true;
  }

  #turnSoon(): void {
    if (this.#due || this.#waiting) return;
    this.#due = true;
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    this.#due = false;
    if (this.#waiting) return;
    const batch = this.#queue;
    this.#queue = [];
    if (!this.#reversed) {
      for (const request of batch) this.#carryOut(request)?.();
      return;
    }
    const answers = batch.map((request) => this.#carryOut(request));
    for (const answer of answers.reverse()) answer?.();
  };

  /** Does it now; the answer is given by what is returned, or at once when order does not matter. */
  #carryOut(request: BlockRequest): (() => void) | null {
    if (request.cancelled) {
      this.counts.cancelled++;
      return null;
    }
    this.counts[request.kind]++;
    const fault = this.#faultFor(request);
    if (request.kind === 'read') {
      const pieces = fault === null ? this.#read(request.offset, request.length) : null;
      return () => request.done(fault, pieces);
    }
    if (request.kind === 'status') {
      const extents = fault === null ? this.#status(request.offset, request.length) : null;
      return () => request.done(fault, extents);
    }
    if (fault === null) this.#modify(request.kind, request.offset, request.length, request.data);
    if (this.#reversed) return () => request.done(fault);
    request.done(fault);
    return null;
  }

  #faultFor(request: BlockRequest): Fault | null {
    const at = this.#faults.findIndex(({ of }) => of === null || of === request.kind);
    if (at < 0) return null;
    const [{ kind } = { kind: 'io' as const }] = this.#faults.splice(at, 1);
    return new Fault(kind, `a fault of kind ${kind}, as ordered`);
  }

  #modify(kind: 'write' | 'zero' | 'trim', offset: number, length: number, data: Buffer): void {
    const end = offset + length;
    if (kind === 'write') data.copy(this.bytes, offset);
    else this.bytes.fill(0, offset, end);
    if (kind !== 'trim') {
      this.#allocated.fill(1, Math.floor(offset / BLOCK_BYTES), Math.ceil(end / BLOCK_BYTES));
      return;
    }
    const last = end === this.bytes.length ? this.#allocated.length : Math.floor(end / BLOCK_BYTES);
    const first = Math.ceil(offset / BLOCK_BYTES);
    if (first < last) this.#allocated.fill(0, first, last);
  }

  #read(offset: number, length: number): ReadPiece[] {
    return this.#status(offset, length).map((extent) => ({
      length: extent.length,
      data: extent.hole ? null : Buffer.from(this.bytes.subarray(extent.offset, extent.offset + extent.length)),
    }));
  }

  #status(offset: number, length: number): Extent[] {
    const end = offset + length;
    const extents: { offset: number; length: number; hole: boolean }[] = [];
    for (let at = offset; at < end;) {
      const block = Math.floor(at / BLOCK_BYTES);
      const until = Math.min(end, (block + 1) * BLOCK_BYTES);
      const hole = this.#allocated[block] === 0;
      const last = extents.at(-1);
      if (last !== undefined && last.hole === hole) last.length += until - at;
      else extents.push({ offset: at, length: until - at, hole });
      at = until;
    }
    return extents;
  }
}

function isOfBlocks(request: ServiceRequest): request is BlockRequest {
  return request.kind !== 'call' && request.kind !== 'truncate' && request.kind !== 'stamp';
}

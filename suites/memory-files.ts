/**
 * A files volume in memory behind the port `VolumeService`: a log of what is accepted and not destaged over a `MemoryTree`.
 * It answers in later turns, can be told to keep acknowledgements back, to destage, to fail, and to die at a step: then
 * it answers nothing more, and a new one is made of what it leaves, as after a takeover.
 */
import { Fault, type FaultKind } from '../src/base/fault.ts';
import type {
  CallRequest,
  ModifyRequest,
  PendingObject,
  ReadRequest,
  ServiceRequest,
  VolumeService,
} from '../src/ports/service.ts';
import { REPLIES, type ObjectId } from '../src/ports/tree.ts';
import { MemoryTree } from './memory-tree.ts';

/** What the object of that name takes. */
const REPLIES_BYTES = 4 << 20;

/** An accepted operation. */
interface Logged {
  readonly request: ModifyRequest;
  acknowledged: boolean;
}

/** What outlives a service: the medium, and what both stores hold. */
export interface Remains {
  readonly tree: MemoryTree;
  readonly replies: Buffer;
}

export class MemoryFiles implements VolumeService {
  readonly maxRequestBytes: number;
  readonly tree: MemoryTree;
  /** The object of that name. */
  replies: Buffer;
  /** Steps so far: an operation accepted, an operation acknowledged, a call begun, a call answered. */
  steps = 0;
  /** What was submitted, by kind. */
  readonly counts = { write: 0, zero: 0, trim: 0, truncate: 0, stamp: 0, read: 0, status: 0, call: 0 };
  #log: Logged[] = [];
  #diesAt = Infinity;
  #keepsBack = false;
  readonly #keptBack: (() => void)[] = [];
  readonly #faults: { readonly kind: FaultKind; readonly of: ServiceRequest['kind'] }[] = [];

  constructor(remains: Remains = { tree: new MemoryTree(), replies: Buffer.alloc(0) }, maxRequestBytes = 32 << 20) {
    this.tree = remains.tree;
    this.replies = remains.replies;
    this.maxRequestBytes = maxRequestBytes;
  }

  // ---- the port

  sizeBytes(): number {
    return 2 ** 44 - 4096;
  }

  pending(target: ObjectId): PendingObject | null {
    const mine = this.#log.filter(({ request }) => request.target === target);
    if (mine.length === 0) return null;
    let exactBytes: number | null = null;
    let leastBytes = 0;
    let timeNs = 0n;
    for (const { request } of mine) {
      timeNs = request.timeNs;
      if (request.kind === 'truncate') exactBytes = leastBytes = request.offset;
      else if (request.kind === 'write') {
        leastBytes = Math.max(leastBytes, request.offset + request.length);
        if (exactBytes !== null) exactBytes = leastBytes;
      }
    }
    return { exactBytes, leastBytes, timeNs };
  }

  submit(request: ServiceRequest): void {
    this.counts[request.kind] += 1;
    if (request.kind === 'call') this.#call(request);
    else if (request.kind === 'read') this.#read(request);
    else if (request.kind !== 'status') this.#modify(request);
  }

  #call(request: CallRequest): void {
    if (!this.#step()) return;
    const answer = (): void =>
      void setImmediate(() => {
        if (this.#step() && !request.cancelled) request.done(this.#faultOf('call'));
      });
    if (request.begin === null) answer();
    else request.begin(this.tree, answer);
  }

  #modify(request: ModifyRequest): void {
    if (request.cancelled) return;
    const fault = this.#faultOf(request.kind);
    if (fault !== null) return void setImmediate(() => request.done(fault));
    if (!this.#step()) return;
    const logged: Logged = { request, acknowledged: false };
    this.#log.push(logged);
    const acknowledge = (): void => {
      if (!this.#step()) return;
      logged.acknowledged = true;
      request.done(null);
    };
    if (this.#keepsBack) this.#keptBack.push(acknowledge);
    else setImmediate(acknowledge);
  }

  #read(request: ReadRequest): void {
    if (this.dead) return;
    const fault = this.#faultOf('read');
    const shown = this.#log.filter((logged) => logged.request.target === request.target);
    const data = fault === null ? this.bytes(request.target) : null;
    const answer = (): void =>
      void setImmediate(() => {
        if (this.dead) return;
        // What it shows has to be acknowledged first (trap T1).
        if (shown.some(({ acknowledged }) => !acknowledged)) return answer();
        if (data === null) return request.done(fault ?? new Fault('missing', 'the object is gone'), null);
        if (request.offset >= data.length) return request.done(null, [{ length: request.length, data: null }]);
        const piece = Buffer.alloc(request.length);
        data.subarray(request.offset, request.offset + request.length).copy(piece);
        const half = Math.floor(request.length / 2);
        const pieces = [piece.subarray(0, half), piece.subarray(half)].filter((part) => part.length > 0);
        request.done(
          null,
          pieces.map((part) => ({ length: part.length, data: part.equals(Buffer.alloc(part.length)) ? null : part })),
        );
      });
    answer();
  }

  // ---- what a test sees and does

  /** The object's bytes as its owner shows them; null when it is gone. */
  bytes(target: ObjectId): Buffer | null {
    let bytes = target === REPLIES ? this.replies : (this.tree.nodes.get(target)?.data ?? null);
    if (bytes === null) return null;
    for (const { request } of this.#log) if (request.target === target) bytes = applied(bytes, request);
    return bytes;
  }

  /** Everything acknowledged, or the oldest `most` operations of it, goes to the medium. */
  destage(most = Infinity): void {
    while (most > 0 && this.#log[0]?.acknowledged === true) {
      this.#toMedium(this.#log.shift()?.request);
      most -= 1;
    }
  }

  #toMedium(request: ModifyRequest | undefined): void {
    if (request === undefined) return;
    const { target, offset, timeNs } = request;
    if (target === REPLIES) {
      if (this.replies.length < REPLIES_BYTES) this.replies = Buffer.concat([this.replies], REPLIES_BYTES);
      request.data.copy(this.replies, offset);
      return;
    }
    if (request.kind === 'write') this.tree.write(target, offset, request.data);
    if (request.kind === 'truncate') this.tree.resize(target, offset);
    this.tree.stamp(target, timeNs);
  }

  get undestaged(): number {
    return this.#log.length;
  }

  /** Acknowledgements wait until `acknowledge`. */
  keepBack(): void {
    this.#keepsBack = true;
  }

  /** Those that wait are given, all or the first ones. */
  acknowledge(most = Infinity): void {
    for (const answer of this.#keptBack.splice(0, most)) answer();
  }

  goOn(): void {
    this.#keepsBack = false;
    this.acknowledge();
  }

  failNext(kind: FaultKind, of: ServiceRequest['kind']): void {
    this.#faults.push({ kind, of });
  }

  #faultOf(kind: ServiceRequest['kind']): Fault | null {
    const at = this.#faults.findIndex(({ of }) => of === kind);
    if (at < 0) return null;
    const [ordered] = this.#faults.splice(at, 1);
    return ordered === undefined ? null : new Fault(ordered.kind, `a fault of kind ${ordered.kind}, as ordered`);
  }

  // ---- death

  /** From that step on nothing is accepted, begun or answered. */
  dieAt(step: number): void {
    this.#diesAt = step;
  }

  get dead(): boolean {
    return this.steps >= this.#diesAt;
  }

  #step(): boolean {
    if (this.dead) return false;
    this.steps += 1;
    return true;
  }

  /**
   * What the next owner starts from: the medium with the replayed log.
   * @param lost of the operations that were not acknowledged, so many at the end of the log were not mirrored
   */
  remains(lost: number): Remains {
    this.dieAt(0);
    let left = lost;
    while (left > 0 && this.#log.at(-1)?.acknowledged === false) {
      this.#log.pop();
      left -= 1;
    }
    for (const { request } of this.#log.splice(0)) this.#toMedium(request);
    return { tree: this.tree, replies: this.replies };
  }
}

function applied(bytes: Buffer, { kind, offset, data }: ModifyRequest): Buffer {
  if (kind === 'stamp') return bytes;
  const size = kind === 'truncate' ? offset : Math.max(bytes.length, offset + data.length);
  const out = Buffer.alloc(size);
  bytes.copy(out, 0, 0, Math.min(size, bytes.length));
  if (kind === 'write') data.copy(out, offset);
  return out;
}

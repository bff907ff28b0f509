/**
 * Reads: the newest acknowledgeable state, first store over medium (design 2.5). The view of the store is taken before
 * the medium is read; a view that shows an operation which could not yet be acknowledged waits for it (trap T1);
 * authority is checked after the data are gathered, before the answer is sent.
 */
import { Fault } from '../../base/fault.ts';
import { NO_SEQUENCE, higher } from '../../base/names.ts';
import type { Sequence } from '../../base/names.ts';
import { MinHeap } from '../../base/heap.ts';
import { OperationKind } from '../../base/operation.ts';
import type { Operation } from '../../base/operation.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Extent, MediumVolume } from '../../ports/medium.ts';
import type { CallRequest, ReadPiece, ReadRequest, StatusRequest } from '../../ports/service.ts';
import type { Overlay } from './overlay.ts';

/** Operations that are mapped for a read before others have their turn: a volume that was only written has many. */
const MAPPED_AT_ONCE = 1_024;

/** Part of a view: what an operation of the store determines, or (null) what the medium does. */
interface Part {
  readonly from: number;
  readonly to: number;
  readonly operation: Operation | null;
}

/** A request with the view that was taken when it was admitted. */
interface View {
  readonly request: ReadRequest | StatusRequest;
  readonly parts: readonly Part[];
  /** The newest operation shown: it must be acknowledgeable before the answer. */
  readonly newest: Sequence;
  /** When the first attempt to read the medium was made; undefined before. */
  triedAtMs: number | undefined;
  /** Set once the data are gathered: all that is left is to send them. */
  readonly send?: () => void;
}

export interface ReadWorld {
  readonly overlay: Overlay;
  readonly medium: MediumVolume;
  readonly clock: Clock;
  readonly retryMs: number;
  /** A medium that fails a read for so long makes it fail to the client. */
  readonly giveUpMs: number;
  mayAnswer(): boolean;
  /** `confirmed` reads: a grant was asked for at or after `gatheredMs`. Always true for `leased` ones. */
  confirmedSince(gatheredMs: number): boolean;
  /** Asks for a grant; `confirmedSince` tells when it came. */
  askGrant(): void;
  /** A medium read failed: evidence for the detectors. */
  failed(fault: Fault): void;
  /** The last call on its way has returned. */
  idle(): void;
}

export class Reads {
  readonly #world: ReadWorld;
  /** Their views are taken once the overlay is mapped. */
  #unseen: View['request'][] = [];
  readonly #waiting = new MinHeap<View>();
  #unanswered: { readonly gatheredMs: number; readonly answer: () => void }[] = [];
  /** Calls that wait for authority to begin. */
  #notBegun: CallRequest[] = [];
  #ackable: Sequence = NO_SEQUENCE;
  #ended = false;
  /** The end of this turn will answer, or ask for the grant to answer with. */
  #turning = false;
  /** Answered since the tenure began. */
  answered = 0;
  /** Calls on their way on the medium's tree. */
  calling = 0;

  constructor(world: ReadWorld) {
    this.#world = world;
  }

  get waiting(): number {
    return this.#unseen.length + this.#waiting.size + this.#unanswered.length + this.#notBegun.length + this.calling;
  }

  submit(request: ReadRequest | StatusRequest | CallRequest): void {
    if (request.kind === 'call') this.#call(request);
    else this.#look(request);
  }

  /** I/O on the tree is issued with authority only, like any other (I4). */
  #call(request: CallRequest): void {
    const { tree } = this.#world.medium;
    if (request.begin === null) return this.#answerLater(request, () => request.done(null));
    if (tree === null || !this.#world.mayAnswer()) return void this.#notBegun.push(request);
    this.calling += 1;
    request.begin(tree, () => {
      this.calling -= 1;
      this.#answerLater(request, () => request.done(null));
      if (this.calling === 0 && !this.#ended) this.#world.idle();
    });
  }

  #look(request: View['request']): void {
    if (this.#unseen.length === 0 && this.#world.overlay.map(MAPPED_AT_ONCE)) return this.#view(request);
    this.#unseen.push(request);
    if (this.#unseen.length === 1) this.#world.clock.later(this.#mapOn);
  }

  readonly #mapOn = (): void => {
    if (this.#unseen.length === 0) return;
    if (!this.#world.overlay.map(MAPPED_AT_ONCE)) return this.#world.clock.later(this.#mapOn);
    for (const request of this.#unseen.splice(0)) this.#view(request);
  };

  #view(request: View['request']): void {
    const parts: Part[] = [];
    let newest = NO_SEQUENCE;
    let at = request.offset;
    this.#world.overlay.visit(request.target, request.offset, request.length, (from, to, operation) => {
      if (from > at) parts.push({ from: at, to: from, operation: null });
      parts.push({ from, to, operation });
      newest = higher(newest, operation.sequence);
      at = to;
    });
    const end = request.offset + request.length;
    if (at < end) parts.push({ from: at, to: end, operation: null });
    const view: View = { request, parts, newest, triedAtMs: undefined };
    if (newest > this.#ackable) this.#waiting.push(newest, view);
    else this.#gather(view);
  }

  /** Everything up to `ackable` may be shown now. */
  wake(ackable: Sequence): void {
    this.#ackable = ackable;
    for (
      let lowest = this.#waiting.lowest();
      lowest !== undefined && lowest <= ackable;
      lowest = this.#waiting.lowest()
    ) {
      const view = this.#waiting.pop();
      if (view !== undefined) this.#gather(view);
    }
  }

  /** Authority may have come back: what was gathered meanwhile is answered. */
  answerWaiting(): void {
    if (this.#unanswered.length + this.#notBegun.length === 0 || !this.#world.mayAnswer()) return;
    for (const call of this.#notBegun.splice(0)) if (!call.cancelled) this.#call(call);
    const ready = this.#unanswered.filter((read) => this.#world.confirmedSince(read.gatheredMs));
    if (ready.length === 0) return;
    this.#unanswered = this.#unanswered.filter((read) => !this.#world.confirmedSince(read.gatheredMs));
    for (const { answer } of ready) answer();
  }

  /** Nothing is answered any more. */
  end(): void {
    this.#ended = true;
    this.#unseen = [];
    this.#waiting.clear();
    this.#unanswered = [];
    this.#notBegun = [];
  }

  #gather(view: View): void {
    if (view.request.cancelled) return;
    if (view.send !== undefined) return this.#answerLater(view.request, view.send);
    if (view.request.kind === 'status') return this.#gatherStatus(view, view.request);
    const request = view.request;
    const first = view.parts.find((part) => part.operation === null);
    const last = view.parts.findLast((part) => part.operation === null);
    if (first === undefined || last === undefined)
      return this.#answerLater(request, () => request.done(null, piecesOf(view, null, 0)));
    this.#world.medium.read(request.target, first.from, last.to - first.from, (fault, data) => {
      if (fault !== null) return this.#again(view, fault, (f) => request.done(f, null));
      this.#onceAckable(view, () => request.done(null, piecesOf(view, data, first.from)));
    });
  }

  /**
   * What the medium returned may show an operation that came after the view was taken and was destaged before it could
   * be acknowledged (written through, not yet synced): the answer waits for it like any other.
   */
  #onceAckable(view: View, send: () => void): void {
    let newest = NO_SEQUENCE;
    for (const part of view.parts)
      if (part.operation === null)
        this.#world.overlay.visit(view.request.target, part.from, part.to - part.from, (_from, _to, operation) => {
          newest = higher(newest, operation.sequence);
        });
    if (newest <= this.#ackable) return this.#answerLater(view.request, send);
    this.#waiting.push(newest, { ...view, send });
  }

  #gatherStatus(view: View, request: StatusRequest): void {
    this.#world.medium.extents(request.target, request.offset, request.length, (fault, extents) => {
      if (fault !== null || extents === null)
        return this.#again(view, fault ?? new Fault('io', 'the medium told no extents'), (f) => request.done(f, null));
      this.#onceAckable(view, () => request.done(null, extentsOf(view, extents)));
    });
  }

  /** The answer leaves on this turn when it may, never from within `submit`. */
  #answerLater(request: { readonly cancelled: boolean }, send: () => void): void {
    const answer = (): void => {
      if (this.#ended || request.cancelled) return;
      this.answered += 1;
      send();
    };
    if (this.#ended) return;
    this.#unanswered.push({ gatheredMs: this.#world.clock.nowMs(), answer });
    if (this.#turning) return;
    this.#turning = true;
    this.#world.clock.soon(() => {
      this.#turning = false;
      // One question for all that were gathered in this turn.
      this.#world.askGrant();
      this.answerWaiting();
    });
  }

  /** A failed medium read is tried again for a while: the path may come back, or the partner take over. */
  #again(view: View, fault: Fault, fail: (fault: Fault) => void): void {
    if (this.#ended) return;
    // A file that was removed: nothing is wrong with the medium.
    if (fault.kind === 'missing') return this.#answerLater(view.request, () => fail(fault));
    const nowMs = this.#world.clock.nowMs();
    view.triedAtMs ??= nowMs;
    this.#world.failed(fault);
    if (fault.kind === 'refused' || nowMs - view.triedAtMs >= this.#world.giveUpMs)
      return this.#answerLater(view.request, () => fail(fault));
    this.#world.clock.after(this.#world.retryMs, () => {
      if (!this.#ended) this.#gather(view);
    });
  }
}

/** The answer's pieces: the store's where it determines the bytes, else the medium's (`data` begins at `base`). */
function piecesOf(view: View, data: Buffer | null, base: number): ReadPiece[] {
  return view.parts.map(({ from, to, operation }) => {
    const length = to - from;
    if (operation === null) return { length, data: data === null ? null : data.subarray(from - base, to - base) };
    if (operation.kind !== OperationKind.write) return { length, data: null };
    return { length, data: operation.data.subarray(from - operation.offset, to - operation.offset) };
  });
}

/** The medium's extents with the store's changes laid over them. */
function extentsOf(view: View, medium: readonly Extent[]): Extent[] {
  const out: { offset: number; length: number; hole: boolean }[] = [];
  const add = (from: number, to: number, hole: boolean): void => {
    const last = out.at(-1);
    if (last !== undefined && last.hole === hole) last.length += to - from;
    else out.push({ offset: from, length: to - from, hole });
  };
  let at = 0;
  for (const { from, to, operation } of view.parts) {
    if (operation !== null) {
      add(from, to, operation.kind === OperationKind.trim);
      continue;
    }
    while (at < medium.length && (medium[at] as Extent).offset + (medium[at] as Extent).length <= from) at += 1;
    for (let i = at; i < medium.length; i += 1) {
      const extent = medium[i] as Extent;
      if (extent.offset >= to) break;
      add(Math.max(from, extent.offset), Math.min(to, extent.offset + extent.length), extent.hole);
    }
  }
  return out;
}

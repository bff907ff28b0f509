/**
 * Gathers what a claimant replays: its own copy where that is a valid one, the other holder's where that goes on
 * longer, or the only one (design 4.4). Every checksum is verified once more before anything is written (I11), and
 * nothing is taken for complete that ends before what is known to have been acknowledged (I10).
 */
import { NO_SEQUENCE, after, before, higher } from '../base/names.ts';
import type { Sequence } from '../base/names.ts';
import { dataCrcOf, type Operation } from '../base/operation.ts';
import type { Timer } from '../ports/clock.ts';
import type { NamedStore, Source } from '../ports/coordinator.ts';
import type { TailMessage } from '../ports/link.ts';
import { isCopyOf } from './record.ts';
import type { Replica } from './replica.ts';

/** What is to be replayed: contiguous, up to the end of the longest valid log. */
export interface Gathered {
  readonly operations: readonly Operation[];
  /** The log's last sequence. */
  readonly end: Sequence;
  /** No log of that life can hold anything acknowledged beyond the end: whatever turns up later may be voided. */
  readonly certain: boolean;
}

export class Gather {
  readonly #replica: Replica;
  readonly #source: Source;
  readonly #done: (gathered: Gathered | null, why: string) => void;
  readonly #other: NamedStore | null;
  #operations: Operation[] = [];
  #base: Sequence = NO_SEQUENCE;
  /** The highest sequence that anybody asked so far knows to have been acknowledged. */
  #acknowledged: Sequence = NO_SEQUENCE;
  /** What is here ends where some valid log ends. */
  #whole = false;
  #certain = false;
  #deadline: Timer | null = null;
  #resend: Timer | null = null;
  #over = false;

  constructor(replica: Replica, source: Source, done: (gathered: Gathered | null, why: string) => void) {
    this.#replica = replica;
    this.#source = source;
    this.#done = done;
    this.#other = source.stores.find((s) => s.server !== replica.self.server) ?? null;
  }

  get #end(): Sequence {
    return (this.#base + this.#operations.length) as Sequence;
  }

  start(): void {
    const { copy } = this.#replica;
    if (isCopyOf(this.#source, this.#replica.identity)) this.#takeOwn();
    if (copy.head?.epoch === this.#source.epoch) this.#acknowledged = copy.acknowledged;
    // A copy that this process kept from its beginning holds everything acknowledged: nothing to wait for. One that
    // was recovered may have lost its end without a trace; the other holder would know (trap T29).
    this.#certain = this.#whole && (!this.#replica.recovered || this.#source.from === 'sole');
    if (this.#other === null || this.#certain) return this.#settle();
    this.#ask();
    this.#patience();
  }

  #takeOwn(): void {
    const { copy } = this.#replica;
    // What is in memory only was never confirmed: the source is what the store holds (I7).
    const operations = copy.log.take(after(copy.log.base), Number.POSITIVE_INFINITY, copy.stored);
    if (!intact(operations)) return copy.foundDamaged();
    this.#base = copy.log.base;
    this.#operations = operations;
    this.#whole = true;
  }

  #ask(): void {
    const { peers, volume, clock, timings } = this.#replica;
    if (this.#other === null || this.#over) return;
    const { server, store } = this.#other;
    const { epoch, generation } = this.#source;
    peers.send(server, { type: 'tail-ask', volume, epoch, generation, store, from: after(this.#end) });
    this.#resend?.cancel();
    this.#resend = clock.after(timings.retryMs, () => this.#ask());
  }

  /** The wait for the other holder begins anew with everything that it sends. */
  #patience(): void {
    const { clock, timings } = this.#replica;
    this.#deadline?.cancel();
    this.#deadline = clock.after(timings.sourceMs, () => this.#settle());
  }

  /** Takes the other holder's answer. */
  tail(message: TailMessage): void {
    if (this.#over || this.#other === null) return;
    if (message.epoch !== this.#source.epoch || message.generation !== this.#source.generation) return;
    this.#learn(message.acknowledged);
    if (message.store !== this.#other.store || message.last === null) return this.#settle();
    if (!intact(message.operations)) return;
    const endBefore = this.#end;
    this.#take(message);
    if (this.#end > endBefore) this.#patience();
    if (this.#end < message.last) return this.#end > endBefore ? this.#ask() : undefined;
    this.#whole = true;
    this.#certain = true;
    this.#settle();
  }

  /** What was acknowledged stays known to the own copy, for the next attempt too. */
  #learn(acknowledged: Sequence): void {
    const { copy } = this.#replica;
    this.#acknowledged = higher(this.#acknowledged, acknowledged);
    if (copy.head?.epoch === this.#source.epoch) copy.learn(acknowledged);
  }

  /** Joins the answer to what is here. What lies between the two may be missing only if it was released there. */
  #take(message: TailMessage): void {
    const first = message.operations[0]?.sequence ?? after(message.released);
    if (first > after(this.#end)) {
      // An answer to an earlier question may begin anywhere.
      if (before(first) > message.released) return;
      this.#operations = [];
      this.#base = before(first);
    }
    for (const operation of message.operations)
      if (operation.sequence === after(this.#end) && operation.epoch === this.#source.epoch)
        this.#operations.push(operation);
  }

  #settle(): void {
    if (!this.#whole) return this.#finish(null, 'no complete copy can be reached');
    if (this.#end < this.#acknowledged)
      return this.#finish(null, `the log ends at ${this.#end}, and ${this.#acknowledged} was acknowledged`);
    this.#finish({ operations: this.#operations, end: this.#end, certain: this.#certain }, '');
  }

  #finish(gathered: Gathered | null, why: string): void {
    if (this.#over) return;
    this.cancel();
    this.#done(gathered, why);
  }

  cancel(): void {
    this.#over = true;
    this.#deadline?.cancel();
    this.#resend?.cancel();
  }
}

function intact(operations: readonly Operation[]): boolean {
  return operations.every((o) => dataCrcOf(o.data) === o.dataCrc);
}

/**
 * Gathers what a claimant replays: its own copy where that is a valid one, the other holder's where that is longer, or
 * the only one (design 4.4). Every checksum is verified once more before anything is written (I11).
 */
import { crc32c } from '../base/crc32c.ts';
import { NO_SEQUENCE, after } from '../base/names.ts';
import type { Sequence, ServerId, StoreId } from '../base/names.ts';
import type { Operation } from '../base/operation.ts';
import type { Timer } from '../ports/clock.ts';
import type { Source } from '../ports/coordinator.ts';
import type { TailMessage } from '../ports/link.ts';
import { isCopyOf } from './record.ts';
import type { Replica } from './replica.ts';

/** What is to be replayed: contiguous, up to the end of the longest valid log. */
export interface Gathered {
  readonly operations: readonly Operation[];
  /** The log's last sequence. */
  readonly end: Sequence;
}

export class Gather {
  readonly #replica: Replica;
  readonly #source: Source;
  readonly #done: (gathered: Gathered | null, why: string) => void;
  readonly #other: { readonly server: ServerId; readonly store: StoreId } | null;
  /** The own valid log, or what the other holder sent in its place. */
  #operations: Operation[] = [];
  #base: Sequence = NO_SEQUENCE;
  /** What is here reaches the end of a valid log. */
  #complete = false;
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
    const { copy, clock, timings } = this.#replica;
    this.#complete = isCopyOf(this.#source, this.#replica.identity) && copy.log.last >= copy.acknowledged;
    if (this.#complete) {
      this.#base = copy.log.base;
      this.#operations = copy.log.take(after(copy.log.base), Number.POSITIVE_INFINITY);
      if (!intact(this.#operations)) return this.#finish(null, 'this server’s copy does not match its checksums');
    }
    // A copy that this process kept from its beginning holds everything acknowledged: nothing to wait for. One that
    // was recovered may have lost its end without a trace; the other holder would know (trap T29).
    const doubtful = !this.#complete || (this.#replica.recovered && this.#source.from === 'in-sync');
    if (this.#other === null || !doubtful) return this.#settle();
    this.#ask();
    this.#deadline = clock.after(timings.sourceMs, () => this.#settle());
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

  /** Takes the other holder's answer. */
  tail(from: ServerId, message: TailMessage): void {
    if (this.#over || this.#other === null || from !== this.#other.server) return;
    if (message.epoch !== this.#source.epoch || message.generation !== this.#source.generation) return;
    if (message.store !== this.#other.store || message.last === null) return this.#settle();
    if (!intact(message.operations)) return this.#settle();
    this.#take(message);
    if (message.last > this.#end && message.operations.length > 0) return this.#ask();
    // The other's whole log is here (or ends no later than the own): together they are one complete copy.
    if (this.#end < message.last) this.#restart(message.last);
    this.#complete = true;
    this.#settle();
  }

  /** An empty log that ends later than what is here: everything up to its end was released there. */
  #restart(base: Sequence): void {
    this.#operations = [];
    this.#base = base;
  }

  #take(message: TailMessage): void {
    const first = message.operations[0];
    if (first === undefined) return;
    // What lies between the two logs was released there: it is on the synced medium.
    if (first.sequence > after(this.#end)) {
      this.#restart((first.sequence - 1) as Sequence);
    }
    for (const operation of message.operations)
      if (operation.sequence === after(this.#end) && operation.epoch === this.#source.epoch)
        this.#operations.push(operation);
  }

  #settle(): void {
    if (this.#complete) this.#finish({ operations: this.#operations, end: this.#end }, '');
    else this.#finish(null, 'no complete copy can be reached');
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
  return operations.every((o) => (o.data.length === 0 ? 0 : crc32c(o.data)) === o.dataCrc);
}

/**
 * The simulated store: the port's contract over a `Disk`. Asserts what the core owes it (contiguous appends, never
 * beyond capacity) and does what the medium of a journal does: syncs in groups, is slow, hangs, fails for good.
 */
import { Fault, type Done } from '../src/base/fault.ts';
import type { Generation, Sequence, StoreId } from '../src/base/names.ts';
import { costBytes, type Operation } from '../src/base/operation.ts';
import type { AsideLog, LogHead, RecoveredLog, Store, StoreEvents, StoreKind } from '../src/ports/store.ts';
import type { Context } from './context.ts';
import type { Disk, Entry } from './disk.ts';
import type { Life } from './life.ts';
import type { Prng } from './prng.ts';

/** How a store's I/O goes now. Changed by the faults; outlives the process. */
export interface StoreWeather {
  mode: 'fine' | 'slow' | 'hang' | 'fail';
}

/** Told what the checkers must see. */
export interface StoreWatch {
  appended(store: SimStore, operations: readonly Operation[]): void;
  /** Entries became durable; `voided` when a whole log was replaced or put aside, `dropped` when operations were. */
  committed(store: SimStore, voided: boolean, dropped: boolean): void;
}

export class SimStore implements Store {
  readonly id: StoreId;
  readonly kind: StoreKind;
  readonly capacityBytes: number;
  readonly recovered: RecoveredLog | null;
  readonly disk: Disk;
  readonly life: Life;
  readonly volumeIndex: number;
  /** What the core has been told is in use, as the core must count it. */
  usedBytes = 0;
  failed = false;
  closed = false;
  readonly #ctx: Context;
  readonly #prng: Prng;
  readonly #weather: StoreWeather;
  readonly #watch: StoreWatch;
  #events: StoreEvents | null = null;
  /** Costs of the operations held, oldest first; `#first` is the sequence of the first. */
  #costs: number[] = [];
  #first = 0;
  #next = 0;
  #begun = false;
  #epoch = 0;
  #syncing = false;
  #scheduled = false;

  constructor(
    ctx: Context,
    life: Life,
    prng: Prng,
    disk: Disk,
    weather: StoreWeather,
    watch: StoreWatch,
    volumeIndex: number,
  ) {
    this.#ctx = ctx;
    this.life = life;
    this.#prng = prng;
    this.disk = disk;
    this.#weather = weather;
    this.#watch = watch;
    this.volumeIndex = volumeIndex;
    this.id = disk.id;
    this.kind = disk.kind;
    this.capacityBytes = disk.capacityBytes;
    this.recovered = disk.recovered();
    if (this.recovered !== null) {
      this.#begun = true;
      this.#epoch = this.recovered.head.epoch;
      this.#first = this.recovered.released + 1;
      this.#costs = this.recovered.operations.map(costBytes);
      this.#next = this.#first + this.#costs.length;
      this.usedBytes = this.#costs.reduce((a, b) => a + b, 0);
    }
  }

  get aside(): readonly AsideLog[] {
    return this.disk.aside;
  }

  listen(events: StoreEvents): void {
    this.#events = events;
  }

  begin(head: LogHead, done: Done): void {
    if (head.generations.length < 1 || head.generations.length > 4)
      this.#broken(`${head.generations.length} generations`);
    this.#begun = true;
    this.#epoch = head.epoch;
    this.#log++;
    this.#costs = [];
    this.usedBytes = 0;
    this.#first = this.#next = head.base + 1;
    this.#ctx.hook('store-begun', this.life.index);
    this.#issue({ type: 'begin', head: { ...head, generations: [...head.generations] }, done }, done);
  }

  mark(generations: readonly Generation[], complete: boolean, done: Done): void {
    if (!this.#begun) this.#broken('mark without a log');
    if (generations.length < 1 || generations.length > 4) this.#broken(`${generations.length} generations`);
    this.#issue({ type: 'mark', generations: [...generations], complete, done }, done);
  }

  append(operations: readonly Operation[], acknowledged: Sequence): void {
    if (!this.#begun) this.#broken('append without a log');
    let next = this.#next;
    let used = this.usedBytes;
    for (const operation of operations) {
      if (operation.sequence !== next) this.#broken(`append of ${operation.sequence} where ${next} is next`);
      if (operation.epoch !== this.#epoch)
        this.#broken(`append of epoch ${operation.epoch} to a log of ${this.#epoch}`);
      next++;
      used += costBytes(operation);
    }
    if (used > this.capacityBytes)
      this.#broken(`append beyond the capacity: ${used} of ${this.capacityBytes} bytes`, 'I8 bounded stores');
    if (operations.length > 0) this.#watch.appended(this, operations);
    this.#next = next;
    this.usedBytes = used;
    for (const operation of operations) {
      this.#costs.push(costBytes(operation));
      this.#issue({ type: 'append', operation, acknowledged, log: this.#log }, null);
    }
  }

  release(through: Sequence, acknowledged: Sequence): void {
    if (!this.#begun) this.#broken('release without a log');
    if (through >= this.#next) this.#broken(`release of ${through} where the last is ${this.#next - 1}`);
    while (this.#first <= through) {
      this.usedBytes -= this.#costs.shift() ?? 0;
      this.#first++;
    }
    this.#ctx.hook('released', this.life.index);
    this.#issue({ type: 'release', through, acknowledged }, null);
  }

  setAside(done: Done): void {
    if (!this.#begun) this.#broken('setAside without a log');
    this.#begun = false;
    this.#log++;
    this.#costs = [];
    this.usedBytes = 0;
    this.#issue({ type: 'aside', done }, done);
  }

  close(done: Done): void {
    this.closed = true;
    this.#closing = done;
    this.#ctx.after(this.#prng.latency(0.3), () => this.#close());
  }

  /** Done once nothing is on its way any more. */
  #close(): void {
    const done = this.#closing;
    if (done === null || this.#syncing || this.#scheduled) return;
    if (!this.failed && this.#waiting.length > 0) return this.#schedule();
    this.#closing = null;
    this.#end(done, null);
  }

  /** What has not been told yet. */
  get #waiting(): readonly Entry[] {
    return this.kind === 'memory' ? this.#told : this.disk.pending;
  }

  /** The weather cleared up: what hung goes on. */
  resume(): void {
    this.#schedule();
  }

  #issue(entry: Entry, done: Done | null): void {
    if (this.closed) this.#broken('call after close');
    if (this.failed) {
      if (done !== null)
        this.#ctx.after(0.1, () => this.life.call(() => done(new Fault('io', 'the store has failed'))));
      return;
    }
    this.disk.pending.push(entry);
    if (this.kind === 'memory') this.#commitMemory();
    this.#schedule();
  }

  /** Memory holds an entry at once; only the telling comes later. */
  readonly #told: Entry[] = [];
  /** Counts logs, so that what belonged to one that was voided is told from what belongs to this one. */
  #log = 0;
  #closing: Done | null = null;
  #commitMemory(): void {
    const entries = this.disk.pending;
    this.#told.push(...entries);
    this.#commit(entries.length);
  }

  #commit(count: number): void {
    let voided = false;
    let dropped = false;
    for (let i = 0; i < count; i++) {
      const type = (this.disk.pending[i] as Entry).type;
      if (type === 'begin' || type === 'aside') voided = true;
      if (type === 'release') dropped = true;
    }
    this.disk.commit(count);
    this.#watch.committed(this, voided, dropped);
  }

  #schedule(): void {
    if (this.#syncing || this.#scheduled || this.failed || this.life.ended) return;
    if (this.#waiting.length === 0) return;
    this.#scheduled = true;
    this.#ctx.after(this.kind === 'memory' ? 0.02 : this.#prng.between(0, 0.2), () => {
      this.#scheduled = false;
      this.#sync();
    });
  }

  #sync(): void {
    if (this.#syncing || this.failed || this.life.ended || this.#weather.mode === 'hang') return;
    if (this.#weather.mode === 'fail') {
      this.#fail();
      return;
    }
    if (this.kind === 'memory') {
      this.#tell(this.#told.splice(0));
      this.#close();
      return;
    }
    const group = this.disk.pending.slice();
    this.#syncing = true;
    const slow = this.#weather.mode === 'slow' ? this.#prng.between(20, 400) : 0;
    this.#ctx.after(this.#prng.latency(0.6) + slow, () => {
      this.#syncing = false;
      if (this.life.ended || this.failed) return;
      if (this.#weather.mode === 'fail') {
        this.#fail();
        return;
      }
      this.#commit(group.length);
      this.#ctx.hook('store-synced', this.life.index);
      this.#tell(group);
      this.#schedule();
      this.#close();
    });
  }

  #tell(group: readonly Entry[]): void {
    for (const entry of group) if ('done' in entry) this.#end(entry.done, null);
    const stored = lastAppend(group, this.#log);
    this.#ctx.digest.number(stored * 16 + this.life.index);
    if (stored > 0) this.life.call(() => this.#events?.stored(stored as Sequence));
  }

  #end(done: Done, fault: Fault | null): void {
    this.life.call(() => done(fault));
  }

  #fail(): void {
    this.failed = true;
    const fault = new Fault('io', `the disk of ${this.#name()} failed`);
    this.#ctx.tell('store', this.life.index, `${this.#name()} failed`);
    for (const entry of this.#waiting) {
      if ('done' in entry) this.#end(entry.done, fault);
    }
    this.life.call(() => this.#events?.failed(fault));
  }

  #name(): string {
    return `the store of volume ${this.volumeIndex} at ${this.life.server}`;
  }

  #broken(what: string, rule = 'port contract'): never {
    this.#ctx.fail(rule, `${this.#name()}: ${what}`);
    throw new Error(`broken invariant: ${this.#name()}: ${what}`);
  }
}

/** Sequence of the group's last append to the log that is open now; 0 when there is none. */
function lastAppend(group: readonly Entry[], log: number): number {
  const last = group.findLast((entry) => entry.type === 'append');
  return last?.type === 'append' && last.log === log ? last.operation.sequence : 0;
}

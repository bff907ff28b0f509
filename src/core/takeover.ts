/**
 * Planned change of owner, the asker's side: looks before it leaps, asks the owner to hand over, claims once it agreed.
 */
import { Fault } from '../base/fault.ts';
import type { Epoch, ServerId } from '../base/names.ts';
import type { Timer } from '../ports/clock.ts';
import type { Holder } from '../ports/coordinator.ts';
import type { HandoverAnswerMessage } from '../ports/link.ts';
import type { Replica } from './replica.ts';
import type { HandoverReport } from './server.ts';

export interface TakeoverEvents {
  progress(text: string): void;
  done(fault: Fault | null, report: HandoverReport | null): void;
}

export class Takeover {
  readonly #replica: Replica;
  readonly #events: TakeoverEvents[];
  readonly epoch: Epoch;
  readonly #owner: Holder;
  readonly #nonce: string;
  readonly #startedMs: number;
  #quiescedMs: number | null = null;
  #timer: Timer | null = null;
  #claiming = false;
  #over = false;

  constructor(replica: Replica, owner: Holder, epoch: Epoch, events: TakeoverEvents) {
    this.#replica = replica;
    this.#owner = owner;
    this.epoch = epoch;
    this.#events = [events];
    this.#nonce = replica.ids.draw();
    this.#startedMs = replica.clock.nowMs();
  }

  /** Another request for the same: told together. */
  join(events: TakeoverEvents): void {
    this.#events.push(events);
  }

  start(): void {
    const { coordinator, medium, register } = this.#replica;
    const record = register.known;
    if (record === null) return this.#fail('the record is not known');
    if (this.#replica.probedOfLate) return this.#begin();
    this.#progress('looking at coordinator and medium');
    const { clock, timings } = this.#replica;
    this.#timer = clock.after(2 * timings.coordinatorMs, () => this.#fail('the probes did not come back in time'));
    coordinator.probe((fault) => {
      if (fault !== null) return this.#fail(`the coordinator fails its probe: ${fault.message}`);
      medium.probe(record.mediumId, (bad) => {
        if (this.#over) return;
        this.#timer?.cancel();
        if (bad !== null) return this.#fail(`the medium fails its probe: ${bad.message}`);
        this.#begin();
      });
    });
  }

  #begin(): void {
    this.#progress(`asking ${this.#owner.server} to hand over`);
    this.#ask();
  }

  #ask(): void {
    if (this.#over || this.#claiming) return;
    const { peers, volume, clock, timings } = this.#replica;
    if (clock.nowMs() - this.#startedMs > timings.handoverMs) return this.#fail('the owner did not agree in time');
    peers.send(this.#owner.server, { type: 'handover-ask', volume, epoch: this.epoch, nonce: this.#nonce });
    this.#timer = clock.after(timings.retryMs / 2, () => this.#ask());
  }

  answer(from: ServerId, message: HandoverAnswerMessage): void {
    if (this.#over || this.#claiming || from !== this.#owner.server || message.nonce !== this.#nonce) return;
    switch (message.state) {
      case 'draining':
        return this.#progress(`draining, ${message.undestagedBytes} bytes to go`);
      case 'quiesced':
        this.#quiescedMs ??= this.#replica.clock.nowMs();
        return this.#progress('clients wait');
      case 'refused':
        return this.#fail(message.refusal ?? 'the owner refused');
      case 'agreed':
        this.#quiescedMs ??= this.#replica.clock.nowMs();
        this.#claiming = true;
        this.#timer?.cancel();
        this.#progress('agreed, claiming');
        return this.#claim();
    }
  }

  #claim(): void {
    this.#replica.claimAgreed(this.#owner, `handed over by ${this.#owner.server}`);
  }

  /** The agreement holds for the whole epoch: a claim that lost against another swap of that epoch is made again. */
  mayTryAgain(): boolean {
    const { register, clock, timings } = this.#replica;
    return register.known?.epoch === this.epoch && clock.nowMs() - this.#startedMs < timings.handoverMs;
  }

  claimAgain(): void {
    const { clock, timings } = this.#replica;
    this.#timer = clock.after(timings.retryMs / 4, () => {
      if (!this.#over) this.#claim();
    });
  }

  /** The volume is served here. */
  served(): void {
    const pauseMs = this.#replica.clock.nowMs() - (this.#quiescedMs ?? this.#startedMs);
    this.#finish((events) => events.done(null, { volume: this.#replica.volume, pauseMs }));
  }

  /** The claim came to nothing, or somebody else owns the volume now. */
  failed(why: string): void {
    this.#fail(why);
  }

  #progress(text: string): void {
    for (const events of this.#events) events.progress(text);
  }

  #fail(why: string): void {
    this.#finish((events) => events.done(new Fault('refused', why), null));
  }

  #finish(tell: (events: TakeoverEvents) => void): void {
    if (this.#over) return;
    this.#over = true;
    this.#timer?.cancel();
    this.#replica.planned.takeoverOver(this);
    for (const events of this.#events) tell(events);
  }
}

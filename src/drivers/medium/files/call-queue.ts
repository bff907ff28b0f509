/**
 * The calls on the bytes of a volume's objects: a bounded number of them with the operating system at a time, the others wait
 * in order of arrival, so that a medium that hangs does not take all threads of the pool from the journals. Small writes of
 * one turn go to the kernel together, whatever files they are to.
 */
import { Fault } from '../../../base/fault.ts';
import { Ring } from '../../../base/ring.ts';
import { WriteBatch } from '../../linux/write-batch.ts';
import type { Call, WriteCall } from '../raw-calls.ts';
import { CALLS_IN_FLIGHT, CALLS_WAITING_MAX } from '../raw-file.ts';
import type { OpenObject } from './open-objects.ts';

/** Batches that no volume uses at the moment; the kernel's contexts live as long as the process. */
const idle: WriteBatch[] = [];

interface Gathered {
  readonly object: OpenObject;
  readonly call: WriteCall;
}

export class CallQueue {
  readonly #waiting = new Ring<Call>();
  readonly #batch: WriteBatch | null;
  #gathered: Gathered[] = [];
  #gathering = false;
  #inFlight = 0;

  /** `batches`: where writes do not wait for the storage. */
  constructor(batches: boolean) {
    this.#batch = batches ? (idle.pop() ?? WriteBatch.make()) : null;
  }

  get isIdle(): boolean {
    return this.#inFlight === 0 && this.#waiting.length === 0 && this.#gathered.length === 0;
  }

  /** Nothing is on its way any more, and nothing will be. */
  release(): void {
    if (this.#batch !== null) idle.push(this.#batch);
  }

  /** `object` is held for the call; it is told when the call has returned, or has been refused. */
  run(object: OpenObject, call: Call): void {
    if (this.#inFlight < CALLS_IN_FLIGHT) {
      this.#inFlight += 1;
      call.start();
    } else if (this.#waiting.length < CALLS_WAITING_MAX) {
      this.#waiting.push(call);
    } else {
      this.#inFlight += 1;
      object.returned();
      process.nextTick(failCall, call, new Fault('retry', 'Too many calls wait for the medium.'));
    }
  }

  /** A small write of one piece, which may go with others. */
  gather(object: OpenObject, call: WriteCall): void {
    if (this.#batch === null) return this.run(object, call);
    this.#gathered.push({ object, call });
    if (this.#gathering) return;
    this.#gathering = true;
    process.nextTick(this.#writeGathered);
  }

  /** A call has returned. */
  returned(): void {
    this.#inFlight -= 1;
    this.#startNext();
  }

  readonly #writeGathered = (): void => {
    this.#gathering = false;
    const batch = this.#batch;
    if (batch === null || batch.busy || this.#gathered.length === 0) return;
    const [first] = this.#gathered;
    for (const { object, call } of this.#gathered)
      if (!batch.add(object.fd, call.offset, call.pieces, call.length)) break;
    const writes = this.#gathered.splice(0, Math.max(1, batch.added));
    if (first === undefined) return;
    if (writes.length === 1) {
      batch.clear();
      return this.run(first.object, first.call);
    }
    this.#inFlight += 1;
    batch.run(() => {
      // Counted as one call until here; what follows are calls of their own.
      this.#inFlight -= 1;
      writes.forEach(({ object, call }, i) => {
        if (!batch.wrote(i)) return this.run(object, call);
        this.#inFlight += 1;
        object.returned();
        call.written();
      });
      this.#startNext();
      this.#writeGathered();
    });
  };

  #startNext(): void {
    if (this.#inFlight >= CALLS_IN_FLIGHT) return;
    const next = this.#waiting.shift();
    if (next === undefined) return;
    this.#inFlight += 1;
    next.start();
  }
}

function failCall(call: Call, fault: Fault): void {
  call.fail(fault);
}

/**
 * Polling instead of sleeping, for a moment: a thread that sleeps is woken some 20 to 60 us after its answer is there, which
 * is more than everything that a server does with a write. While an answer is expected the event loop goes round and
 * round and looks; what else happens is served as ever. Network drivers and storage stacks call it busy polling.
 *
 * It costs processor time only while something is expected and at most `pollMs` for each, and nothing when idle.
 */

/** Where no processor would be left for whoever is to answer, nobody polls. */
const PROCESSORS_MIN = 2;

export class BusyPoll {
  readonly #pollMs: number;
  #untilMs = 0;
  #polling = false;

  /** `pollMs`: how long is looked out for an answer; 0: not at all. `processors` of this machine. */
  constructor(pollMs: number, processors: number) {
    this.#pollMs = processors < PROCESSORS_MIN ? 0 : pollMs;
  }

  /** An answer is expected: the event loop does not sleep before `pollMs` have passed. */
  expect(): void {
    if (this.#pollMs === 0) return;
    this.#untilMs = performance.now() + this.#pollMs;
    if (this.#polling) return;
    this.#polling = true;
    setImmediate(this.#round);
  }

  // While there is an immediate to run, the event loop asks the kernel for events without waiting for any.
  readonly #round = (): void => {
    if (performance.now() < this.#untilMs) setImmediate(this.#round);
    else this.#polling = false;
  };
}

/**
 * Authority: who may answer (design section 5). A grant lasts one lease, counted on this server's own clock from the
 * moment at which what it answers was sent; so it has always run out here before a claimant's wait ends there.
 */
export class Authority {
  readonly #leaseMs: number;
  #untilMs = Number.NEGATIVE_INFINITY;
  #newestMs = Number.NEGATIVE_INFINITY;

  constructor(leaseMs: number) {
    this.#leaseMs = leaseMs;
  }

  /** Takes a grant that answers a heartbeat or a read of the record sent at `sentAtMs`. */
  grant(sentAtMs: number): void {
    const untilMs = sentAtMs + this.#leaseMs;
    if (untilMs > this.#untilMs) this.#untilMs = untilMs;
    if (sentAtMs > this.#newestMs) this.#newestMs = sentAtMs;
  }

  /** A grant answers something that was sent at or after `sinceMs`. */
  confirmedSince(sinceMs: number): boolean {
    return this.#newestMs >= sinceMs;
  }

  /** True while an answer may be sent and medium I/O issued. */
  holds(nowMs: number): boolean {
    return nowMs < this.#untilMs;
  }

  /** Ends at once and for good: after a handover was agreed or another owner was seen. */
  end(): void {
    this.#untilMs = Number.NEGATIVE_INFINITY;
  }
}

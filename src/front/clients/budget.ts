/**
 * The memory that all connections of a volume share for what is in flight. Connections that find it used up wait here
 * and are called in the order in which they began to wait.
 */
export interface BudgetWaiter {
  /** There may be room again. */
  roomAgain(): void;
}

export class Budget {
  readonly #limitBytes: number;
  #usedBytes = 0;
  readonly #waiting = new Set<BudgetWaiter>();

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Whether one more request may be taken; it may cross the bound itself, so that the largest one always gets in. */
  get open(): boolean {
    return this.#usedBytes < this.#limitBytes;
  }

  take(bytes: number): void {
    this.#usedBytes += bytes;
  }

  give(bytes: number): void {
    this.#usedBytes -= bytes;
    if (this.#waiting.size === 0 || !this.open) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const waiter of waiting) waiter.roomAgain();
  }

  wait(waiter: BudgetWaiter): void {
    this.#waiting.add(waiter);
  }

  leave(waiter: BudgetWaiter): void {
    this.#waiting.delete(waiter);
  }
}

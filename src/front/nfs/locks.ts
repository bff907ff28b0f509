/**
 * Locks by name: requests that change the same name of the same directory, or the same object's attributes, wait for each
 * other until the reply of the one before is mirrored; so each one's intent can be judged by itself after a failure
 * (docs/decisions/0007). Several locks are taken in one order by everybody, so that nobody waits in a circle. Who waits
 * is a request in flight: their number is the front end's bound on those.
 */
import { assert } from '../../base/fault.ts';

export class Locks {
  /** Those that are held, with who waits for them. */
  readonly #held = new Map<string, (() => void)[]>();

  /** Resolves when all of `keys` are held. */
  async acquire(keys: readonly string[]): Promise<void> {
    for (const key of ordered(keys)) {
      const waiting = this.#held.get(key);
      if (waiting === undefined) this.#held.set(key, []);
      // The lock is handed over, never free in between: nobody overtakes.
      else await new Promise<void>((resolve) => waiting.push(resolve));
    }
  }

  release(keys: readonly string[]): void {
    for (const key of ordered(keys)) {
      const waiting = this.#held.get(key);
      assert(waiting !== undefined, 'only what is held is released');
      const next = waiting.shift();
      if (next === undefined) this.#held.delete(key);
      else next();
    }
  }

  isHeld(key: string): boolean {
    return this.#held.has(key);
  }

  get size(): number {
    return this.#held.size;
  }
}

const ordered = (keys: readonly string[]): string[] => [...new Set(keys)].sort();
